namespace Perf.Store.Watch;

/// <summary>
/// Ranges [start, end) of keys: a treap ordered by (start, end) in which every node knows the greatest end below it,
/// so that a key finds its k ranges in O(k + log n). A missing end is greater than any. Priorities come from a fixed
/// sequence: the same operations build the same tree.
/// </summary>
internal sealed class RangeTree
{
    private Node? _root;
    private uint _random = 2463534242;

    /// <summary>The groups of exactly this range.</summary>
    public WatchGroup? Find(ReadOnlySpan<byte> start, byte[]? end)
    {
        Node? node = _root;
        while (node is not null)
        {
            int order = Compare(start, end, node);
            if (order == 0)
            {
                return node.Groups;
            }
            node = order < 0 ? node.Left : node.Right;
        }
        return null;
    }

    /// <summary>Adds or replaces the groups of this range; null removes the range.</summary>
    public void Set(byte[] start, byte[]? end, WatchGroup? groups)
    {
        _root = groups is null ? Remove(_root, start, end) : Insert(_root, start, end, groups);
    }

    /// <summary>Appends the groups of every range that holds the key.</summary>
    public void Stab(ReadOnlySpan<byte> key, List<WatchGroup> matched) => Stab(_root, key, matched);

    private static void Stab(Node? node, ReadOnlySpan<byte> key, List<WatchGroup> matched)
    {
        while (node is not null && IsBefore(key, node.EndMax))
        {
            Stab(node.Left, key, matched);
            if (key.SequenceCompareTo(node.Start) < 0)
            {
                // This range and all to the right of it start behind the key.
                return;
            }
            if (IsBefore(key, node.End))
            {
                for (WatchGroup? group = node.Groups; group is not null; group = group.NextForm)
                {
                    matched.Add(group);
                }
            }
            node = node.Right;
        }
    }

    private static Node? Remove(Node? node, byte[] start, byte[]? end)
    {
        if (node is null)
        {
            return null;
        }
        int order = Compare(start, end, node);
        if (order == 0)
        {
            return Join(node.Left, node.Right);
        }
        if (order < 0)
        {
            node.Left = Remove(node.Left, start, end);
        }
        else
        {
            node.Right = Remove(node.Right, start, end);
        }
        node.Update();
        return node;
    }

    private static Node? Join(Node? left, Node? right)
    {
        if (left is null || right is null)
        {
            return left ?? right;
        }
        if (left.Priority > right.Priority)
        {
            left.Right = Join(left.Right, right);
            left.Update();
            return left;
        }
        right.Left = Join(left, right.Left);
        right.Update();
        return right;
    }

    private static int Compare(ReadOnlySpan<byte> start, byte[]? end, Node node)
    {
        int order = start.SequenceCompareTo(node.Start);
        return order != 0 ? order : CompareEnds(end, node.End);
    }

    private static int CompareEnds(byte[]? x, byte[]? y)
    {
        if (x is null || y is null)
        {
            return (x is null ? 1 : 0) - (y is null ? 1 : 0);
        }
        return x.AsSpan().SequenceCompareTo(y);
    }

    private static bool IsBefore(ReadOnlySpan<byte> key, byte[]? end) => end is null || key.SequenceCompareTo(end) < 0;

    private Node Insert(Node? node, byte[] start, byte[]? end, WatchGroup groups)
    {
        if (node is null)
        {
            return new Node(start, end, groups, NextPriority());
        }
        int order = Compare(start, end, node);
        if (order == 0)
        {
            node.Groups = groups;
            return node;
        }

        if (order < 0)
        {
            Node left = Insert(node.Left, start, end, groups);
            node.Left = left;
            if (left.Priority > node.Priority)
            {
                node.Left = left.Right;
                left.Right = node;
                node.Update();
                node = left;
            }
        }
        else
        {
            Node right = Insert(node.Right, start, end, groups);
            node.Right = right;
            if (right.Priority > node.Priority)
            {
                node.Right = right.Left;
                right.Left = node;
                node.Update();
                node = right;
            }
        }
        node.Update();
        return node;
    }

    /// <summary>Marsaglia's xorshift.</summary>
    private uint NextPriority()
    {
        _random ^= _random << 13;
        _random ^= _random >> 17;
        _random ^= _random << 5;
        return _random;
    }

    private sealed class Node
    {
        public readonly byte[] Start;
        public readonly byte[]? End;
        public readonly uint Priority;
        public WatchGroup Groups;
        public byte[]? EndMax;
        public Node? Left;
        public Node? Right;

        public Node(byte[] start, byte[]? end, WatchGroup groups, uint priority)
        {
            Start = start;
            End = end;
            Groups = groups;
            Priority = priority;
            EndMax = end;
        }

        public void Update()
        {
            EndMax = End;
            if (Left is not null && CompareEnds(Left.EndMax, EndMax) > 0)
            {
                EndMax = Left.EndMax;
            }
            if (Right is not null && CompareEnds(Right.EndMax, EndMax) > 0)
            {
                EndMax = Right.EndMax;
            }
        }
    }
}
