using System.Globalization;
using Perf.Engine.IO;
using Perf.Engine.Tests.Transactions;
using Perf.Engine.Tests.Wal;
using Xunit;
using Xunit.Abstractions;

namespace Perf.Engine.Tests;

/// <summary>
/// The crash matrix of data file and log: the power goes at every disk call of one workload after the other. A point is
/// one call of one workload. In every fourth workload whatever can be left on the disk there is tried, where that is
/// not too much; otherwise samples are. PERF_CRASH_POINTS says how many points (of both together), PERF_CRASH_SEED where the
/// workloads begin.
/// </summary>
public sealed class CrashMatrixTests(ITestOutputHelper output)
{
    private const int OutcomesMax = 48;
    private const int WholeEvery = 4;
    private const ulong Samples = 4;

    private static readonly long PointsMin = Number("PERF_CRASH_POINTS", 1000);
    private static readonly int FirstSeed = (int)Number("PERF_CRASH_SEED", 1);

    private long _points;
    private long _whole;
    private long _states;

    [Fact]
    public void Data_file_power_failure_at_every_call_of_many_workloads()
    {
        int seed = FirstSeed;
        for (; _points < PointsMin / 2; seed++)
        {
            // From two commits of three changes to long ones: the small ones have few outcomes.
            int rounds = 2 + (seed % 7 * 2);
            int changes = 3 + (seed % 5 * 6);
            bool isTwoSync = seed % 3 == 0;
            long calls = long.MaxValue;
            for (long call = 1; call <= calls; call++)
            {
                SimDisk disk = TestFile.NewDisk();
                disk.FailAt(call, SimFailure.PowerOff);
                List<Model> history = CrashTests.Run(disk, seed, isTwoSync, out ulong durable, rounds, changes);
                calls = disk.Calls < call ? disk.Calls : calls;
                Try(disk, seed, call, (after, what) => CrashTests.RequireWholeCommit(after, history, durable, isTwoSync, what));
            }
        }

        Print("data file", seed);
    }

    [Fact]
    public void Log_power_failure_at_every_call_of_many_workloads()
    {
        int seed = FirstSeed;
        for (; _points < PointsMin / 2; seed++)
        {
            bool isFinished = false;
            for (long call = 1; !isFinished; call++)
            {
                (SimDisk disk, WalDriver? driver, isFinished) = WalCrashTests.LiveUntil(
                    call, SimFailure.PowerOff, d => Live(d, new Random(seed)));
                Try(disk, seed, call, (after, what) => WalCrashTests.CheckReopens(after, driver, what));
            }
        }

        Print("log", seed);
    }

    [Fact]
    public void Outcomes_of_a_small_crash_are_all_tried_and_differ()
    {
        SimDisk disk = WalSamples.NewDisk();
        using (IDiskFile file = disk.Open("/data/member/f", DiskOpen.CreateNew))
        {
            file.SetLength(1024);
            file.SyncAll();
            disk.SyncDirectory("/data/member");
            file.Write([1], 0);
            file.Write([2], 600);
        }

        var seen = new HashSet<string>();
        foreach (SimDisk after in disk.CrashCopies())
        {
            byte[] left = WalSamples.ReadAll(after, "/data/member/f");
            seen.Add($"{left[0]} {left[600]}");
        }

        Assert.Equal(["0 0", "0 2", "1 0", "1 2"], seen.Order(StringComparer.Ordinal));
    }

    private void Try(SimDisk disk, int seed, long call, Action<SimDisk, string> check)
    {
        _points++;
        _states++;
        int outcome = 0;
        if (seed % WholeEvery == 0)
        {
            foreach (SimDisk after in disk.CrashCopies().Take(OutcomesMax))
            {
                check(after, $"workload {seed}, call {call}, outcome {outcome++}");
            }
        }

        _states += outcome;
        if (outcome is > 0 and < OutcomesMax)
        {
            _whole++;
        }
        else
        {
            // The first of very many outcomes have lost nearly everything: the rest is left to dice.
            _states += (long)Samples;
            for (ulong luck = 0; luck < Samples; luck++)
            {
                check(disk.CrashCopy((luck * 1_000_003) + (ulong)call), $"workload {seed}, call {call}, luck {luck}");
            }
        }

        check(disk.KillCopy(), $"workload {seed}, call {call}, killed");
    }

    private void Print(string what, int seed) => output.WriteLine(
        $"crash matrix, {what}: {_points} points (calls of {seed - FirstSeed} workloads from {FirstSeed} on), {_whole} of them"
        + $" with every outcome, {_states} states opened");

    /// <summary>Entries, some of them again, states, snapshots, syncs and new segments, as a member writes them.</summary>
    private static void Live(WalDriver driver, Random random)
    {
        ulong term = 1;
        ulong commit = 0;
        ulong snapshot = 0;
        for (int step = random.Next(4, 30); step > 0; step--)
        {
            switch (random.Next(12))
            {
                case 0:
                    term++;
                    driver.State(term, 1, commit);
                    break;
                case 1 when driver.Now.LastIndex > commit:
                    driver.Entry(term, commit + 1 + (ulong)random.Next((int)(driver.Now.LastIndex - commit)), random.Next(300));
                    break;
                case 2:
                    commit = driver.Now.LastIndex;
                    driver.State(term, 1, commit);
                    driver.Sync();
                    break;
                case 3 when commit > snapshot:
                    snapshot = commit;
                    driver.Snapshot(snapshot, driver.Now.Entries.Find(e => e.Index == commit).Term);
                    driver.Sync();
                    break;
                case 4:
                    driver.Log.PrepareNextSegment();
                    break;
                case 5:
                    driver.Cut();
                    break;
                case 6:
                    driver.Log.Flush();
                    break;
                case 7 or 8:
                    driver.Sync();
                    break;
                default:
                    driver.Entry(term, driver.Now.LastIndex + 1, random.Next(random.Next(6) == 0 ? 3000 : 200));
                    break;
            }
        }
    }

    private static long Number(string name, long usual) =>
        long.TryParse(Environment.GetEnvironmentVariable(name), CultureInfo.InvariantCulture, out long number) ? number : usual;
}
