using Xunit;

namespace Perf.Node.Tests.Cluster;

/// <summary>Followers that are below the start of the leader's log.</summary>
public sealed class SnapshotTests
{
    [Fact]
    public async Task A_follower_that_lagged_behind_the_log_catches_up_by_snapshot_under_load()
    {
        await using TestCluster cluster = await TestCluster.StartAsync(3, SmallLog);
        EtcdNode leader = await cluster.LeaderAsync();
        await TestCluster.PutManyAsync(leader, "a", 100);
        EtcdNode follower = cluster.Running.First(n => !n.IsLeader);
        string name = cluster.NameOf(follower);
        ulong had = follower.Pipeline.AppliedIndex;
        await cluster.StopAsync(name);
        await TestCluster.PutManyAsync(leader, "b", 400, 1000);
        await TestCluster.EventuallyAsync(() => leader.Pipeline.Core.FirstIndex > had + 100);

        Task load = TestCluster.PutManyAsync(leader, "c", 400, 1000);
        EtcdNode back = cluster.Start(name);
        await load;

        // 901, and more only by puts that got no answer and were put again: each revision is a version of one of the keys.
        await TestCluster.EventuallyAsync(() => back.State.Machine.Kv.PublishedRevision >= 901);
        await cluster.SameHashAsync();
        long[] versions =
        [
            .. Enumerable.Range(0, 100).Select(i => TestCluster.VersionOf(back, $"a{i:d6}")),
            .. Enumerable.Range(0, 400).Select(i => TestCluster.VersionOf(back, $"b{i:d6}")),
            .. Enumerable.Range(0, 400).Select(i => TestCluster.VersionOf(back, $"c{i:d6}")),
        ];
        Assert.DoesNotContain(0L, versions);
        Assert.Equal(back.State.Machine.Kv.PublishedRevision - 1, versions.Sum());
        Assert.NotEmpty(Directory.GetFiles(back.Config.SnapDir, "*.snap"));

        // What it got is a whole member: it serves, restarts, and leads.
        await cluster.StopAsync(name);
        back = cluster.Start(name);
        await cluster.ReadyAsync();
        await cluster.SameHashAsync();
        await TestCluster.EventuallyAsync(() => leader.MoveLeaderAsync(back.MemberId).Result == Store.StoreError.None);
        await TestCluster.PutManyAsync(back, "d", 50);
        await cluster.SameHashAsync();
    }

    [Fact]
    public async Task A_new_member_is_brought_up_by_snapshot()
    {
        await using TestCluster cluster = await TestCluster.StartAsync(1, SmallLog);
        EtcdNode leader = await cluster.LeaderAsync();
        await TestCluster.PutManyAsync(leader, "a", 300, 1000);
        await TestCluster.EventuallyAsync(() => leader.Pipeline.Core.FirstIndex > 100);
        cluster.AddName("late");
        (Store.StoreError error, ulong id) = await leader.AddMemberAsync([cluster.PeerUrl("late")], isLearner: true);
        Assert.Equal(Store.StoreError.None, error);
        EtcdNode late = cluster.Start("late", joins: true);
        Assert.Equal(id, late.MemberId);
        await late.Ready.WaitAsync(TestCluster.Patience);
        await cluster.SameHashAsync();
        Assert.True(late.IsLearner);
        await TestCluster.EventuallyAsync(() => late.PromoteMemberAsync(id).Result == Store.StoreError.None);
        await TestCluster.EventuallyAsync(() => !late.IsLearner);
        await TestCluster.PutManyAsync(late, "b", 20);
        await cluster.SameHashAsync();
    }

    [Fact]
    public async Task A_watch_on_a_follower_sees_every_revision_once_across_a_snapshot()
    {
        await using TestCluster cluster = await TestCluster.StartWithWeatherAsync(3, SmallLog);
        EtcdNode leader = await cluster.LeaderAsync();
        EtcdNode follower = cluster.Running.First(n => !n.IsLeader);
        await TestCluster.PutManyAsync(leader, "a", 20);
        var seen = new WatchRecorder();
        Store.Watch.WatchStream stream = seen.Open(follower);
        cluster.Weather!.CutsBreak = true;
        foreach (EtcdNode other in cluster.Running.Where(n => n != follower))
        {
            cluster.Weather.Cut(follower.MemberId, other.MemberId);
        }

        await TestCluster.PutManyAsync(leader, "b", 300, 500);
        await TestCluster.EventuallyAsync(() => leader.Pipeline.Core.FirstIndex > follower.Pipeline.AppliedIndex + 1);
        cluster.Weather.Heal();
        await TestCluster.PutManyAsync(leader, "c", 20);
        await cluster.SameHashAsync();
        Assert.NotEmpty(Directory.GetFiles(follower.Config.SnapDir, "*.snap"));
        await TestCluster.EventuallyAsync(() => seen.Revisions.Count == 340);
        Assert.Equal(Enumerable.Range(2, 340).Select(i => (long)i), seen.Revisions);
        stream.Close();
    }

    [Fact]
    public async Task A_crash_between_the_logs_snapshot_record_and_the_renaming_is_made_good_at_the_start()
    {
        await using TestCluster cluster = await TestCluster.StartAsync(3, SmallLog);
        EtcdNode leader = await cluster.LeaderAsync();
        await TestCluster.PutManyAsync(leader, "a", 100);
        await cluster.SameHashAsync();
        string name = cluster.NameOf(cluster.Running.First(n => !n.IsLeader));
        string snapDir = cluster.Config(name).SnapDir;
        string database = Path.Combine(snapDir, "db");
        await cluster.StopAsync(name);
        string old = cluster.DirectoryOf(name) + ".old";
        await CopyAsync(cluster.DirectoryOf(name), old);

        // While it is away the log is cut; it comes back by a snapshot.
        await TestCluster.PutManyAsync(leader, "b", 400, 1000);
        await TestCluster.EventuallyAsync(() => leader.Pipeline.Core.FirstIndex > 300);
        cluster.Start(name);
        await cluster.SameHashAsync();
        await cluster.StopAsync(name);
        string newest = Directory.GetFiles(snapDir, "*.snap").Max(StringComparer.Ordinal)!;
        string index = Path.GetFileNameWithoutExtension(newest).Split('-')[1];
        File.Move(database, Path.Combine(snapDir, index + ".snap.db"));
        File.Copy(Path.Combine(old, "member/snap/db"), database);
        EtcdNode back = cluster.Start(name);
        Assert.True(TestCluster.Has(back, "b000100"));
        await cluster.SameHashAsync();
        Assert.Empty(Directory.GetFiles(snapDir, "*.snap.db"));
        await TestCluster.PutManyAsync(back, "c", 20);
        await cluster.SameHashAsync();
    }

    [Fact]
    public async Task A_received_database_that_the_log_knows_nothing_of_is_thrown_away_at_the_start()
    {
        await using TestCluster cluster = await TestCluster.StartAsync(3, SmallLog);
        EtcdNode leader = await cluster.LeaderAsync();
        await TestCluster.PutManyAsync(leader, "a", 100);
        await cluster.SameHashAsync();
        string name = cluster.NameOf(cluster.Running.First(n => !n.IsLeader));
        string snapDir = cluster.Config(name).SnapDir;
        await cluster.StopAsync(name);
        File.Copy(Path.Combine(snapDir, "db"), Path.Combine(snapDir, "00000000000fffff.snap.db"));
        await File.WriteAllBytesAsync(Path.Combine(snapDir, "tmp123"), [1, 2, 3]);
        EtcdNode back = cluster.Start(name);
        Assert.Empty(Directory.GetFiles(snapDir, "*.snap.db"));
        Assert.Empty(Directory.GetFiles(snapDir, "tmp*"));
        await TestCluster.PutManyAsync(back, "c", 20);
        await cluster.SameHashAsync();
    }

    private static async Task CopyAsync(string source, string target)
    {
        using var copy = System.Diagnostics.Process.Start("cp", ["-r", source, target]);
        await copy.WaitForExitAsync();
        Assert.Equal(0, copy.ExitCode);
    }

    private static void SmallLog(Config.ServerConfig config)
    {
        config.SnapshotCount = 50;
        config.SnapshotCatchUpEntries = 10;
    }
}
