using System.Collections.Concurrent;
using Perf.Store;
using Xunit;

namespace Perf.Node.Tests.Cluster;

/// <summary>Networks that are cut, slow or lossy.</summary>
public sealed class PartitionTests
{
    [Fact]
    public async Task A_leader_cut_off_serves_nothing_and_the_others_go_on()
    {
        await using TestCluster cluster = await TestCluster.StartWithWeatherAsync(3);
        EtcdNode old = await cluster.LeaderAsync();
        await TestCluster.PutManyAsync(old, "a", 20);
        foreach (EtcdNode other in cluster.Running.Where(n => n != old))
        {
            cluster.Weather!.Cut(old.MemberId, other.MemberId);
        }

        await TestCluster.EventuallyAsync(() => cluster.Running.Any(n => n != old && n.IsLeader));
        EtcdNode next = cluster.Running.First(n => n != old && n.IsLeader);
        await TestCluster.PutManyAsync(next, "b", 20);
        await TestCluster.EventuallyAsync(() => !old.IsLeader);
        Task<StoreError> put = TestCluster.TryPutAsync(old, "lost", "value");
        Task<StoreError> read = old.LinearizableAsync().AsTask();
        await Task.Delay(300);
        Assert.True(!put.IsCompleted || await put != StoreError.None);
        Assert.True(!read.IsCompleted || await read != StoreError.None);
        ulong term = next.Raft.Term;

        cluster.Weather!.Heal();
        await cluster.LeaderAsync();
        await TestCluster.PutManyAsync(old, "c", 20);
        await cluster.SameHashAsync();

        // PreVote: it came back without a term of its own.
        Assert.Equal(term, next.Raft.Term);
    }

    [Fact]
    public async Task A_leader_that_hears_nobody_steps_down()
    {
        await using TestCluster cluster = await TestCluster.StartWithWeatherAsync(3);
        EtcdNode deaf = await cluster.LeaderAsync();
        foreach (EtcdNode other in cluster.Running.Where(n => n != deaf))
        {
            cluster.Weather!.CutOneWay(other.MemberId, deaf.MemberId);
        }

        await TestCluster.EventuallyAsync(() => cluster.Running.Any(n => n != deaf && n.IsLeader));
        await TestCluster.EventuallyAsync(() => !deaf.IsLeader);
        await TestCluster.PutManyAsync(cluster.Running.First(n => n.IsLeader), "a", 20);
        cluster.Weather!.Heal();
        await TestCluster.PutManyAsync(deaf, "b", 20);
        await cluster.SameHashAsync();
    }

    [Fact]
    public async Task Messages_that_come_twice_late_and_out_of_order_apply_nothing_twice()
    {
        await using TestCluster cluster = await TestCluster.StartWithWeatherAsync(3);
        await cluster.LeaderAsync();
        Weather weather = cluster.Weather!;
        weather.Jitter = TimeSpan.FromMilliseconds(15);
        weather.Duplication = 0.3;
        var written = new List<string>();
        for (int turn = 0; turn < 4; turn++)
        {
            // Each key once, whatever the answer.
            string[] keys = [.. Enumerable.Range(0, 45).Select(i => $"{turn}/{i}")];
            StoreError[] answers = await Task.WhenAll(
                keys.Select((key, i) => TestCluster.TryPutAsync(cluster.Running.ElementAt(i % 3), key, "value")));
            written.AddRange(keys.Zip(answers).Where(k => k.Second == StoreError.None).Select(k => k.First));

            // Votes and heartbeats of the old term are among what comes again.
            EtcdNode leader = await cluster.LeaderAsync();
            await leader.MoveLeaderAsync(cluster.Running.First(n => n != leader).MemberId);
        }

        await TestCluster.EventuallyAsync(() => weather.Duplicated > 50);
        weather.Heal();
        await cluster.LeaderAsync();
        await cluster.SameHashAsync();
        Assert.NotEmpty(written);
        EtcdNode any = cluster.Running.First();
        Assert.All(written, key => Assert.Equal(1, TestCluster.VersionOf(any, key)));

        // Nor did what nobody knows of.
        Assert.InRange(any.State.Machine.Kv.PublishedRevision, 1 + written.Count, 1 + (4 * 45));
    }

    [Fact]
    public async Task What_was_acknowledged_survives_loss_delay_and_cuts()
    {
        await using TestCluster cluster = await TestCluster.StartWithWeatherAsync(3);
        await cluster.LeaderAsync();
        Weather weather = cluster.Weather!;
        var acknowledged = new ConcurrentDictionary<string, bool>();
        using var over = new CancellationTokenSource();
        Task[] writers = [.. cluster.Running.Select((node, w) => Task.Run(async () =>
        {
            for (int i = 0; !over.IsCancellationRequested; i++)
            {
                string key = $"w{w}-{i}";
                if (await TestCluster.TryPutAsync(node, key, "value").WaitAsync(TimeSpan.FromSeconds(20)) == StoreError.None)
                {
                    acknowledged[key] = true;
                }
                else
                {
                    await Task.Delay(5);
                }
            }
        }))];
        var random = new Random(7);
        ulong[] ids = [.. cluster.Running.Select(n => n.MemberId)];
        for (int turn = 0; turn < 8; turn++)
        {
            weather.Heal();
            weather.Delay = TimeSpan.FromMilliseconds(random.Next(10));
            weather.Jitter = TimeSpan.FromMilliseconds(random.Next(10));
            weather.Duplication = 0.1;
            weather.Loss = random.NextDouble() * 0.02;
            ulong victim = ids[random.Next(3)];
            ulong other = ids[random.Next(3)];
            if (victim != other)
            {
                weather.CutOneWay(victim, other);
            }

            await Task.Delay(400);
        }

        weather.Heal();
        await over.CancelAsync();
        await Task.WhenAll(writers);
        await cluster.LeaderAsync();
        await TestCluster.PutAsync(cluster.Leader, "end", "value");
        await cluster.SameHashAsync();
        Assert.NotEmpty(acknowledged);
        EtcdNode any = cluster.Running.First();
        foreach (string key in acknowledged.Keys)
        {
            Assert.True(TestCluster.Has(any, key), key);
        }
    }
}
