namespace Perf.Client;

/// <summary>A key with its value and history, as the store holds it at some revision.</summary>
public sealed record KeyValue
{
    /// <summary>The key.</summary>
    public Bytes Key { get; init; }

    /// <summary>Revision of the put that created the key (since its last deletion).</summary>
    public long CreateRevision { get; init; }

    /// <summary>Revision of the last put. Unique and ever growing: good as a fencing token.</summary>
    public long ModRevision { get; init; }

    /// <summary>Number of puts since creation, from 1.</summary>
    public long Version { get; init; }

    /// <summary>The value; empty when only keys were asked for.</summary>
    public Bytes Value { get; init; }

    /// <summary>The lease the key is attached to, or 0.</summary>
    public long Lease { get; init; }

    internal static KeyValue From(Mvccpb.KeyValue kv) => new()
    {
        Key = kv.Key.Memory,
        CreateRevision = kv.CreateRevision,
        ModRevision = kv.ModRevision,
        Version = kv.Version,
        Value = kv.Value.Memory,
        Lease = kv.Lease,
    };

    internal static KeyValue? FromNullable(Mvccpb.KeyValue? kv) => kv is null ? null : From(kv);
}

/// <summary>Answer to a get.</summary>
public sealed class GetResponse : EtcdResponse
{
    /// <summary>The pairs found, in the order asked for.</summary>
    public IReadOnlyList<KeyValue> Kvs { get; init; } = [];

    /// <summary>True when the limit cut the answer.</summary>
    public bool More { get; init; }

    /// <summary>Number of keys in the range, whatever the limit.</summary>
    public long Count { get; init; }

    internal static GetResponse From(Etcdserverpb.RangeResponse m) => new()
    {
        HasHeader = m.Header is not null,
        Header = ResponseHeader.From(m.Header),
        Kvs = m.Kvs.Select(KeyValue.From).ToArray(),
        More = m.More,
        Count = m.Count,
        Message = m,
    };
}

/// <summary>Answer to a put.</summary>
public sealed class PutResponse : EtcdResponse
{
    /// <summary>The pair before, when asked for and when there was one.</summary>
    public KeyValue? PrevKv { get; init; }

    internal static PutResponse From(Etcdserverpb.PutResponse m) => new()
    {
        HasHeader = m.Header is not null,
        Header = ResponseHeader.From(m.Header),
        PrevKv = KeyValue.FromNullable(m.PrevKv),
        Message = m,
    };
}

/// <summary>Answer to a delete.</summary>
public sealed class DeleteResponse : EtcdResponse
{
    /// <summary>Number of keys deleted.</summary>
    public long Deleted { get; init; }

    /// <summary>The deleted pairs, when asked for.</summary>
    public IReadOnlyList<KeyValue> PrevKvs { get; init; } = [];

    internal static DeleteResponse From(Etcdserverpb.DeleteRangeResponse m) => new()
    {
        HasHeader = m.Header is not null,
        Header = ResponseHeader.From(m.Header),
        Deleted = m.Deleted,
        PrevKvs = m.PrevKvs.Select(KeyValue.From).ToArray(),
        Message = m,
    };
}

/// <summary>
/// Answer to a transaction. Each element of <see cref="Responses"/> is a <see cref="GetResponse"/>,
/// <see cref="PutResponse"/>, <see cref="DeleteResponse"/> or, for a nested transaction, a <see cref="TxnResponse"/>.
/// </summary>
public sealed class TxnResponse : EtcdResponse
{
    /// <summary>True when all comparisons held and the success branch ran.</summary>
    public bool Succeeded { get; init; }

    /// <summary>One answer for each operation of the branch that ran, in order.</summary>
    public IReadOnlyList<EtcdResponse> Responses { get; init; } = [];

    internal static TxnResponse From(Etcdserverpb.TxnResponse m) => new()
    {
        HasHeader = m.Header is not null,
        Header = ResponseHeader.From(m.Header),
        Succeeded = m.Succeeded,
        Responses = m.Responses.Select(FromOp).ToArray(),
        Message = m,
    };

    private static EtcdResponse FromOp(Etcdserverpb.ResponseOp op) => op.ResponseCase switch
    {
        Etcdserverpb.ResponseOp.ResponseOneofCase.ResponseRange => GetResponse.From(op.ResponseRange),
        Etcdserverpb.ResponseOp.ResponseOneofCase.ResponsePut => PutResponse.From(op.ResponsePut),
        Etcdserverpb.ResponseOp.ResponseOneofCase.ResponseDeleteRange => DeleteResponse.From(op.ResponseDeleteRange),
        Etcdserverpb.ResponseOp.ResponseOneofCase.ResponseTxn => From(op.ResponseTxn),
        _ => new EtcdResponse { HasHeader = false, Message = op },
    };
}

/// <summary>What happened to a key.</summary>
public enum WatchEventType
{
    /// <summary>The key was created or its value replaced.</summary>
    Put = 0,

    /// <summary>The key was deleted, or its lease ran out.</summary>
    Delete = 1,
}

/// <summary>One change of one key.</summary>
public sealed record WatchEvent
{
    /// <summary>What happened.</summary>
    public WatchEventType Type { get; init; }

    /// <summary>The pair after the change; a delete has only the key and the revision of the deletion.</summary>
    public required KeyValue Kv { get; init; }

    /// <summary>The pair before, when asked for and not yet compacted.</summary>
    public KeyValue? PrevKv { get; init; }

    /// <summary>True for the put that created the key.</summary>
    public bool IsCreate => Type == WatchEventType.Put && Kv.CreateRevision == Kv.ModRevision;

    internal static WatchEvent From(Mvccpb.Event e) => new()
    {
        Type = e.Type == Mvccpb.Event.Types.EventType.Delete ? WatchEventType.Delete : WatchEventType.Put,
        Kv = e.Kv is null ? new KeyValue() : KeyValue.From(e.Kv),
        PrevKv = KeyValue.FromNullable(e.PrevKv),
    };
}
