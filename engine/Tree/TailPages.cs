using Perf.Engine.Pages;
using Perf.Engine.Space;
using Perf.Engine.Transactions;

namespace Perf.Engine.Tree;

/// <summary>Chooses the extents at the end of the file that one commit rewrites into lower holes.</summary>
internal static class TailPages
{
    /// <summary>The extents to move, with all their ancestors; null when nothing can be gained.</summary>
    public static HashSet<long>? Choose(CommitView view, PageSpace space, int pagesMax)
    {
        if (pagesMax <= 0)
        {
            return null;
        }

        // Each move also rewrites its ancestors, which lie anywhere: leave holes for those as well.
        long tail = space.TailStart(pagesMax, spare: PageLayout.DepthMax);
        if (tail == space.HighWater)
        {
            return null;
        }

        var moving = new HashSet<long>();
        uint rootChecksum = view.Meta.RootChecksum;
        int rootHeight = TreeSearch.Height(view, view.Meta.Root, rootChecksum, true);
        Visit(view, space, view.Meta.Root, rootChecksum, tail, rootHeight, true, moving);
        foreach (BucketRoot bucket in view.Buckets)
        {
            if (bucket.Root != 0)
            {
                int height = TreeSearch.Height(view, bucket.Root, bucket.Checksum);
                Visit(view, space, bucket.Root, bucket.Checksum, tail, height, false, moving);
            }
        }

        return moving.Count > 0 ? moving : null;
    }

    private static bool Visit(
        CommitView view,
        PageSpace space,
        long id,
        uint expected,
        long tail,
        int height,
        bool holdsBuckets,
        HashSet<long> moving)
    {
        bool moves = id >= tail && FitsBelow(view, space, id, tail, expected, holdsBuckets);
        if (height > 0)
        {
            ReadOnlySpan<byte> page = view.Page(id, expected, holdsBuckets);
            TreeSearch.RequireBranch(view, id, page);
            var branch = new BranchView(page);
            for (int i = 0; i < branch.Count; i++)
            {
                long child = branch.Child(i);
                if (height > 1 || child >= tail)
                {
                    moves |= Visit(
                        view, space, child, branch.ChildChecksum(i), tail, height - 1, holdsBuckets, moving);
                }
            }
        }

        if (moves)
        {
            moving.Add(id);
        }

        return moves;
    }

    private static bool FitsBelow(
        CommitView view, PageSpace space, long id, long tail, uint expected, bool holdsBuckets)
    {
        int count = view.Page(id, expected, holdsBuckets).Length / view.Meta.PageBytes;
        return space.FindHole(count) + count <= tail;
    }
}
