using System.Globalization;
using Perf.Store.Membership;
using Xunit;

namespace Perf.Node.Tests.Cluster;

/// <summary>Our members and Debian's etcd in one cluster: same log, same state, same hash.</summary>
public sealed class InteropTests
{
    [InteropFact]
    public async Task Ours_follows_and_leads_two_real_members()
    {
        await using var mixed = new MixedCluster("real1", "real2", "ours");
        RealMember one = mixed.StartReal("real1");
        RealMember two = mixed.StartReal("real2");
        EtcdNode ours = mixed.StartOurs("ours");
        await ours.Ready.WaitAsync(TestCluster.Patience);

        // (a) One of the real ones leads; writes by both ways.
        await mixed.LeadAsync("real1");
        Assert.False(ours.IsLeader);
        await TestCluster.PutManyAsync(ours, "a", 100);
        for (int i = 0; i < 20; i++)
        {
            await one.PutAsync($"real{i}", "value");
        }

        Assert.Equal(Store.StoreError.None, await ours.LinearizableAsync());
        await mixed.SameHashAsync();

        // (b) We lead.
        await mixed.LeadAsync("ours");
        await TestCluster.PutManyAsync(ours, "b", 100);
        for (int i = 0; i < 20; i++)
        {
            await two.PutAsync($"more{i}", "value");
        }

        await one.MustAsync("/v3/lease/grant", new { TTL = 60, ID = 77 });
        await one.MustAsync("/v3/kv/put", new { key = RealMember.Base64("leased"), lease = 77 });
        await one.MustAsync("/v3/lease/revoke", new { ID = 77 });
        await two.MustAsync("/v3/kv/range", new { key = RealMember.Base64("b000001") });
        await mixed.SameHashAsync();
        await TestCluster.EventuallyAsync(() => ours.ClusterVersion == new SemanticVersion(3, 4, 0));

        // And one of them again, while we are being asked to go.
        await mixed.LeadAsync("real2");
        await TestCluster.PutManyAsync(ours, "c", 50);
        await mixed.SameHashAsync();
    }

    [InteropFact]
    public async Task A_real_cluster_is_replaced_member_by_member_on_its_own_directories_and_back()
    {
        await using var mixed = new MixedCluster("a", "b", "c");
        foreach (string name in mixed.Names)
        {
            mixed.StartReal(name);
        }

        await mixed.Real("a").PutAsync("first", "value");
        foreach (string name in mixed.Names)
        {
            await mixed.StopAsync(name);
            EtcdNode ours = mixed.StartOurs(name);
            await ours.Ready.WaitAsync(TestCluster.Patience);
            await TestCluster.PutManyAsync(ours, $"ours-{name}", 100);
            await mixed.SameHashAsync();
        }

        foreach (string name in mixed.Names)
        {
            await mixed.StopAsync(name);
            RealMember real = mixed.StartReal(name);
            await real.PutAsync($"real-{name}", "value");
            await mixed.SameHashAsync();
        }
    }

    [InteropFact]
    public async Task Snapshots_go_to_real_members_and_come_from_them()
    {
        await using var mixed = new MixedCluster("real", "ours") { SnapshotCount = 100 };
        mixed.StartReal("real");
        EtcdNode ours = mixed.StartOurs("ours");
        await ours.Ready.WaitAsync(TestCluster.Patience);

        // Ours leads and has forgotten the log's beginning: the real newcomer needs a snapshot.
        await mixed.LeadAsync("ours");
        await TestCluster.PutManyAsync(ours, "a", 500);
        await TestCluster.EventuallyAsync(() => ours.Pipeline.Core.FirstIndex > 100);
        RealMember late = await mixed.JoinRealAsync("late-real", ours);
        await mixed.SameHashAsync();
        await TestCluster.EventuallyAsync(() => late.Log.Contains("applied snapshot", StringComparison.Ordinal));

        // A real one leads; it keeps 5,000 entries behind, so there must be more, and it cuts its log beside its work.
        await TestCluster.PutManyAsync(ours, "b", 5300);
        await mixed.LeadAsync("real");
        await TestCluster.EventuallyAsync(
            () => mixed.Real("real").Log.Contains("compacted Raft logs", StringComparison.Ordinal));
        EtcdNode newcomer = await mixed.JoinOursAsync("late-ours", ours);
        await newcomer.Ready.WaitAsync(TestCluster.Patience);
        await mixed.SameHashAsync();
        Assert.NotEmpty(Directory.GetFiles(newcomer.Config.SnapDir, "*.snap"));
        await TestCluster.PutManyAsync(newcomer, "c", 20);
        await mixed.SameHashAsync();
    }

    /// <summary>Members of both kinds, whose ports and directories stay when the kind changes.</summary>
    private sealed class MixedCluster(params string[] names) : IAsyncDisposable
    {
        private readonly string _root = Directory.CreateTempSubdirectory("perf-interop").FullName;
        private readonly Dictionary<string, object> _running = [];
        private readonly Dictionary<string, (int Peer, int Client)> _ports =
            names.ToDictionary(n => n, _ => (TestCluster.NextPort(), TestCluster.NextPort()));

        public List<string> Names { get; } = [.. names];

        public int SnapshotCount { get; init; } = 100_000;

        public RealMember Real(string name) => (RealMember)_running[name];

        public RealMember StartReal(string name, bool joins = false)
        {
            RealMember member = RealMember.Start(
                name, Path.Combine(_root, name), Peer(name), Client(name), Initial(), joins, SnapshotCount);
            _running[name] = member;
            return member;
        }

        public EtcdNode StartOurs(string name, bool joins = false)
        {
            var config = new Config.ServerConfig
            {
                Name = name,
                DataDir = Path.Combine(_root, name),
                ListenPeerUrls = [new Uri(Peer(name))],
                AdvertisePeerUrls = [Peer(name)],
                AdvertiseClientUrls = [Client(name)],
                InitialCluster = Initial(),
                NewCluster = !joins,
                StrictReconfigCheck = false,
                SpeakAs = SpeakAs.V34,
                PreVote = false,
                SnapshotCount = (ulong)SnapshotCount,
                SnapshotCatchUpEntries = 10,
            };
            EtcdNode node = EtcdNode.Start(config, TestCluster.LogOf(name), TimeProvider.System);
            _running[name] = node;
            return node;
        }

        public async Task<RealMember> JoinRealAsync(string name, EtcdNode by)
        {
            await AddAsync(name, by);
            return StartReal(name, joins: true);
        }

        public async Task<EtcdNode> JoinOursAsync(string name, EtcdNode by)
        {
            await AddAsync(name, by);
            return StartOurs(name, joins: true);
        }

        public async Task StopAsync(string name)
        {
            object member = _running[name];
            _running.Remove(name);
            await ((IAsyncDisposable)member).DisposeAsync();
        }

        /// <summary>Has leadership moved there, whoever leads now.</summary>
        public async Task LeadAsync(string target)
        {
            ulong id = IdOf(target);
            long end = Environment.TickCount64 + (long)TestCluster.Patience.TotalMilliseconds;
            while (true)
            {
                foreach (object member in _running.Values)
                {
                    if (member is EtcdNode { IsLeader: true } ours && ours.MemberId != id)
                    {
                        await ours.MoveLeaderAsync(id);
                    }
                    else if (member is RealMember real)
                    {
                        // Refused by all but the leader.
                        await real.CallAsync(
                            "/v3/maintenance/transfer-leadership", new { targetID = id.ToString(CultureInfo.InvariantCulture) });
                    }
                }

                if (_running.Values.OfType<EtcdNode>().All(n => n.Raft.Leader == id))
                {
                    return;
                }

                Assert.True(Environment.TickCount64 < end, $"{target} does not become leader");
                await Task.Delay(100);
            }
        }

        public async Task SameHashAsync()
        {
            long end = Environment.TickCount64 + (long)TestCluster.Patience.TotalMilliseconds;
            while (true)
            {
                var hashes = new List<(ulong, long, long)?>();
                foreach (string name in _running.Keys)
                {
                    hashes.Add(await RealMember.HashKvAsync(Peer(name)));
                }

                if (hashes.TrueForAll(h => h is not null && h == hashes[0]))
                {
                    return;
                }

                Assert.True(
                    Environment.TickCount64 < end,
                    $"{string.Join(' ', _running.Keys.Zip(hashes))} {_running.Values.OfType<RealMember>().FirstOrDefault()?.Tail()}");
                await Task.Delay(100);
            }
        }

        public async ValueTask DisposeAsync()
        {
            await Task.WhenAll(_running.Values.Select(m => ((IAsyncDisposable)m).DisposeAsync().AsTask()));
            Directory.Delete(_root, recursive: true);
        }

        private async Task AddAsync(string name, EtcdNode by)
        {
            Names.Add(name);
            _ports.Add(name, (TestCluster.NextPort(), TestCluster.NextPort()));
            (Store.StoreError error, _) = await by.AddMemberAsync([Peer(name)], isLearner: false);
            Assert.Equal(Store.StoreError.None, error);
        }

        private ulong IdOf(string name) => _running.Values.OfType<EtcdNode>().First()
            .State.Machine.Members.Current.Members.First(m => m.PeerUrls.Contains(Peer(name))).Id;

        private string Peer(string name) => $"http://127.0.0.1:{_ports[name].Peer}";

        private string Client(string name) => $"http://127.0.0.1:{_ports[name].Client}";

        private string Initial() => string.Join(',', Names.Select(n => $"{n}={Peer(n)}"));
    }
}
