using System.Runtime.CompilerServices;
using Perf.Engine.Pages;

namespace Perf.Engine.Transactions;

/// <summary>Walks a bucket in key order. Lives inside its read transaction. Allocates nothing.</summary>
public ref struct BucketCursor
{
    private readonly CommitView _view;
    private readonly BucketRoot _bucket;
    private readonly bool _holdsBuckets;
    private Path _path;
    private int _depth;
    private ReadOnlySpan<byte> _leaf;
    private int _index;

    internal BucketCursor(CommitView view, BucketRoot bucket, bool holdsBuckets = false)
    {
        _view = view;
        _bucket = bucket;
        _holdsBuckets = holdsBuckets;
        _index = -1;
    }

    /// <summary>The key at the cursor; only after a move that returned true.</summary>
    public readonly ReadOnlySpan<byte> Key => new LeafView(_leaf).Key(_index);

    /// <summary>The value at the cursor; only after a move that returned true.</summary>
    public readonly ReadOnlySpan<byte> Value => new LeafView(_leaf).Value(_index);

    /// <summary>To the first key; false when the bucket is empty.</summary>
    public bool SeekFirst()
    {
        if (!Start())
        {
            return false;
        }

        DescendFirst();
        _index = -1;
        return Next();
    }

    /// <summary>To the first key that is not less than <paramref name="key"/>; false when there is none.</summary>
    public bool Seek(ReadOnlySpan<byte> key)
    {
        if (!Start())
        {
            return false;
        }

        while (PageHeader.Flags(_leaf) == PageLayout.BranchFlag)
        {
            Enter(new BranchView(_leaf).ChildFor(key));
        }

        _index = new LeafView(_leaf).LowerBound(key, out _) - 1;
        return Next();
    }

    /// <summary>To the last key; false when the bucket is empty.</summary>
    public bool SeekLast()
    {
        if (!Start())
        {
            return false;
        }

        while (PageHeader.Flags(_leaf) == PageLayout.BranchFlag)
        {
            Enter(new BranchView(_leaf).Count - 1);
        }

        _index = PageHeader.Count(_leaf) - 1;
        return _index >= 0;
    }

    /// <summary>To the next key; false behind the last one.</summary>
    public bool Next()
    {
        if (_leaf.IsEmpty)
        {
            return false;
        }

        // The rest is apart, so that callers take this part in.
        return ++_index < PageHeader.Count(_leaf) || NextLeaf();
    }

    private bool NextLeaf()
    {
        while (_index >= PageHeader.Count(_leaf))
        {
            if (!Climb())
            {
                _leaf = default;
                return false;
            }

            DescendFirst();
            _index = 0;
        }

        return true;
    }

    private bool Start()
    {
        _depth = 0;
        _leaf = default;
        if (!_bucket.Exists)
        {
            return false;
        }

        if (_bucket.Root == 0)
        {
            _leaf = _bucket.Inline;
            return true;
        }

        _path[0] = new Step { Page = _bucket.Root };
        uint expected = _holdsBuckets ? _view.Meta.RootChecksum : _bucket.Checksum;
        _leaf = _view.Page(_bucket.Root, expected, _holdsBuckets);
        return true;
    }

    /// <summary>From a branch to one of its children.</summary>
    private void Enter(int index)
    {
        var branch = new BranchView(_leaf);
        long child = branch.Child(index);
        uint expected = _view.Verified.Contains(child) ? 0 : branch.ChildChecksum(index);
        _path[_depth].Index = index;
        _depth++;
        if (_depth >= PageLayout.DepthMax)
        {
            _view.ThrowCorrupt(_bucket.Root, $"page#{_bucket.Root}: a tree of more than {_depth} levels");
        }

        _path[_depth] = new Step { Page = child };
        _leaf = _view.Page(child, expected, _holdsBuckets);
    }

    private void DescendFirst()
    {
        while (PageHeader.Flags(_leaf) == PageLayout.BranchFlag)
        {
            Enter(0);
        }
    }

    /// <summary>Up to the nearest branch with a further child, and into that child.</summary>
    private bool Climb()
    {
        while (_depth > 0)
        {
            _depth--;
            ReadOnlySpan<byte> page = _view.Page(_path[_depth].Page, 0, _holdsBuckets);
            int next = _path[_depth].Index + 1;
            if (next < PageHeader.Count(page))
            {
                _leaf = page;
                Enter(next);
                return true;
            }
        }

        return false;
    }

    private struct Step
    {
        public long Page;
        public int Index;
    }

    [InlineArray(PageLayout.DepthMax)]
    private struct Path
    {
        private Step _first;
    }
}
