using System.Diagnostics;
using Etcdserverpb;
using Perf.Grpc;
using Xunit;

namespace Perf.Cluster.Tests.Harness;

/// <summary>Whose server a member is.</summary>
internal enum Make
{
    Perf,
    Etcd,
}

/// <summary>
/// The members of one cluster as processes, of our make and of Debian's. A member's place, its ports and its directory,
/// stays when the process changes. A failure of the test carries everybody's log.
/// </summary>
internal sealed class MemberGroup : IDisposable
{
    /// <summary>As a shell shows an end by SIGTERM.</summary>
    private const int SignalledTerminate = 128 + 15;

    private static readonly TimeSpan _patience = TimeSpan.FromSeconds(60);

    private readonly TempDirectory _scratch = new();
    private readonly Dictionary<string, Place> _places = [];
    private readonly SortedDictionary<string, EtcdProcess> _running = [];
    private readonly List<EtcdProcess> _former = [];
    private readonly NetworkLab? _lab;

    public MemberGroup(int count)
        : this(count, lab: null)
    {
    }

    /// <summary>Each of the first members on a host of its own.</summary>
    public MemberGroup(int count, NetworkLab? lab)
    {
        _lab = lab;
        for (int i = 0; i < count; i++)
        {
            AddPlace($"m{i}");
        }
    }

    /// <summary>Flags of every member.</summary>
    public string[] Flags { get; init; } = [];

    /// <summary>Flags of ours alone.</summary>
    public string[] PerfFlags { get; init; } = [];

    public IReadOnlyCollection<string> Names => _places.Keys;

    public IReadOnlyCollection<EtcdProcess> Running
    {
        get
        {
            lock (_running)
            {
                return [.. _running.Values];
            }
        }
    }

    public EtcdProcess this[string name]
    {
        get
        {
            lock (_running)
            {
                return _running[name];
            }
        }
    }

    public string PeerUrl(string name) => $"http://{_places[name].Address}:{_places[name].Port + 1}";

    public NetworkHost Host(string name) => _places[name].Host!;

    public string DirectoryOf(string name) => _scratch[name];

    public void AddPlace(string name)
    {
        NetworkHost? host = _lab is not null && _places.Count < _lab.Hosts.Count ? _lab.Hosts[_places.Count] : null;
        _places.Add(name, new Place(FreePort.NextPair(), host));
    }

    /// <summary>Forgets a place and its directory; its process has ended.</summary>
    public void RemovePlace(string name)
    {
        _places.Remove(name);
        Directory.Delete(DirectoryOf(name), recursive: true);
    }

    public EtcdProcess Launch(string name, Make make = Make.Perf, bool joins = false)
    {
        Place place = _places[name];
        string[] arguments =
        [
            "--name", name,
            "--initial-advertise-peer-urls", PeerUrl(name),
            "--initial-cluster", string.Join(',', _places.Keys.Select(n => $"{n}={PeerUrl(n)}")),
            "--initial-cluster-state", joins ? "existing" : "new",
            .. Flags,
            .. make == Make.Perf ? PerfFlags : [],
        ];
        EtcdProcess process = (make, place.Host) switch
        {
            (Make.Etcd, _) => RealEtcd.Launch(DirectoryOf(name), place.Port, arguments),
            (_, null) => PerfProcess.Launch(DirectoryOf(name), place.Port, arguments),
            (_, { } host) => PerfProcess.LaunchOn(host, DirectoryOf(name), place.Port, arguments),
        };
        lock (_running)
        {
            _running.Add(name, process);
        }

        return process;
    }

    /// <summary>Starts all of them, and waits until they serve.</summary>
    public void Start(Make make = Make.Perf)
    {
        foreach (string name in Names)
        {
            Launch(name, make);
        }

        foreach (EtcdProcess process in Running)
        {
            process.WaitUntilHealthy();
        }
    }

    /// <summary>kill -9.</summary>
    public void Kill(string name) => Take(name).Kill();

    /// <summary>SIGTERM, and waits for the end. Debian's etcd ends by the signal itself.</summary>
    public void Stop(string name)
    {
        EtcdProcess process = Take(name);
        Assert.Equal(process is RealEtcd ? SignalledTerminate : 0, process.Stop());
    }

    /// <summary>Waits for a member that ends by itself.</summary>
    public int WaitForExit(string name) => Take(name).WaitForExit();

    public string NameOf(ulong id)
    {
        foreach (string name in Names)
        {
            if (TryStatus(name)?.Header.MemberId == id)
            {
                return name;
            }
        }

        throw new InvalidOperationException($"no member has the id {id:x}");
    }

    public ulong IdOf(string name) => Status(name).Header.MemberId;

    public StatusResponse Status(string name) =>
        Eventually(() => TryStatus(name), s => s is not null, $"{name} tells its status")!;

    /// <summary>Waits until the running members agree on a leader among them; its name.</summary>
    public string Leader()
    {
        string[] names = RunningNames();
        string? leader = null;
        Eventually(
            () =>
            {
                StatusResponse?[] all = [.. names.Select(TryStatus)];
                leader = all.All(s => s is not null && s.Leader == all[0]!.Leader)
                    ? names.Zip(all).FirstOrDefault(m => m.Second!.Header.MemberId == all[0]!.Leader).First
                    : null;
                return leader;
            },
            l => l is not null,
            "the members agree on a leader");
        return leader!;
    }

    /// <summary>Has leadership moved there, whoever leads now.</summary>
    public async Task LeadAsync(string target)
    {
        ulong id = IdOf(target);
        var waited = Stopwatch.StartNew();
        while (Leader() is var leader && leader != target)
        {
            Assert.True(waited.Elapsed < _patience, $"{target} does not become leader");
            try
            {
                await using var caller = new Caller(this[leader]);
                await caller.MoveLeaderAsync(id);
            }
            catch (RpcException)
            {
                // Not now: it is behind, or somebody else leads meanwhile.
            }
        }
    }

    /// <summary>Waits until all running members have the same revision and hash of everything.</summary>
    public (uint Hash, long Revision, long CompactRevision) SameHash()
    {
        string[] names = RunningNames();
        (uint, long, long)?[] hashes = Eventually(
            () => names.Select(n => TryHash(n)).ToArray(),
            all => all.All(h => h is not null && h == all[0]),
            "the members have equal hashes",
            all => string.Join("; ", names.Zip(all)));
        return hashes[0]!.Value;
    }

    /// <summary>The same while writes go on: the hash is that of a revision which one of them has reached.</summary>
    public void SameHashUnderLoad()
    {
        string[] names = RunningNames();
        long revision = Eventually(
            () => names.Max(n => TryHash(n)?.Revision ?? 0), r => r > 0, "a member tells its revision");
        Eventually(
            () => names.Select(n => TryHash(n, revision)?.Hash).ToArray(),
            all => all.All(h => h is not null && h == all[0]),
            $"the members have equal hashes at {revision}",
            all => string.Join("; ", names.Zip(all)));
    }

    /// <summary>Nobody has said that it panics or finds data damaged, and who runs should run.</summary>
    public void AssertNobodyPanicked()
    {
        foreach (EtcdProcess process in Running)
        {
            Assert.False(process.HasExited, "a member has ended by itself:\n" + process.Log);
        }

        foreach (EtcdProcess process in Running.Concat(_former))
        {
            string[] bad =
            [
                .. process.Log.Split('\n').Where(line =>
                    line.Contains("\"level\":\"panic\"", StringComparison.Ordinal)
                    || line.Contains("\"level\":\"fatal\"", StringComparison.Ordinal)
                    || line.StartsWith("panic:", StringComparison.Ordinal)
                    || line.Contains("found data inconsistency", StringComparison.Ordinal)
                    || line.Contains("found hash mismatch", StringComparison.Ordinal)),
            ];
            Assert.True(bad.Length == 0, string.Join('\n', bad));
        }
    }

    /// <summary>Runs the test's body; what it throws is shown with all logs.</summary>
    public async Task WithLogsAsync(Func<Task> body)
    {
        try
        {
            await body();
        }
        catch (Exception e)
        {
            string[] logs = [.. _former.Concat(Running).Select(p => $"--- {p.Url}\n{Tail(p.Log)}")];
            throw new InvalidOperationException($"{e}\n{string.Join('\n', logs)}", e);
        }
    }

    /// <summary>Looks until it is as it should be.</summary>
    public static T Eventually<T>(Func<T> look, Func<T, bool> isGood, string what, Func<T, string>? show = null)
    {
        var waited = Stopwatch.StartNew();
        while (true)
        {
            T seen = look();
            if (isGood(seen))
            {
                return seen;
            }

            Assert.True(waited.Elapsed < _patience, $"not in {_patience}: {what}; {show?.Invoke(seen)}");
            Thread.Sleep(20);
        }
    }

    public StatusResponse? TryStatus(string name) => Try(name, c => c.StatusAsync());

    /// <summary>Members as this one's own state has them; null when it does not answer.</summary>
    public MemberListResponse? TryMembers(string name) => Try(name, c => c.MembersAsync(isLinearizable: false));

    public void Dispose()
    {
        foreach (EtcdProcess process in Running.Concat(_former))
        {
            process.Dispose();
        }

        _scratch.Dispose();
    }

    private string[] RunningNames()
    {
        lock (_running)
        {
            return [.. _running.Keys];
        }
    }

    private (uint Hash, long Revision, long CompactRevision)? TryHash(string name, long revision = 0) =>
        Try(name, c => c.HashKvAsync(revision)) is { } answer
        ? (answer.Hash, answer.Header.Revision, answer.CompactRevision)
        : null;

    private T? Try<T>(string name, Func<Caller, Task<T>> call)
        where T : class
    {
        EtcdProcess? process;
        lock (_running)
        {
            process = _running.GetValueOrDefault(name);
        }

        return process is null ? null : TryAsync().Result;

        async Task<T?> TryAsync()
        {
            await using var caller = new Caller(process.Url, TimeSpan.FromSeconds(2));
            try
            {
                return await call(caller);
            }
            catch (RpcException)
            {
                return null;
            }
        }
    }

    private EtcdProcess Take(string name)
    {
        lock (_running)
        {
            _running.Remove(name, out EtcdProcess? process);
            _former.Add(process!);
            return process!;
        }
    }

    private static string Tail(string log) => log.Length > 6000 ? log[^6000..] : log;

    private sealed record Place(int Port, NetworkHost? Host)
    {
        public string Address => Host?.Address ?? "127.0.0.1";
    }
}
