using Etcdserverpb;
using FsCheck;
using FsCheck.Fluent;
using Google.Protobuf;
using Perf.Store.Mvcc;
using Perf.Testing;
using Xunit;

namespace Perf.Store.Tests.Mvcc;

/// <summary>
/// Any few changes and compactions are remembered as the naive store remembers them: at every revision there still is,
/// every key, every range of keys, counts and hashes, wherever the work of a compaction stands. <see cref="ModelTests"/>
/// has longer histories and every option of a request; here all of a short one is read.
/// </summary>
public sealed class HistoryPropertyTests
{
    private const long Lease = 11;

    private static readonly ByteString[] Keys = [.. new[] { "a", "a\0", "ab", "b", "\u00ff" }.Select(Bytes)];

    private static readonly ByteString[] Ends = [ByteString.Empty, Bytes("\0"), Bytes("aa"), Bytes("z"), .. Keys];

    private const int OpenEnd = 1;

    private enum What
    {
        Put,
        Delete,
        Txn,
        Compact,
        CompactStep,
        Freeze,
        Commit,
        Reopen,
    }

    [Fact]
    public void Any_history_is_remembered_as_the_naive_store_remembers_it() => Properties.Hold(
        Steps.ArrayOf().Select(steps => new Case(steps)),
        input => Properties.Smaller(input.Steps, Smaller).Select(steps => new Case(steps)),
        cases: 40,
        check: Run,
        sizeMax: 40);

    private static Gen<Step> Steps { get; } =
        from what in Gen.Frequency(
            (6, Gen.Constant(What.Put)),
            (4, Gen.Constant(What.Delete)),
            (2, Gen.Constant(What.Txn)),
            (2, Gen.Constant(What.Compact)),
            (2, Gen.Constant(What.CompactStep)),
            (1, Gen.Constant(What.Freeze)),
            (1, Gen.Constant(What.Commit)),
            (1, Gen.Constant(What.Reopen)))
        from key in Gen.Frequency((1, Gen.Constant(0)), (2, Gen.Choose(0, Keys.Length - 1)))
        from end in Gen.Frequency((1, Gen.Constant(OpenEnd)), (2, Gen.Choose(0, Ends.Length - 1)))
        from number in Gen.Choose(0, 6)
        select new Step(what, key, end, number);

    private static IEnumerable<Step> Smaller(Step step) =>
    [
        .. Properties.Smaller(step.Key).Select(less => step with { Key = less }),
        .. Properties.Smaller(step.End).Select(less => step with { End = less }),
        .. Properties.Smaller(step.Number).Select(less => step with { Number = less }),
    ];

    private static void Run(Case input)
    {
        using var rig = new StoreRig();
        rig.Leases.Known.Add(Lease);
        var model = new NaiveStore { Leases = [Lease] };
        foreach (Step step in input.Steps)
        {
            switch (step.What)
            {
                case What.Put:
                    Assert.Equal(model.Put(Put(step), out PutResponse wanted), rig.Put(Put(step), out PutResponse found));
                    Assert.Equal(wanted, found);
                    break;
                case What.Delete:
                    Assert.Equal(model.Delete(Delete(step)), rig.Delete(Delete(step)));
                    break;
                case What.Txn:
                    var txn = new TxnRequest();
                    for (int i = 0; i <= step.Number; i++)
                    {
                        Step part = step with { Key = (step.Key + i) % Keys.Length };
                        txn.Success.Add(i % 3 == 2
                            ? new RequestOp { RequestDeleteRange = Delete(part with { End = 0 }) }
                            : new RequestOp { RequestPut = Put(part) });
                    }

                    Assert.Equal(model.Txn(txn, out TxnResponse wantedTxn), rig.Txn(txn, out TxnResponse foundTxn));
                    Assert.Equal(wantedTxn, foundTxn);
                    break;
                case What.Compact:
                    Assert.Equal(model.Compact(model.Revision - step.Number), rig.Compact(model.Revision - step.Number));
                    break;
                case What.CompactStep:
                    if (rig.Store.CompactionPending && rig.Store.CompactStep(step.Number + 1))
                    {
                        model.FinishCompaction();
                    }

                    break;
                case What.Freeze:
                    rig.Backend.TryFreeze();
                    break;
                case What.Commit:
                    rig.Backend.CommitFrozen();
                    break;
                case What.Reopen:
                    rig.Backend.CommitAll();
                    rig.Reopen();
                    break;
            }

            rig.Store.Publish();
            Assert.Equal(model.Revision, rig.Store.PublishedRevision);
            Assert.Equal(model.Compacted, rig.Store.PublishedCompactRevision);
            Compare(rig, model, model.Revision);
            if (step.What is What.Compact or What.CompactStep or What.Reopen)
            {
                CompareAll(rig, model);
            }
        }

        CompareAll(rig, model);
        rig.Store.VerifyIndex();
    }

    private static void CompareAll(StoreRig rig, NaiveStore model)
    {
        NaiveStore finished = model.Clone();
        finished.FinishCompaction();
        for (long revision = 1; revision <= model.Revision + 1; revision++)
        {
            Compare(rig, model, revision);
            bool isThere = revision >= model.Compacted && revision <= model.Revision;
            Assert.Equal(isThere, rig.Store.HashKv(revision, out HashKvResult hash) == StoreError.None);
            Assert.True(!isThere || hash.Hash == finished.HashKv(revision), $"the hash at {revision}");
        }

        foreach (ByteString key in Keys)
        {
            foreach (ByteString end in Ends)
            {
                foreach (long revision in new[] { 0, Math.Max(1, model.Compacted) })
                {
                    Same(rig, model, new RangeRequest { Key = key, RangeEnd = end, Revision = revision });
                    Same(rig, model, new RangeRequest { Key = key, RangeEnd = end, Revision = revision, Limit = 2 });
                    Same(rig, model, new RangeRequest { Key = key, RangeEnd = end, Revision = revision, CountOnly = true });
                }
            }
        }
    }

    /// <summary>All keys together, and one by one.</summary>
    private static void Compare(StoreRig rig, NaiveStore model, long revision)
    {
        Same(rig, model, new RangeRequest { Key = Bytes("\0"), RangeEnd = Bytes("\0"), Revision = revision });
        foreach (ByteString key in Keys)
        {
            Same(rig, model, new RangeRequest { Key = key, Revision = revision });
        }
    }

    private static void Same(StoreRig rig, NaiveStore model, RangeRequest request)
    {
        Assert.Equal(model.Range(request, out RangeResponse wanted), rig.Range(request, out RangeResponse found));
        ModelTests.AssertSame(wanted, found, request);
    }

    private static PutRequest Put(Step step) => new()
    {
        Key = Keys[step.Key],
        Value = Bytes(new string('v', step.Number * step.Number * step.Number * 20)),
        Lease = step.End == 1 ? Lease : step.End == 2 ? Lease + 1 : 0,
        PrevKv = step.Number % 2 == 1,
        IgnoreLease = step.End == 3,
    };

    private static DeleteRangeRequest Delete(Step step) =>
        new() { Key = Keys[step.Key], RangeEnd = Ends[step.End], PrevKv = step.Number % 2 == 1 };

    private static ByteString Bytes(string text) => ByteString.CopyFrom(text, System.Text.Encoding.Latin1);

    private sealed record Step(What What, int Key, int End, int Number)
    {
        public override string ToString() => What switch
        {
            What.Put or What.Txn => $"{What} {Keys[Key].ToBase64()} {End} {Number}",
            What.Delete => $"Delete {Keys[Key].ToBase64()}..{Ends[End].ToBase64()}",
            What.Compact => $"Compact {Number} ago",
            What.CompactStep => $"CompactStep {Number + 1}",
            _ => $"{What}",
        };
    }

    private sealed record Case(Step[] Steps)
    {
        public override string ToString() => string.Join("; ", (object[])Steps);
    }
}
