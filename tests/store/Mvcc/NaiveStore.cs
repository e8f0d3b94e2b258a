using Etcdserverpb;
using Google.Protobuf;
using Mvccpb;

namespace Perf.Store.Tests.Mvcc;

/// <summary>The key space as the documents describe it, with lists and messages: slow, plain, the judge of ours.</summary>
internal sealed class NaiveStore
{
    public List<Record> Records { get; private init; } = [];

    public long Revision { get; private set; } = 1;

    public long Compacted { get; private set; } = -1;

    public HashSet<long> Leases { get; init; } = [];

    private long _main;
    private int _sub;

    public sealed record Record(long Main, int Sub, bool IsDelete, KeyValue Stored);

    public NaiveStore Clone() =>
        new()
        {
            Records = [.. Records],
            Revision = Revision,
            Compacted = Compacted,
            Leases = [.. Leases],
        };

    /// <summary>Live keys as of a revision, ascending.</summary>
    public SortedDictionary<string, KeyValue> At(long revision)
    {
        var state = new SortedDictionary<string, KeyValue>(StringComparer.Ordinal);
        foreach (Record record in Records)
        {
            if (record.Main > revision)
            {
                break;
            }
            string key = Text(record.Stored.Key);
            state.Remove(key);
            if (!record.IsDelete)
            {
                state.Add(key, record.Stored);
            }
        }
        return state;
    }

    public StoreError Put(PutRequest request, out PutResponse response)
    {
        response = new PutResponse();
        if (request.Lease != 0 && !Leases.Contains(request.Lease))
        {
            return StoreError.LeaseNotFound;
        }
        if ((request.IgnoreValue || request.IgnoreLease) && !Now().ContainsKey(Text(request.Key)))
        {
            return StoreError.KeyNotFound;
        }
        Begin();
        response = DoPut(request);
        End();
        return StoreError.None;
    }

    public DeleteRangeResponse Delete(DeleteRangeRequest request)
    {
        Begin();
        DeleteRangeResponse response = DoDelete(request);
        End();
        return response;
    }

    public StoreError Txn(TxnRequest request, out TxnResponse response)
    {
        var path = new Queue<bool>();
        Path(request, path);
        response = new TxnResponse();
        StoreError error = Check(request, new Queue<bool>(path), true);
        error = error != StoreError.None ? error : Check(request, new Queue<bool>(path), false);
        if (error != StoreError.None)
        {
            return error;
        }
        Begin();
        response = DoTxn(request, path);
        End();
        response.Header = new ResponseHeader { Revision = Revision };
        return StoreError.None;
    }

    public StoreError Compact(long revision)
    {
        if (revision <= Compacted)
        {
            return StoreError.Compacted;
        }
        if (revision > Revision)
        {
            return StoreError.FutureRev;
        }
        Compacted = revision;
        return StoreError.None;
    }

    /// <summary>What a finished compaction has left.</summary>
    public void FinishCompaction()
    {
        HashSet<(long, int)> keep = Keep(Compacted, true);
        Records.RemoveAll(r => r.Main <= Compacted && !keep.Contains((r.Main, r.Sub)));
    }

    public StoreError Range(RangeRequest request, out RangeResponse response)
    {
        response = new RangeResponse();
        long current = Revision + (_sub > 0 ? 1 : 0);
        long at = request.Revision <= 0 ? current : request.Revision;
        if (at > current)
        {
            return StoreError.FutureRev;
        }
        if (at < Compacted)
        {
            return StoreError.Compacted;
        }
        List<KeyValue> all = [.. Select(At(at), request.Key, request.RangeEnd)];
        response.Header = new ResponseHeader { Revision = current };
        response.Count = all.Count;
        if (request.CountOnly)
        {
            return StoreError.None;
        }

        bool filters = (request.MinModRevision | request.MaxModRevision
            | request.MinCreateRevision | request.MaxCreateRevision) != 0;
        IEnumerable<KeyValue> kvs = all;
        if (request.Limit > 0 && request.SortOrder == RangeRequest.Types.SortOrder.None && !filters)
        {
            kvs = kvs.Take((int)request.Limit + 1);
        }
        kvs = kvs.Where(kv =>
            (request.MaxModRevision == 0 || kv.ModRevision <= request.MaxModRevision)
            && (request.MinModRevision == 0 || kv.ModRevision >= request.MinModRevision)
            && (request.MaxCreateRevision == 0 || kv.CreateRevision <= request.MaxCreateRevision)
            && (request.MinCreateRevision == 0 || kv.CreateRevision >= request.MinCreateRevision));
        bool descend = request.SortOrder == RangeRequest.Types.SortOrder.Descend;
        kvs = request.SortTarget switch
        {
            RangeRequest.Types.SortTarget.Key => descend ? kvs.Reverse() : kvs,
            RangeRequest.Types.SortTarget.Version => Order(kvs, kv => kv.Version, descend),
            RangeRequest.Types.SortTarget.Create => Order(kvs, kv => kv.CreateRevision, descend),
            RangeRequest.Types.SortTarget.Mod => Order(kvs, kv => kv.ModRevision, descend),
            _ => descend
                ? kvs.OrderByDescending(kv => Text(kv.Value), StringComparer.Ordinal)
                : kvs.OrderBy(kv => Text(kv.Value), StringComparer.Ordinal),
        };
        List<KeyValue> found = [.. kvs];
        if (request.Limit > 0 && found.Count > request.Limit)
        {
            found = found[..(int)request.Limit];
            response.More = true;
        }
        foreach (KeyValue kv in found)
        {
            KeyValue copy = kv.Clone();
            if (request.KeysOnly)
            {
                copy.Value = ByteString.Empty;
            }
            response.Kvs.Add(copy);
        }
        return StoreError.None;
    }

    public uint HashKv(long revision) => HashOf(Records, revision, Compacted, Keep(revision, false));

    /// <summary>FORMATS A.5, word for word.</summary>
    public static uint HashOf(
        IEnumerable<Record> records, long revision, long compacted, HashSet<(long, int)> keep)
    {
        uint crc = Crc(0, "key"u8);
        Span<byte> key = stackalloc byte[18];
        foreach (Record record in records)
        {
            if (record.Main > revision
                || (record.Main <= compacted && keep.Count > 0 && !keep.Contains((record.Main, record.Sub)))
                || (record.Main == compacted && record.IsDelete))
            {
                continue;
            }
            System.Buffers.Binary.BinaryPrimitives.WriteInt64BigEndian(key, record.Main);
            key[8] = (byte)'_';
            System.Buffers.Binary.BinaryPrimitives.WriteInt64BigEndian(key[9..], record.Sub);
            key[17] = (byte)'t';
            crc = Crc(crc, key[..(record.IsDelete ? 18 : 17)]);
            crc = Crc(crc, record.Stored.ToByteArray());
        }
        return crc;
    }

    /// <summary>Per key the newest version up to the revision, unless it is a tombstone.</summary>
    public HashSet<(long, int)> Keep(long revision, bool tombstonesAtRevision)
    {
        var newest = new Dictionary<string, Record>();
        foreach (Record record in Records.Where(r => r.Main <= revision))
        {
            newest[Text(record.Stored.Key)] = record;
        }
        return [.. newest.Values
            .Where(r => !r.IsDelete || (tombstonesAtRevision && r.Main == revision))
            .Select(r => (r.Main, r.Sub))];
    }

    public static string Text(ByteString bytes) => System.Text.Encoding.Latin1.GetString(bytes.Span);

    private static uint Crc(uint crc, ReadOnlySpan<byte> data)
    {
        crc = ~crc;
        foreach (byte b in data)
        {
            crc ^= b;
            for (int i = 0; i < 8; i++)
            {
                crc = (crc >> 1) ^ ((crc & 1) != 0 ? 0x82F63B78u : 0);
            }
        }
        return ~crc;
    }

    private static IEnumerable<KeyValue> Order(IEnumerable<KeyValue> kvs, Func<KeyValue, long> by, bool descend) =>
        descend ? kvs.OrderByDescending(by) : kvs.OrderBy(by);

    private static IEnumerable<KeyValue> Select(
        SortedDictionary<string, KeyValue> state, ByteString key, ByteString end)
    {
        string from = Text(key);
        string to = Text(end);
        return state.Where(pair => to switch
        {
            "" => pair.Key == from,
            "\0" => string.CompareOrdinal(pair.Key, from) >= 0,
            _ => string.CompareOrdinal(pair.Key, from) >= 0 && string.CompareOrdinal(pair.Key, to) < 0,
        }).Select(pair => pair.Value);
    }

    private SortedDictionary<string, KeyValue> Now() => At(long.MaxValue);

    private void Begin()
    {
        _main = Revision + 1;
        _sub = 0;
    }

    private void End()
    {
        Revision += _sub > 0 ? 1 : 0;
        _sub = 0;
    }

    private PutResponse DoPut(PutRequest request)
    {
        Now().TryGetValue(Text(request.Key), out KeyValue? previous);
        var response = new PutResponse { Header = new ResponseHeader { Revision = _main } };
        if (request.PrevKv && previous is not null)
        {
            response.PrevKv = previous.Clone();
        }
        Records.Add(new Record(_main, _sub++, false, new KeyValue
        {
            Key = request.Key,
            CreateRevision = previous?.CreateRevision ?? _main,
            ModRevision = _main,
            Version = (previous?.Version ?? 0) + 1,
            Value = request.IgnoreValue ? previous!.Value : request.Value,
            Lease = request.IgnoreLease ? previous!.Lease : request.Lease,
        }));
        return response;
    }

    private DeleteRangeResponse DoDelete(DeleteRangeRequest request)
    {
        List<KeyValue> hit = [.. Select(Now(), request.Key, request.RangeEnd)];
        var response = new DeleteRangeResponse
        {
            Header = new ResponseHeader { Revision = hit.Count > 0 || _sub > 0 ? _main : Revision },
            Deleted = hit.Count,
        };
        foreach (KeyValue kv in hit)
        {
            if (request.PrevKv)
            {
                response.PrevKvs.Add(kv.Clone());
            }
            Records.Add(new Record(_main, _sub++, true, new KeyValue { Key = kv.Key }));
        }
        return response;
    }

    private TxnResponse DoTxn(TxnRequest request, Queue<bool> path)
    {
        bool success = path.Dequeue();
        var response = new TxnResponse { Succeeded = success, Header = new ResponseHeader() };
        foreach (RequestOp op in success ? request.Success : request.Failure)
        {
            var answer = new ResponseOp();
            switch (op.RequestCase)
            {
                case RequestOp.RequestOneofCase.RequestPut:
                    answer.ResponsePut = DoPut(op.RequestPut);
                    break;
                case RequestOp.RequestOneofCase.RequestDeleteRange:
                    answer.ResponseDeleteRange = DoDelete(op.RequestDeleteRange);
                    break;
                case RequestOp.RequestOneofCase.RequestRange:
                    Range(op.RequestRange, out RangeResponse range);
                    answer.ResponseRange = range;
                    break;
                case RequestOp.RequestOneofCase.RequestTxn:
                    answer.ResponseTxn = DoTxn(op.RequestTxn, path);
                    break;
            }
            response.Responses.Add(answer);
        }
        return response;
    }

    private void Path(TxnRequest request, Queue<bool> path)
    {
        bool success = request.Compare.All(Holds);
        path.Enqueue(success);
        foreach (RequestOp op in success ? request.Success : request.Failure)
        {
            if (op.RequestCase == RequestOp.RequestOneofCase.RequestTxn)
            {
                Path(op.RequestTxn, path);
            }
        }
    }

    private StoreError Check(TxnRequest request, Queue<bool> path, bool puts)
    {
        bool success = path.Dequeue();
        foreach (RequestOp op in success ? request.Success : request.Failure)
        {
            if (op.RequestCase == RequestOp.RequestOneofCase.RequestTxn)
            {
                StoreError error = Check(op.RequestTxn, path, puts);
                if (error != StoreError.None)
                {
                    return error;
                }
            }
            else if (puts && op.RequestCase == RequestOp.RequestOneofCase.RequestPut)
            {
                PutRequest put = op.RequestPut;
                if ((put.IgnoreValue || put.IgnoreLease) && !Now().ContainsKey(Text(put.Key)))
                {
                    return StoreError.KeyNotFound;
                }
                if (put.Lease != 0 && !Leases.Contains(put.Lease))
                {
                    return StoreError.LeaseNotFound;
                }
            }
            else if (!puts && op.RequestCase == RequestOp.RequestOneofCase.RequestRange)
            {
                long revision = op.RequestRange.Revision;
                if (revision > Revision)
                {
                    return StoreError.FutureRev;
                }
                if (revision != 0 && revision < Compacted)
                {
                    return StoreError.Compacted;
                }
            }
        }
        return StoreError.None;
    }

    private bool Holds(Compare compare)
    {
        List<KeyValue> kvs = [.. Select(Now(), compare.Key, compare.RangeEnd)];
        if (kvs.Count == 0)
        {
            return compare.Target != Compare.Types.CompareTarget.Value && Holds(compare, new KeyValue());
        }
        return kvs.All(kv => Holds(compare, kv));
    }

    private static bool Holds(Compare compare, KeyValue kv)
    {
        Compare.TargetUnionOneofCase union = compare.TargetUnionCase;
        int order = compare.Target switch
        {
            Compare.Types.CompareTarget.Version => kv.Version.CompareTo(
                union == Compare.TargetUnionOneofCase.Version ? compare.Version : 0),
            Compare.Types.CompareTarget.Create => kv.CreateRevision.CompareTo(
                union == Compare.TargetUnionOneofCase.CreateRevision ? compare.CreateRevision : 0),
            Compare.Types.CompareTarget.Mod => kv.ModRevision.CompareTo(
                union == Compare.TargetUnionOneofCase.ModRevision ? compare.ModRevision : 0),
            Compare.Types.CompareTarget.Lease => kv.Lease.CompareTo(
                union == Compare.TargetUnionOneofCase.Lease ? compare.Lease : 0),
            _ => string.CompareOrdinal(
                Text(kv.Value),
                union == Compare.TargetUnionOneofCase.Value ? Text(compare.Value) : ""),
        };
        return compare.Result switch
        {
            Compare.Types.CompareResult.Equal => order == 0,
            Compare.Types.CompareResult.NotEqual => order != 0,
            Compare.Types.CompareResult.Greater => order > 0,
            _ => order < 0,
        };
    }
}
