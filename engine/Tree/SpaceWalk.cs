using System.Buffers.Binary;
using System.Runtime.CompilerServices;
using System.Text;
using Perf.Engine.Pages;
using Perf.Engine.Space;
using Perf.Engine.Transactions;

namespace Perf.Engine.Tree;

/// <summary>
/// What a file must tell before it can be used: which pages are reachable, and which buckets there are. Checks
/// branches wholly and of leaves the header; refuses a page that is reached twice, so that no later walk can go in circles.
/// </summary>
/// <remarks>What runs for each page is optimized at once: see <see cref="PageCheck.Leaf"/>.</remarks>
internal sealed class SpaceWalk(CommitView view, PageSpace space)
{
    private static readonly UTF8Encoding StrictUtf8 = new(false, throwOnInvalidBytes: true);

    /// <summary>Buckets in byte order of their names.</summary>
    public List<(string Name, BucketRoot Root)> Buckets { get; } = [];

    /// <summary>Extents that etcd wrote.</summary>
    public long ExtentsWithoutTrailer { get; private set; }

    /// <summary>A stored freelist's extent, or an empty one.</summary>
    public (long Page, long Count) Freelist { get; private set; }

    public void Run()
    {
        Walk(view.Meta.Root, view.Meta.RootChecksum, PageLayout.DepthMax, holdsBuckets: true);
        foreach ((_, BucketRoot bucket) in Buckets)
        {
            if (bucket.Root != 0)
            {
                Walk(bucket.Root, bucket.Checksum, PageLayout.DepthMax, holdsBuckets: false);
            }
        }

        if (view.Meta.Freelist != MetaPage.NoFreelist)
        {
            long page = (long)view.Meta.Freelist;
            ReadOnlySpan<byte> extent = Mark(page);
            if (PageHeader.Flags(extent) != PageLayout.FreelistFlag)
            {
                view.ThrowCorrupt(page, $"page#{page}: flags 0x{PageHeader.Flags(extent):x}, expected a freelist");
            }

            Freelist = (page, extent.Length / view.Meta.PageBytes);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private void Walk(long id, uint expected, int depthLeft, bool holdsBuckets)
    {
        if (depthLeft == 0)
        {
            view.ThrowCorrupt(id, $"page#{id}: a tree of more than {PageLayout.DepthMax} levels");
        }

        ReadOnlySpan<byte> page = Mark(id);
        bool isLeaf = PageHeader.Flags(page) == PageLayout.LeafFlag;
        if (!isLeaf || holdsBuckets)
        {
            page = view.Page(id, expected, holdsBuckets);
        }

        if (!PageTrailer.IsPresent(page))
        {
            ExtentsWithoutTrailer++;
            if (view.Meta.AllTrailers && view.ChecksTrailers)
            {
                view.ThrowCorrupt(id, $"page#{id}: trailer missing");
            }
        }

        if (!isLeaf)
        {
            var branch = new BranchView(page);
            for (int i = 0; i < branch.Count; i++)
            {
                Walk(branch.Child(i), branch.ChildChecksum(i), depthLeft - 1, holdsBuckets);
            }
        }
        else if (holdsBuckets)
        {
            var leaf = new LeafView(page);
            for (int i = 0; i < leaf.Count; i++)
            {
                AddBucket(id, leaf.Key(i), leaf.Value(i));
            }
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private ReadOnlySpan<byte> Mark(long id)
    {
        if (id < PageLayout.FirstDataPage || id >= view.Meta.HighWater)
        {
            view.ThrowCorrupt(id, $"page#{id} is not below the high-water mark {view.Meta.HighWater}");
        }

        int pageBytes = view.Meta.PageBytes;
        ReadOnlySpan<byte> page = view.Map.Span(id * pageBytes, pageBytes);
        if (PageHeader.Id(page) != id)
        {
            view.ThrowCorrupt(id, $"page#{id}: header says page#{PageHeader.Id(page)}");
        }

        page = view.Extent(id, PageHeader.Overflow(page));
        long count = page.Length / pageBytes;
        if (space.IsUsed(id, count))
        {
            view.ThrowCorrupt(id, $"page#{id}: reached twice");
        }

        space.MarkUsed(id, count);
        return page;
    }

    private void AddBucket(long page, ReadOnlySpan<byte> nameBytes, ReadOnlySpan<byte> value)
    {
        string name;
        try
        {
            name = StrictUtf8.GetString(nameBytes);
        }
        catch (DecoderFallbackException)
        {
            view.ThrowCorrupt(page, $"page#{page}: a bucket's name is not UTF-8");
            return;
        }

        Buckets.Add((name, ReadRoot(page, name, value)));
    }

    private BucketRoot ReadRoot(long page, string name, ReadOnlySpan<byte> value)
    {
        if (value.Length < PageLayout.BucketHeaderBytes)
        {
            view.ThrowCorrupt(page, $"page#{page}: bucket {name} has a header of {value.Length} bytes");
        }

        long root = BinaryPrimitives.ReadInt64LittleEndian(value);
        ulong sequence = BinaryPrimitives.ReadUInt64LittleEndian(value[8..]);
        if (root != 0)
        {
            return new BucketRoot(true, root, sequence, PageLayout.RootChecksum(value), null);
        }

        ReadOnlySpan<byte> inline = value[PageLayout.BucketHeaderBytes..];
        if (inline.Length < PageLayout.HeaderBytes || PageHeader.Flags(inline) != PageLayout.LeafFlag)
        {
            view.ThrowCorrupt(page, $"page#{page}: bucket {name} has no inline page");
        }

        string? problem = PageCheck.Leaf(inline, 0, holdsBuckets: false);
        if (problem is not null)
        {
            view.ThrowCorrupt(page, $"page#{page}: inline bucket {name}: {problem}");
        }

        return new BucketRoot(true, 0, sequence, 0, inline.ToArray());
    }
}
