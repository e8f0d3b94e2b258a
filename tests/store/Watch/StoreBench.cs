using System.Buffers;
using Google.Protobuf;
using Perf.Engine.IO;
using Perf.Engine.Transactions;
using Perf.Store.Apply;
using Perf.Store.Backend;
using Perf.Store.Commands;
using Perf.Store.Lease;
using Perf.Store.Mvcc;
using Perf.Store.Tests.Lease;
using Perf.Store.Watch;
using Xunit;

namespace Perf.Store.Tests.Watch;

/// <summary>Key space, leases and watches as they are put together in production, on a simulated disk.</summary>
internal sealed class StoreBench : IDisposable
{
    private static readonly DataFileOptions FileOptions = new() { MapBytesMin = 16 << 20 };
    private readonly SimDisk _disk = new();
    private ulong _index;

    public StoreBench(WatchOptions? options = null)
    {
        _disk.CreateDirectory("/data");
        _disk.SyncDirectory("/");
        Open(options);
    }

    public HandClock Clock { get; } = new();

    public BackendStore Backend { get; private set; } = null!;

    public Lessor Lessor { get; private set; } = null!;

    public MvccStore Store { get; private set; } = null!;

    public WatchHub Hub { get; private set; } = null!;

    private BackendBuckets Buckets { get; set; } = null!;

    public void Put(string key, string value = "v", long lease = 0)
    {
        byte[] request = new Etcdserverpb.PutRequest
        {
            Key = ByteString.CopyFromUtf8(key),
            Value = ByteString.CopyFromUtf8(value),
            Lease = lease,
        }.ToByteArray();
        Assert.True(PutView.TryParse(request, out PutView view));
        Assert.Equal(StoreError.None, Store.ApplyPut(view, default, null));
        EntryDone();
    }

    public void Delete(string key, string end = "")
    {
        byte[] request = new Etcdserverpb.DeleteRangeRequest
        {
            Key = ByteString.CopyFromUtf8(key),
            RangeEnd = ByteString.CopyFromUtf8(end),
        }.ToByteArray();
        Assert.True(DeleteRangeView.TryParse(request, out DeleteRangeView view));
        Assert.Equal(StoreError.None, Store.ApplyDeleteRange(view, default, null));
        EntryDone();
    }

    public void Compact(long revision)
    {
        Assert.Equal(StoreError.None, Store.ApplyCompaction(new CompactionView(revision, false), default, null));
        EntryDone();
        while (!Store.CompactStep(2))
        {
        }
    }

    public void Grant(long id, long ttl)
    {
        Assert.Equal(StoreError.None, Lessor.Grant(id, ttl, out _));
        EntryDone();
    }

    public void Revoke(long id)
    {
        Assert.Equal(StoreError.None, Lessor.Revoke(id, new LeasedKeys(Store)));
        EntryDone();
    }

    public bool Has(string key)
    {
        var value = new ArrayBufferWriter<byte>();
        return Store.TryGetAt(System.Text.Encoding.UTF8.GetBytes(key), Store.PublishedRevision, value);
    }

    /// <summary>Stops cleanly and starts again from the file.</summary>
    public void Restart()
    {
        Backend.CommitAll();
        Backend.Dispose();
        Open(null);
    }

    /// <summary>Goes over to a copy of another store's file, as a follower does with a snapshot.</summary>
    public void Install(StoreBench other)
    {
        other.Backend.CommitAll();
        const string Path = "/data/received";
        using (DataImage image = other.Backend.File.OpenImage())
        using (IDiskFile target = _disk.Open(Path, DiskOpen.CreateNew))
        {
            byte[] bytes = new byte[image.Length];
            for (long at = 0; at < bytes.Length;)
            {
                at += image.Read(bytes.AsSpan((int)at), at);
            }
            target.Write(bytes, 0);
            target.SyncAll();
        }
        DataFile file = DataFile.Open(_disk, Path, FileOptions);
        Lessor.Restore(file);
        Store.Reset(file);
        _index = other._index;
    }

    public void Dispose() => Backend.Dispose();

    private void EntryDone() => Backend.SetConsistentIndex(++_index, 1);

    private void Open(WatchOptions? options)
    {
        Backend = new BackendStore(DataFile.Open(_disk, "/data/db", FileOptions));
        Buckets = new BackendBuckets(Backend);
        Lessor = new Lessor(Buckets, Clock, new LessorOptions());
        Store = new MvccStore(Backend, Lessor);
        Store.Load();
        Hub = new WatchHub(new MvccWatchHistory(Store), options ?? new WatchOptions());
        Store.Sink = Hub;
    }
}
