using System.Buffers.Binary;
using Perf.Engine.IO;
using Perf.Engine.Pages;
using Perf.Engine.Space;
using Perf.Engine.Transactions;

namespace Perf.Engine.Tree;

/// <summary>
/// Checks a data file more strictly than bbolt does: separators equal first keys, uniform depth, key order across
/// pages, no page used twice, every page id, counts and lengths inside their extent, trailers, child checksums, a
/// stored freelist exact. Each page is visited once, whatever the file says.
/// </summary>
public sealed class TreeVerifier
{
    /// <summary>Problems listed before the walk gives up describing more.</summary>
    public const int ProblemsMax = 100;

    private readonly CommitView _view;
    private readonly PageSpace _space = new();
    private readonly VerifyReport _report = new();
    private readonly List<(string Name, BucketRoot Root)> _buckets = [];
    private int _leafDepth;

    private TreeVerifier(CommitView view) => _view = view;

    /// <summary>Verifies a closed file (or a saved image). Unreadable metas are a problem in the report.</summary>
    public static VerifyReport VerifyFile(IDisk disk, string path)
    {
        using IDiskFile file = disk.Open(path, DiskOpen.ReadOnly);
        MetaPage meta;
        try
        {
            meta = MetaPair.ReadNewest(file);
        }
        catch (CorruptionException damage)
        {
            var report = new VerifyReport();
            report.Problems.Add(damage.Message);
            return report;
        }

        using IFileMap map = file.Map((file.Length + 0xFFFF) & ~0xFFFFL);
        return Verify(new CommitView
        {
            FilePath = path,
            Meta = meta,
            Map = map,
            Verified = new VerifiedPages(),
            ChecksTrailers = true,
            Buckets = [],
        });
    }

    internal static VerifyReport Verify(CommitView view)
    {
        var verifier = new TreeVerifier(view);
        verifier.Run();
        return verifier._report;
    }

    private void Run()
    {
        MetaPage meta = _view.Meta;
        _report.Txid = meta.Txid;
        VisitTree(meta.Root, meta.RootChecksum, holdsBuckets: true);
        foreach ((string name, BucketRoot bucket) in _buckets)
        {
            if (bucket.Root != 0)
            {
                VisitTree(bucket.Root, bucket.Checksum, holdsBuckets: false);
            }
            else
            {
                CheckInline(name, bucket.Inline!);
            }
        }

        _report.Buckets = _buckets.Count;
        if (meta.Freelist != MetaPage.NoFreelist)
        {
            CheckFreelist((long)meta.Freelist);
        }

        _report.PagesUsed = _space.UsedPages;
        _report.PagesFree = meta.HighWater - _space.UsedPages;
    }

    private void VisitTree(long root, uint expected, bool holdsBuckets)
    {
        _leafDepth = -1;
        Visit(root, expected, default, default, 0, holdsBuckets);
    }

    /// <summary>Lower: the parent's separator, which the first key must equal. Upper: the next one, empty for none.</summary>
    private void Visit(
        long id, uint expected, ReadOnlySpan<byte> lower, ReadOnlySpan<byte> upper, int depth, bool holdsBuckets)
    {
        if (_report.Problems.Count >= ProblemsMax || depth > PageLayout.DepthMax)
        {
            Report(depth > PageLayout.DepthMax ? $"page#{id}: a tree of more than {PageLayout.DepthMax} levels" : null);
            return;
        }

        if (!TryClaim(id, out ReadOnlySpan<byte> page))
        {
            return;
        }

        string? problem = PageCheck.Structure(page, id, _view.Meta.HighWater, holdsBuckets);
        Report(problem);
        Report(problem is null ? PageCheck.Checksum(page, id, expected, _view.Meta.AllTrailers) : null);
        if (problem is not null)
        {
            return;
        }

        bool isOurs = PageTrailer.IsPresent(page);
        _report.ExtentsWithoutTrailer += isOurs ? 0 : 1;
        if (PageHeader.Flags(page) == PageLayout.LeafFlag)
        {
            VisitLeaf(id, new LeafView(page), lower, upper, depth, holdsBuckets);
            return;
        }

        var branch = new BranchView(page);
        if (branch.Count < 2 && isOurs)
        {
            Report($"page#{id}: a branch with one child");
        }

        CheckBounds(id, branch.Key(0), branch.Key(branch.Count - 1), lower, upper);
        for (int i = 0; i < branch.Count; i++)
        {
            ReadOnlySpan<byte> next = i + 1 < branch.Count ? branch.Key(i + 1) : upper;
            Visit(branch.Child(i), branch.ChildChecksum(i), branch.Key(i), next, depth + 1, holdsBuckets);
        }
    }

    private void VisitLeaf(
        long id, LeafView leaf, ReadOnlySpan<byte> lower, ReadOnlySpan<byte> upper, int depth, bool holdsBuckets)
    {
        if (_leafDepth >= 0 && _leafDepth != depth)
        {
            Report($"page#{id}: a leaf at level {depth}, others at {_leafDepth}");
        }

        _leafDepth = depth;
        if (leaf.Count == 0)
        {
            Report(depth > 0 ? $"page#{id}: an empty leaf" : null);
            return;
        }

        CheckBounds(id, leaf.Key(0), leaf.Key(leaf.Count - 1), lower, upper);
        if (!holdsBuckets)
        {
            _report.Keys += leaf.Count;
            return;
        }

        for (int i = 0; i < leaf.Count; i++)
        {
            AddBucket(id, Convert.ToHexStringLower(leaf.Key(i)), leaf.Value(i));
        }
    }

    private void CheckBounds(
        long id,
        ReadOnlySpan<byte> first,
        ReadOnlySpan<byte> last,
        ReadOnlySpan<byte> lower,
        ReadOnlySpan<byte> upper)
    {
        if (!lower.IsEmpty && !first.SequenceEqual(lower))
        {
            Report($"page#{id}: its first key is not the separator in its parent");
        }

        if (!upper.IsEmpty && KeyOrder.Compare(last, upper) >= 0)
        {
            Report($"page#{id}: its last key is not below its right neighbour");
        }
    }

    private void AddBucket(long page, string name, ReadOnlySpan<byte> value)
    {
        if (value.Length < PageLayout.BucketHeaderBytes)
        {
            Report($"page#{page}: bucket {name} has a header of {value.Length} bytes");
            return;
        }

        long root = BinaryPrimitives.ReadInt64LittleEndian(value);
        ulong sequence = BinaryPrimitives.ReadUInt64LittleEndian(value[8..]);
        byte[]? inline = root == 0 ? value[PageLayout.BucketHeaderBytes..].ToArray() : null;
        _buckets.Add((name, new BucketRoot(true, root, sequence, root == 0 ? 0 : PageLayout.RootChecksum(value), inline)));
    }

    private void CheckInline(string name, byte[] inline)
    {
        if (inline.Length < PageLayout.HeaderBytes || PageHeader.Flags(inline) != PageLayout.LeafFlag)
        {
            Report($"inline bucket {name}: no page");
            return;
        }

        string? problem = PageCheck.Leaf(inline, 0, holdsBuckets: false);
        Report(problem is null ? null : $"inline bucket {name}: {problem}");
        _report.Keys += problem is null ? PageHeader.Count(inline) : 0;
    }

    private void CheckFreelist(long id)
    {
        if (!TryClaim(id, out ReadOnlySpan<byte> page))
        {
            return;
        }

        if (PageHeader.Id(page) != id || PageHeader.Flags(page) != PageLayout.FreelistFlag)
        {
            Report($"page#{id}: not a freelist");
            return;
        }

        ReadOnlySpan<byte> ids = page[PageLayout.HeaderBytes..];
        long count = PageHeader.Count(page);
        if (count == 0xFFFF)
        {
            count = BinaryPrimitives.ReadInt64LittleEndian(ids);
            ids = ids[sizeof(long)..];
        }

        if (count < 0 || count > ids.Length / sizeof(long))
        {
            Report($"page#{id}: {count} free pages do not fit");
            return;
        }

        // Everything is reachable or free, and nothing is both.
        long previous = 0;
        long free = 0;
        for (int i = 0; i < count; i++)
        {
            long page64 = BinaryPrimitives.ReadInt64LittleEndian(ids[(i * sizeof(long))..]);
            bool fits = page64 > previous && page64 >= PageLayout.FirstDataPage && page64 < _view.Meta.HighWater;
            if (!fits || _space.IsUsed(page64, 1))
            {
                Report($"page#{id}: free page#{page64} is in use, out of order or out of bounds");
                return;
            }

            previous = page64;
            free++;
        }

        if (_report.Problems.Count == 0 && _space.UsedPages + free != _view.Meta.HighWater)
        {
            Report($"page#{id}: {free} pages free and {_space.UsedPages} reachable of {_view.Meta.HighWater}");
        }
    }

    private bool TryClaim(long id, out ReadOnlySpan<byte> page)
    {
        page = default;
        long highWater = _view.Meta.HighWater;
        if (id < PageLayout.FirstDataPage || id >= highWater)
        {
            Report($"page#{id}: not below the high-water mark {highWater}");
            return false;
        }

        int pageBytes = _view.Meta.PageBytes;
        uint overflow = PageHeader.Overflow(_view.Map.Span(id * pageBytes, pageBytes));
        if (overflow >= highWater - id || (overflow + 1L) * pageBytes > int.MaxValue)
        {
            Report($"page#{id}: {overflow} overflow pages, the high-water mark is {highWater}");
            return false;
        }

        if (_space.IsUsed(id, overflow + 1L))
        {
            Report($"page#{id}: reached twice");
            return false;
        }

        _space.MarkUsed(id, overflow + 1L);
        page = _view.Map.Span(id * pageBytes, (int)((overflow + 1) * pageBytes));
        return true;
    }

    private void Report(string? problem)
    {
        if (problem is not null && _report.Problems.Count < ProblemsMax)
        {
            _report.Problems.Add(problem);
        }
    }
}
