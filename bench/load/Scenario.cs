using System.Buffers.Binary;
using System.Diagnostics;
using Etcdserverpb;
using Google.Protobuf;

namespace Perf.Bench.Load;

/// <summary>One kind of load: what is called, with which bodies, how many at a time.</summary>
internal sealed record Scenario(string Name, string What, string Path, int Requests, int Connections, int InFlight)
{
    /// <summary>The n-th request's body, framed.</summary>
    public required Func<int, byte[]> Body { get; init; }

    /// <summary>By how much each request moves the revision: what proves that the requests were carried out.</summary>
    public int Revisions { get; init; }

    /// <summary>The scenarios of the report.</summary>
    public static IReadOnlyList<Scenario> All { get; } =
    [
        Put("put-512", 100_000, 8, 64, 256, "puts of 256 B, one key, 512 in flight", _ => "foo"),
        Put("put-512-random", 100_000, 8, 64, 256, "puts of 256 B, random keys out of 1 M, 512 in flight", RandomKey),
        Put("put-512-1k", 60_000, 8, 64, 1024, "puts of 1 KiB, sequential keys, 512 in flight", i => $"seq/{i:d9}"),
        Put("put-64", 50_000, 8, 8, 256, "puts of 256 B, 64 in flight", _ => "foo"),
        Put("put-1", 3_000, 1, 1, 256, "puts of 256 B, one at a time", _ => "foo"),
        Range("range-l", 200_000, 8, 64, "linearizable range of one key, 512 in flight", serializable: false),
        Range("range-s", 200_000, 8, 64, "serializable range of one key, 512 in flight", serializable: true),
        Range("range-1", 6_000, 1, 1, "linearizable range of one key, one at a time", serializable: false),
        new Scenario("page-1k", "serializable page of 1,000 keys, 16 in flight", "/etcdserverpb.KV/Range", 3_000, 8, 2)
        {
            Body = Fixed(Frame(new RangeRequest
            {
                Key = ByteString.CopyFromUtf8("page/"),
                RangeEnd = ByteString.CopyFromUtf8("page0"),
                Limit = 1000,
                Serializable = true,
            })),
        },
        new Scenario("txn", "txn: compare version, put, range, 512 in flight", "/etcdserverpb.KV/Txn", 50_000, 8, 64)
        {
            Revisions = 1,
            Body = Fixed(Frame(Txn())),
        },
    ];

    /// <summary>Keys that the page scenario reads.</summary>
    public static Scenario Fill { get; } =
        Put("fill", 1_000, 1, 64, 256, "keys for the pages", i => $"page/{i:d9}") with { Revisions = 1 };

    /// <summary>Runs once; the wall seconds and the latencies.</summary>
    public (double Seconds, Histogram Latency) Run(int port, int requests, Door? door = null)
    {
        int given = 0;
        var histograms = new Histogram[Connections];
        var threads = new Thread[Connections];
        var watch = Stopwatch.StartNew();
        for (int c = 0; c < Connections; c++)
        {
            Histogram histogram = histograms[c] = new Histogram();
            threads[c] = new Thread(() =>
            {
                using var connection = new Http2Connection("127.0.0.1", port, Path, door);
                connection.Run(
                    InFlight,
                    () =>
                    {
                        int n = Interlocked.Increment(ref given);
                        return n <= requests ? Body(n) : null;
                    },
                    histogram.Record);
            });
            threads[c].Start();
        }

        foreach (Thread thread in threads)
        {
            thread.Join();
        }

        var all = new Histogram();
        foreach (Histogram histogram in histograms)
        {
            all.Add(histogram);
        }

        return (watch.Elapsed.TotalSeconds, all);
    }

    private static Scenario Put(
        string name, int requests, int connections, int inFlight, int bytes, string what, Func<int, string> key)
    {
        ByteString value = ByteString.CopyFrom(new byte[bytes]);
        return new Scenario(name, what, "/etcdserverpb.KV/Put", requests, connections, inFlight)
        {
            Revisions = 1,
            Body = i => Frame(new PutRequest { Key = ByteString.CopyFromUtf8(key(i)), Value = value }),
        };
    }

    private static Scenario Range(
        string name, int requests, int connections, int inFlight, string what, bool serializable) =>
        new(name, what, "/etcdserverpb.KV/Range", requests, connections, inFlight)
        {
            Body = Fixed(Frame(new RangeRequest
            {
                Key = ByteString.CopyFromUtf8("foo"),
                Serializable = serializable,
            })),
        };

    private static TxnRequest Txn()
    {
        ByteString key = ByteString.CopyFromUtf8("foo");
        var txn = new TxnRequest();
        txn.Compare.Add(new Compare
        {
            Key = key,
            Target = Compare.Types.CompareTarget.Version,
            Result = Compare.Types.CompareResult.Greater,
            Version = 0,
        });
        txn.Success.Add(new RequestOp
        {
            RequestPut = new PutRequest { Key = key, Value = ByteString.CopyFrom(new byte[256]) },
        });
        txn.Success.Add(new RequestOp { RequestRange = new RangeRequest { Key = key } });
        return txn;
    }

    /// <summary>A fixed walk over a million keys that looks random: the same for every server.</summary>
    private static string RandomKey(int i) => $"key/{(long)i * 7_368_787 % 1_000_003:d9}";

    private static Func<int, byte[]> Fixed(byte[] body) => _ => body;

    /// <summary>A message behind gRPC's five bytes.</summary>
    private static byte[] Frame(IMessage message)
    {
        int bytes = message.CalculateSize();
        byte[] frame = new byte[bytes + 5];
        BinaryPrimitives.WriteInt32BigEndian(frame.AsSpan(1), bytes);
        message.WriteTo(frame.AsSpan(5));
        return frame;
    }
}
