
namespace Perf.Store.Commands;

/// <summary>
/// The checks at the door (SURFACE RNG-01, PUT-01, TXN-04..06), on the client's bytes. What passes can be proposed
/// and applied without a second look at its form. Makes no objects except for txns with nested ones or with more
/// than a handful of puts and deletes.
/// </summary>
public static class RequestValidator
{
    /// <summary>Nested txns deeper than this are refused as malformed; etcd's op limit allows about as many.</summary>
    public const int TxnDepthMax = 100;

    /// <summary>Up to so many ops a branch is compared pair by pair.</summary>
    private const int PairwiseOpsMax = 12;

    /// <summary>RNG-01, and RNG-11 where the dialect wants it (3.6+).</summary>
    public static StoreError ValidateRange(ReadOnlySpan<byte> request, bool refuseUnknownSort = false)
    {
        if (!RangeView.TryParse(request, out RangeView range))
        {
            return StoreError.Malformed;
        }
        if (range.Key.IsEmpty)
        {
            return StoreError.EmptyKey;
        }
        bool known = range.SortOrder is >= SortOrder.None and <= SortOrder.Descend
            && range.SortTarget is >= SortTarget.Key and <= SortTarget.Value;
        return refuseUnknownSort && !known ? StoreError.InvalidSortOption : StoreError.None;
    }

    /// <summary>PUT-01.</summary>
    public static StoreError ValidatePut(ReadOnlySpan<byte> request)
    {
        if (!PutView.TryParse(request, out PutView put))
        {
            return StoreError.Malformed;
        }
        if (put.Key.IsEmpty)
        {
            return StoreError.EmptyKey;
        }
        if (put.IgnoreValue && !put.Value.IsEmpty)
        {
            return StoreError.ValueProvided;
        }
        return put.IgnoreLease && put.Lease != 0 ? StoreError.LeaseProvided : StoreError.None;
    }

    /// <summary>PUT-06.</summary>
    public static StoreError ValidateDeleteRange(ReadOnlySpan<byte> request)
    {
        if (!DeleteRangeView.TryParse(request, out DeleteRangeView delete))
        {
            return StoreError.Malformed;
        }
        return delete.Key.IsEmpty ? StoreError.EmptyKey : StoreError.None;
    }

    /// <summary>TXN-02, TXN-04, TXN-05, TXN-06, through all levels.</summary>
    public static StoreError ValidateTxn(ReadOnlySpan<byte> request, int txnOpsMax, bool refuseUnknownSort = false)
    {
        if (!IsWellFormed(request, 1))
        {
            return StoreError.Malformed;
        }
        StoreError error = CheckOps(request, txnOpsMax, refuseUnknownSort);
        if (error != StoreError.None)
        {
            return error;
        }
        TxnView.TryParse(request, out TxnView txn);
        error = CheckBranch(in txn, true);
        return error != StoreError.None ? error : CheckBranch(in txn, false);
    }

    /// <summary>
    /// TXN-09: true when the txn goes through the log. All ops of both branches plain ranges: false.
    /// <paramref name="serializable"/>: a read-only txn may be answered locally, as every range in it says so.
    /// </summary>
    public static bool IsWriteTxn(ReadOnlySpan<byte> request, out bool serializable)
    {
        serializable = true;
        if (!TxnView.TryParse(request, out TxnView txn))
        {
            return true;
        }
        return HasWrite(in txn, true, ref serializable) || HasWrite(in txn, false, ref serializable);
    }

    /// <summary>True when a TxnRequest is one at all levels, not nested too deep, and puts no empty key. Asked again at
    /// apply: an entry may come from another member's door.</summary>
    public static bool IsApplicableTxn(ReadOnlySpan<byte> request) => IsWellFormed(request, 1, putKeys: true);

    /// <summary>
    /// Depth of the request and every length in it. A RequestOp with several members set keeps the last, as
    /// protobuf has it; all are checked here all the same.
    /// </summary>
    private static bool IsWellFormed(ReadOnlySpan<byte> request, int depth, bool putKeys = false)
    {
        if (depth > TxnDepthMax || !TxnView.TryParse(request, out TxnView txn))
        {
            return false;
        }
        foreach (ReadOnlySpan<byte> part in txn.Compares)
        {
            if (!CompareView.TryParse(part, out _))
            {
                return false;
            }
        }
        foreach (ReadOnlySpan<byte> part in txn.Branch(true))
        {
            if (!IsWellFormedOp(part, depth, putKeys))
            {
                return false;
            }
        }
        foreach (ReadOnlySpan<byte> part in txn.Branch(false))
        {
            if (!IsWellFormedOp(part, depth, putKeys))
            {
                return false;
            }
        }
        return true;
    }

    private static bool IsWellFormedOp(ReadOnlySpan<byte> part, int depth, bool putKeys) =>
        RequestOpView.TryParse(part, out RequestOpView op) && op.Kind switch
        {
            RequestOpKind.Range => RangeView.TryParse(op.Body, out _),
            RequestOpKind.Put => PutView.TryParse(op.Body, out PutView put) && !(putKeys && put.Key.IsEmpty),
            RequestOpKind.DeleteRange => DeleteRangeView.TryParse(op.Body, out _),
            RequestOpKind.Txn => IsWellFormed(op.Body, depth + 1, putKeys),
            _ => true,
        };

    private static StoreError CheckOps(ReadOnlySpan<byte> request, int opsMax, bool refuseUnknownSort)
    {
        TxnView.TryParse(request, out TxnView txn);
        int ops = Math.Max(txn.CompareCount, Math.Max(txn.SuccessCount, txn.FailureCount));
        if (ops > opsMax)
        {
            return StoreError.TooManyOps;
        }
        foreach (ReadOnlySpan<byte> part in txn.Compares)
        {
            CompareView.TryParse(part, out CompareView compare);
            if (compare.Key.IsEmpty)
            {
                return StoreError.EmptyKey;
            }
        }
        foreach (ReadOnlySpan<byte> part in txn.Branch(true))
        {
            StoreError error = CheckOp(part, opsMax - ops, refuseUnknownSort);
            if (error != StoreError.None)
            {
                return error;
            }
        }
        foreach (ReadOnlySpan<byte> part in txn.Branch(false))
        {
            StoreError error = CheckOp(part, opsMax - ops, refuseUnknownSort);
            if (error != StoreError.None)
            {
                return error;
            }
        }
        return StoreError.None;
    }

    private static StoreError CheckOp(ReadOnlySpan<byte> part, int opsLeft, bool refuseUnknownSort)
    {
        RequestOpView.TryParse(part, out RequestOpView op);
        return op.Kind switch
        {
            RequestOpKind.Range => ValidateRange(op.Body, refuseUnknownSort),
            RequestOpKind.Put => ValidatePut(op.Body),
            RequestOpKind.DeleteRange => ValidateDeleteRange(op.Body),
            RequestOpKind.Txn => CheckOps(op.Body, opsLeft, refuseUnknownSort),
            _ => StoreError.KeyNotFound,
        };
    }

    private static bool HasWrite(in TxnView txn, bool success, ref bool serializable)
    {
        foreach (ReadOnlySpan<byte> part in txn.Branch(success))
        {
            if (!RequestOpView.TryParse(part, out RequestOpView op)
                || op.Kind != RequestOpKind.Range
                || !RangeView.TryParse(op.Body, out RangeView range))
            {
                return true;
            }
            serializable &= range.Serializable;
        }
        return false;
    }

    private static StoreError CheckBranch(in TxnView txn, bool success)
    {
        int ops = success ? txn.SuccessCount : txn.FailureCount;
        if (ops <= 1 && !HasNested(in txn, success))
        {
            return StoreError.None;
        }
        if (ops > PairwiseOpsMax || HasNested(in txn, success))
        {
            return CollectBranch(in txn, success, out _, out _) ? StoreError.None : StoreError.DuplicateKey;
        }

        int at = 0;
        foreach (ReadOnlySpan<byte> part in txn.Branch(success))
        {
            RequestOpView.TryParse(part, out RequestOpView op);
            if (op.Kind == RequestOpKind.Put
                && PutView.TryParse(op.Body, out PutView put)
                && MeetsAnother(in txn, success, at, put.Key))
            {
                return StoreError.DuplicateKey;
            }
            at++;
        }
        return StoreError.None;
    }

    private static bool HasNested(in TxnView txn, bool success)
    {
        foreach (ReadOnlySpan<byte> part in txn.Branch(success))
        {
            RequestOpView.TryParse(part, out RequestOpView op);
            if (op.Kind == RequestOpKind.Txn)
            {
                return true;
            }
        }
        return false;
    }

    /// <summary>True when the put at position <paramref name="self"/> meets an earlier put or any delete.</summary>
    private static bool MeetsAnother(in TxnView txn, bool success, int self, ReadOnlySpan<byte> key)
    {
        int at = 0;
        foreach (ReadOnlySpan<byte> part in txn.Branch(success))
        {
            RequestOpView.TryParse(part, out RequestOpView op);
            if (op.Kind == RequestOpKind.Put && at < self)
            {
                PutView.TryParse(op.Body, out PutView other);
                if (other.Key.SequenceEqual(key))
                {
                    return true;
                }
            }
            else if (op.Kind == RequestOpKind.DeleteRange)
            {
                DeleteRangeView.TryParse(op.Body, out DeleteRangeView delete);
                if (Covers(delete.Key, delete.RangeEnd, key))
                {
                    return true;
                }
            }
            at++;
        }
        return false;
    }

    /// <summary>
    /// etcd compares with the range end as sent: one that lies below the key, as "\0" for "from key on" does,
    /// covers nothing here.
    /// </summary>
    private static bool Covers(ReadOnlySpan<byte> begin, ReadOnlySpan<byte> end, ReadOnlySpan<byte> key) =>
        end.IsEmpty
            ? begin.SequenceEqual(key)
            : key.SequenceCompareTo(begin) >= 0 && key.SequenceCompareTo(end) < 0;

    /// <summary>
    /// The same question with nesting, in the order in which etcd asks it: this level's deletes, then each nested
    /// txn's puts against all deletes known by then, then this level's puts. False: duplicate key.
    /// </summary>
    private static bool CollectBranch(
        in TxnView txn, bool success, out HashSet<byte[]> puts, out IntervalSet deletes)
    {
        puts = new HashSet<byte[]>(BytesComparer.Instance);
        deletes = new IntervalSet();
        foreach (ReadOnlySpan<byte> part in txn.Branch(success))
        {
            RequestOpView.TryParse(part, out RequestOpView op);
            if (op.Kind == RequestOpKind.DeleteRange)
            {
                DeleteRangeView.TryParse(op.Body, out DeleteRangeView delete);
                deletes.Add(delete.Key, delete.RangeEnd);
            }
        }
        foreach (ReadOnlySpan<byte> part in txn.Branch(success))
        {
            RequestOpView.TryParse(part, out RequestOpView op);
            if (op.Kind != RequestOpKind.Txn)
            {
                continue;
            }
            TxnView.TryParse(op.Body, out TxnView nested);
            if (!CollectBranch(in nested, true, out HashSet<byte[]> thenPuts, out IntervalSet thenDeletes)
                || !CollectBranch(in nested, false, out HashSet<byte[]> elsePuts, out IntervalSet elseDeletes))
            {
                return false;
            }
            foreach (byte[] key in thenPuts)
            {
                if (deletes.Contains(key) || !puts.Add(key))
                {
                    return false;
                }
            }
            foreach (byte[] key in elsePuts)
            {
                // Then and else exclude each other: the same key in both is no duplicate.
                if (deletes.Contains(key) || (!puts.Add(key) && !thenPuts.Contains(key)))
                {
                    return false;
                }
            }
            deletes.Add(thenDeletes);
            deletes.Add(elseDeletes);
        }
        foreach (ReadOnlySpan<byte> part in txn.Branch(success))
        {
            RequestOpView.TryParse(part, out RequestOpView op);
            if (op.Kind == RequestOpKind.Put)
            {
                PutView.TryParse(op.Body, out PutView put);
                byte[] key = put.Key.ToArray();
                if (deletes.Contains(key) || !puts.Add(key))
                {
                    return false;
                }
            }
        }
        return true;
    }

    /// <summary>Disjoint half-open intervals, ascending.</summary>
    private sealed class IntervalSet
    {
        private readonly List<(byte[] Begin, byte[] End)> _intervals = [];

        public void Add(ReadOnlySpan<byte> key, ReadOnlySpan<byte> end)
        {
            byte[] begin = key.ToArray();
            byte[] behind = end.IsEmpty ? [.. key, 0] : end.ToArray();
            if (Compare(begin, behind) < 0)
            {
                Add(begin, behind);
            }
        }

        public void Add(IntervalSet other)
        {
            foreach ((byte[] begin, byte[] end) in other._intervals)
            {
                Add(begin, end);
            }
        }

        public bool Contains(byte[] key)
        {
            int next = FirstEndingBehind(key);
            return next < _intervals.Count && Compare(_intervals[next].Begin, key) <= 0;
        }

        private static int Compare(byte[] left, byte[] right) => left.AsSpan().SequenceCompareTo(right);

        private void Add(byte[] begin, byte[] end)
        {
            int from = FirstEndingBehind(begin);
            int to = from;
            while (to < _intervals.Count && Compare(_intervals[to].Begin, end) < 0)
            {
                begin = Compare(_intervals[to].Begin, begin) < 0 ? _intervals[to].Begin : begin;
                end = Compare(_intervals[to].End, end) > 0 ? _intervals[to].End : end;
                to++;
            }
            _intervals.RemoveRange(from, to - from);
            _intervals.Insert(from, (begin, end));
        }

        private int FirstEndingBehind(byte[] key)
        {
            int low = 0;
            int high = _intervals.Count;
            while (low < high)
            {
                int middle = (low + high) / 2;
                if (Compare(_intervals[middle].End, key) > 0)
                {
                    high = middle;
                }
                else
                {
                    low = middle + 1;
                }
            }
            return low;
        }
    }
}
