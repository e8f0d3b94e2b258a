using Perf.Engine.Pages;
using Perf.Engine.Transactions;

namespace Perf.Engine.Tree;

/// <summary>Descents that need no cursor.</summary>
internal static class TreeSearch
{
    /// <summary>The value of a key. Allocates nothing; the span lives as long as the view is pinned.</summary>
    public static bool TryGet(
        CommitView view, BucketRoot bucket, ReadOnlySpan<byte> key, out ReadOnlySpan<byte> value)
    {
        value = default;
        if (!bucket.Exists)
        {
            return false;
        }

        ReadOnlySpan<byte> page = bucket.Root == 0 ? bucket.Inline : LeafFor(view, bucket, key);
        var leaf = new LeafView(page);
        int index = leaf.LowerBound(key, out bool found);
        if (found)
        {
            value = leaf.Value(index);
        }

        return found;
    }

    /// <summary>Branch levels above the leaves, by the leftmost path.</summary>
    public static int Height(CommitView view, long root, uint expected = 0, bool holdsBuckets = false)
    {
        long id = root;
        for (int height = 0; height < PageLayout.DepthMax; height++)
        {
            ReadOnlySpan<byte> page = view.Page(id, expected, holdsBuckets);
            if (PageHeader.Flags(page) == PageLayout.LeafFlag)
            {
                return height;
            }

            var branch = new BranchView(page);
            expected = branch.ChildChecksum(0);
            id = branch.Child(0);
        }

        view.ThrowCorrupt(root, $"page#{root}: a tree of more than {PageLayout.DepthMax} levels");
        return 0;
    }

    /// <summary>
    /// Up to parts - 1 keys that cut a tree into about equal runs, from the highest level that has enough branches.
    /// </summary>
    public static List<byte[]> SplitKeys(CommitView view, BucketRoot bucket, int parts)
    {
        var cuts = new List<byte[]>();
        if (!bucket.Exists || bucket.Root == 0 || parts < 2)
        {
            return cuts;
        }

        var level = new List<(long Id, uint Checksum, byte[] Key)> { (bucket.Root, bucket.Checksum, []) };
        for (int height = Height(view, bucket.Root, bucket.Checksum); height > 0 && level.Count < parts * 4; height--)
        {
            var below = new List<(long, uint, byte[])>();
            foreach ((long id, uint checksum, _) in level)
            {
                ReadOnlySpan<byte> page = view.Page(id, checksum);
                RequireBranch(view, id, page);
                var branch = new BranchView(page);
                for (int i = 0; i < branch.Count; i++)
                {
                    below.Add((branch.Child(i), branch.ChildChecksum(i), branch.Key(i).ToArray()));
                }
            }

            level = below;
        }

        for (int part = 1; part < parts; part++)
        {
            byte[] key = level[(int)((long)level.Count * part / parts)].Key;
            bool rises = cuts.Count == 0 ? key.Length > 0 : KeyOrder.Compare(cuts[^1], key) < 0;
            if (rises)
            {
                cuts.Add(key);
            }
        }

        return cuts;
    }

    /// <summary>Refuses a page that should be a branch and is not.</summary>
    public static void RequireBranch(CommitView view, long id, ReadOnlySpan<byte> page)
    {
        if (PageHeader.Flags(page) != PageLayout.BranchFlag)
        {
            view.ThrowCorrupt(id, $"page#{id}: a leaf among branches");
        }
    }

    private static ReadOnlySpan<byte> LeafFor(CommitView view, BucketRoot bucket, ReadOnlySpan<byte> key)
    {
        long id = bucket.Root;
        uint expected = bucket.Checksum;
        for (int depth = 0; depth <= PageLayout.DepthMax; depth++)
        {
            ReadOnlySpan<byte> page = view.Page(id, expected);
            if (PageHeader.Flags(page) == PageLayout.LeafFlag)
            {
                return page;
            }

            var branch = new BranchView(page);
            int index = branch.ChildFor(key);
            id = branch.Child(index);

            // Only a first touch asks for the checksum the parent remembers.
            expected = view.Verified.Contains(id) ? 0 : branch.ChildChecksum(index);
        }

        view.ThrowCorrupt(bucket.Root, $"page#{bucket.Root}: a tree of more than {PageLayout.DepthMax} levels");
        return default;
    }
}
