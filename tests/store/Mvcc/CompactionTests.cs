using System.Diagnostics;
using Etcdserverpb;
using Google.Protobuf;
using Perf.Store.Mvcc;
using Xunit;

namespace Perf.Store.Tests.Mvcc;

public sealed class CompactionTests
{
    [Fact]
    public void Delete_at_the_compact_revision_is_still_told()
    {
        // etcd issues 18089 and 19179.
        using var rig = new StoreRig();
        rig.Put("k", "1");
        rig.Put("k", "2");
        rig.Put("k", "3");
        rig.Delete("k");
        long deleted = rig.Store.Revision;
        rig.Put("k", "4");
        Assert.Equal(StoreError.None, rig.Compact(deleted));
        rig.FinishCompaction();
        rig.Backend.CommitAll();
        rig.Reopen();

        Assert.Equal(StoreError.None, rig.Store.OpenHistory(deleted, long.MaxValue, out HistoryCursor cursor));
        Assert.True(cursor.MoveNext());
        Assert.Equal((deleted, true), (cursor.Main, cursor.IsDelete));
        Assert.True(cursor.MoveNext());
        Assert.Equal((deleted + 1, false), (cursor.Main, cursor.IsDelete));
        Assert.False(cursor.MoveNext());
        cursor.Dispose();
        Assert.Equal(StoreError.Compacted, rig.Store.OpenHistory(deleted - 1, long.MaxValue, out _));

        // The next compaction takes the tombstone.
        Assert.Equal(StoreError.None, rig.Compact(deleted + 1));
        rig.FinishCompaction();
        rig.Backend.CommitAll();
        Assert.Equal(StoreError.None, rig.Store.OpenHistory(deleted + 1, long.MaxValue, out cursor));
        Assert.True(cursor.MoveNext());
        Assert.False(cursor.MoveNext());
        cursor.Dispose();
    }

    [Fact]
    public void A_step_takes_no_more_of_one_key_than_of_many()
    {
        const int Versions = 5_000;
        const int Step = 50;
        using var rig = new StoreRig();
        PutMany(rig, Versions);
        rig.Store.Publish();
        Assert.Equal(StoreError.None, rig.Compact(rig.Store.Revision));
        int steps = 1;
        while (!rig.Store.CompactStep(Step))
        {
            steps++;
        }

        // Each version is cut off, each is looked at as superseded, both twice Step at a time; and each leaves the file.
        Assert.Equal(Versions - 1, rig.Store.CompactedRecords);
        Assert.InRange(steps, (Versions / Step * 2) - 2, (Versions / Step * 2) + 4);
    }

    [Fact]
    public void Versions_above_the_compact_revision_are_passed_once()
    {
        const int Versions = 30_000;
        TimeSpan Compacted(int newer)
        {
            using var rig = new StoreRig();
            PutMany(rig, Versions);
            long revision = rig.Store.Revision;
            PutMany(rig, newer);
            rig.Store.Publish();
            Assert.Equal(StoreError.None, rig.Compact(revision));
            var watch = Stopwatch.StartNew();
            while (!rig.Store.CompactStep(1_000))
            {
            }

            watch.Stop();
            Assert.Equal(Versions - 1, rig.Store.CompactedRecords);
            return watch.Elapsed;
        }

        // Passed once for each older version they would cost some seconds.
        TimeSpan alone = Compacted(0);
        TimeSpan below = Compacted(Versions);
        Assert.True(below < (20 * alone) + TimeSpan.FromMilliseconds(200), $"{below} instead of {alone}");
    }

    [Fact]
    public void Compaction_answers_at_its_limits()
    {
        using var rig = new StoreRig();
        rig.Put("a", "1");
        rig.Put("a", "2");
        rig.Store.Publish();
        Assert.Equal(StoreError.FutureRev, rig.Compact(4));
        Assert.Equal(StoreError.None, rig.Compact(3));
        Assert.Equal(StoreError.Compacted, rig.Compact(3));
        rig.Store.Publish();
        var request = new RangeRequest { Key = ByteString.CopyFromUtf8("a"), Revision = 2 };
        Assert.Equal(StoreError.Compacted, rig.Range(request, out _));
        request.Revision = 3;
        Assert.Equal(StoreError.None, rig.Range(request, out _));
        request.Revision = 4;
        Assert.Equal(StoreError.FutureRev, rig.Range(request, out _));
    }

    [Fact]
    public void Txn_with_a_compacted_range_changes_nothing()
    {
        // etcd issue 18667.
        using var rig = new StoreRig();
        rig.Put("a", "1");
        rig.Put("a", "2");
        rig.Compact(3);
        var txn = new TxnRequest();
        txn.Success.Add(new RequestOp
        {
            RequestPut = new PutRequest { Key = ByteString.CopyFromUtf8("b"), Value = ByteString.CopyFromUtf8("x") },
        });
        txn.Success.Add(new RequestOp
        {
            RequestRange = new RangeRequest { Key = ByteString.CopyFromUtf8("a"), Revision = 2 },
        });
        Assert.Equal(StoreError.Compacted, rig.Txn(txn, out _));
        Assert.Equal(3, rig.Store.Revision);
        rig.Store.Publish();
        Assert.Empty(rig.Get("b").Kvs);
    }

    [Fact]
    public void Everything_that_was_deleted_leaves_file_and_index()
    {
        using var rig = new StoreRig();
        for (int round = 0; round < 3; round++)
        {
            for (int i = 0; i < 500; i++)
            {
                rig.Put($"key{i:D4}", "value");
            }
            Assert.Equal(500, rig.Delete("key", "kez"));
            rig.Put("last", "1");
            rig.Delete("last");
            rig.Put("anchor", "1");
            Assert.Equal(StoreError.None, rig.Compact(rig.Store.Revision));
            rig.FinishCompaction();
            rig.Backend.CommitAll();
            rig.Store.Publish();
            Assert.Equal(1, rig.Store.KeyCount);
            rig.Store.VerifyIndex();
        }
        Assert.Equal(StoreError.None, rig.Store.OpenHistory(rig.Store.CompactRevision, long.MaxValue, out HistoryCursor cursor));
        Assert.True(cursor.MoveNext());
        Assert.False(cursor.MoveNext());
        cursor.Dispose();
    }

    [Fact]
    public void Mnt05_a_hash_below_zero_is_over_nothing_and_one_below_the_compaction_is_refused()
    {
        using var rig = new StoreRig();
        rig.Put("a", "1");
        rig.Put("a", "2");
        rig.Put("a", "3");
        rig.Compact(3);
        rig.FinishCompaction();
        Assert.Equal(StoreError.Compacted, rig.Store.HashKv(2, out _));
        Assert.Equal(StoreError.None, rig.Store.HashKv(3, out _));
        Assert.Equal(StoreError.FutureRev, rig.Store.HashKv(5, out _));
        Assert.Equal(StoreError.None, rig.Store.HashKv(-1, out HashKvResult nothing));
        Assert.Equal(NaiveStore.HashOf([], 0, 0, []), nothing.Hash);
    }

    /// <summary>Seed 201589: where no key was alive, a member whose compaction was still at work hashed what it had yet to remove.</summary>
    [Fact]
    public void Hash_does_not_tell_how_far_a_compaction_has_come_where_nothing_is_alive()
    {
        using var rig = new StoreRig();
        rig.Put("k", "one");
        rig.Put("k", "two");
        rig.Delete("k");
        Assert.Equal(StoreError.None, rig.Compact(4));
        rig.Store.Publish();
        Assert.Equal(StoreError.None, rig.Store.HashKv(0, out HashKvResult before));

        rig.FinishCompaction();
        rig.Store.Publish();

        Assert.Equal(StoreError.None, rig.Store.HashKv(0, out HashKvResult after));
        Assert.Equal(after, before);

        // What compaction 2 has left is hashed when all is gone at 3, as etcd does it: nothing is skipped there.
        using var other = new StoreRig();
        other.Put("k", "one");
        Assert.Equal(StoreError.None, other.Compact(2));
        other.FinishCompaction();
        other.Delete("k");
        other.Store.Publish();
        var model = new NaiveStore();
        model.Put(new PutRequest { Key = ByteString.CopyFromUtf8("k"), Value = ByteString.CopyFromUtf8("one") }, out _);
        model.Compact(2);
        model.FinishCompaction();
        model.Delete(new DeleteRangeRequest { Key = ByteString.CopyFromUtf8("k") });
        Assert.Equal(StoreError.None, other.Store.HashKv(0, out HashKvResult hash));
        Assert.Equal(model.HashKv(3), hash.Hash);
    }

    private static void PutMany(StoreRig rig, int count)
    {
        for (int i = 0; i < count; i++)
        {
            rig.Put("hot", "v");
        }
    }
}
