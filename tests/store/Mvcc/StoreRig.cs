using System.Buffers;
using Etcdserverpb;
using Google.Protobuf;
using Perf.Engine.IO;
using Perf.Engine.Transactions;
using Perf.Store.Backend;
using Perf.Store.Commands;
using Perf.Store.Mvcc;
using Xunit;

namespace Perf.Store.Tests.Mvcc;

/// <summary>A store on a simulated disk, spoken to with messages.</summary>
internal sealed class StoreRig : IDisposable
{
    private static readonly DataFileOptions FileOptions = new() { MapBytesMin = 16 << 20 };
    private readonly string _path;
    private ulong _entry;

    public StoreRig(IDisk? disk = null, IRevisionSink? sink = null, string path = "/data/db")
    {
        _path = path;
        if (disk is null)
        {
            disk = new SimDisk();
            disk.CreateDirectory("/data");
            disk.SyncDirectory("/");
        }
        Disk = disk;
        Open(sink);
    }

    public IDisk Disk { get; }

    public BackendStore Backend { get; private set; } = null!;

    public MvccStore Store { get; private set; } = null!;

    public FakeLeases Leases { get; private set; } = new();

    public ulong Entry => _entry;

    public void Reopen()
    {
        Backend.Dispose();
        Leases = new FakeLeases { Known = Leases.Known };
        Open(Store.Sink);
    }

    /// <summary>Counts an entry as applied.</summary>
    public void EntryDone()
    {
        _entry = Math.Max(_entry, Backend.ConsistentIndex) + 1;
        Backend.SetConsistentIndex(_entry, 1);
    }

    public StoreError Put(PutRequest request, out PutResponse response)
    {
        PutView.TryParse(request.ToByteArray(), out PutView view);
        var output = new ArrayBufferWriter<byte>();
        StoreError error = Store.ApplyPut(in view, default, output);
        EntryDone();
        response = PutResponse.Parser.ParseFrom(output.WrittenSpan);
        return error;
    }

    public void Put(string key, string value, long lease = 0)
    {
        var request = new PutRequest
        {
            Key = ByteString.CopyFromUtf8(key),
            Value = ByteString.CopyFromUtf8(value),
            Lease = lease,
        };
        Assert.Equal(StoreError.None, Put(request, out _));
    }

    public long Delete(string key, string end = "")
    {
        return Delete(new DeleteRangeRequest
        {
            Key = ByteString.CopyFromUtf8(key),
            RangeEnd = ByteString.CopyFromUtf8(end),
        }).Deleted;
    }

    public DeleteRangeResponse Delete(DeleteRangeRequest request)
    {
        DeleteRangeView.TryParse(request.ToByteArray(), out DeleteRangeView view);
        var output = new ArrayBufferWriter<byte>();
        Assert.Equal(StoreError.None, Store.ApplyDeleteRange(in view, default, output));
        EntryDone();
        return DeleteRangeResponse.Parser.ParseFrom(output.WrittenSpan);
    }

    public StoreError Txn(TxnRequest request, out TxnResponse response)
    {
        var output = new ArrayBufferWriter<byte>();
        StoreError error = Store.ApplyTxn(request.ToByteArray(), default, output);
        EntryDone();
        response = TxnResponse.Parser.ParseFrom(output.WrittenSpan);
        return error;
    }

    public StoreError ReadTxn(TxnRequest request, out TxnResponse response)
    {
        var output = new SizedWriter();
        StoreError error = Store.ReadOnlyTxn(request.ToByteArray(), default, output);
        response = TxnResponse.Parser.ParseFrom(output.Done());
        return error;
    }

    public StoreError Compact(long revision)
    {
        StoreError error = Store.ApplyCompaction(new CompactionView(revision, false), default, null);
        EntryDone();
        return error;
    }

    public void FinishCompaction()
    {
        while (!Store.CompactStep(3))
        {
        }
    }

    public StoreError Range(RangeRequest request, out RangeResponse response)
    {
        RangeView.TryParse(request.ToByteArray(), out RangeView view);
        var output = new SizedWriter();
        StoreError error = Store.Range(in view, default, output);
        response = RangeResponse.Parser.ParseFrom(output.Done());
        return error;
    }

    public RangeResponse Get(string key, string end = "", long revision = 0)
    {
        var request = new RangeRequest
        {
            Key = ByteString.CopyFromUtf8(key),
            RangeEnd = ByteString.CopyFromUtf8(end),
            Revision = revision,
        };
        Assert.Equal(StoreError.None, Range(request, out RangeResponse response));
        return response;
    }

    public void Dispose() => Backend.Dispose();

    private void Open(IRevisionSink? sink)
    {
        Backend = new BackendStore(DataFile.Open(Disk, _path, FileOptions));
        Store = new MvccStore(Backend, Leases, sink);
        Store.Load();
        _entry = Backend.ConsistentIndex;
    }

    /// <summary>Checks that the store says the length beforehand and keeps to it.</summary>
    private sealed class SizedWriter : ISizedBufferWriter
    {
        private readonly ArrayBufferWriter<byte> _inner = new();
        private int _expected = -1;

        public void Begin(int bytes)
        {
            Assert.Equal(-1, _expected);
            _expected = bytes;
        }

        public byte[] Done()
        {
            Assert.Equal(_expected == -1 ? 0 : _expected, _inner.WrittenCount);
            return _inner.WrittenSpan.ToArray();
        }

        public void Advance(int count) => _inner.Advance(count);

        public Memory<byte> GetMemory(int sizeHint = 0) => _inner.GetMemory(sizeHint);

        public Span<byte> GetSpan(int sizeHint = 0) => _inner.GetSpan(sizeHint);
    }
}

/// <summary>Leases that are simply known, with their keys.</summary>
internal sealed class FakeLeases : ILeaseAttachments
{
    public HashSet<long> Known { get; init; } = [];

    public SortedSet<(long Lease, string Key)> Attached { get; } = [];

    public bool Exists(long lease) => Known.Contains(lease);

    public void Attach(long lease, ReadOnlySpan<byte> key) =>
        Attached.Add((lease, System.Text.Encoding.Latin1.GetString(key)));

    public void Detach(long lease, ReadOnlySpan<byte> key) =>
        Attached.Remove((lease, System.Text.Encoding.Latin1.GetString(key)));
}
