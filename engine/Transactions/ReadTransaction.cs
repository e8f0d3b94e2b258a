using Perf.Engine.Space;
using Perf.Engine.Tree;

namespace Perf.Engine.Transactions;

/// <summary>A view of one commit. Every span it yields is good until Dispose.</summary>
public ref struct ReadTransaction : IDisposable
{
    private readonly DataFile _file;
    private readonly CommitView _view;
    private EpochSlot _slot;

    internal ReadTransaction(DataFile file, CommitView view, EpochSlot slot)
    {
        _file = file;
        _view = view;
        _slot = slot;
    }

    public readonly ulong Txid => _view.Txid;

    public readonly bool HasBucket(string bucket) => HasBucket(_file.FindBucket(bucket));

    public readonly bool HasBucket(BucketId bucket) => _view.Bucket(bucket).Exists;

    public readonly bool TryGet(string bucket, ReadOnlySpan<byte> key, out ReadOnlySpan<byte> value) =>
        TreeSearch.TryGet(_view, _view.Bucket(_file.FindBucket(bucket)), key, out value);

    public readonly bool TryGet(BucketId bucket, ReadOnlySpan<byte> key, out ReadOnlySpan<byte> value) =>
        TreeSearch.TryGet(_view, _view.Bucket(bucket), key, out value);

    /// <summary>A cursor; over a bucket that is not there it finds nothing.</summary>
    public readonly BucketCursor OpenCursor(string bucket) => OpenCursor(_file.FindBucket(bucket));

    /// <summary>A cursor; over a bucket that is not there it finds nothing.</summary>
    public readonly BucketCursor OpenCursor(BucketId bucket) => new(_view, _view.Bucket(bucket));

    /// <summary>Names of all buckets, in byte order. Allocates.</summary>
    public readonly IReadOnlyList<string> Buckets() => _file.BucketNames(_view);

    /// <summary>
    /// At most parts - 1 ascending keys that cut the bucket into about equal runs of leaves (from branch pages only):
    /// part i is [keys[i-1], keys[i]). For parallel scans. Allocates.
    /// </summary>
    public readonly List<byte[]> SplitKeys(string bucket, int parts) =>
        TreeSearch.SplitKeys(_view, _view.Bucket(_file.FindBucket(bucket)), parts);

    public void Dispose() => _slot.Leave();
}
