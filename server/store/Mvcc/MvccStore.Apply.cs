using System.Buffers;
using Perf.Engine;
using Perf.Engine.Memory;
using Perf.Store.Backend;
using Perf.Store.Commands;

namespace Perf.Store.Mvcc;

public sealed partial class MvccStore
{
    private readonly List<uint> _dirty = [];
    private RevisionEvent[] _events = new RevisionEvent[16];
    private uint[] _idScratch = new uint[256];
    private int _eventCount;
    private bool _inTxn;
    private int _sub;

    /// <summary>Changes made by the open transaction.</summary>
    private bool HasChanges => _sub > 0;

    /// <summary>
    /// Begins a transaction of a caller's own changes (a lease revoke). All of them get one main revision and
    /// ascending sub revisions. Apply thread.
    /// </summary>
    public void BeginTxn()
    {
        Check.That(!_inTxn);
        _inTxn = true;
        _sub = 0;
        _eventCount = 0;
    }

    /// <summary>Ends the transaction; the revision moves if anything changed. Returns the revision.</summary>
    public long EndTxn()
    {
        Check.That(_inTxn);
        _inTxn = false;
        if (_sub > 0)
        {
            _revision++;
            _backend.Touch();
            Sink?.OnTransaction(_revision, _events.AsSpan(0, _eventCount));
            _sub = 0;
        }
        return _revision;
    }

    /// <summary>Puts a key, between <see cref="BeginTxn"/> and <see cref="EndTxn"/>. The lease exists or is 0.</summary>
    public void Put(ReadOnlySpan<byte> key, ReadOnlySpan<byte> value, long lease)
    {
        Check.That(_inTxn);
        KeyTable keys = _index.Keys;
        long main = _revision + 1;
        uint id = _index.Tree.FindExact(key);
        if (id == 0)
        {
            id = keys.Add(key);
            _index.Tree.Insert(key, id);
        }
        ref readonly KeyTable.KeyRecord record = ref keys.Peek(id);
        bool hasHistory = record.Main != 0;
        bool isAlive = hasHistory && !record.IsTombstone;
        long create = isAlive ? record.Create : main;
        long version = isAlive ? record.Version + 1 : 1;
        long oldLease = isAlive ? record.Lease : 0;

        RecordTable records = _backend.ActiveRecords;
        int bytes = KeyValueCodec.Bytes(key.Length, create, main, version, value.Length, lease);
        Memory<byte> target = records.Reserve(bytes, out Slab owner);
        KeyValueCodec.Write(target.Span, key, create, main, version, value, lease);
        records.Append(main, _sub, false, bytes, bytes);

        if (hasHistory)
        {
            _index.Superseded.Enqueue(main, id);
        }
        keys.SetNewest(id, main, _sub, bytes, false, create, version, lease);
        if (!isAlive)
        {
            MarkDirty(id);
        }
        _sub++;
        AddEvent(false, !isAlive, key.Length, target, owner);

        if (oldLease != lease && Leases is not null)
        {
            if (oldLease != 0)
            {
                Leases.Detach(oldLease, key);
            }
            if (lease != 0)
            {
                Leases.Attach(lease, key);
            }
        }
    }

    /// <summary>
    /// Deletes a key, or a range when its end is not empty (RNG-02), in key order; returns how many. Between
    /// <see cref="BeginTxn"/> and <see cref="EndTxn"/>.
    /// </summary>
    public long Delete(ReadOnlySpan<byte> key, ReadOnlySpan<byte> rangeEnd = default)
    {
        Check.That(_inTxn);
        int count = CollectLive(KeyRange.Of(key, rangeEnd));
        for (int i = 0; i < count; i++)
        {
            DeleteKey(_idScratch[i]);
        }
        return count;
    }

    /// <summary>Applies a put. The header gives ids and term; nobody waits when the response is null.</summary>
    public StoreError ApplyPut(in PutView put, in ResponseHeader header, IBufferWriter<byte>? response)
    {
        if (put.Lease != 0 && Leases?.Exists(put.Lease) != true)
        {
            return StoreError.LeaseNotFound;
        }
        bool needsPrevious = put.IgnoreValue || put.IgnoreLease || put.PrevKv;
        if (!needsPrevious)
        {
            BeginTxn();
            Put(put.Key, put.Value, put.Lease);
            long revision = EndTxn();
            WriteHeader(header with { Revision = revision }, response);
            return StoreError.None;
        }

        uint id = FindAlive(put.Key);
        if (id == 0 && (put.IgnoreValue || put.IgnoreLease))
        {
            return StoreError.KeyNotFound;
        }
        _txnResponse.Clear();
        BeginTxn();
        ExecutePut(in put, header with { Revision = _revision + 1 }, response is null ? null : _txnResponse);
        EndTxn();
        Deliver(_txnResponse, response);
        return StoreError.None;
    }

    /// <summary>Applies a delete.</summary>
    public StoreError ApplyDeleteRange(
        in DeleteRangeView delete, in ResponseHeader header, IBufferWriter<byte>? response)
    {
        _txnResponse.Clear();
        BeginTxn();
        ExecuteDelete(in delete, in header, response is null ? null : _txnResponse);
        EndTxn();
        Deliver(_txnResponse, response);
        return StoreError.None;
    }

    private static void WriteHeader(in ResponseHeader header, IBufferWriter<byte>? response)
    {
        if (response is null)
        {
            return;
        }
        int bytes = header.FieldBytes;
        (response as ISizedBufferWriter)?.Begin(bytes);
        var writer = new ProtoWriter(response.GetSpan(bytes));
        header.WriteField(ref writer);
        response.Advance(writer.Position);
    }

    private static void Deliver(ProtoBuffer source, IBufferWriter<byte>? response)
    {
        if (response is null)
        {
            return;
        }
        (response as ISizedBufferWriter)?.Begin(source.Count);
        response.Write(source.Written);
    }

    /// <summary>A put inside a transaction, checked already; writes a whole PutResponse.</summary>
    private void ExecutePut(in PutView put, in ResponseHeader header, ProtoBuffer? response)
    {
        uint id = put.IgnoreValue || put.IgnoreLease || put.PrevKv ? FindAlive(put.Key) : 0;
        scoped ReadOnlySpan<byte> value = put.Value;
        long lease = put.Lease;
        response?.Header(in header);
        if (id == 0)
        {
            Put(put.Key, value, lease);
            return;
        }

        ref readonly KeyTable.KeyRecord record = ref _index.Keys.Peek(id);
        lease = put.IgnoreLease ? record.Lease : lease;
        using RecordReader reader = OpenReader(out _, out _, out _);
        if (put.IgnoreValue || (put.PrevKv && response is not null))
        {
            ReadOnlySpan<byte> previous = RecordOf(in reader, record.Main, record.Sub);
            if (put.IgnoreValue)
            {
                KeyValueView.TryParse(previous, out KeyValueView view);
                value = view.Value;
            }
            if (put.PrevKv)
            {
                response?.Message(2, previous);
            }
        }
        Put(put.Key, value, lease);
    }

    /// <summary>A delete inside a transaction; writes a whole DeleteRangeResponse.</summary>
    private void ExecuteDelete(in DeleteRangeView delete, in ResponseHeader header, ProtoBuffer? response)
    {
        int count = CollectLive(KeyRange.Of(delete.Key, delete.RangeEnd));
        long revision = count > 0 || HasChanges ? _revision + 1 : _revision;
        if (response is not null)
        {
            response.Header(header with { Revision = revision });
            response.Int64(2, count);
            if (delete.PrevKv && count > 0)
            {
                using RecordReader reader = OpenReader(out _, out _, out _);
                for (int i = 0; i < count; i++)
                {
                    ref readonly KeyTable.KeyRecord record = ref _index.Keys.Peek(_idScratch[i]);
                    response.Message(3, RecordOf(in reader, record.Main, record.Sub));
                }
            }
        }
        for (int i = 0; i < count; i++)
        {
            DeleteKey(_idScratch[i]);
        }
    }

    private static ReadOnlySpan<byte> RecordOf(in RecordReader reader, long main, int sub)
    {
        bool found = reader.TryGet(main, sub, false, out ReadOnlySpan<byte> bytes);
        Check.That(found);
        return bytes;
    }

    /// <summary>The key's id when it is alive as the apply thread has left it, else 0.</summary>
    private uint FindAlive(ReadOnlySpan<byte> key)
    {
        uint id = _index.Tree.FindExact(key);
        return id != 0 && _index.Keys.Peek(id) is { Main: not 0, IsTombstone: false } ? id : 0;
    }

    /// <summary>Ids of the live keys of a range into the scratch array, ascending; returns how many.</summary>
    private int CollectLive(in KeyRange range)
    {
        if (range.IsSingle)
        {
            uint id = FindAlive(range.From);
            _idScratch[0] = id;
            return id == 0 ? 0 : 1;
        }
        if (range.IsEmpty)
        {
            return 0;
        }

        int count = 0;
        Span<uint> ids = stackalloc uint[KeyTree.LeafKeysMax];
        ReadOnlySpan<byte> from = range.From;
        while (true)
        {
            int copied = _index.Tree.CopyLeaf(from, ids, out byte[]? next);
            int inside = CountInside(_index.Keys, ids[..copied], in range);
            if (_idScratch.Length < count + inside)
            {
                Array.Resize(ref _idScratch, Math.Max(count + inside, _idScratch.Length * 2));
            }
            foreach (uint id in ids[..inside])
            {
                if (!_index.Keys.Peek(id).IsTombstone)
                {
                    _idScratch[count++] = id;
                }
            }
            if (inside < copied || next is null)
            {
                return count;
            }
            from = next;
        }
    }

    private void DeleteKey(uint id)
    {
        KeyTable keys = _index.Keys;
        ReadOnlySpan<byte> key = keys.Key(id);
        long lease = keys.Peek(id).Lease;
        long main = _revision + 1;

        // Stored is the key alone; the event carries the mod revision too. One encoding serves both: the record is
        // the beginning of the event's bytes.
        int recordBytes = KeyValueCodec.Bytes(key.Length, 0, 0, 0, 0, 0);
        int eventBytes = KeyValueCodec.Bytes(key.Length, 0, main, 0, 0, 0);
        RecordTable records = _backend.ActiveRecords;
        Memory<byte> target = records.Reserve(eventBytes, out Slab owner);
        KeyValueCodec.Write(target.Span, key, 0, main, 0, default, 0);
        records.Append(main, _sub, true, recordBytes, eventBytes);

        _index.Superseded.Enqueue(main, id);
        keys.SetNewest(id, main, _sub, recordBytes, true, 0, 0, 0);
        MarkDirty(id);
        _sub++;
        AddEvent(true, false, key.Length, target, owner);
        if (lease != 0)
        {
            Leases?.Detach(lease, key);
        }
    }

    private void MarkDirty(uint id)
    {
        if ((_index.Keys.Peek(id).Marks & KeyTable.KeyMarks.Dirty) == 0)
        {
            _index.Keys.Mark(id, KeyTable.KeyMarks.Dirty, true);
            _dirty.Add(id);
        }
    }

    private void AddEvent(bool isDelete, bool isCreate, int keyBytes, Memory<byte> keyValue, Slab owner)
    {
        if (Sink is null)
        {
            return;
        }
        if (_eventCount == _events.Length)
        {
            Array.Resize(ref _events, _events.Length * 2);
        }
        int keyAt = 1 + ProtoSize.Varint((ulong)keyBytes);
        _events[_eventCount++] =
            new RevisionEvent(isDelete, isCreate, keyValue.Slice(keyAt, keyBytes), keyValue, owner);
    }
}
