using Perf.Engine.IO;
using Perf.Engine.Wal;
using Xunit;

namespace Perf.Engine.Tests.Wal;

/// <summary>
/// The machine stops, or a call fails, at every single disk call of a life that has groups, overwrites, snapshots,
/// prepared and unprepared cuts. Whatever a power failure leaves must open without help, hold every record that was
/// synced, and beyond that only a beginning of what was appended later.
/// </summary>
public sealed class WalCrashTests
{
    [Fact]
    public void Power_off_at_any_call_loses_nothing_that_was_synced()
    {
        for (long call = 1; ; call++)
        {
            (SimDisk disk, WalDriver? driver, bool finished) = LiveUntil(call, SimFailure.PowerOff, WholeLife);
            for (ulong seed = 0; seed < 6; seed++)
            {
                CheckReopens(disk.CrashCopy(seed * 1000 + (ulong)call), driver, $"call {call}, seed {seed}");
            }

            CheckReopens(disk.KillCopy(), driver, $"call {call}, killed");
            if (finished)
            {
                return;
            }
        }
    }

    [Fact]
    public void A_second_power_failure_during_the_restart_loses_nothing_either()
    {
        (SimDisk whole, _, _) = LiveUntil(long.MaxValue, SimFailure.PowerOff, WholeLife);
        for (long call = 3; call < whole.Calls; call += 7)
        {
            (SimDisk disk, WalDriver? driver, _) = LiveUntil(call, SimFailure.PowerOff, WholeLife);
            if (driver is null)
            {
                continue;
            }

            for (long second = 1; second < 200; second++)
            {
                SimDisk crashed = disk.CrashCopy((ulong)(call * 31));
                crashed.FailAt(crashed.Calls + second, SimFailure.PowerOff);
                try
                {
                    WalLog.Open(crashed, WalSamples.Directory, default, WalSamples.Small, new WalModel()).Dispose();
                    break;
                }
                catch (SimCrashException)
                {
                    CheckReopens(crashed.CrashCopy((ulong)second), driver, $"calls {call} and {second}");
                    CheckReopens(crashed.KillCopy(), driver, $"calls {call} and {second}, killed");
                }
            }
        }
    }

    /// <summary>Segments that are purged, zeroed and used again: what was in them must never come back.</summary>
    [Fact]
    public void Power_off_while_segments_go_round_loses_nothing_and_brings_nothing_back()
    {
        for (long call = 1; ; call++)
        {
            (SimDisk disk, WalDriver? driver, bool finished) = LiveUntil(call, SimFailure.PowerOff, GoRound, WalSamples.Small with { ZeroFill = true });
            for (ulong seed = 0; seed < 4; seed++)
            {
                CheckTail(disk.CrashCopy(seed * 1000 + (ulong)call), driver, $"call {call}, seed {seed}");
            }

            CheckTail(disk.KillCopy(), driver, $"call {call}, killed");
            if (finished)
            {
                Assert.Contains("spent.tmp", disk.List(WalSamples.Directory));
                return;
            }
        }
    }

    [Theory]
    [InlineData(SimFailure.InputOutput)]
    [InlineData(SimFailure.NoSpace)]
    public void A_failed_call_is_never_answered_as_done(SimFailure failure)
    {
        for (long call = 1; ; call++)
        {
            (SimDisk disk, WalDriver? driver, bool finished) = LiveUntil(call, failure, WholeLife);
            for (ulong seed = 0; seed < 2; seed++)
            {
                CheckReopens(disk.CrashCopy(seed * 1000 + (ulong)call), driver, $"call {call}, seed {seed}");
            }

            if (finished)
            {
                return;
            }
        }
    }

    [Fact]
    public void After_a_failed_write_or_sync_every_call_throws()
    {
        foreach (string call in new[] { "pwrite", "write", "fdatasync" })
        {
            SimDisk disk = WalSamples.NewDisk();
            WalLog log = WalLog.Create(disk, WalSamples.Directory, 1, 2, WalSamples.Small);
            log.AppendEntry(1, WalSamples.Entry(1, 1, 10));
            string seen = "";
            disk.Observer = (name, path) =>
            {
                if (name == call && path.EndsWith(".wal", StringComparison.Ordinal) && seen.Length == 0)
                {
                    seen = name;
                    disk.FailAt(disk.Calls + 1, SimFailure.InputOutput);
                    disk.FailAt(disk.Calls, SimFailure.InputOutput);
                }
            };
            if (Record(log.Sync) is null)
            {
                Assert.Equal("", seen);
                log.Dispose();
                continue;
            }

            disk.Observer = null;
            Assert.Throws<IOException>(() => log.AppendEntry(2, WalSamples.Entry(1, 2, 10)));
            Assert.Throws<IOException>(() => log.AppendHardState(1, 1, 1));
            Assert.Throws<IOException>(() => log.AppendSnapshot(default));
            Assert.Throws<IOException>(log.Flush);
            Assert.Throws<IOException>(log.Sync);
            Assert.Throws<IOException>(log.Cut);
            log.Dispose();
            Assert.Throws<ObjectDisposedException>(log.Sync);
        }
    }

    /// <summary>The life; stops where the disk fails. The driver is null when creation did not come to its end.</summary>
    internal static (SimDisk Disk, WalDriver? Driver, bool Finished) LiveUntil(
        long call, SimFailure failure, Action<WalDriver> life, WalOptions? options = null)
    {
        SimDisk disk = WalSamples.NewDisk();
        disk.FailAt(disk.Calls + call, failure);
        WalDriver? driver = null;
        try
        {
            WalLog log = WalLog.Create(
                disk, WalSamples.Directory, WalSamples.NodeId, WalSamples.ClusterId, options ?? WalSamples.Small);
            driver = new WalDriver(log);
            life(driver);
            driver.Log.Dispose();
            return (disk, driver, disk.Calls < call);
        }
        catch (SimCrashException)
        {
            return (disk, driver, false);
        }
        catch (IOException)
        {
            // As the node does: the process ends here. A prepared segment that failed hurts nothing; go on elsewhere.
            Record(() => driver?.Log.Dispose());
            return (disk, driver, false);
        }
    }

    /// <summary>One of everything.</summary>
    private static void WholeLife(WalDriver driver)
    {
        driver.State(1, 1, 0);
        driver.Entry(1, 1, 30);
        driver.Sync();
        driver.Entry(1, 2, 700);
        driver.Entry(1, 3, 600);
        driver.State(1, 1, 1);
        driver.Log.Flush();
        driver.Entry(1, 4, 1100);
        driver.Sync();
        driver.Entry(2, 3, 500);
        driver.Entry(2, 4, 10);
        driver.State(2, 1, 3);
        driver.Sync();
        driver.Log.PrepareNextSegment();
        driver.Entry(2, 5, 900);
        driver.Cut();
        driver.Snapshot(3, 2);
        driver.Sync();
        driver.Entry(2, 6, 1500);
        driver.State(2, 1, 6);
        driver.Sync();
        driver.Entry(3, 7, 1500);
        driver.Entry(3, 8, 2500);
        driver.Cut();
        driver.Entry(3, 9, 0);
        driver.Entry(4, 9, 5);
        driver.Log.Flush();
        driver.Entry(4, 10, 3000);
        driver.Sync();
    }

    private static void GoRound(WalDriver driver)
    {
        ulong index = 1;
        for (ulong round = 1; round <= 3; round++)
        {
            for (int segment = 0; segment < 2; segment++)
            {
                driver.Log.PrepareNextSegment();
                driver.Entry(round, index++, 900);
                driver.Entry(round, index++, 1200);
                driver.Cut();
            }

            driver.State(round, 1, index - 1);
            driver.Snapshot(index - 1, round);
            driver.Sync();
            driver.Log.ReleaseBelow(index - 1);
            driver.Log.PurgeSegments(1);
        }

        driver.Entry(4, index, 20);
        driver.Sync();
    }

    /// <summary>As <see cref="CheckReopens"/>, behind the newest snapshot.</summary>
    private static void CheckTail(SimDisk disk, WalDriver? driver, string where)
    {
        if (driver is null)
        {
            return;
        }

        WalSnapshot from = WalLog.ValidSnapshots(disk, WalSamples.Directory)[^1];
        var found = new WalModel();
        WalLog.Open(disk, WalSamples.Directory, from, WalSamples.Small, found).Dispose();
        Assert.True(
            driver.History.Skip(driver.Acknowledged).Any(model => model.State == found.State
                && model.Entries.Where(e => e.Index > from.Index).Select(e => (e.Index, Convert.ToHexString(e.Bytes)))
                    .SequenceEqual(found.Entries.Select(e => (e.Index, Convert.ToHexString(e.Bytes))))),
            $"{where}: from {from.Index} {found}; acknowledged {driver.History[driver.Acknowledged]}, appended {driver.History[^1]}");
    }

    internal static void CheckReopens(SimDisk disk, WalDriver? driver, string where)
    {
        var model = new WalModel();
        WalLog log;
        if (driver is null && !WalLog.Exists(disk, WalSamples.Directory))
        {
            disk.CreateDirectory("/data/member/perf");
            log = WalLog.Create(disk, WalSamples.Directory, WalSamples.NodeId, WalSamples.ClusterId, WalSamples.Small);
            model.OnSnapshot(0, 0, default);
        }
        else
        {
            try
            {
                log = WalLog.Open(disk, WalSamples.Directory, default, WalSamples.Small, model);
            }
            catch (Exception e) when (e is IOException or CorruptionException)
            {
                Assert.Fail($"{where}: {e}");
                throw;
            }
        }

        List<WalModel> history = driver?.History ?? [model];
        int from = driver?.Acknowledged ?? 0;
        Assert.True(
            history.Skip(from).Any(model.Equals), $"{where}: {model}; acknowledged {history[from]}, appended {history[^1]}");

        // What was replayed counts from now on, also after the next power failure.
        var durable = new WalModel();
        WalLog.Open(disk.CrashCopy(17), WalSamples.Directory, default, WalSamples.Small, durable).Dispose();
        Assert.True(model.Equals(durable), $"{where}: replayed {model}, after a power failure {durable}");

        // And it goes on from there.
        ulong next = log.LastIndex + 1;
        log.AppendEntry(next, WalSamples.Entry(9, next, 50));
        model.OnEntry(next, 9, WalSamples.Entry(9, next, 50));
        log.Dispose();
        var again = new WalModel();
        WalLog.Open(disk, WalSamples.Directory, default, WalSamples.Small, again).Dispose();
        Assert.True(model.Equals(again), $"{where}: {model} became {again}");
    }

    private static Exception? Record(Action action)
    {
        try
        {
            action();
            return null;
        }
        catch (Exception e) when (e is IOException or SimCrashException)
        {
            return e;
        }
    }
}
