namespace Perf.Bench.Load;

/// <summary>One kind of unary load: what is called, how many at a time.</summary>
internal sealed record Scenario(string Name, string What, int Requests, int Connections, int InFlight)
{
    /// <summary>The n-th request.</summary>
    public required Func<int, Call> Next { get; init; }

    /// <summary>By how much each request moves the revision: what proves that the requests were carried out. -1: unknown.</summary>
    public double Revisions { get; init; }

    /// <summary>Keys that have to be there.</summary>
    public int Keys { get; init; } = 1_000;

    /// <summary>The KV service's method, for scenarios that call only one.</summary>
    public string Method => Name switch
    {
        ['p', 'u', 't', ..] => "Put",
        ['t', 'x', 'n', ..] => "Txn",
        _ => "Range",
    };

    /// <summary>Slow to prepare: only with --full or by name.</summary>
    public bool IsLarge => Keys > 1_000;

    /// <summary>
    /// The scenarios of the report, puts first: the order of etcd's own history, since its gets suffer from the key's.
    /// </summary>
    public static IReadOnlyList<Scenario> All { get; } =
    [
        Put("put-512", 100_000, 8, 64, "puts of 256 B, one key, 512 in flight", _ => "foo"),
        Put("put-1000", 100_000, 8, 125, "puts of 256 B, one key, 1,000 in flight", _ => "foo"),
        Put("put-64", 50_000, 8, 8, "puts of 256 B, one key, 64 in flight", _ => "foo"),
        Put("put-1", 3_000, 1, 1, "puts of 256 B, one key, one at a time", _ => "foo"),
        Put("put-512-1k", 60_000, 8, 64, "puts of 1 KiB, sequential keys, 512 in flight", i => $"seq/{i:d9}", bytes: 1024),
        Get("range-l", 200_000, 8, 64, "linearizable range of one key, 512 in flight", serializable: false),
        Get("range-s", 200_000, 8, 64, "serializable range of one key, 512 in flight", serializable: true),
        Get("range-1", 6_000, 1, 1, "linearizable range of one key, one at a time", serializable: false),
        Page("page-1k", 2_000, 1_000),
        new("txn", "txn: compare version, put, range, 512 in flight", 50_000, 8, 64)
        {
            Revisions = 1,
            Next = Fixed(Bodies.Txn("foo")),
        },
        new("mixed", "four gets to a put, 512 in flight", 100_000, 8, 64)
        {
            Revisions = 0.2,
            Next = Mixed(Bodies.Put("foo", 256), Bodies.Get("foo")),
        },
        new("lease-grant", "lease grants, 512 in flight", 50_000, 8, 64)
        {
            Next = _ => Bodies.Grant(0),
        },
        Page("page-100k", 2_000, 100_000),
        Page("page-1m", 2_000, 1_000_000),
        Put("put-512-random", 100_000, 8, 64, "puts of 256 B, random keys out of 1 M, 512 in flight", RandomOfMillion)
            with { Keys = 1_000_000 },
        new("range-l-random", "linearizable range, random keys out of 1 M, 512 in flight", 200_000, 8, 64)
        {
            Keys = 1_000_000,
            Next = i => Bodies.Get(RandomOfMillion(i)),
        },
        new("range-s-random", "serializable range, random keys out of 1 M, 512 in flight", 200_000, 8, 64)
        {
            Keys = 1_000_000,
            Next = i => Bodies.Get(RandomOfMillion(i), serializable: true),
        },
        new("txn-random", "txn on random keys out of 1 M, 512 in flight", 50_000, 8, 64)
        {
            Keys = 1_000_000,
            Revisions = 1,
            Next = i => Bodies.Txn(RandomOfMillion(i)),
        },
        new("mixed-random", "four gets to a put, random keys out of 1 M, 512 in flight", 100_000, 8, 64)
        {
            Keys = 1_000_000,
            Revisions = 0.2,
            Next = i => i % 5 == 0
                ? Bodies.Put(RandomOfMillion(i), 256)
                : Bodies.Get(RandomOfMillion(i)),
        },
    ];

    /// <summary>Runs once, closed loop; the wall seconds and the latencies.</summary>
    public (double Seconds, Histogram Latency) Run(int port, int requests, Door? door = null)
    {
        int given = -1;
        return Threads.Run(Connections, (connection, histogram) => connection.Run(
            InFlight,
            () =>
            {
                int n = Interlocked.Increment(ref given);
                return n < requests ? Next(n) : null;
            },
            histogram.Record), port, door);
    }

    /// <summary>Runs once at a fixed rate for so long, and until the work is done.</summary>
    public (double Seconds, Histogram Latency) RunOpen(int port, double perSecond, TimeSpan time, Task work)
    {
        int given = -1;
        double each = perSecond / Connections;
        return Threads.Run(Connections, (connection, histogram) => connection.RunOpen(
            each,
            time,
            work,
            () => Next(Interlocked.Increment(ref given)),
            histogram.Record), port);
    }

    /// <summary>Brings the server from so many keys to more; the wall seconds.</summary>
    public static double Fill(int port, int from, int to, int bytes = 256)
    {
        int next = from;
        return Threads.Run(4, (connection, histogram) => connection.Run(
            4,
            () =>
            {
                int at = Interlocked.Add(ref next, Bodies.FillOps) - Bodies.FillOps;
                return at < to ? Bodies.Fill(at, Math.Min(Bodies.FillOps, to - at), bytes) : null;
            },
            histogram.Record), port).Seconds;
    }

    private static Scenario Put(
        string name, int requests, int connections, int inFlight, string what, Func<int, string> key, int bytes = 256) =>
        new(name, what, requests, connections, inFlight)
        {
            Revisions = 1,
            Next = i => Bodies.Put(key(i), bytes),
        };

    private static Scenario Get(
        string name, int requests, int connections, int inFlight, string what, bool serializable) =>
        new(name, what, requests, connections, inFlight) { Next = Fixed(Bodies.Get("foo", serializable)) };

    private static Scenario Page(string name, int requests, int keys) =>
        new(name, $"page of 1,000 keys out of {keys:n0}, from random keys, 16 in flight", requests, 8, 2)
        {
            Keys = keys,
            Next = i => Bodies.Page(keys == 1_000
                ? "key/"
                : Bodies.RandomKey(i, keys - 1_000)),
        };

    private static string RandomOfMillion(int i) => Bodies.RandomKey(i, 1_000_000);

    private static Func<int, Call> Fixed(Call call) => _ => call;

    private static Func<int, Call> Mixed(Call write, Call read) => i => i % 5 == 0 ? write : read;
}
