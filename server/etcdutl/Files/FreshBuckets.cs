using Perf.Engine.Transactions;
using Perf.Store.Apply;

namespace Perf.Etcdutl.Files;

/// <summary>The small buckets of a cluster that begins: nothing is there yet, what is put goes into a batch.</summary>
internal sealed class FreshBuckets(WriteBatch batch) : IStateBuckets
{
    public void Put(string bucket, ReadOnlySpan<byte> key, ReadOnlySpan<byte> value) => batch.Put(bucket, key, value);

    public void Delete(string bucket, ReadOnlySpan<byte> key) => batch.Delete(bucket, key);

    public byte[]? Get(string bucket, ReadOnlySpan<byte> key) => null;

    public IReadOnlyList<KeyValuePair<byte[], byte[]>> List(string bucket) => [];
}
