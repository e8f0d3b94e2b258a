using Perf.Engine.IO;
using Perf.Engine.Transactions;
using Xunit;

namespace Perf.Engine.Tests.Transactions;

/// <summary>
/// Power fails at every disk call of a run of commits, and each time several subsets of the unsynced sectors survive
/// (among them: meta N lost, pages of N+1 kept). What reopens is a whole commit, at least the durable one.
/// </summary>
public class CrashTests
{
    private const int Rounds = 14;

    [Theory]
    [InlineData(1, false)]
    [InlineData(2, false)]
    [InlineData(3, true)]
    public void Power_failure_at_any_call_leaves_the_durable_commit_or_a_later_one(int seed, bool twoSync)
    {
        // The same run without a failure tells how many calls there are.
        SimDisk whole = TestFile.NewDisk();
        Run(whole, seed, twoSync, out _);
        long calls = whole.Calls;
        Assert.True(calls > 50);
        for (long call = 1; call <= calls; call++)
        {
            SimDisk disk = TestFile.NewDisk();
            disk.FailAt(call, SimFailure.PowerOff);
            List<Model> history = Run(disk, seed, twoSync, out ulong durable);
            for (ulong luck = 0; luck < 6; luck++)
            {
                SimDisk after = disk.CrashCopy((luck * 1_000_003) + (ulong)call);
                RequireWholeCommit(after, history, durable, twoSync, $"seed {seed}, call {call}, luck {luck}");
            }

            RequireWholeCommit(disk.KillCopy(), history, durable, twoSync, $"seed {seed}, call {call}, killed");
        }
    }

    [Fact]
    public void A_crash_during_recovery_from_a_crash_is_no_worse()
    {
        for (int call = 12; call < 90; call += 7)
        {
            SimDisk disk = TestFile.NewDisk();
            disk.FailAt(call, SimFailure.PowerOff);
            List<Model> history = Run(disk, 5, false, out ulong durable);
            SimDisk after = disk.CrashCopy((ulong)call);
            for (int second = 1; second < 8; second++)
            {
                SimDisk again = after.KillCopy();
                again.FailAt(second, SimFailure.PowerOff);
                try
                {
                    TestFile.Open(again).Dispose();
                }
                catch (SimCrashException)
                {
                }

                RequireWholeCommit(again.CrashCopy((ulong)second), history, durable, false, $"{call}, {second}");
            }
        }
    }

    [Fact]
    public void Failure_of_any_call_is_reported_and_costs_no_durable_commit()
    {
        SimDisk whole = TestFile.NewDisk();
        Run(whole, 4, false, out _);
        foreach (SimFailure failure in (SimFailure[])[SimFailure.InputOutput, SimFailure.NoSpace])
        {
            for (long call = 1; call <= whole.Calls; call++)
            {
                SimDisk disk = TestFile.NewDisk();
                disk.FailAt(call, failure);
                List<Model> history = Run(disk, 4, false, out ulong durable);
                string what = $"{failure} at call {call}";
                RequireWholeCommit(disk.KillCopy(), history, durable, false, what);
                RequireWholeCommit(disk.CrashCopy((ulong)call), history, durable, false, what);
            }
        }
    }

    [Fact]
    public void A_full_disk_refuses_the_commit_and_the_next_one_works()
    {
        SimDisk disk = TestFile.NewDisk();
        var model = new Model();
        var batch = new WriteBatch();
        using DataFile file = TestFile.Open(disk);
        model.Put("key", Model.Revision(1), new byte[100], batch);
        file.Commit(batch);
        var refused = new WriteBatch();
        model.Copy().Put("key", Model.Revision(2), new byte[200_000], refused);

        // The first disk call of a commit that outgrows the file is the one that reserves the blocks.
        disk.FailAt(disk.Calls + 1, SimFailure.NoSpace);
        Assert.Throws<DiskFullException>(() => file.Commit(refused));
        model.RequireEqualAndSound(file);
        batch.Clear();
        model.Put("key", Model.Revision(3), new byte[200_000], batch);
        file.Commit(batch);
        file.MakeDurable();
        model.RequireEqualAndSound(file);
    }

    [Fact]
    public void After_a_failed_sync_nothing_is_committed_any_more()
    {
        SimDisk disk = TestFile.NewDisk();
        using DataFile file = TestFile.Open(disk);
        var batch = new WriteBatch();
        batch.Put("key", [1], [2]);
        disk.Observer = (call, _) =>
        {
            if (call is "fdatasync" or "fsync")
            {
                disk.FailAt(disk.Calls + 1, SimFailure.NoSpace);
            }
        };

        // A full disk at the sync is not the harmless kind.
        DiskException failure = Assert.Throws<DiskException>(() => file.Commit(batch));
        Assert.IsNotType<DiskFullException>(failure);
        disk.Observer = null;
        Assert.Throws<InvalidOperationException>(() => file.Commit(batch));
        Assert.Throws<InvalidOperationException>(() => file.MakeDurable());
    }

    /// <summary>
    /// Commits until the disk stops it. Entry n of the history is the contents after txid n + 1 (a new file has
    /// txid 1); durable is the last txid the data file called durable.
    /// </summary>
    internal static List<Model> Run(SimDisk disk, int seed, bool twoSync, out ulong durable, int rounds = Rounds, int changes = 25)
    {
        var random = new Random(seed);
        var history = new List<Model> { new() };
        var batch = new WriteBatch();
        DataFile? file = null;
        durable = 0;
        try
        {
            file = TestFile.Open(disk, 1024, twoSync);
            durable = 1;
            for (int round = 0; round < rounds; round++)
            {
                Model next = history[^1].Copy();
                batch.Clear();
                next.RandomBatch(random, batch, changes);
                batch.RelocateTailPagesMax = round % 4 == 3 ? 10 : 0;
                history.Add(next);
                try
                {
                    file.Commit(batch);
                }
                catch (DiskFullException)
                {
                    // Refused whole: the next round builds on what was there before.
                    history.RemoveAt(history.Count - 1);
                }

                durable = file.DurableTxid;
                if (round % 5 == 4)
                {
                    file.MakeDurable();
                    durable = file.DurableTxid;
                }
            }
        }
        catch (SimCrashException)
        {
        }
        catch (DiskException)
        {
        }
        finally
        {
            file?.Dispose();
        }

        return history;
    }

    internal static void RequireWholeCommit(SimDisk disk, List<Model> history, ulong durable, bool twoSync, string what)
    {
        DataFile file;
        try
        {
            file = TestFile.Open(disk, 1024, twoSync);
        }
        catch (CorruptionException damage)
        {
            Assert.Fail($"{what}: {damage.Message}");
            return;
        }

        using (file)
        {
            Assert.True(file.Txid >= durable, $"{what}: txid {file.Txid}, durable was {durable}");
            Assert.True(file.Txid <= (ulong)history.Count, $"{what}: txid {file.Txid} of {history.Count}");
            history[(int)file.Txid - 1].RequireEqualAndSound(file);

            // And the file can be written on.
            Model next = history[(int)file.Txid - 1].Copy();
            var batch = new WriteBatch();
            next.RandomBatch(new Random((int)file.Txid), batch, 25);
            file.Commit(batch);
            next.RequireEqualAndSound(file);
        }
    }
}
