using System.Buffers;
using Perf.Engine;
using Perf.Store.Backend;
using Perf.Store.Commands;

namespace Perf.Store.Mvcc;

public sealed partial class MvccStore
{
    private readonly ProtoBuffer _txnResponse = new();
    private readonly List<bool> _txnPath = [];
    private readonly RangeHits _applyHits = new();

    [ThreadStatic]
    private static ReadTxnScratch? s_readTxn;

    /// <summary>
    /// Applies a txn that may write. All compares, nested ones included, are made on the state before; then puts and
    /// ranges are checked (TXN-08); after that nothing can fail, and all changes share one revision.
    /// </summary>
    public StoreError ApplyTxn(ReadOnlySpan<byte> request, in ResponseHeader header, IBufferWriter<byte>? response)
    {
        if (!TxnView.TryParse(request, out TxnView txn))
        {
            return StoreError.Malformed;
        }
        _txnPath.Clear();
        _txnResponse.Clear();
        RecordReader reader = OpenReader(out _, out _, out _);
        try
        {
            ComparePath(in txn, _index, in reader, long.MaxValue, _txnPath);
        }
        finally
        {
            reader.Dispose();
        }

        int step = 0;
        StoreError error = CheckPuts(in txn, ref step);
        if (error == StoreError.None)
        {
            step = 0;
            error = CheckRanges(in txn, _txnPath, ref step, _revision, _compacted);
        }
#if MUTANTS
        if (Mutant.Is("09-txn-range-fails-on-some") && response is null && error is StoreError.Compacted or StoreError.FutureRev)
        {
            error = response is null ? StoreError.None : error;
        }
#endif
        if (error != StoreError.None)
        {
            return error;
        }

        ProtoBuffer? target = response is null ? null : _txnResponse;
        BeginTxn();
        step = 0;
        ExecuteTxn(in txn, ref step, null, target);
        bool changed = HasChanges;
        EndTxn();
        Check.That(changed || _eventCount == 0);
        if (response is not null)
        {
            DeliverTxn(_txnResponse, header with { Revision = _revision }, response);
        }
        return StoreError.None;
    }

    /// <summary>
    /// Answers a txn of ranges only, on one published revision. Nothing is written unless None is returned. Any
    /// thread.
    /// </summary>
    public StoreError ReadOnlyTxn(ReadOnlySpan<byte> request, in ResponseHeader header, IBufferWriter<byte> response)
    {
        if (!TxnView.TryParse(request, out TxnView txn))
        {
            return StoreError.Malformed;
        }
        ReadTxnScratch scratch = s_readTxn ??= new ReadTxnScratch();
        while (true)
        {
            scratch.Path.Clear();
            scratch.Response.Clear();
            using RecordReader reader = OpenReader(out KeyIndex index, out long revision, out long compacted);
            ComparePath(in txn, index, in reader, revision, scratch.Path);
            int step = 0;
            StoreError error = CheckRanges(in txn, scratch.Path, ref step, revision, compacted);
            if (error != StoreError.None)
            {
                return error;
            }
            step = 0;
            bool sound = ReadTxn(in txn, ref step, scratch, index, in reader, revision, compacted);
            if (!sound || _published.Compacted > revision)
            {
                // Compaction has overtaken this revision; the next one to be read is newer than it.
                continue;
            }
            DeliverTxn(scratch.Response, header with { Revision = revision }, response);
            return StoreError.None;
        }
    }

    /// <summary>The outermost TxnResponse: header, then what was collected.</summary>
    private static void DeliverTxn(ProtoBuffer body, in ResponseHeader header, IBufferWriter<byte> response)
    {
        int headerBytes = header.FieldBytes;
        (response as ISizedBufferWriter)?.Begin(headerBytes + body.Count);
        var writer = new ProtoWriter(response.GetSpan(headerBytes));
        header.WriteField(ref writer);
        response.Advance(writer.Position);
        response.Write(body.Written);
    }

    /// <summary>Which branch each txn takes, in the order in which the taken branches are walked.</summary>
    private static void ComparePath(
        in TxnView txn, KeyIndex index, in RecordReader reader, long at, List<bool> path)
    {
        bool success = true;
        foreach (ReadOnlySpan<byte> part in txn.Compares)
        {
            if (!CompareView.TryParse(part, out CompareView compare) || !Holds(in compare, index, in reader, at))
            {
                success = false;
                break;
            }
        }
        path.Add(success);
        foreach (ReadOnlySpan<byte> part in txn.Branch(success))
        {
            if (RequestOpView.TryParse(part, out RequestOpView op)
                && op.Kind == RequestOpKind.Txn
                && TxnView.TryParse(op.Body, out TxnView nested))
            {
                ComparePath(in nested, index, in reader, at, path);
            }
        }
    }

    private static bool Holds(in CompareView compare, KeyIndex index, in RecordReader reader, long at)
    {
        KeyRange range = KeyRange.Of(compare.Key, compare.RangeEnd);
        KeyVersion version;
        if (range.IsSingle)
        {
            uint id = index.Tree.FindShared(range.From);
            if (id != 0 && index.Keys.TryVersionAt(id, at, out version))
            {
                return HoldsFor(in compare, in version, in reader);
            }
            return HoldsForMissing(in compare);
        }

        bool any = false;
        if (!range.IsEmpty)
        {
            Span<uint> ids = stackalloc uint[KeyTree.LeafKeysMax];
            byte[]? next = null;
            do
            {
                int copied = index.Tree.CopyLeaf(next is null ? range.From : next, ids, out next);
                int inside = CountInside(index.Keys, ids[..copied], in range);
                foreach (uint id in ids[..inside])
                {
                    if (index.Keys.TryVersionAt(id, at, out version))
                    {
                        any = true;
                        if (!HoldsFor(in compare, in version, in reader))
                        {
                            return false;
                        }
                    }
                }
                next = inside < copied ? null : next;
            }
            while (next is not null);
        }
        return any || HoldsForMissing(in compare);
    }

    /// <summary>TXN-02: a value that is not there equals nothing and differs from nothing; numbers are 0.</summary>
    private static bool HoldsForMissing(in CompareView compare) =>
        compare.Target != CompareTarget.Value
        && Decide(compare.Result, compare.Target <= CompareTarget.Lease ? 0L.CompareTo(compare.Number) : 0);

    private static bool HoldsFor(in CompareView compare, in KeyVersion version, in RecordReader reader)
    {
        if (compare.Target == CompareTarget.Mod)
        {
            return Decide(compare.Result, version.Main.CompareTo(compare.Number));
        }
        if (!reader.TryGet(version.Main, version.Sub, false, out ReadOnlySpan<byte> bytes))
        {
            // Only when compaction overtook a reader, which then starts again.
            return false;
        }
        KeyValueView.TryParse(bytes, out KeyValueView record);
        int order = compare.Target switch
        {
            CompareTarget.Value => record.Value.SequenceCompareTo(compare.Value),
            CompareTarget.Version => record.Version.CompareTo(compare.Number),
            CompareTarget.Create => record.CreateRevision.CompareTo(compare.Number),
            CompareTarget.Lease => record.Lease.CompareTo(compare.Number),
            _ => 0,
        };
        return Decide(compare.Result, order);
    }

    private static bool Decide(CompareResult result, int order) => result switch
    {
        CompareResult.Equal => order == 0,
        CompareResult.NotEqual => order != 0,
        CompareResult.Greater => order > 0,
        CompareResult.Less => order < 0,
        _ => true,
    };

    private StoreError CheckPuts(in TxnView txn, ref int step)
    {
        foreach (ReadOnlySpan<byte> part in txn.Branch(_txnPath[step++]))
        {
            if (!RequestOpView.TryParse(part, out RequestOpView op))
            {
                return StoreError.Malformed;
            }
            StoreError error = StoreError.None;
            if (op.Kind == RequestOpKind.Txn)
            {
                error = TxnView.TryParse(op.Body, out TxnView nested)
                    ? CheckPuts(in nested, ref step)
                    : StoreError.Malformed;
            }
            else if (op.Kind == RequestOpKind.Put)
            {
                error = PutView.TryParse(op.Body, out PutView put) ? CheckPut(in put) : StoreError.Malformed;
            }
            else if (op.Kind == RequestOpKind.DeleteRange && !DeleteRangeView.TryParse(op.Body, out _))
            {
                error = StoreError.Malformed;
            }
            if (error != StoreError.None)
            {
                return error;
            }
        }
        return StoreError.None;
    }

    private StoreError CheckPut(in PutView put)
    {
        if ((put.IgnoreValue || put.IgnoreLease) && FindAlive(put.Key) == 0)
        {
            return StoreError.KeyNotFound;
        }
        return put.Lease != 0 && Leases?.Exists(put.Lease) != true ? StoreError.LeaseNotFound : StoreError.None;
    }

    private static StoreError CheckRanges(
        in TxnView txn, List<bool> path, ref int step, long revision, long compacted)
    {
        foreach (ReadOnlySpan<byte> part in txn.Branch(path[step++]))
        {
            if (!RequestOpView.TryParse(part, out RequestOpView op))
            {
                return StoreError.Malformed;
            }
            if (op.Kind == RequestOpKind.Txn)
            {
                StoreError error = TxnView.TryParse(op.Body, out TxnView nested)
                    ? CheckRanges(in nested, path, ref step, revision, compacted)
                    : StoreError.Malformed;
                if (error != StoreError.None)
                {
                    return error;
                }
            }
            else if (op.Kind == RequestOpKind.Range)
            {
                if (!RangeView.TryParse(op.Body, out RangeView range))
                {
                    return StoreError.Malformed;
                }
                if (range.Revision > revision)
                {
                    return StoreError.FutureRev;
                }
                if (range.Revision != 0 && range.Revision < compacted)
                {
                    return StoreError.Compacted;
                }
            }
        }
        return StoreError.None;
    }

    /// <summary>Executes the branch; writes the TxnResponse without the outermost header.</summary>
    private void ExecuteTxn(in TxnView txn, ref int step, ResponseHeader? header, ProtoBuffer? response)
    {
        bool success = _txnPath[step++];
        if (header is not null)
        {
            response?.Header(header.Value);
        }
        response?.Bool(2, success);
        foreach (ReadOnlySpan<byte> part in txn.Branch(success))
        {
            RequestOpView.TryParse(part, out RequestOpView op);
            int opStart = response?.BeginMessage(3) ?? 0;
            int bodyStart = op.Kind == RequestOpKind.None ? 0 : response?.BeginMessage((int)op.Kind) ?? 0;
            switch (op.Kind)
            {
                case RequestOpKind.Put:
                    PutView.TryParse(op.Body, out PutView put);
                    ExecutePut(in put, new ResponseHeader(0, 0, _revision + 1, 0), response);
                    break;

                case RequestOpKind.DeleteRange:
                    DeleteRangeView.TryParse(op.Body, out DeleteRangeView delete);
                    ExecuteDelete(in delete, default, response);
                    break;

                case RequestOpKind.Range when response is not null:
                    RangeView.TryParse(op.Body, out RangeView range);
                    ExecuteRange(in range, response);
                    break;

                case RequestOpKind.Txn:
                    TxnView.TryParse(op.Body, out TxnView nested);
                    ExecuteTxn(in nested, ref step, default(ResponseHeader), response);
                    break;
            }
            if (response is not null)
            {
                if (op.Kind != RequestOpKind.None)
                {
                    response.EndMessage(bodyStart);
                }
                response.EndMessage(opStart);
            }
        }
    }

    /// <summary>A range inside a write txn: sees the effects of the operations before it.</summary>
    private void ExecuteRange(in RangeView range, ProtoBuffer response)
    {
        using RecordReader reader = OpenReader(out _, out _, out _);
        long revision = _revision + (HasChanges ? 1 : 0);
        bool isNewest = range.Revision <= 0 || range.Revision == revision;
        CollectApplied(in range, isNewest ? long.MaxValue : range.Revision);
        WriteRange(in range, in reader, _applyHits, new ResponseHeader(0, 0, revision, 0), response);
    }

    /// <summary>As <see cref="Collect"/>, on what was applied so far.</summary>
    private void CollectApplied(in RangeView request, long at)
    {
        KeyRange range = KeyRange.Of(request.Key, request.RangeEnd);
        bool needsTotal = !range.IsSingle && !range.IsEmpty && (request.CountOnly || FetchLimit(in request) != 0);
        if (!needsTotal || at != long.MaxValue)
        {
            Collect(in request, _index, at, -1, _applyHits, mayWalk: true, counts: true);
            return;
        }

        // The tree counts as of the last publication; the keys made and deleted since are few.
        _applyHits.Clear();
        long total = _index.Tree.CountLive(in range);
        foreach (uint id in _dirty)
        {
            ReadOnlySpan<byte> key = _index.Keys.Key(id);
            if (range.Contains(key))
            {
                total += (_index.Keys.Peek(id).IsTombstone ? 0 : 1) - (_index.Tree.IsAlive(key) ? 1 : 0);
            }
        }
        _applyHits.Total = total;
        if (!request.CountOnly && total > 0)
        {
            Walk(_index, in range, at, FetchLimit(in request), true, _applyHits);
        }
    }

    /// <summary>False: compaction has overtaken the revision read.</summary>
    private bool ReadTxn(
        in TxnView txn,
        ref int step,
        ReadTxnScratch scratch,
        KeyIndex index,
        in RecordReader reader,
        long revision,
        long compacted)
    {
        bool success = scratch.Path[step++];
        scratch.Response.Bool(2, success);
        foreach (ReadOnlySpan<byte> part in txn.Branch(success))
        {
            RequestOpView.TryParse(part, out RequestOpView op);
            if (op.Kind != RequestOpKind.Range || !RangeView.TryParse(op.Body, out RangeView range))
            {
                throw new InvariantException("a read-only txn holds ranges only");
            }
            long at = range.Revision <= 0 ? revision : range.Revision;
            Collect(
                in range, index, at, at == revision ? revision : -1, scratch.Hits, mayWalk: true, counts: true);
            if (_published.Compacted > Math.Max(compacted, at))
            {
                return false;
            }
            int opStart = scratch.Response.BeginMessage(3);
            int bodyStart = scratch.Response.BeginMessage((int)RequestOpKind.Range);
            WriteRange(in range, in reader, scratch.Hits, new ResponseHeader(0, 0, revision, 0), scratch.Response);
            scratch.Response.EndMessage(bodyStart);
            scratch.Response.EndMessage(opStart);
        }
        return true;
    }

    private sealed class ReadTxnScratch
    {
        public List<bool> Path { get; } = [];

        public ProtoBuffer Response { get; } = new();

        public RangeHits Hits { get; } = new();
    }
}
