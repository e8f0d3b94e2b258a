using Perf.Engine.Memory;

namespace Perf.Store.Mvcc;

/// <summary>What the key space asks of the leases. Called by the apply thread only.</summary>
public interface ILeaseAttachments
{
    /// <summary>True when the lease is granted.</summary>
    bool Exists(long lease);

    /// <summary>The key hangs on the lease from now on; attaching twice is no error.</summary>
    void Attach(long lease, ReadOnlySpan<byte> key);

    /// <summary>The key no longer hangs on the lease; neither an unknown lease nor an unknown key is an error.</summary>
    void Detach(long lease, ReadOnlySpan<byte> key);
}

/// <summary>
/// What the key space tells the watches. Called by the apply thread only, in this order: any number of transactions
/// in ascending revision, then one publication that makes them visible. No event may leave before that (I7).
/// </summary>
public interface IRevisionSink
{
    /// <summary>
    /// A transaction took <paramref name="revision"/>. Events are in sub-revision order, good during the call;
    /// whoever keeps one retains its <see cref="RevisionEvent.Owner"/>.
    /// </summary>
    void OnTransaction(long revision, ReadOnlySpan<RevisionEvent> events);

    /// <summary>Readers now see <paramref name="revision"/>.</summary>
    void OnPublished(long revision);

    /// <summary>Revisions below <paramref name="revision"/> can no longer be read.</summary>
    void OnCompacted(long revision);

    /// <summary>The whole key space was replaced by a snapshot whose newest revision is given.</summary>
    void OnReset(long revision);
}

/// <summary>One put or delete of a transaction, encoded once for everybody who tells of it.</summary>
public readonly struct RevisionEvent
{
    public RevisionEvent(
        bool isDelete, bool isCreate, ReadOnlyMemory<byte> key, ReadOnlyMemory<byte> keyValue, Slab owner)
    {
        IsDelete = isDelete;
        IsCreate = isCreate;
        Key = key;
        KeyValue = keyValue;
        Owner = owner;
    }

    public bool IsDelete { get; }

    /// <summary>A put that made the key: its create revision is its mod revision.</summary>
    public bool IsCreate { get; }

    /// <summary>The key; a slice of <see cref="KeyValue"/>.</summary>
    public ReadOnlyMemory<byte> Key { get; }

    /// <summary>
    /// Bytes of mvccpb.KeyValue as an event carries it: what is stored for a put, key and mod revision for a delete.
    /// </summary>
    public ReadOnlyMemory<byte> KeyValue { get; }

    /// <summary>The slab that <see cref="Key"/> and <see cref="KeyValue"/> lie in.</summary>
    public Slab Owner { get; }
}
