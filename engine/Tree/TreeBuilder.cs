using System.Diagnostics.CodeAnalysis;
using Perf.Engine.Pages;
using Perf.Engine.Transactions;

namespace Perf.Engine.Tree;

/// <summary>
/// The batch-merge writer (ARCHITECTURE C.3): one pass over the pages a sorted list of changes touches. Touched
/// leaves stream into a leaf builder, their branches' children into a branch builder per level; a subtree that nothing
/// touches is handed on as it stands. What comes out keeps FORMATS A.2: exact first-key separators, uniform depth, no empty
/// leaf but a lone root, at least two children in every branch. Old pages are never changed. Committer only; reused.
/// </summary>
internal sealed class TreeBuilder : IDisposable
{
    private readonly PageOutput _output;
    private readonly LeafBuilder _leaf;
    private readonly BranchBuilder?[] _branches = new BranchBuilder?[PageLayout.DepthMax + 2];
    private CommitView _view = null!;
    private ChangeStream _changes = null!;
    private HashSet<long>? _moving;
    private bool _holdsBuckets;

    public TreeBuilder(PageOutput output)
    {
        _output = output;
        _leaf = new LeafBuilder(output, this);
    }

    /// <summary>Merges the changes into a tree and returns the new root; page 0 when the tree is empty.</summary>
    /// <param name="view">The commit the tree belongs to.</param>
    /// <param name="root">Its root page, or 0.</param>
    /// <param name="rootChecksum">What the root's trailer should say, or 0.</param>
    /// <param name="inline">The inline page when root is 0; may be empty.</param>
    /// <param name="changes">What to do.</param>
    /// <param name="moving">Pages to be rewritten even if nothing changes there (with their ancestors), or null.</param>
    /// <param name="holdsBuckets">True for the root tree.</param>
    public (long Root, uint Checksum) Merge(
        CommitView view,
        long root,
        uint rootChecksum,
        ReadOnlySpan<byte> inline,
        ChangeStream changes,
        HashSet<long>? moving,
        bool holdsBuckets)
    {
        _view = view;
        _changes = changes;
        _moving = moving;
        _holdsBuckets = holdsBuckets;
        _leaf.Clear();
        foreach (BranchBuilder? branch in _branches)
        {
            branch?.Clear();
        }

        if (root == 0)
        {
            MergeLeaf(inline, default);
        }
        else
        {
            MergePage(root, rootChecksum, TreeSearch.Height(view, root, rootChecksum, holdsBuckets), default);
        }

        Check.That(!changes.HasCurrent);
        return Finish();
    }

    /// <summary>A tree that is one empty leaf.</summary>
    public (long Root, uint Checksum) MakeEmpty()
    {
        _leaf.Clear();
        Branch(1).Clear();
        _leaf.Emit();
        BranchBuilder.Entry only = Branch(1).RemoveLast();
        return (only.Child, only.Checksum);
    }

    /// <summary>A finished page of the level below becomes a child at this one.</summary>
    internal void AddChild(int level, ReadOnlySpan<byte> firstKey, long id, uint checksum) =>
        Branch(level).Add(firstKey, id, checksum);

    /// <summary>Old pages whose keys overlap their neighbours' are damage that only a merge can see.</summary>
    internal void RequireAscending(ReadOnlySpan<byte> previous, ReadOnlySpan<byte> key)
    {
        if (KeyOrder.Compare(previous, key) >= 0)
        {
            ThrowOrder();
        }
    }

    public void Dispose()
    {
        _leaf.Dispose();
        foreach (BranchBuilder? branch in _branches)
        {
            branch?.Dispose();
        }
    }

    [DoesNotReturn]
    private void ThrowOrder() => _view.ThrowCorrupt(0, "keys of neighbouring pages are out of order");

    private BranchBuilder Branch(int level)
    {
        if (level >= _branches.Length)
        {
            _view.ThrowCorrupt(0, $"a tree of more than {PageLayout.DepthMax} levels");
        }

        return _branches[level] ??= new BranchBuilder(_output, this, level);
    }

    /// <summary>Streams an old page into the builders. Height 0 is a leaf. Upper: first key of its right neighbour.</summary>
    private void MergePage(long id, uint expected, int height, ReadOnlySpan<byte> upper)
    {
        ReadOnlySpan<byte> page = _view.Page(id, expected, _holdsBuckets);
        if (height == 0)
        {
            if (PageHeader.Flags(page) != PageLayout.LeafFlag)
            {
                _view.ThrowCorrupt(id, $"page#{id}: a branch among leaves");
            }

            _output.Free(id, page);
            MergeLeaf(page, upper);
            return;
        }

        TreeSearch.RequireBranch(_view, id, page);
        _output.Free(id, page);
        var branch = new BranchView(page);
        for (int i = 0; i < branch.Count; i++)
        {
            ReadOnlySpan<byte> childUpper = i + 1 < branch.Count ? branch.Key(i + 1) : upper;
            long child = branch.Child(i);
            uint checksum = branch.ChildChecksum(i);
            bool touched = _changes.IsBelow(childUpper) || (_moving is not null && _moving.Contains(child));
            if (touched || MustAbsorb(child, checksum, height - 1))
            {
                MergePage(child, checksum, height - 1, childUpper);
                continue;
            }

            for (int level = 0; level < height; level++)
            {
                EmitPending(level);
            }

            Branch(height).Add(branch.Key(i), child, checksum);
        }
    }

    private void MergeLeaf(ReadOnlySpan<byte> page, ReadOnlySpan<byte> upper)
    {
        int at = 0;
        LeafView old = page.IsEmpty ? default : new LeafView(page);
        while (_changes.IsBelow(upper))
        {
            bool replaces = false;
            while (at < old.Count)
            {
                int order = KeyOrder.Compare(old.Key(at), _changes.Key);
                if (order >= 0)
                {
                    replaces = order == 0;
                    break;
                }

                _leaf.Add(old.Flags(at), old.Key(at), old.Value(at));
                at++;
            }

            if (!_changes.IsDelete)
            {
                _leaf.Add(_holdsBuckets ? PageLayout.BucketElement : 0, _changes.Key, _changes.Value);
            }

            at += replaces ? 1 : 0;
            _changes.MoveNext();
        }

        for (; at < old.Count; at++)
        {
            _leaf.Add(old.Flags(at), old.Key(at), old.Value(at));
        }
    }

    /// <summary>
    /// Before an untouched child of this height is handed on whole, everything pending below is emitted. Where that would
    /// leave a branch with one child, or a sparse leaf beside one it could share a page with, the child is
    /// merged as well.
    /// </summary>
    private bool MustAbsorb(long child, uint checksum, int childHeight)
    {
        bool rises = _leaf.Count > 0;
        if (childHeight == 0)
        {
            if (!rises || _leaf.Bytes * 2 > _output.PageBytes)
            {
                return false;
            }

            ReadOnlySpan<byte> page = _view.Page(child, checksum, _holdsBuckets);
            return PageHeader.Overflow(page) == 0
                && _leaf.Bytes + PayloadBytes(page) <= _output.PageBytes;
        }

        for (int level = 1; level <= childHeight; level++)
        {
            int count = Branch(level).Count + (rises ? 1 : 0);
            if (count == 1)
            {
                return true;
            }

            rises = count > 0;
        }

        return false;
    }

    private static int PayloadBytes(ReadOnlySpan<byte> page)
    {
        var leaf = new LeafView(page);
        int bytes = 0;
        for (int i = 0; i < leaf.Count; i++)
        {
            bytes += PageLayout.ElementBytes + leaf.Key(i).Length + leaf.Value(i).Length;
        }

        return bytes;
    }

    private void EmitPending(int level)
    {
        if (level == 0)
        {
            if (_leaf.Count > 0)
            {
                _leaf.Emit();
            }
        }
        else if (Branch(level).Count > 0)
        {
            Branch(level).EmitAll();
        }
    }

    private (long Root, uint Checksum) Finish()
    {
        if (_leaf.Count > 0)
        {
            _leaf.Emit();
        }

        for (int level = 1; ; level++)
        {
            BranchBuilder branch = Branch(level);
            bool isTop = !AnyAbove(level);
            if (branch.Count == 0)
            {
                if (isTop)
                {
                    return (0, 0);
                }

                continue;
            }

            if (branch.Count == 1)
            {
                if (isTop)
                {
                    return (branch[0].Child, branch[0].Checksum);
                }

                BorrowLeft(level);
            }

            branch.EmitAll();
        }
    }

    private bool AnyAbove(int level)
    {
        for (int above = level + 1; above < _branches.Length; above++)
        {
            if (_branches[above] is { Count: > 0 })
            {
                return true;
            }
        }

        return false;
    }

    /// <summary>
    /// The lone pending child of a level joins the children of its left neighbour: the last branch handed on whole.
    /// </summary>
    private void BorrowLeft(int level)
    {
        BranchBuilder branch = Branch(level);
        BranchBuilder above = Branch(level + 1);
        if (above.Count == 0)
        {
            BorrowLeft(level + 1);
        }

        BranchBuilder.Entry lone = default;
        byte[]? loneKey = null;
        if (branch.Count == 1)
        {
            loneKey = branch.Key(branch.Last).ToArray();
            lone = branch.RemoveLast();
        }

        Check.That(branch.Count == 0);
        BranchBuilder.Entry neighbour = above.RemoveLast();
        Check.Deep(!_output.IsNew(neighbour.Child));
        ReadOnlySpan<byte> page = _view.Page(neighbour.Child, neighbour.Checksum, _holdsBuckets);
        TreeSearch.RequireBranch(_view, neighbour.Child, page);
        _output.Free(neighbour.Child, page);
        var old = new BranchView(page);
        for (int i = 0; i < old.Count; i++)
        {
            branch.Add(old.Key(i), old.Child(i), old.ChildChecksum(i));
        }

        if (loneKey is not null)
        {
            branch.Add(loneKey, lone.Child, lone.Checksum);
        }
    }
}
