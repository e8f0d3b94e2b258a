namespace Perf.Store.Apply;

/// <summary>
/// The small buckets as the apply thread sees them: its own writes are visible at once and become durable together
/// with the revisions and the consistent index of the same entry.
/// </summary>
public interface IStateBuckets
{
    void Put(string bucket, ReadOnlySpan<byte> key, ReadOnlySpan<byte> value);

    /// <summary>Removing what is not there is no error.</summary>
    void Delete(string bucket, ReadOnlySpan<byte> key);

    /// <summary>The value, or null.</summary>
    byte[]? Get(string bucket, ReadOnlySpan<byte> key);

    /// <summary>All records of a bucket in key order, as a copy that later writes do not touch.</summary>
    IReadOnlyList<KeyValuePair<byte[], byte[]>> List(string bucket);
}
