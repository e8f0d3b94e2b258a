using System.Collections.Concurrent;
using System.Globalization;
using Perf.Raft;
using Perf.Store;
using Xunit;

namespace Perf.Node.Tests.Cluster;

/// <summary>Members that come and go under load while one of them is down.</summary>
public sealed class ChurnTests
{
    /// <summary>Each waits for the members to have known each other for five seconds. More by hand: PERF_CHURN_ROUNDS=12.</summary>
    private static readonly int _rounds = int.Parse(
        Environment.GetEnvironmentVariable("PERF_CHURN_ROUNDS") ?? "3", CultureInfo.InvariantCulture);

    [Fact]
    public async Task Rafts_configuration_equals_the_stored_members_on_every_node_at_every_step()
    {
        await using TestCluster cluster = await TestCluster.StartAsync(4, config =>
        {
            config.SnapshotCount = 300;
            config.SnapshotCatchUpEntries = 20;
        });
        var random = new Random(19);
        EtcdNode first = await cluster.LeaderAsync();
        string down = cluster.NameOf(cluster.Running.First(n => n != first));
        await cluster.StopAsync(down);
        await AgreeAsync(cluster, voters: 4, learners: 0);

        using var over = new CancellationTokenSource();
        var acknowledged = new ConcurrentDictionary<string, bool>();
        Task load = Task.WhenAll(Enumerable.Range(0, 4).Select(w => Task.Run(() => WriteAsync(cluster, w, acknowledged, over.Token))));
        for (int round = 0; round < _rounds; round++)
        {
            // A learner comes by snapshot and log, and becomes a voter.
            string name = $"new{round}";
            cluster.AddName(name);
            await RepeatAsync(
                async () =>
                {
                    EtcdNode asked = Any(cluster, random);
                    StoreError error = (await asked.AddMemberAsync([cluster.PeerUrl(name)], isLearner: true)).Error;
                    return error == StoreError.PeerUrlExist ? StoreError.None : error;
                },
                e => e);
            await AgreeAsync(cluster, voters: 4, learners: 1);
            EtcdNode added = cluster.Start(name, joins: true);
            await added.Ready.WaitAsync(TestCluster.Patience);
            await AgreeAsync(cluster, voters: 4, learners: 1);
            await RepeatAsync(() => Any(cluster, random).PromoteMemberAsync(added.MemberId), e => e);
            await AgreeAsync(cluster, voters: 5, learners: 0);

            // Another goes for good: the leader, or somebody else.
            EtcdNode leader = await cluster.LeaderAsync();
            EtcdNode gone = round % 3 == 2 ? leader : cluster.Running.First(n => n != leader && n != added);
            string goneName = cluster.NameOf(gone);
            await RepeatAsync(() => cluster.Running.First(n => n != gone).RemoveMemberAsync(gone.MemberId), e => e);
            await gone.Ended.WaitAsync(TestCluster.Patience);
            await cluster.StopAsync(goneName);
            cluster.Names.Remove(goneName);
            await AgreeAsync(cluster, voters: 4, learners: 0);
        }

        // The one that slept through all of it learns of it by a snapshot; then everybody starts again.
        cluster.Start(down);
        await cluster.ReadyAsync();
        await AgreeAsync(cluster, voters: 4, learners: 0);
        await over.CancelAsync();
        await load;
        foreach (string name in cluster.Running.Select(cluster.NameOf).ToArray())
        {
            await cluster.StopAsync(name);
            cluster.Start(name);
            await cluster.ReadyAsync();
            await AgreeAsync(cluster, voters: 4, learners: 0);
        }

        await cluster.SameHashAsync();
        Assert.NotEmpty(acknowledged);
        EtcdNode any = cluster.Running.First();
        Assert.All(acknowledged.Keys, key => Assert.True(TestCluster.Has(any, key), key));
    }

    private static EtcdNode Any(TestCluster cluster, Random random) => cluster.Running.ElementAt(random.Next(cluster.Running.Count));

    /// <summary>Asks until it is done: leaders change meanwhile, and learners have to catch up.</summary>
    private static async Task<T> RepeatAsync<T>(Func<Task<T>> change, Func<T, StoreError> error)
    {
        long end = Environment.TickCount64 + (long)TestCluster.Patience.TotalMilliseconds;
        while (true)
        {
            T outcome = await change();

            // One that timed out may have been done after all, and is then found done.
            if (error(outcome) is StoreError.None or StoreError.MemberNotLearner or StoreError.MemberNotFound)
            {
                return outcome;
            }

            Assert.True(Environment.TickCount64 < end, $"{error(outcome)}");
            await Task.Delay(20);
        }
    }

    /// <summary>Every running node has so many members, the same in raft and in its store.</summary>
    private static async Task AgreeAsync(TestCluster cluster, int voters, int learners)
    {
        long end = Environment.TickCount64 + (long)TestCluster.Patience.TotalMilliseconds;
        while (true)
        {
            var seen = new List<string>();
            foreach (EtcdNode node in cluster.Running)
            {
                var configuration = new TaskCompletionSource<ConfState>(TaskCreationOptions.RunContinuationsAsynchronously);
                node.Pipeline.OnCore(core => configuration.SetResult(core.ConfState));
                string raft = Text(await configuration.Task.WaitAsync(TestCluster.Patience));
                var stored = node.State.Machine.Members.Current.Members;
                string store = Text(new ConfState(
                    [.. stored.Where(m => !m.IsLearner).Select(m => m.Id).Order()],
                    [.. stored.Where(m => m.IsLearner).Select(m => m.Id).Order()]));
                seen.Add(raft);
                seen.Add(store);
            }

            if (seen.TrueForAll(s => s == seen[0]) && seen[0].StartsWith($"{voters}+{learners}:", StringComparison.Ordinal))
            {
                return;
            }

            Assert.True(Environment.TickCount64 < end, $"expected {voters}+{learners}: {string.Join("; ", seen)}");
            await Task.Delay(10);
        }
    }

    private static string Text(ConfState state) =>
        $"{state.Voters.Length}+{state.Learners.Length}: {string.Join(' ', state.Voters.ToArray())} / {string.Join(' ', state.Learners.ToArray())}";

    private static async Task WriteAsync(
        TestCluster cluster, int writer, ConcurrentDictionary<string, bool> acknowledged, CancellationToken over)
    {
        for (int i = 0; !over.IsCancellationRequested; i++)
        {
            EtcdNode[] running = [.. cluster.Running];
            string key = $"w{writer}-{i}";
            Task<StoreError> put = TestCluster.TryPutAsync(running[i % running.Length], key, "value");

            // A node that is stopped in this moment gives no answer.
            if (await Task.WhenAny(put, Task.Delay(2000, CancellationToken.None)) == put && put.IsCompletedSuccessfully
                && put.Result == StoreError.None)
            {
                acknowledged[key] = true;
            }

            await Task.Delay(2, CancellationToken.None);
        }
    }
}
