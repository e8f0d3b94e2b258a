namespace Perf.Engine.Transactions;

/// <summary>A view of one commit. Every span it yields is good until Dispose.</summary>
public ref struct ReadTransaction : IDisposable
{
    public readonly ulong Txid => throw new NotImplementedException();

    public readonly bool HasBucket(string bucket) => throw new NotImplementedException();

    public readonly bool HasBucket(BucketId bucket) => throw new NotImplementedException();

    public readonly bool TryGet(string bucket, ReadOnlySpan<byte> key, out ReadOnlySpan<byte> value) => throw new NotImplementedException();

    public readonly bool TryGet(BucketId bucket, ReadOnlySpan<byte> key, out ReadOnlySpan<byte> value) => throw new NotImplementedException();

    /// <summary>A cursor; over a bucket that is not there it finds nothing.</summary>
    public readonly BucketCursor OpenCursor(string bucket) => throw new NotImplementedException();

    public readonly BucketCursor OpenCursor(BucketId bucket) => throw new NotImplementedException();

    /// <summary>Names of all buckets, in byte order. Allocates.</summary>
    public readonly IReadOnlyList<string> Buckets() => throw new NotImplementedException();

    /// <summary>
    /// At most parts - 1 ascending keys that cut the bucket into about equal runs of leaves (from branch pages only):
    /// part i is [keys[i-1], keys[i]). For parallel scans. Allocates.
    /// </summary>
    public readonly List<byte[]> SplitKeys(string bucket, int parts) => throw new NotImplementedException();

    public void Dispose() => throw new NotImplementedException();
}
