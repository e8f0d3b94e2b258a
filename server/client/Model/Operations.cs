using Google.Protobuf;

namespace Perf.Client;

/// <summary>Order of the pairs of a get.</summary>
public enum SortOrder
{
    /// <summary>As stored, which is by key ascending.</summary>
    None = 0,

    /// <summary>Smallest first.</summary>
    Ascend = 1,

    /// <summary>Largest first.</summary>
    Descend = 2,
}

/// <summary>Field a get sorts by.</summary>
public enum SortTarget
{
    /// <summary>By key.</summary>
    Key = 0,

    /// <summary>By how often the key was written.</summary>
    Version = 1,

    /// <summary>By the revision that created the key.</summary>
    Create = 2,

    /// <summary>By the revision that changed the key last.</summary>
    Mod = 3,

    /// <summary>By value.</summary>
    Value = 4,
}

/// <summary>How a get reads. The default reads one key, linearizably, at the newest revision.</summary>
public sealed record GetOptions
{
    /// <summary>End of the half-open range; empty for one key, <see cref="Bytes.Zero"/> for no upper bound.</summary>
    public Bytes RangeEnd { get; init; }

    /// <summary>True to read all keys that start with the key given (all keys when it is empty).</summary>
    public bool Prefix { get; init; }

    /// <summary>Most pairs to return; 0 for all.</summary>
    public long Limit { get; init; }

    /// <summary>Revision to read at; 0 for the newest.</summary>
    public long Revision { get; init; }

    /// <summary>Order of the answer.</summary>
    public SortOrder SortOrder { get; init; }

    /// <summary>Field to sort by.</summary>
    public SortTarget SortTarget { get; init; }

    /// <summary>True to accept the answering member's own, possibly stale, state.</summary>
    public bool Serializable { get; init; }

    /// <summary>True to leave the values out.</summary>
    public bool KeysOnly { get; init; }

    /// <summary>True to return only the number of keys.</summary>
    public bool CountOnly { get; init; }

    /// <summary>Leaves out keys changed last before this revision; 0 for none.</summary>
    public long MinModRevision { get; init; }

    /// <summary>Leaves out keys changed last after this revision; 0 for none.</summary>
    public long MaxModRevision { get; init; }

    /// <summary>Leaves out keys created before this revision; 0 for none.</summary>
    public long MinCreateRevision { get; init; }

    /// <summary>Leaves out keys created after this revision; 0 for none.</summary>
    public long MaxCreateRevision { get; init; }

    internal Etcdserverpb.RangeRequest ToRequest(Bytes key)
    {
        (Bytes start, Bytes end) = Range.Resolve(key, RangeEnd, Prefix);
        return new Etcdserverpb.RangeRequest
        {
            Key = Wire.String(start),
            RangeEnd = Wire.String(end),
            Limit = Limit,
            Revision = Revision,
            SortOrder = (Etcdserverpb.RangeRequest.Types.SortOrder)SortOrder,
            SortTarget = (Etcdserverpb.RangeRequest.Types.SortTarget)SortTarget,
            Serializable = Serializable,
            KeysOnly = KeysOnly,
            CountOnly = CountOnly,
            MinModRevision = MinModRevision,
            MaxModRevision = MaxModRevision,
            MinCreateRevision = MinCreateRevision,
            MaxCreateRevision = MaxCreateRevision,
        };
    }
}

/// <summary>How a put writes.</summary>
public sealed record PutOptions
{
    /// <summary>Lease to attach the key to; 0 detaches it.</summary>
    public long Lease { get; init; }

    /// <summary>True to return the pair before.</summary>
    public bool PrevKv { get; init; }

    /// <summary>True to keep the value and change only the lease; the key must exist.</summary>
    public bool IgnoreValue { get; init; }

    /// <summary>True to keep the lease; the key must exist.</summary>
    public bool IgnoreLease { get; init; }

    internal Etcdserverpb.PutRequest ToRequest(Bytes key, Bytes value) => new()
    {
        Key = Wire.String(key),
        Value = Wire.String(value),
        Lease = Lease,
        PrevKv = PrevKv,
        IgnoreValue = IgnoreValue,
        IgnoreLease = IgnoreLease,
    };
}

/// <summary>What a delete removes.</summary>
public sealed record DeleteOptions
{
    /// <summary>End of the half-open range; empty for one key, <see cref="Bytes.Zero"/> for no upper bound.</summary>
    public Bytes RangeEnd { get; init; }

    /// <summary>True to delete all keys that start with the key given.</summary>
    public bool Prefix { get; init; }

    /// <summary>True to return the deleted pairs.</summary>
    public bool PrevKv { get; init; }

    internal Etcdserverpb.DeleteRangeRequest ToRequest(Bytes key)
    {
        (Bytes start, Bytes end) = Range.Resolve(key, RangeEnd, Prefix);
        return new Etcdserverpb.DeleteRangeRequest
        {
            Key = Wire.String(start),
            RangeEnd = Wire.String(end),
            PrevKv = PrevKv,
        };
    }
}

/// <summary>One operation of a transaction.</summary>
public sealed class Op
{
    private Op(Etcdserverpb.RequestOp request) => Request = request;

    internal Etcdserverpb.RequestOp Request { get; }

    /// <summary>Reads a key or range.</summary>
    public static Op Get(Bytes key, GetOptions? options = null) =>
        new(new Etcdserverpb.RequestOp { RequestRange = (options ?? new GetOptions()).ToRequest(key) });

    /// <summary>Writes a key.</summary>
    public static Op Put(Bytes key, Bytes value, PutOptions? options = null) =>
        new(new Etcdserverpb.RequestOp { RequestPut = (options ?? new PutOptions()).ToRequest(key, value) });

    /// <summary>Deletes a key or range.</summary>
    public static Op Delete(Bytes key, DeleteOptions? options = null) =>
        new(new Etcdserverpb.RequestOp { RequestDeleteRange = (options ?? new DeleteOptions()).ToRequest(key) });

    /// <summary>A transaction inside the transaction.</summary>
    public static Op Txn(IEnumerable<Compare> compares, IEnumerable<Op> success, IEnumerable<Op> failure) =>
        new(new Etcdserverpb.RequestOp { RequestTxn = Wire.Txn(compares, success, failure) });
}

/// <summary>How a comparison relates what is stored to what is given.</summary>
public enum CompareResult
{
    /// <summary>Holds when both are the same.</summary>
    Equal = 0,

    /// <summary>Holds when what is stored is greater.</summary>
    Greater = 1,

    /// <summary>Holds when what is stored is less.</summary>
    Less = 2,

    /// <summary>Holds when they differ.</summary>
    NotEqual = 3,
}

/// <summary>One condition of a transaction.</summary>
public sealed class Compare
{
    private Compare(Etcdserverpb.Compare message) => Message = message;

    internal Etcdserverpb.Compare Message { get; }

    /// <summary>Compares the number of puts since creation; 0 for an absent key.</summary>
    public static Compare Version(Bytes key, CompareResult result, long version) =>
        New(key, result, Etcdserverpb.Compare.Types.CompareTarget.Version, m => m.Version = version);

    /// <summary>Compares the creating revision; 0 for an absent key, so <c>= 0</c> means "does not exist".</summary>
    public static Compare CreateRevision(Bytes key, CompareResult result, long revision) =>
        New(key, result, Etcdserverpb.Compare.Types.CompareTarget.Create, m => m.CreateRevision = revision);

    /// <summary>Compares the revision of the last put; 0 for an absent key.</summary>
    public static Compare ModRevision(Bytes key, CompareResult result, long revision) =>
        New(key, result, Etcdserverpb.Compare.Types.CompareTarget.Mod, m => m.ModRevision = revision);

    /// <summary>Compares the value; never true for an absent key.</summary>
    public static Compare Value(Bytes key, CompareResult result, Bytes value) =>
        New(key, result, Etcdserverpb.Compare.Types.CompareTarget.Value, m => m.Value = Wire.String(value));

    /// <summary>Compares the lease the key is attached to; 0 for none.</summary>
    public static Compare Lease(Bytes key, CompareResult result, long lease) =>
        New(key, result, Etcdserverpb.Compare.Types.CompareTarget.Lease, m => m.Lease = lease);

    /// <summary>The same condition, required of every key in [key, rangeEnd).</summary>
    public Compare WithRange(Bytes rangeEnd)
    {
        Etcdserverpb.Compare message = Message.Clone();
        message.RangeEnd = Wire.String(rangeEnd);
        return new Compare(message);
    }

    private static Compare New(
        Bytes key,
        CompareResult result,
        Etcdserverpb.Compare.Types.CompareTarget target,
        Action<Etcdserverpb.Compare> set)
    {
        var message = new Etcdserverpb.Compare
        {
            Key = Wire.String(key),
            Result = (Etcdserverpb.Compare.Types.CompareResult)result,
            Target = target,
        };
        set(message);
        return new Compare(message);
    }
}

/// <summary>From the client's terms to what etcd's messages want.</summary>
internal static class Range
{
    /// <summary>Key and range end as sent, following clientv3: the prefix of nothing is everything.</summary>
    public static (Bytes Start, Bytes End) Resolve(Bytes key, Bytes end, bool prefix)
    {
        if (prefix)
        {
            return key.IsEmpty ? (Bytes.Zero, Bytes.Zero) : (key, key.PrefixEnd());
        }

        return (key.IsEmpty && end == Bytes.Zero ? Bytes.Zero : key, end);
    }
}

internal static class Wire
{
    public static ByteString String(Bytes bytes) =>
        bytes.IsEmpty ? ByteString.Empty : UnsafeByteOperations.UnsafeWrap(bytes.Memory);

    public static Etcdserverpb.TxnRequest Txn(
        IEnumerable<Compare> compares, IEnumerable<Op> success, IEnumerable<Op> failure)
    {
        var request = new Etcdserverpb.TxnRequest();
        request.Compare.AddRange(compares.Select(c => c.Message));
        request.Success.AddRange(success.Select(o => o.Request));
        request.Failure.AddRange(failure.Select(o => o.Request));
        return request;
    }
}
