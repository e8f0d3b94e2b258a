using System.Buffers.Binary;
using Perf.Store.Backend;

namespace Perf.Store.Lease;

/// <summary>Lease records in bucket <c>lease</c> of the backend: key is the id, eight bytes, big-endian.</summary>
public sealed class BackendLeaseRecords : ILeaseRecords
{
    private readonly BackendStore _backend;

    public BackendLeaseRecords(BackendStore backend)
    {
        _backend = backend;
    }

    /// <inheritdoc/>
    public void Put(long id, ReadOnlySpan<byte> record)
    {
        Span<byte> key = stackalloc byte[sizeof(long)];
        BinaryPrimitives.WriteInt64BigEndian(key, id);
        _backend.Put(Buckets.Lease, key, record);
    }

    /// <inheritdoc/>
    public void Delete(long id)
    {
        Span<byte> key = stackalloc byte[sizeof(long)];
        BinaryPrimitives.WriteInt64BigEndian(key, id);
        _backend.Delete(Buckets.Lease, key);
    }

    /// <inheritdoc/>
    public void ForEach(LeaseRecordVisitor visitor) => _backend.ForEach(Buckets.Lease, (_, value) => visitor(value));
}
