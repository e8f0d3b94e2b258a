using Perf.Store.Backend;
using Perf.Store.Lease;
using Perf.Store.Mvcc;

namespace Perf.Store.Apply;

/// <summary>The small buckets and the lease records over the backend. Apply thread.</summary>
internal sealed class BackendBuckets(BackendStore backend) : IStateBuckets, ILeaseRecords
{
    public void Put(string bucket, ReadOnlySpan<byte> key, ReadOnlySpan<byte> value) => backend.Put(bucket, key, value);

    public void Delete(string bucket, ReadOnlySpan<byte> key) => backend.Delete(bucket, key);

    public byte[]? Get(string bucket, ReadOnlySpan<byte> key) =>
        backend.TryGet(bucket, key, out var value) ? value.ToArray() : null;

    public IReadOnlyList<KeyValuePair<byte[], byte[]>> List(string bucket)
    {
        var records = new List<KeyValuePair<byte[], byte[]>>();
        backend.ForEach(bucket, (key, value) => records.Add(new(key.ToArray(), value.ToArray())));
        return records;
    }

    public void Put(long id, ReadOnlySpan<byte> record) => backend.Put(Buckets.Lease, Key(id), record);

    public void Delete(long id) => backend.Delete(Buckets.Lease, Key(id));

    public void ForEach(LeaseRecordVisitor visitor) => backend.ForEach(Buckets.Lease, (_, value) => visitor(value));

    private static byte[] Key(long id)
    {
        byte[] key = new byte[sizeof(long)];
        System.Buffers.Binary.BinaryPrimitives.WriteInt64BigEndian(key, id);
        return key;
    }
}

/// <summary>What a revoked lease leaves behind, deleted in one transaction.</summary>
internal sealed class LeasedKeys(MvccStore kv) : ILeasedKeys
{
    public void DeleteKeys(ReadOnlySpan<byte[]> keys)
    {
        kv.BeginTxn();
        foreach (byte[] key in keys)
        {
            kv.Delete(key);
        }

        kv.EndTxn();
    }
}

/// <summary>The lessor as the authorizer asks it.</summary>
internal sealed class LeaseKeys(Lessor lessor) : Auth.ILeaseKeys
{
    public IReadOnlyList<byte[]> KeysOf(long lease) => lessor.KeysOf(lease) ?? [];
}
