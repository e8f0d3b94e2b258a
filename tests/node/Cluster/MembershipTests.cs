using Perf.Engine.IO;
using Perf.Engine.Wal;
using Perf.Node.Cluster;
using Perf.Node.Config;
using Perf.Store;
using Perf.Store.Membership;
using Xunit;

namespace Perf.Node.Tests.Cluster;

/// <summary>Members that come and go.</summary>
public sealed class MembershipTests
{
    [Fact]
    public void Ids_of_a_cluster_of_three_are_etcds()
    {
        InitialCluster cluster = InitialCluster.Parse(
            "infra0=http://127.0.0.1:34380", "etcd-cluster");
        Assert.Equal("2c902495a3d372c7", MemberIds.Hex(cluster.Members[0].Id));
        Assert.Equal("cf3541d82322dc81", MemberIds.Hex(cluster.ClusterId));
    }

    [Fact]
    public void The_three_of_the_clustering_guide_get_the_ids_it_prints()
    {
        // With token etcd-cluster-1 on all three. The guide gives each its own token; then none finds the others.
        const string Members =
            "etcd-1=http://192.168.56.101:2380,etcd-4=http://192.168.56.104:2380,etcd-5=http://192.168.56.105:2380";
        InitialCluster cluster = InitialCluster.Parse(Members, "etcd-cluster-1");
        Assert.Equal(
            ["11796896800e7f4d", "6c7e4d4a727fd015", "e544486745ceaf82"], cluster.Members.Select(m => MemberIds.Hex(m.Id)));
        Assert.NotEqual(cluster.ClusterId, InitialCluster.Parse(Members, "etcd-cluster-4").ClusterId);
    }

    [Fact]
    public async Task A_member_is_added_follows_and_is_removed_for_good()
    {
        await using TestCluster cluster = await TestCluster.StartAsync(3);
        EtcdNode leader = await cluster.LeaderAsync();
        await TestCluster.PutManyAsync(leader, "a", 50);
        cluster.AddName("new");

        // Any member may be asked.
        EtcdNode follower = cluster.Running.First(n => !n.IsLeader);
        (StoreError error, ulong id) = await follower.AddMemberAsync([cluster.PeerUrl("new")], isLearner: false);
        Assert.Equal(StoreError.None, error);
        EtcdNode added = cluster.Start("new", joins: true);
        Assert.Equal(id, added.MemberId);
        await cluster.ReadyAsync();
        await TestCluster.PutManyAsync(added, "b", 20);
        await cluster.SameHashAsync();

        Assert.Equal(StoreError.None, await leader.RemoveMemberAsync(id));
        Assert.Null(await added.Ended.WaitAsync(TestCluster.Patience));
        await cluster.StopAsync("new");
        await TestCluster.PutManyAsync(leader, "c", 20);
        await cluster.SameHashAsync();
        Assert.Equal(3, leader.State.Machine.Members.Current.Members.Count);

        // Started again it is told so.
        EtcdNode zombie = cluster.Start("new");
        Assert.Null(await zombie.Ended.WaitAsync(TestCluster.Patience));
        await cluster.StopAsync("new");
    }

    [Fact]
    public async Task The_leader_may_be_removed()
    {
        await using TestCluster cluster = await TestCluster.StartAsync(3);
        EtcdNode leader = await cluster.LeaderAsync();
        string name = cluster.NameOf(leader);
        Assert.Equal(StoreError.None, await leader.RemoveMemberAsync(leader.MemberId));
        Assert.Null(await leader.Ended.WaitAsync(TestCluster.Patience));
        await cluster.StopAsync(name);
        EtcdNode next = await cluster.LeaderAsync();
        await TestCluster.PutManyAsync(next, "a", 20);
        await cluster.SameHashAsync();
        Assert.Equal(2, next.State.Machine.Members.Current.Members.Count);
    }

    [Fact]
    public async Task A_cluster_that_lost_its_majority_is_begun_anew_from_one_member()
    {
        await using TestCluster cluster = await TestCluster.StartAsync(3);
        EtcdNode leader = await cluster.LeaderAsync();
        await TestCluster.PutManyAsync(leader, "a", 50);
        await cluster.SameHashAsync();
        foreach (string name in cluster.Names)
        {
            await cluster.StopAsync(name);
        }

        cluster.Adjust = config => config.ForceNewCluster = true;
        EtcdNode alone = cluster.Start("m1");
        await alone.Ready.WaitAsync(TestCluster.Patience);
        Assert.Equal([alone.MemberId], alone.State.Machine.Members.Current.Members.Select(m => m.Id));
        await TestCluster.PutManyAsync(alone, "b", 20);
        Assert.True(TestCluster.Has(alone, "a000007"));

        // It stays alone, and grows again.
        await cluster.StopAsync("m1");
        cluster.Adjust = _ => { };
        alone = cluster.Start("m1");
        await alone.Ready.WaitAsync(TestCluster.Patience);
        cluster.Names.RemoveAll(n => n != "m1");
        cluster.AddName("fresh");
        Assert.Equal(StoreError.None, (await alone.AddMemberAsync([cluster.PeerUrl("fresh")], isLearner: false)).Error);
        EtcdNode fresh = cluster.Start("fresh", joins: true);
        await fresh.Ready.WaitAsync(TestCluster.Patience);
        await cluster.SameHashAsync();
    }

    /// <summary>
    /// The log's word on what is committed need not be synced, the data file is: what it holds was committed. Entries in the place
    /// of those would pass for applied, and the writes in them be lost.
    /// </summary>
    [Fact]
    public async Task A_member_begun_anew_keeps_what_its_data_file_holds_whatever_its_log_says_of_the_commit()
    {
        await using TestCluster cluster = await TestCluster.StartAsync(3);
        await TestCluster.PutManyAsync(await cluster.LeaderAsync(), "a", 50);
        await cluster.SameHashAsync();
        foreach (string name in cluster.Names)
        {
            await cluster.StopAsync(name);
        }

        ServerConfig config = cluster.Config("m1");
        var log = new LastHardState();
        using (WalLog wal = WalLog.Open(FileDisk.Instance, config.WalDirectory, default, new WalOptions(), log))
        {
            (ulong term, ulong vote, ulong commit) = log.Seen;
            wal.AppendHardState(term, vote, commit - 30);
        }

        cluster.Adjust = c => c.ForceNewCluster = true;
        EtcdNode alone = cluster.Start("m1");
        await alone.Ready.WaitAsync(TestCluster.Patience);
        for (int i = 0; i < 50; i++)
        {
            Assert.Equal(StoreError.None, await TestCluster.TryPutAsync(alone, $"b{i}", "b"));
            Assert.True(TestCluster.Has(alone, $"b{i}"), $"b{i}");
            Assert.True(TestCluster.Has(alone, $"a{i:d6}"), $"a{i}");
        }
    }

    [Fact]
    public async Task Strict_checks_refuse_what_could_cost_the_quorum()
    {
        await using TestCluster cluster = await TestCluster.StartAsync(3, config => config.StrictReconfigCheck = true);
        EtcdNode leader = await cluster.LeaderAsync();
        string down = cluster.Names.First(n => cluster[n] != leader);
        await cluster.StopAsync(down);
        Assert.Equal(StoreError.Unhealthy, (await leader.AddMemberAsync(["http://127.0.0.1:1"], isLearner: false)).Error);
        EtcdNode other = cluster.Running.First(n => n != leader);
        await TestCluster.EventuallyAsync(() => leader.ActiveSince(other.MemberId) != 0);
        Assert.Equal(StoreError.Unhealthy, await leader.RemoveMemberAsync(other.MemberId));
        Assert.Equal(StoreError.MemberNotFound, await leader.UpdateMemberAsync(1, ["http://127.0.0.1:2"]));
        Assert.Equal(StoreError.MemberNotLearner, await other.PromoteMemberAsync(leader.MemberId));
        Assert.Equal(StoreError.NotLeader, await UnderOneLeaderAsync(l => Other(l).MoveLeaderAsync(other.MemberId)));
        Assert.Equal(StoreError.BadLeaderTransferee, await UnderOneLeaderAsync(l => l.MoveLeaderAsync(1)));

        EtcdNode Other(EtcdNode than) => cluster.Running.First(n => n != than);

        // On a busy machine leaders change by themselves: an answer counts when the same one led before and after.
        async Task<StoreError> UnderOneLeaderAsync(Func<EtcdNode, Task<StoreError>> ask)
        {
            while (true)
            {
                EtcdNode before = await cluster.LeaderAsync();
                ulong term = before.Raft.Term;
                StoreError error = await ask(before);
                if (await cluster.LeaderAsync() == before && before.Raft.Term == term)
                {
                    return error;
                }
            }
        }
    }

    [Fact]
    public async Task Whoever_joins_may_name_the_members_where_they_know_each_other_by_address()
    {
        await using TestCluster cluster = await TestCluster.StartAsync(1);
        EtcdNode first = await cluster.LeaderAsync();
        cluster.AddName("named");
        Assert.Equal(StoreError.None, (await first.AddMemberAsync([cluster.PeerUrl("named")], isLearner: false)).Error);
        cluster.Adjust = config =>
            config.InitialCluster = config.InitialCluster.Replace("127.0.0.1", "localhost", StringComparison.Ordinal);
        EtcdNode named = cluster.Start("named", joins: true);
        await cluster.ReadyAsync();
        Assert.Equal(2, named.State.Machine.Members.Current.Members.Count);
        await TestCluster.PutManyAsync(named, "a", 20);
        await cluster.SameHashAsync();
    }

    [Theory]
    [InlineData("http://a:1,http://b:2", "http://b:2,http://a:1", true)]
    [InlineData("http://a:1", "http://10.0.0.1:1", true)]
    [InlineData("http://a:1,http://10.0.0.2:2", "http://b:2,http://a:1", true)]
    [InlineData("https://a:1", "http://a:1", false)]
    [InlineData("http://a:1", "http://10.0.0.1:2", false)]
    [InlineData("http://a:1", "http://a:1,http://b:2", false)]
    [InlineData("http://nowhere:1", "http://nowhere:1", true)]
    [InlineData("http://nowhere:1", "http://a:1", false)]
    [InlineData("http://six:1", "http://[::6]:1", true)]
    public void Peer_urls_are_equal_when_they_mean_the_same_places(string a, string b, bool areEqual)
    {
        var match = new PeerUrlMatch(host => host switch
        {
            "a" => System.Net.IPAddress.Parse("10.0.0.1"),
            "b" => System.Net.IPAddress.Parse("10.0.0.2"),
            "six" => System.Net.IPAddress.Parse("::6"),
            _ => null,
        });
        Assert.Equal(areEqual, match.AreEqual(a.Split(','), b.Split(',')));
    }

    [Fact]
    public async Task Joining_is_refused_where_the_members_do_not_match()
    {
        await using TestCluster cluster = await TestCluster.StartAsync(1);
        cluster.AddName("stranger");
        var refusal = Assert.Throws<StartRefusedException>(() => cluster.Start("stranger", joins: true));
        Assert.EndsWith("member count is unequal", refusal.Message);
        Assert.StartsWith("error validating peerURLs {ClusterID:", refusal.Message);
    }

    private sealed class LastHardState : IWalVisitor
    {
        public (ulong Term, ulong Vote, ulong Commit) Seen { get; private set; }

        public void OnEntry(ulong index, ulong term, ReadOnlySpan<byte> encodedEntry)
        {
        }

        public void OnTruncate(ulong index)
        {
        }

        public void OnHardState(ulong term, ulong vote, ulong commit) => Seen = (term, vote, commit);

        public void OnSnapshot(ulong index, ulong term, ReadOnlySpan<byte> confState)
        {
        }
    }
}
