using Perf.Store;
using Xunit;

namespace Perf.Node.Tests.Cluster;

/// <summary>Three members in one process, over real sockets.</summary>
public sealed class ReplicationTests
{
    [Fact]
    public async Task Three_members_elect_a_leader_and_hold_the_same()
    {
        await using TestCluster cluster = await TestCluster.StartAsync(3);
        EtcdNode leader = await cluster.LeaderAsync();
        await TestCluster.PutManyAsync(leader, "a", 200);

        // A follower passes proposals and reads on.
        EtcdNode follower = cluster.Running.First(n => !n.IsLeader);
        await TestCluster.PutManyAsync(follower, "b", 50);
        Assert.Equal(StoreError.None, await follower.LinearizableAsync());
        Assert.True(follower.State.Machine.Kv.PublishedRevision >= 251);
        await cluster.SameHashAsync();
    }

    [Fact]
    public async Task A_stopped_leader_hands_over_and_comes_back_as_a_follower()
    {
        await using TestCluster cluster = await TestCluster.StartAsync(3);
        EtcdNode leader = await cluster.LeaderAsync();
        await TestCluster.PutManyAsync(leader, "a", 50);
        string name = cluster.NameOf(leader);
        await cluster.StopAsync(name);

        EtcdNode next = await cluster.LeaderAsync();
        await TestCluster.PutManyAsync(next, "b", 50);
        cluster.Start(name);
        await cluster.ReadyAsync();
        await TestCluster.PutManyAsync(cluster[name], "c", 50);
        await cluster.SameHashAsync();
    }

    [Fact]
    public async Task A_follower_that_was_away_gets_what_left_memory_from_the_log_on_disk()
    {
        await using TestCluster cluster = await TestCluster.StartAsync(3, config => config.LogWindowBytesMax = 4096);
        EtcdNode leader = await cluster.LeaderAsync();
        string name = cluster.NameOf(cluster.Running.First(n => !n.IsLeader));
        await cluster.StopAsync(name);
        await TestCluster.PutManyAsync(leader, "a", 1000, 2000);
        EtcdNode back = cluster.Start(name);
        await back.Ready.WaitAsync(TestCluster.Patience);
        await cluster.SameHashAsync();
        Assert.Empty(Directory.GetFiles(back.Config.SnapDir, "*.snap"));
    }

    [Fact]
    public async Task Leases_are_renewed_by_the_leader_whoever_is_asked_and_live_through_a_change_of_leaders()
    {
        await using TestCluster cluster = await TestCluster.StartAsync(3);
        EtcdNode leader = await cluster.LeaderAsync();
        await TestCluster.GrantAsync(leader, 77, 2);
        EtcdNode follower = cluster.Running.First(n => !n.IsLeader);
        Assert.Equal((StoreError.None, 2), await follower.RenewLeaseAsync(77));
        Assert.Equal(StoreError.LeaseNotFound, (await follower.RenewLeaseAsync(78)).Error);
        (StoreError error, Store.Lease.LeaseInfo? info) = await follower.LeaseTimeToLiveAsync(77, withKeys: true);
        Assert.Equal(StoreError.None, error);
        Assert.Equal(2, info!.GrantedTtlSeconds);

        // Renewed throughout, it outlives three of its lives and two leaders.
        for (int i = 0; i < 12; i++)
        {
            if (i is 4 or 8)
            {
                EtcdNode now = await cluster.LeaderAsync();
                await now.MoveLeaderAsync(cluster.Running.First(n => n != now).MemberId);
            }

            Assert.Equal(StoreError.None, (await follower.RenewLeaseAsync(77)).Error);
            await Task.Delay(300);
        }

        // Left alone, it ends everywhere.
        await TestCluster.EventuallyAsync(
            () => cluster.Running.All(n => !n.State.Machine.Leases.Exists(77)));
        Assert.Equal(StoreError.LeaseNotFound, (await follower.RenewLeaseAsync(77)).Error);
        await cluster.SameHashAsync();
    }
}
