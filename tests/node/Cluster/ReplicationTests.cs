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
}
