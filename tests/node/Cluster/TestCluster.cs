using System.Buffers;
using System.Collections.Concurrent;
using System.Globalization;
using System.Text;
using Perf.Engine.IO;
using Perf.Node.Config;
using Perf.Node.Consensus;
using Perf.Node.Logging;
using Perf.Store;
using Perf.Store.Commands;
using Perf.Store.Mvcc;
using Xunit;

namespace Perf.Node.Tests.Cluster;

/// <summary>Members in this process that talk over loopback. Ports from a range of its own for each test.</summary>
internal sealed class TestCluster : IAsyncDisposable
{
    private const int PortMin = 31500;
    private const int PortMax = 31999;

    // Another run of these tests may be under way beside this one.
    private static int s_nextPort = Environment.ProcessId * 37;

    public static readonly TimeSpan Patience = TimeSpan.FromSeconds(30);

    private readonly string _root = Directory.CreateTempSubdirectory("perf-cluster").FullName;
    private readonly ConcurrentDictionary<string, EtcdNode> _running = [];
    private readonly Dictionary<string, int> _hidden = [];
    private readonly List<PeerProxy> _proxies = [];

    private TestCluster(int count)
    {
        Names = [.. Enumerable.Range(0, count).Select(i => $"m{i}")];
        Ports = Names.ToDictionary(n => n, _ => NextPort());
    }

    public List<string> Names { get; }

    public Dictionary<string, int> Ports { get; }

    public Action<ServerConfig> Adjust { get; set; } = _ => { };

    /// <summary>What a member keeps its files on.</summary>
    public Func<string, IDisk> DiskOf { get; set; } = _ => FileDisk.Instance;

    /// <summary>What lies between the members, where they were started with proxies.</summary>
    public Weather? Weather { get; private init; }

    public IReadOnlyCollection<EtcdNode> Running => (IReadOnlyCollection<EtcdNode>)_running.Values;

    public EtcdNode this[string name] => _running[name];

    public EtcdNode Leader => _running.Values.First(n => n.IsLeader);

    /// <summary>Silent, unless PERF_TEST_LOG asks for more.</summary>
    public static Log LogOf(string name) => Environment.GetEnvironmentVariable("PERF_TEST_LOG") is { Length: > 0 }
        ? new Log(new Lines(name), LogLevel.Info, TimeProvider.System)
        : Log.None;

    /// <summary>A port of the tests' range that nobody listens on now.</summary>
    public static int NextPort()
    {
        while (true)
        {
            int port = PortMin + (int)((uint)Interlocked.Increment(ref s_nextPort) % (PortMax - PortMin));
            using var probe = new System.Net.Sockets.TcpListener(System.Net.IPAddress.Loopback, port);
            try
            {
                probe.Start();
                return port;
            }
            catch (System.Net.Sockets.SocketException)
            {
                // The next one, then.
            }
        }
    }

    public static TestCluster Of(int count) => new(count);

    /// <summary>The same with a proxy before each member.</summary>
    public static async Task<TestCluster> StartWithWeatherAsync(int count, Action<ServerConfig>? adjust = null)
    {
        var cluster = new TestCluster(count) { Weather = new Weather(), Adjust = adjust ?? (_ => { }) };
        foreach (string name in cluster.Names)
        {
            int hidden = NextPort();
            cluster._hidden[name] = hidden;
            cluster._proxies.Add(new PeerProxy(
                cluster.Ports[name],
                hidden,
                () => cluster._running.TryGetValue(name, out EtcdNode? node) ? node.MemberId : 0,
                cluster.HiddenUrl,
                cluster.Weather));
        }

        await Task.WhenAll(cluster.Names.Select(name => Task.Run(() => cluster.Start(name))));
        await cluster.ReadyAsync();
        return cluster;
    }

    public static async Task<TestCluster> StartAsync(int count, Action<ServerConfig>? adjust = null)
    {
        var cluster = new TestCluster(count);
        if (adjust is not null)
        {
            cluster.Adjust = adjust;
        }

        // All at once: none gets an answer before a quorum is there.
        await Task.WhenAll(cluster.Names.Select(name => Task.Run(() => cluster.Start(name))));
        await cluster.ReadyAsync();
        return cluster;
    }

    /// <summary>Reserves a place for a member that is added later.</summary>
    public void AddName(string name)
    {
        Names.Add(name);
        Ports.Add(name, NextPort());
    }

    public string DirectoryOf(string name) => Path.Combine(_root, name);

    public string PeerUrl(string name) => $"http://127.0.0.1:{Ports[name]}";

    public string InitialCluster() => string.Join(',', Names.Select(n => $"{n}={PeerUrl(n)}"));

    public ServerConfig Config(string name)
    {
        var config = new ServerConfig
        {
            Name = name,
            DataDir = DirectoryOf(name),
            HeartbeatMs = 20,
            ElectionMs = 200,
            ListenPeerUrls = [new Uri($"http://127.0.0.1:{_hidden.GetValueOrDefault(name, Ports[name])}")],
            AdvertisePeerUrls = [PeerUrl(name)],
            AdvertiseClientUrls = [$"http://127.0.0.1:{Ports[name] + 1000}"],
            InitialCluster = InitialCluster(),
            UnsafeNoFsync = true,
            StrictReconfigCheck = false,
        };
        Adjust(config);
        return config;
    }

    public EtcdNode Start(string name, bool joins = false)
    {
        ServerConfig config = Config(name);
        config.NewCluster = !joins;
        EtcdNode node = EtcdNode.StartOn(DiskOf(name), config, LogOf(name), TimeProvider.System, hasNetwork: true);
        _running[name] = node;
        return node;
    }

    /// <summary>Where a running member listens behind its proxy.</summary>
    private string? HiddenUrl(ulong id)
    {
        string? name = _running.FirstOrDefault(p => p.Value.MemberId == id).Key;
        return name is null ? null : $"http://127.0.0.1:{_hidden[name]}";
    }

    public async Task StopAsync(string name)
    {
        _running.Remove(name, out EtcdNode? node);
        await node!.DisposeAsync();
    }

    public async Task ReadyAsync()
    {
        foreach (EtcdNode node in Running)
        {
            await node.Ready.WaitAsync(Patience);
        }
    }

    public string NameOf(EtcdNode node) => _running.First(p => ReferenceEquals(p.Value, node)).Key;

    /// <summary>Waits until somebody of the running members leads and the others know.</summary>
    public async Task<EtcdNode> LeaderAsync()
    {
        await EventuallyAsync(() =>
            Running.Any(n => n.IsLeader && Running.All(m => m.Raft.Leader == n.MemberId)));
        return Leader;
    }

    public static async Task EventuallyAsync(Func<bool> holds)
    {
        long end = Environment.TickCount64 + (long)Patience.TotalMilliseconds;
        while (!holds())
        {
            Assert.True(Environment.TickCount64 < end, "not in time");
            await Task.Delay(10);
        }
    }

    /// <summary>Puts until it is acknowledged.</summary>
    public static async Task PutAsync(EtcdNode node, string key, string value)
    {
        long end = Environment.TickCount64 + (long)Patience.TotalMilliseconds;
        while (await TryPutAsync(node, key, value) is var error && error != StoreError.None)
        {
            Assert.True(Environment.TickCount64 < end, $"put of {key}: {error}");
            await Task.Delay(20);
        }
    }

    public static async Task<StoreError> TryPutAsync(EtcdNode node, string key, string value)
    {
        var body = new ProtoBuffer();
        body.Bytes(1, Encoding.UTF8.GetBytes(key));
        body.Bytes(2, Encoding.UTF8.GetBytes(value));
        using PendingRequest request = node.Propose(
            InternalField.Put, new ReadOnlySequence<byte>(body.WrittenMemory), RequestIdentity.None);
        await request.Completion;
        return request.Error;
    }

    public static async Task GrantAsync(EtcdNode node, long id, long ttl)
    {
        var body = new ProtoBuffer();
        body.Int64(1, ttl);
        body.Int64(2, id);
        using PendingRequest request = node.Propose(
            InternalField.LeaseGrant, new ReadOnlySequence<byte>(body.WrittenMemory), RequestIdentity.None);
        await request.Completion;
        Assert.Equal(StoreError.None, request.Error);
    }

    /// <summary>The published state of this member has the key.</summary>
    public static bool Has(EtcdNode node, string key)
    {
        var target = new ArrayBufferWriter<byte>();
        return node.State.Machine.Kv.TryGetAt(
            Encoding.UTF8.GetBytes(key), node.State.Machine.Kv.PublishedRevision, target);
    }

    /// <summary>How often the key was written, by this member's published state; 0: it is not there.</summary>
    public static long VersionOf(EtcdNode node, string key)
    {
        var target = new ArrayBufferWriter<byte>();
        node.State.Machine.Kv.TryGetAt(Encoding.UTF8.GetBytes(key), node.State.Machine.Kv.PublishedRevision, target);
        var reader = new ProtoReader(target.WrittenSpan);
        long version = 0;
        while (reader.Next())
        {
            version = reader.Field == 4 ? (long)reader.UInt64 : version;
        }

        return version;
    }

    public static async Task PutManyAsync(EtcdNode node, string prefix, int count, int valueBytes = 8)
    {
        string value = new('v', valueBytes);
        await Parallel.ForEachAsync(
            Enumerable.Range(0, count),
            new ParallelOptions { MaxDegreeOfParallelism = 32 },
            async (i, _) => await PutAsync(node, prefix + i.ToString("d6", CultureInfo.InvariantCulture), value));
    }

    /// <summary>All running members come to the same revision and the same hash of all of history.</summary>
    public async Task SameHashAsync()
    {
        await EventuallyAsync(() =>
        {
            var hashes = Running.Select(n => (n.State.Machine.Kv.HashKv(0, out HashKvResult r), r)).ToList();
            return hashes.TrueForAll(h => h.Item1 == StoreError.None && h.r == hashes[0].r);
        });
    }

    public async ValueTask DisposeAsync()
    {
        await Task.WhenAll(Running.ToList().Select(n => n.DisposeAsync().AsTask()));
        foreach (PeerProxy proxy in _proxies)
        {
            await proxy.DisposeAsync();
        }

        Directory.Delete(_root, recursive: true);
    }

    private sealed class Lines(string name) : ILogOutput
    {
        public void Write(LogLevel level, ReadOnlySpan<byte> line) =>
            Console.Error.Write(name + " " + Encoding.UTF8.GetString(line));
    }
}
