using System.Text;
using Perf.Engine.IO;
using Perf.Engine.Transactions;
using Perf.Store.Backend;
using Perf.Store.Tests.Mvcc;
using Xunit;

namespace Perf.Store.Tests.Backend;

public sealed class BackendStoreTests
{
    [Fact]
    public void Small_buckets_read_through_active_frozen_and_file()
    {
        var disk = NewDisk();
        using BackendStore backend = Open(disk);
        backend.Put(Buckets.Lease, "a"u8, "1"u8);
        backend.Put(Buckets.Lease, "b"u8, "1"u8);
        backend.Put(Buckets.Lease, "d"u8, "1"u8);
        backend.CommitAll();
        backend.Delete(Buckets.Lease, "b"u8);
        backend.Put(Buckets.Lease, "c"u8, "2"u8);
        Assert.True(backend.TryFreeze());
        backend.Put(Buckets.Lease, "a"u8, "3"u8);
        Assert.False(backend.TryFreeze());
        Assert.Equal("a3c2d1", All(backend));
        Assert.True(backend.TryGet(Buckets.Lease, "c"u8, out ReadOnlySpan<byte> value));
        Assert.Equal("2"u8, value);
        Assert.False(backend.TryGet(Buckets.Lease, "b"u8, out _));
        Assert.True(backend.CommitFrozen());
        Assert.False(backend.CommitFrozen());
        Assert.Equal("a3c2d1", All(backend));
        backend.CommitAll();
        Assert.Equal("a3c2d1", All(backend));
    }

    [Fact]
    public void Index_of_a_commit_is_that_of_its_last_entry()
    {
        var disk = NewDisk();
        BackendStore backend = Open(disk);
        Assert.Equal(0UL, backend.ConsistentIndex);
        backend.SetConsistentIndex(7, 2);
        backend.TryFreeze();
        backend.SetConsistentIndex(9, 3);
        backend.CommitFrozen();
        Assert.Equal(7UL, backend.CommittedIndex);
        Assert.True(backend.DurableIndex <= 7);
        backend.MakeDurable();
        Assert.Equal(7UL, backend.DurableIndex);
        backend.Dispose();

        using BackendStore again = Open(disk);
        Assert.Equal((7UL, 2UL), (again.ConsistentIndex, again.ConsistentTerm));
        using ReadTransaction read = again.File.BeginRead();
        Assert.Equal(Buckets.All.Count, read.Buckets().Count);
    }

    [Fact]
    public void Full_disk_leaves_the_frozen_memtable_for_the_next_try()
    {
        var disk = NewDisk();
        using BackendStore backend = Open(disk);
        backend.Put(Buckets.Lease, "a"u8, "1"u8);
        backend.SetConsistentIndex(5, 1);
        backend.TryFreeze();
        disk.FailAt(disk.Calls + 1, SimFailure.NoSpace);
        Assert.ThrowsAny<IOException>(() => backend.CommitFrozen());
        Assert.True(backend.HasFrozen);
        Assert.Equal("a1", All(backend));
        Assert.True(backend.CommitFrozen());
        Assert.Equal(5UL, backend.CommittedIndex);
    }

    [Fact]
    public void Freeze_is_due_by_age_and_by_size()
    {
        var clock = new StoppedClock();
        using var backend = new BackendStore(
            DataFile.Open(NewDisk(), "/data/db", new DataFileOptions { MapBytesMin = 16 << 20 }),
            new BackendOptions { Clock = clock, FreezeBytes = 1000, FreezeInterval = TimeSpan.FromMilliseconds(100) });
        Assert.False(backend.FreezeDue());
        backend.Put(Buckets.Lease, "a"u8, "1"u8);
        clock.Now += TimeSpan.FromMilliseconds(99);
        Assert.False(backend.FreezeDue());
        clock.Now += TimeSpan.FromMilliseconds(1);
        Assert.True(backend.FreezeDue());
        backend.CommitAll();
        Assert.False(backend.FreezeDue());
        backend.Put(Buckets.Lease, "a"u8, new byte[1000]);
        Assert.True(backend.FreezeDue());
        Assert.True(backend.ActiveBytes >= 1000);
    }

    [Fact]
    public void Memory_of_a_commit_goes_back_when_its_last_reader_has_left()
    {
        using var rig = new StoreRig();
        rig.Put("a", "1");
        rig.Store.Publish();
        rig.Backend.CommitAll();
        Assert.Equal(0, rig.Backend.RetiredCount);
        rig.Put("b", new string('x', 1000));
        rig.Store.Publish();
        int slot = rig.Backend.Epochs.Enter();
        rig.Backend.CommitAll();
        Assert.Equal(1, rig.Backend.RetiredCount);
        rig.Backend.Epochs.Leave(slot);
        rig.Backend.Reclaim();
        Assert.Equal(0, rig.Backend.RetiredCount);
    }

    [Fact]
    public void Snapshot_install_replaces_everything()
    {
        var disk = NewDisk();
        var sink = new RecordingSink();
        using var rig = new StoreRig(disk, sink);
        rig.Put("old", "1");
        rig.Store.Publish();
        using (var other = new StoreRig(disk, null, "/data/snapshot"))
        {
            for (int i = 0; i < 100; i++)
            {
                other.Put($"new{i:D3}", "2");
            }
            other.Compact(50);
            other.FinishCompaction();
            other.Backend.CommitAll();
        }
        rig.Store.Reset(DataFile.Open(disk, "/data/snapshot", new DataFileOptions { MapBytesMin = 16 << 20 }));
        Assert.Equal(101, rig.Store.PublishedRevision);
        Assert.Equal(50, rig.Store.PublishedCompactRevision);
        Assert.Equal(101, sink.Reset);
        Assert.Empty(rig.Get("old").Kvs);
        Assert.Equal(100, rig.Get("new", "nex").Count);
        Assert.Equal(101UL, rig.Backend.ConsistentIndex);
        rig.Delete("new000");
        rig.Store.Publish();
        rig.Backend.CommitAll();
        Assert.Equal(99, rig.Get("new", "nex").Count);
    }

    private static SimDisk NewDisk()
    {
        var disk = new SimDisk();
        disk.CreateDirectory("/data");
        disk.SyncDirectory("/");
        return disk;
    }

    private static BackendStore Open(SimDisk disk) =>
        new(DataFile.Open(disk, "/data/db", new DataFileOptions { MapBytesMin = 16 << 20 }));

    private static string All(BackendStore backend)
    {
        var text = new StringBuilder();
        backend.ForEach(Buckets.Lease, (key, value) =>
            text.Append(Encoding.UTF8.GetString(key)).Append(Encoding.UTF8.GetString(value)));
        return text.ToString();
    }

    private sealed class StoppedClock : TimeProvider
    {
        public TimeSpan Now { get; set; } = TimeSpan.FromSeconds(1);

        public override long TimestampFrequency => TimeSpan.TicksPerSecond;

        public override long GetTimestamp() => Now.Ticks;
    }
}
