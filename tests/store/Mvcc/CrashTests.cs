using Perf.Engine.IO;
using Perf.Store.Backend;
using Perf.Store.Mvcc;
using Xunit;

namespace Perf.Store.Tests.Mvcc;

/// <summary>
/// A power failure at any disk call leaves exactly the effects of the entries up to the consistent index: no more,
/// no less, all buckets together (I5; etcd issue 13766).
/// </summary>
public sealed class CrashTests
{
    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    public void Power_failure_anywhere_leaves_the_state_of_one_entry(int seed)
    {
        var random = new Random(seed);
        var disk = new SimDisk();
        disk.CreateDirectory("/data");
        disk.SyncDirectory("/");
        using var rig = new StoreRig(disk);
        rig.Leases.Known.UnionWith([11, 12, 13]);
        var model = new NaiveStore { Leases = [11, 12, 13] };
        var history = new List<NaiveStore> { model.Clone() };

        var crashed = new List<SimDisk>();
        ulong crashSeed = (ulong)seed * 1000;
        disk.Observer = (_, _) =>
        {
            if (random.Next(3) != 0)
            {
                crashed.Add(disk.CrashCopy(++crashSeed));
            }
        };

        for (int step = 0; step < 200; step++)
        {
            ulong before = rig.Entry;
            ModelTests.Step(rig, model, random, 30);
            for (ulong entry = before; entry < rig.Entry; entry++)
            {
                // The small buckets must agree too: a value that changes with every entry.
                history.Add(model.Clone());
            }
            rig.Backend.Put(Buckets.Cluster, "entry"u8, BitConverter.GetBytes(rig.Entry));
            if (random.Next(5) == 0)
            {
                rig.Store.Publish();
                rig.Backend.TryFreeze();
            }
            if (random.Next(4) == 0)
            {
                rig.Backend.CommitFrozen();
            }
            if (rig.Store.CompactionPending && random.Next(3) == 0)
            {
                rig.Store.CompactStep(5);
            }
            if (random.Next(20) == 0)
            {
                rig.Backend.MakeDurable();
            }
        }
        disk.Observer = null;
        rig.Backend.CommitAll();
        crashed.Add(disk.CrashCopy(++crashSeed));

        Assert.True(crashed.Count > 20);
        ulong newest = 0;
        foreach (SimDisk copy in crashed)
        {
            newest = Math.Max(newest, Verify(copy, history));
        }
        Assert.Equal(rig.Entry, newest);
    }

    [Fact]
    public void Revision_does_not_go_back_when_the_newest_records_were_compacted_away()
    {
        using var rig = new StoreRig();
        for (int i = 0; i < 5; i++)
        {
            rig.Put("k", "v");
        }
        rig.Delete("k");
        rig.Put("other", "v");
        rig.Delete("other");
        long revision = rig.Store.Revision;
        Assert.Equal(StoreError.None, rig.Compact(revision));
        while (!rig.Store.CompactStep(1))
        {
            rig.Backend.CommitAll();
            var copy = new StoreRig(((SimDisk)rig.Disk).KillCopy());
            Assert.Equal(revision, copy.Store.Revision);
            Assert.Equal(revision, copy.Store.CompactRevision);
            copy.FinishCompaction();
            copy.Backend.CommitAll();
            copy.Reopen();
            Assert.Equal(revision, copy.Store.Revision);
            Assert.False(copy.Store.CompactionPending);
            copy.Dispose();
        }
    }

    [Fact]
    public void No_deleted_key_comes_back_wherever_a_compaction_was_interrupted()
    {
        using var rig = new StoreRig();
        foreach (string key in new[] { "a", "b" })
        {
            rig.Put(key, "v");
            rig.Put(key, "v");
        }
        rig.Delete("b");
        rig.Delete("a");
        rig.Put("other", "v");
        Assert.Equal(StoreError.None, rig.Compact(rig.Store.Revision));
        bool isDone;
        int steps = 0;
        do
        {
            isDone = rig.Store.CompactStep(1);
            steps++;
            rig.Backend.CommitAll();
            using var copy = new StoreRig(((SimDisk)rig.Disk).KillCopy());
            Assert.Equal(["other"], copy.Get("\0", "\0").Kvs.Select(kv => kv.Key.ToStringUtf8()));
            copy.FinishCompaction();
            copy.Backend.CommitAll();
            copy.Reopen();
            Assert.Equal(["other"], copy.Get("\0", "\0").Kvs.Select(kv => kv.Key.ToStringUtf8()));
        }
        while (!isDone);
        Assert.True(steps > 6);
    }

    private static ulong Verify(SimDisk disk, List<NaiveStore> history)
    {
        using var rig = new StoreRig(disk);
        ulong index = rig.Backend.ConsistentIndex;
        if (index == 0)
        {
            Assert.Equal(1, rig.Store.Revision);
            return 0;
        }
        NaiveStore expected = history[(int)index];
        Assert.Equal(expected.Revision, rig.Store.Revision);
        Assert.Equal(expected.Compacted, rig.Store.CompactRevision);
        var all = rig.Get("\0", "\0");
        Assert.Equal(expected.At(long.MaxValue).Values, all.Kvs);
        rig.FinishCompaction();
        if (expected.Keep(expected.Revision, false).Count > 0)
        {
            Assert.Equal(StoreError.None, rig.Store.HashKv(0, out HashKvResult hash));
            Assert.Equal(expected.HashKv(expected.Revision), hash.Hash);
        }
        // Written between entries, so the commit holds this entry's or the one's before.
        if (rig.Backend.TryGet(Buckets.Cluster, "entry"u8, out ReadOnlySpan<byte> entry))
        {
            Assert.InRange(BitConverter.ToUInt64(entry), index - 1, index);
        }
        return index;
    }
}
