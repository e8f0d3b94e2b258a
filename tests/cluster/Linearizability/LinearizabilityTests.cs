using System.Globalization;
using Perf.Cluster.Tests.Harness;
using Perf.Simulation;
using Xunit;
using Xunit.Abstractions;

namespace Perf.Cluster.Tests.Linearizability;

/// <summary>
/// Real servers, killed one after another under clients that fight over a few keys; what the clients saw is judged by
/// the simulation's own checker.
/// </summary>
public sealed class LinearizabilityTests(ITestOutputHelper output)
{
    private const int Clients = 8;

    /// <summary>Answers between one kill and the next.</summary>
    private const int AnswersPerKill = 400;

    /// <summary>However quickly the answers come: a machine may give them all while one member starts again.</summary>
    private const int KillsMin = 3;

    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(2);

    private static readonly string[] Timing = ["--heartbeat-interval", "50", "--election-timeout", "500"];

    /// <summary>Answered operations. By hand: PERF_LINEARIZABLE_OPERATIONS=20000.</summary>
    private static readonly int Operations = int.Parse(
        Environment.GetEnvironmentVariable("PERF_LINEARIZABLE_OPERATIONS") ?? "1500", CultureInfo.InvariantCulture);

    [Fact]
    public async Task What_clients_see_while_members_are_killed_is_what_one_machine_would_have_said()
    {
        // Snapshots every so often: a member that was away gets one.
        using var group = new MemberGroup(3)
        {
            Flags = [.. Timing, "--snapshot-count", "200", "--experimental-snapshot-catchup-entries", "50"],
        };
        await group.WithLogsAsync(async () =>
        {
            group.Start();
            var witnesses = new Witnesses(group);
            witnesses.Start(Clients);
            var random = new Random(5);
            int kills = 0;
            while (witnesses.Answers < Operations || kills < KillsMin)
            {
                string victim = random.Next(2) == 0 ? group.Leader() : $"m{random.Next(3)}";
                await GoOnAsync(witnesses, random.Next(AnswersPerKill / 4));
                group.Kill(victim);
                kills++;
                await GoOnAsync(witnesses, AnswersPerKill / 2);
                group.Launch(victim).WaitUntilHealthy();
                await GoOnAsync(witnesses, AnswersPerKill / 4);
            }

            await witnesses.StopAsync();
            group.SameHash();
            group.AssertNobodyPanicked();

            // Every member tells the whole history, and they agree on it.
            var judge = new Judge();
            witnesses.Submit(judge);
            long revision = group.Names.Max(name => group.Status(name).Header.Revision);
            int number = 0;
            foreach (string name in group.Names)
            {
                await TellAsync(judge, number++, group[name].Url, revision);
            }

            witnesses.Check(judge);
            output.WriteLine(
                $"{witnesses.Answers} operations checked for linearizability on three processes: {witnesses.Describe()};"
                + $" {kills} members killed, revision {revision}");
            Assert.True(judge.Checked >= witnesses.Answers, $"{judge.Checked} of {witnesses.Answers} were checked");
        });
    }

    /// <summary>The checker sees what is wrong: an answer that is taken from another time, a write that is lost.</summary>
    [Fact]
    public void An_answer_from_the_past_and_a_lost_write_are_noticed()
    {
        Judge judge = Three();
        judge.Acked("k", "b", 3, floor: 2);
        judge.Read(0, true, "k", null, 0, new RangeAnswer(3, [State(3, "b", 2)]), floor: 3);
        Assert.Throws<SimulationFailure>(
            () => Three().Read(0, true, "k", null, 0, new RangeAnswer(2, [State(2, "a", 1)]), floor: 3));
        Assert.Throws<SimulationFailure>(
            () => Three().Read(0, true, "k", null, 0, new RangeAnswer(3, [State(2, "a", 1)]), floor: 3));
        Assert.Throws<SimulationFailure>(() => Three().Acked("k", "c", 4, floor: 3));
        Assert.Throws<SimulationFailure>(() => Three().Compared("k", 2, succeeded: true, 4, floor: 3));

        static Judge Three()
        {
            var judge = new Judge();
            foreach (string value in (string[])["a", "b", "c"])
            {
                judge.Submitted("k", value);
            }

            judge.OnTransaction(0, 2, [State(2, "a", 1)]);
            judge.OnTransaction(0, 3, [State(3, "b", 2)]);
            return judge;
        }

        static KeyState State(long revision, string value, long version) =>
            new(revision, "k", false, value, 2, version);
    }

    private static async Task GoOnAsync(Witnesses witnesses, int answers)
    {
        int target = witnesses.Answers + answers;
        using var patience = new CancellationTokenSource(Patience);
        while (witnesses.Answers < target)
        {
            witnesses.ThrowIfFailed();
            await Task.Delay(5, patience.Token);
        }
    }

    /// <summary>Puts a member's history, as a watch from the beginning tells it, before the judge.</summary>
    private static async Task TellAsync(Judge judge, int number, string url, long last)
    {
        await using var watch = await HistoryWatch.OpenAsync(url, Witnesses.Prefix);
        using var patience = new CancellationTokenSource(Patience);
        long told = 1;
        while (told < last)
        {
            foreach ((long revision, KeyState[] states) in await watch.NextAsync(patience.Token))
            {
                judge.OnTransaction(number, revision, states);
                told = revision;
            }
        }
    }
}
