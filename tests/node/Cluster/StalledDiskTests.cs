using Perf.Store;
using Xunit;

namespace Perf.Node.Tests.Cluster;

/// <summary>Leaders whose log's disk stands still: their heartbeats would keep a group alive that cannot commit.</summary>
public sealed class StalledDiskTests
{
    [Fact]
    public async Task A_leader_stuck_on_its_disk_gives_way_and_comes_back_as_a_follower()
    {
        var disks = new Dictionary<string, StallingDisk>();
        await using TestCluster cluster = TestCluster.Of(3);
        cluster.DiskOf = name =>
        {
            lock (disks)
            {
                return disks[name] = new StallingDisk();
            }
        };
        await Task.WhenAll(cluster.Names.Select(name => Task.Run(() => cluster.Start(name))));
        await cluster.ReadyAsync();
        EtcdNode old = await cluster.LeaderAsync();
        StallingDisk stuck = disks[cluster.NameOf(old)];
        try
        {
            await TestCluster.PutManyAsync(old, "a", 20);
            stuck.Stall();
            Task<StoreError> hopeless = TestCluster.TryPutAsync(old, "hopeless", "value");

            // Nobody is disconnected: it is the stuck one that gives up.
            await TestCluster.EventuallyAsync(() => cluster.Running.Any(n => n != old && n.IsLeader));
            await TestCluster.EventuallyAsync(() => !old.IsLeader);
            EtcdNode next = cluster.Running.First(n => n != old && n.IsLeader);
            await TestCluster.PutManyAsync(next, "b", 20);
            await TestCluster.EventuallyAsync(() => old.Raft.Leader == next.MemberId);

            stuck.GoOn();
            await hopeless;
            await TestCluster.PutManyAsync(old, "c", 20);
            await cluster.SameHashAsync();
        }
        finally
        {
            stuck.GoOn();
        }
    }
}
