using FsCheck;
using FsCheck.Fluent;
using Perf.Engine.IO;
using Perf.Engine.Wal;
using Perf.Testing;
using Xunit;

namespace Perf.Engine.Tests.Wal;

/// <summary>
/// Any few records leave what a list holds: appended, replaced by a new leader's, cut into files, read back, and after
/// another start from the beginning or from any snapshot that counts.
/// </summary>
public sealed class WalPropertyTests
{
    private enum What
    {
        Append,
        Replace,
        Commit,
        Snapshot,
        Sync,
        Prepare,
        Cut,
        ReadBack,
        Reopen,
        ReopenFromSnapshot,
    }

    [Fact]
    public void Any_records_read_back_as_a_list() => Properties.Hold(
        Steps.ArrayOf().Select(steps => new Case(steps)),
        input => Properties.Smaller(input.Steps, Smaller).Select(steps => new Case(steps)),
        cases: 120,
        check: Run,
        sizeMax: 160);

    private static Gen<Step> Steps { get; } =
        from what in Gen.Frequency(
            (10, Gen.Constant(What.Append)),
            (3, Gen.Constant(What.Replace)),
            (4, Gen.Constant(What.Commit)),
            (3, Gen.Constant(What.Snapshot)),
            (2, Gen.Constant(What.Sync)),
            (1, Gen.Constant(What.Prepare)),
            (1, Gen.Constant(What.Cut)),
            (1, Gen.Constant(What.ReadBack)),
            (1, Gen.Constant(What.Reopen)),
            (2, Gen.Constant(What.ReopenFromSnapshot)))
        from back in Gen.Choose(0, 12)
        from bytes in Gen.Frequency((6, Gen.Choose(0, 300)), (1, Gen.Choose(300, 6000)))
        select new Step(what, back, bytes);

    private static IEnumerable<Step> Smaller(Step step) =>
    [
        .. Properties.Smaller(step.Bytes).Select(less => step with { Bytes = less }),
        .. Properties.Smaller(step.Back).Select(less => step with { Back = less }),
    ];

    private static void Run(Case input)
    {
        SimDisk disk = WalSamples.NewDisk();
        var driver = new WalDriver(
            WalLog.Create(disk, WalSamples.Directory, WalSamples.NodeId, WalSamples.ClusterId, WalSamples.Small));
        ulong term = 1;
        foreach (Step step in input.Steps)
        {
            ulong last = driver.Log.LastIndex;
            (ulong _, ulong _, ulong commit) = driver.Now.State;
            ulong back = Math.Min(last - commit, (ulong)step.Back);
            switch (step.What)
            {
                case What.Append:
                    driver.Entry(term, last + 1, step.Bytes);
                    if (driver.Log.CutDue)
                    {
                        driver.Cut();
                    }

                    break;
                case What.Replace when last > commit:
                    term++;
                    driver.Entry(term, Math.Min(last, last + 1 - back), step.Bytes);
                    break;
                case What.Commit:
                    driver.State(term, 1, last - back);
                    break;
                case What.Snapshot when commit > driver.Now.Snapshots[^1].Index:
                    driver.Sync();
                    driver.Snapshot(commit, driver.Now.Entries[(int)commit - 1].Term);
                    break;
                case What.Sync:
                    driver.Sync();
                    break;
                case What.Prepare:
                    driver.Log.PrepareNextSegment();
                    break;
                case What.Cut:
                    driver.Cut();
                    break;
                case What.ReadBack when last > 0:
                    driver.Sync();
                    ReadBack(driver, step);
                    break;
                case What.Reopen:
                    driver = Reopen(driver, disk);
                    break;
                case What.ReopenFromSnapshot:
                    driver.Log.Dispose();
                    FromEachSnapshot(driver.Now, disk);
                    driver = Reopen(driver, disk);
                    break;
            }
        }

        driver.Log.Dispose();
        FromEachSnapshot(driver.Now, disk);
        Reopen(driver, disk).Log.Dispose();
    }

    private static WalDriver Reopen(WalDriver before, SimDisk disk)
    {
        before.Log.Dispose();
        var replayed = new WalModel();
        var after = new WalDriver(WalLog.Open(disk, WalSamples.Directory, default, WalSamples.Small, replayed));
        Assert.True(before.Now.Equals(replayed), $"{before.Now} became {replayed}");
        Assert.Equal(before.Now.LastIndex, after.Log.LastIndex);
        after.History[0] = replayed;
        return after;
    }

    private static void FromEachSnapshot(WalModel model, SimDisk disk)
    {
        IReadOnlyList<WalSnapshot> valid = WalLog.ValidSnapshots(disk, WalSamples.Directory);
        Assert.Equal(model.Snapshots.Where(s => s.Index <= model.State.Commit), valid.Select(s => (s.Index, s.Term)));
        Assert.All(
            model.Snapshots,
            s => Assert.Equal(s.Index <= model.State.Commit, WalLog.Vouches(disk, WalSamples.Directory, s.Index, s.Term)));
        foreach (WalSnapshot snapshot in valid)
        {
            var behind = new WalModel();
            using WalLog log = WalLog.Open(
                disk, WalSamples.Directory, snapshot, WalSamples.Small, new TermsKept(behind, snapshot.Term));
            Assert.Equal(
                model.Entries.Where(e => e.Index > snapshot.Index).Select(e => (e.Index, e.Term, Convert.ToHexString(e.Bytes))),
                behind.Entries.Select(e => (e.Index, e.Term, Convert.ToHexString(e.Bytes))));
            Assert.Equal(model.State, behind.State);
        }
    }

    private static void ReadBack(WalDriver driver, Step step)
    {
        List<(ulong Index, ulong Term, byte[] Bytes)> entries = driver.Now.Entries;
        int from = step.Bytes % entries.Count;
        int to = Math.Min(entries.Count, from + step.Back + 1);
        var read = new WalModel();
        int count = driver.Log.ReadEntries(entries[from].Index, entries[from].Index + (ulong)(to - from), step.Bytes, read);
        Assert.InRange(count, 1, to - from);
        for (int i = 0; i < count; i++)
        {
            Assert.Equal(entries[from + i].Term, read.Entries[i].Term);
            Assert.Equal(entries[from + i].Bytes, read.Entries[i].Bytes);
        }
    }

    /// <summary>Nothing behind a snapshot has a lower term, not even what is taken back later.</summary>
    private sealed class TermsKept(WalModel model, ulong termMin) : IWalVisitor
    {
        public void OnEntry(ulong index, ulong term, ReadOnlySpan<byte> encodedEntry)
        {
            Assert.True(term >= termMin, $"entry {term}/{index} behind a snapshot of term {termMin}");
            model.OnEntry(index, term, encodedEntry);
        }

        public void OnTruncate(ulong index) => model.OnTruncate(index);

        public void OnHardState(ulong term, ulong vote, ulong commit) => model.OnHardState(term, vote, commit);

        public void OnSnapshot(ulong index, ulong term, ReadOnlySpan<byte> confState) => model.OnSnapshot(index, term, confState);
    }

    private sealed record Step(What What, int Back, int Bytes)
    {
        public override string ToString() => What switch
        {
            What.Append => $"append({Bytes})",
            What.Replace => $"replace(back {Back}, {Bytes})",
            What.Commit => $"commit(back {Back})",
            What.ReadBack => $"read({Bytes}, {Back})",
            _ => What.ToString().ToLowerInvariant(),
        };
    }

    private sealed record Case(Step[] Steps)
    {
        public override string ToString() => string.Join("; ", (object[])Steps);
    }
}
