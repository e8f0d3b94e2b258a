using System.Diagnostics.CodeAnalysis;
using System.Runtime.CompilerServices;
using Perf.Engine.IO;
using Perf.Engine.Pages;
using Perf.Engine.Space;

namespace Perf.Engine.Transactions;

/// <summary>One commit as readers see it: immutable, made by the committer, published by one reference.</summary>
internal sealed class CommitView
{
    public required string FilePath { get; init; }

    public required MetaPage Meta { get; init; }

    public required IFileMap Map { get; init; }

    public required VerifiedPages Verified { get; init; }

    /// <summary>Checksums are checked on first touch; structure always is.</summary>
    public required bool ChecksTrailers { get; init; }

    /// <summary>By <see cref="BucketId"/>; may be shorter than the newest id.</summary>
    public required BucketRoot[] Buckets { get; init; }

    /// <summary>Pages reachable from this commit.</summary>
    public long PagesUsed { get; init; }

    public ulong Txid => Meta.Txid;

    public BucketRoot Bucket(BucketId bucket) =>
        (uint)bucket.Value < (uint)Buckets.Length ? Buckets[bucket.Value] : default;

    /// <summary>The extent that begins at a page, checked if this is its first touch.</summary>
    /// <param name="id">Page number as some page on disk claims it.</param>
    /// <param name="expected">Checksum its parent expects; 0 for none.</param>
    /// <param name="holdsBuckets">True in the root tree only.</param>
    public ReadOnlySpan<byte> Page(long id, uint expected = 0, bool holdsBuckets = false)
    {
        if (id < PageLayout.FirstDataPage || id >= Meta.HighWater)
        {
            ThrowCorrupt(id, $"page#{id} is not below the high-water mark {Meta.HighWater}");
        }

        int pageBytes = Meta.PageBytes;
        ReadOnlySpan<byte> page = Map.Span(id * pageBytes, pageBytes);
        uint overflow = PageHeader.Overflow(page);
        if (overflow != 0)
        {
            page = Extent(id, overflow);
        }

        if (!Verified.Contains(id))
        {
            Verify(page, id, expected, holdsBuckets);
        }

        return page;
    }

    /// <summary>The extent without any check of its contents; its length is checked.</summary>
    public ReadOnlySpan<byte> Extent(long id, uint overflow)
    {
        int pageBytes = Meta.PageBytes;
        if (overflow >= Meta.HighWater - id || (overflow + 1L) * pageBytes > int.MaxValue)
        {
            ThrowCorrupt(id, $"page#{id}: {overflow} overflow pages, the high-water mark is {Meta.HighWater}");
        }

        return Map.Span(id * pageBytes, (int)((overflow + 1) * pageBytes));
    }

    [DoesNotReturn]
    [MethodImpl(MethodImplOptions.NoInlining)]
    public void ThrowCorrupt(long page, string reason) =>
        throw new CorruptionException(FilePath, page * Meta.PageBytes, reason);

    [MethodImpl(MethodImplOptions.NoInlining)]
    private void Verify(ReadOnlySpan<byte> page, long id, uint expected, bool holdsBuckets)
    {
        string? problem = PageCheck.Structure(page, id, Meta.HighWater, holdsBuckets);
        if (problem is null && ChecksTrailers)
        {
            problem = PageCheck.Checksum(page, id, expected, Meta.AllTrailers);
        }

        if (problem is not null)
        {
            ThrowCorrupt(id, problem);
        }

        Verified.Add(id);
    }
}

/// <summary>Where a bucket's entries are.</summary>
/// <param name="Exists">False: no such bucket in this commit.</param>
/// <param name="Root">Root page, or 0 when the entries are inline.</param>
/// <param name="Sequence">bbolt's counter; etcd leaves it at 0, we keep what we find.</param>
/// <param name="Checksum">The root page's checksum; 0 where etcd wrote the bucket, or it is inline.</param>
/// <param name="Inline">A copy of the inline page; empty when there is none.</param>
internal readonly record struct BucketRoot(bool Exists, long Root, ulong Sequence, uint Checksum, byte[]? Inline);
