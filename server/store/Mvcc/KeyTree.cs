using System.Buffers.Binary;
using System.Numerics;
using Perf.Engine;
using Perf.Store.Backend;

namespace Perf.Store.Mvcc;

/// <summary>
/// All keys in byte order: a B+tree whose leaves hold key ids and which key is alive as of the published revision,
/// so that counting a range costs two descents. The apply thread alone changes it; readers take no lock.
/// <para>
/// One stamp guards the whole tree: odd while the apply thread changes it, and two higher afterwards. A reader
/// looks at one path (a descent and at most one leaf), then compares the stamp: unchanged and even means that the
/// path was whole. What it saw otherwise is thrown away, and seeing it is harmless: arrays never shrink, ids always
/// name a record, and depth is bounded. Overwriting a key does not touch the tree.
/// </para>
/// </summary>
internal sealed partial class KeyTree
{
    private const int Capacity = 64;
    private const int MergeBelow = Capacity / 4;
    private const int DepthMax = 16;

    private readonly KeyTable _keys;
    private long _stamp;
    private Node _root = new Leaf();

    public KeyTree(KeyTable keys)
    {
        _keys = keys;
    }

    /// <summary>Keys in the tree, dead ones with history included. Apply thread.</summary>
    public long Count { get; private set; }

    /// <summary>The key's id, or 0. Apply thread.</summary>
    public uint FindExact(ReadOnlySpan<byte> key)
    {
        Find(key, out uint id);
        return id;
    }

    /// <summary>The key's id, or 0. Any thread inside an epoch.</summary>
    public uint FindShared(ReadOnlySpan<byte> key)
    {
        var spin = default(SpinWait);
        while (true)
        {
            long stamp = Volatile.Read(ref _stamp);
            if ((stamp & 1) == 0 && Find(key, out uint id) && IsUnchanged(stamp))
            {
                return id;
            }
            spin.SpinOnce(-1);
        }
    }

    /// <summary>
    /// Copies the ids of one leaf from <paramref name="from"/> on, ascending. Gives the place to go on from, or
    /// null at the end of the tree. Up to <see cref="LeafKeysMax"/> ids. Any thread inside an epoch.
    /// </summary>
    public int CopyLeaf(ReadOnlySpan<byte> from, Span<uint> ids, out byte[]? next)
    {
        var spin = default(SpinWait);
        while (true)
        {
            long stamp = Volatile.Read(ref _stamp);
            if ((stamp & 1) == 0 && TryCopyLeaf(from, ids, out int count, out next) && IsUnchanged(stamp))
            {
                return count;
            }
            spin.SpinOnce(-1);
        }
    }

    /// <summary>What <see cref="CopyLeaf"/> yields at most.</summary>
    public const int LeafKeysMax = Capacity;

    /// <summary>Live keys of the range as of the published revision. Apply thread.</summary>
    public long CountLive(in KeyRange range)
    {
        TryRank(range.From, out long below);
        long up = LiveOf(_root);
        if (!range.ToEnd)
        {
            TryRank(range.To, out up);
        }
        return Math.Max(0, up - below);
    }

    /// <summary>
    /// Live keys of the range as of the published revision. False when the tree changed too often or the published
    /// revision is not the given one. Any thread inside an epoch.
    /// </summary>
    public bool TryCountLive(in KeyRange range, PublishedState published, long revision, out long count)
    {
        const int Attempts = 64;
        count = 0;
        var spin = default(SpinWait);
        for (int i = 0; i < Attempts; i++)
        {
            long stamp = Volatile.Read(ref _stamp);
            if (published.Revision != revision)
            {
                return false;
            }
            if ((stamp & 1) == 0
                && TryRank(range.From, out long below)
                && (range.ToEnd ? TryTotal(out long up) : TryRank(range.To, out up))
                && IsUnchanged(stamp))
            {
                count = Math.Max(0, up - below);
                return published.Revision == revision;
            }
            spin.SpinOnce(-1);
        }
        return false;
    }

    /// <summary>Adds a key that is not there; it does not count as alive yet.</summary>
    public void Insert(ReadOnlySpan<byte> key, uint id)
    {
        BeginChange();
        if (Insert(_root, key, id, out Node? right, out byte[] separator))
        {
            var root = new Branch();
            root.Children[0] = _root;
            root.Lives[0] = LiveOf(_root);
            root.Children[1] = right!;
            root.Lives[1] = LiveOf(right!);
            root.Separators[0] = separator;
            root.Count = 1;
            SetPrefix(root);
            _root = root;
        }
        Count++;
        EndChange();
    }

    /// <summary>Takes a key out.</summary>
    public void Remove(ReadOnlySpan<byte> key)
    {
        BeginChange();
        bool removed = Remove(_root, key);
        Check.That(removed);
        while (_root is Branch { Count: 0 } branch)
        {
            _root = branch.Children[0]!;
        }
        Count--;
        EndChange();
    }

    /// <summary>Begins a run of <see cref="SetAlive"/> that readers see as one.</summary>
    public void BeginChange()
    {
        Volatile.Write(ref _stamp, _stamp + 1);
        Volatile.WriteBarrier();
    }

    /// <summary>Ends what <see cref="BeginChange"/> began.</summary>
    public void EndChange() => Volatile.Write(ref _stamp, _stamp + 1);

    /// <summary>Whether the key counts as alive. Apply thread.</summary>
    public bool IsAlive(ReadOnlySpan<byte> key)
    {
        Leaf leaf = LeafOf(key);
        int at = LowerBound(leaf, key, out bool found);
        return found && (leaf.LiveMask & (1UL << at)) != 0;
    }

    /// <summary>Counts the key as alive or not. Between BeginChange and EndChange.</summary>
    public void SetAlive(ReadOnlySpan<byte> key, bool alive)
    {
        Leaf leaf = LeafOf(key);
        int at = LowerBound(leaf, key, out bool found);
        Check.That(found);
        ulong bit = 1UL << at;
        if ((leaf.LiveMask & bit) != 0 == alive)
        {
            return;
        }
        leaf.LiveMask ^= bit;
        int delta = alive ? 1 : -1;
        Node node = _root;
        while (node is Branch branch)
        {
            int child = ChildOf(branch, key);
            branch.Lives[child] += delta;
            node = branch.Children[child]!;
        }
    }

    /// <summary>Counts every key anew as alive or not. Between BeginChange and EndChange.</summary>
    public void MarkAlive(Func<uint, bool> isAlive) => MarkAlive(_root, isAlive);

    /// <summary>Walks the tree and checks order, fences and counts. Tests.</summary>
    internal void Verify()
    {
        byte[]? previous = null;
        long count = 0;
        Verify(_root, [], null, ref previous, ref count);
        Check.That(count == Count);
    }

    private void Verify(Node node, byte[] low, byte[]? high, ref byte[]? previous, ref long count)
    {
        if (node is Leaf leaf)
        {
            for (int i = 0; i < leaf.Count; i++)
            {
                byte[] key = _keys.Key(leaf.Ids[i]).ToArray();
                Check.That(previous is null || previous.AsSpan().SequenceCompareTo(key) < 0);
                Check.That(key.AsSpan().SequenceCompareTo(low) >= 0);
                Check.That(high is null || key.AsSpan().SequenceCompareTo(high) < 0);
                Check.That(leaf.Heads[i] == Head(key, leaf.Prefix.Length));
                Check.That(key.AsSpan().StartsWith(leaf.Prefix));
                previous = key;
            }
            Check.That(leaf.Count == Capacity || leaf.LiveMask >> leaf.Count == 0);
            count += leaf.Count;
            return;
        }
        var branch = (Branch)node;
        for (int i = 0; i <= branch.Count; i++)
        {
            Check.That(branch.Lives[i] == LiveOf(branch.Children[i]!));
            Verify(
                branch.Children[i]!,
                i == 0 ? low : branch.Separators[i - 1]!,
                i == branch.Count ? high : branch.Separators[i],
                ref previous,
                ref count);
        }
    }

    private static long MarkAlive(Node node, Func<uint, bool> isAlive)
    {
        if (node is Leaf leaf)
        {
            leaf.LiveMask = 0;
            for (int i = 0; i < leaf.Count; i++)
            {
                leaf.LiveMask |= isAlive(leaf.Ids[i]) ? 1UL << i : 0;
            }
            return BitOperations.PopCount(leaf.LiveMask);
        }
        var branch = (Branch)node;
        long sum = 0;
        for (int i = 0; i <= branch.Count; i++)
        {
            branch.Lives[i] = MarkAlive(branch.Children[i]!, isAlive);
            sum += branch.Lives[i];
        }
        return sum;
    }

    private bool IsUnchanged(long stamp)
    {
        Volatile.ReadBarrier();
        return Volatile.Read(ref _stamp) == stamp;
    }

    // Reading. These may run beside a change: they check what they follow and leave the verdict to the stamp.

    private bool Find(ReadOnlySpan<byte> key, out uint id)
    {
        id = 0;
        Node? node = _root;
        for (int depth = 0; depth < DepthMax; depth++)
        {
            if (node is Leaf leaf)
            {
                int at = LowerBound(leaf, key, out bool found);
                id = found && at < Capacity ? leaf.Ids[at] : 0;
                return true;
            }
            if (node is not Branch branch)
            {
                return false;
            }
            node = branch.Children[ChildOf(branch, key)];
        }
        return false;
    }

    private bool TryCopyLeaf(ReadOnlySpan<byte> from, Span<uint> ids, out int count, out byte[]? next)
    {
        count = 0;
        next = null;
        Node? node = _root;
        for (int depth = 0; depth < DepthMax; depth++)
        {
            if (node is Leaf leaf)
            {
                int at = LowerBound(leaf, from, out _);
                int end = Math.Min(leaf.Count, Capacity);
                count = Math.Max(0, end - at);
                if (count > 0)
                {
                    leaf.Ids.AsSpan(at, count).CopyTo(ids);
                }
                return true;
            }
            if (node is not Branch branch)
            {
                return false;
            }
            int child = ChildOf(branch, from);
            if (child < Math.Min(branch.Count, Capacity - 1))
            {
                next = branch.Separators[child];
            }
            node = branch.Children[child];
        }
        return false;
    }

    /// <summary>Live keys below the given one.</summary>
    private bool TryRank(ReadOnlySpan<byte> key, out long rank)
    {
        rank = 0;
        Node? node = _root;
        for (int depth = 0; depth < DepthMax; depth++)
        {
            if (node is Leaf leaf)
            {
                int at = LowerBound(leaf, key, out _);
                ulong below = at >= Capacity ? ulong.MaxValue : (1UL << at) - 1;
                rank += BitOperations.PopCount(leaf.LiveMask & below);
                return true;
            }
            if (node is not Branch branch)
            {
                return false;
            }
            int child = ChildOf(branch, key);
            foreach (long live in branch.Lives.AsSpan(0, child))
            {
                rank += live;
            }
            node = branch.Children[child];
        }
        return false;
    }

    private bool TryTotal(out long total)
    {
        total = LiveOf(_root);
        return true;
    }

    private Leaf LeafOf(ReadOnlySpan<byte> key)
    {
        Node node = _root;
        while (node is Branch branch)
        {
            node = branch.Children[ChildOf(branch, key)]!;
        }
        return (Leaf)node;
    }

    private static long LiveOf(Node node)
    {
        if (node is Leaf leaf)
        {
            return BitOperations.PopCount(leaf.LiveMask);
        }
        var branch = (Branch)node;
        long sum = 0;
        foreach (long live in branch.Lives.AsSpan(0, Math.Min(branch.Count + 1, Capacity)))
        {
            sum += live;
        }
        return sum;
    }

    /// <summary>Position of the first key that is not less; heads decide, whole keys only among equal heads.</summary>
    private int LowerBound(Leaf leaf, ReadOnlySpan<byte> key, out bool found)
    {
        found = false;
        int count = Math.Min(leaf.Count, Capacity);
        byte[] prefix = leaf.Prefix;
        int order = ComparePrefix(key, prefix);
        if (order != 0)
        {
            return order < 0 ? 0 : count;
        }
        ulong head = Head(key, prefix.Length);
        int low = LowerHead(leaf.Heads, count, head);
        while (low < count && leaf.Heads[low] == head)
        {
            int compared = _keys.Key(leaf.Ids[low]).SequenceCompareTo(key);
            if (compared >= 0)
            {
                found = compared == 0;
                return low;
            }
            low++;
        }
        return low;
    }

    /// <summary>Number of separators not greater than the key.</summary>
    private static int ChildOf(Branch branch, ReadOnlySpan<byte> key)
    {
        int count = Math.Min(branch.Count, Capacity - 1);
        byte[] prefix = branch.Prefix;
        int order = ComparePrefix(key, prefix);
        if (order != 0)
        {
            return order < 0 ? 0 : count;
        }
        ulong head = Head(key, prefix.Length);
        int low = LowerHead(branch.Heads, count, head);
        while (low < count && branch.Heads[low] == head && branch.Separators[low].AsSpan().SequenceCompareTo(key) <= 0)
        {
            low++;
        }
        return low;
    }

    private static int LowerHead(ulong[] heads, int count, ulong head)
    {
        int low = 0;
        while (count > 0)
        {
            int half = count >> 1;
            bool right = heads[low + half] < head;
            low = right ? low + half + 1 : low;
            count = right ? count - half - 1 : half;
        }
        return low;
    }

    /// <summary>Negative or positive when the key lies before or behind everything with the prefix.</summary>
    private static int ComparePrefix(ReadOnlySpan<byte> key, byte[] prefix)
    {
        if (key.StartsWith(prefix))
        {
            return 0;
        }
        if (key.Length >= prefix.Length)
        {
            return key[..prefix.Length].SequenceCompareTo(prefix);
        }
        int order = key.SequenceCompareTo(prefix.AsSpan(0, key.Length));
        return order == 0 ? -1 : order;
    }

    /// <summary>Eight bytes behind the prefix, big-endian, zero where the key has ended.</summary>
    internal static ulong Head(ReadOnlySpan<byte> key, int prefixBytes)
    {
        ReadOnlySpan<byte> rest = key[prefixBytes..];
        if (rest.Length >= sizeof(ulong))
        {
            return BinaryPrimitives.ReadUInt64BigEndian(rest);
        }
        ulong head = 0;
        for (int i = 0; i < rest.Length; i++)
        {
            head |= (ulong)rest[i] << (56 - (8 * i));
        }
        return head;
    }

    private static int CommonPrefix(ReadOnlySpan<byte> left, ReadOnlySpan<byte> right) =>
        left.CommonPrefixLength(right);

    /// <summary>Shortest beginning of the right key that is greater than the left one.</summary>
    private static byte[] Separator(ReadOnlySpan<byte> left, ReadOnlySpan<byte> right) =>
        right[..(CommonPrefix(left, right) + 1)].ToArray();

    // Changing.

    /// <summary>True when the node was split: the right part and the key that parts them.</summary>
    private bool Insert(Node node, ReadOnlySpan<byte> key, uint id, out Node? right, out byte[] separator)
    {
        right = null;
        separator = [];
        if (node is Leaf leaf)
        {
            if (leaf.Count == Capacity)
            {
                right = Split(leaf, key, out separator);
                leaf = key.SequenceCompareTo(separator) >= 0 ? (Leaf)right : leaf;
            }
            int at = LowerBound(leaf, key, out bool found);
            Check.That(!found);
            InsertAt(leaf, at, key, id);
            return right is not null;
        }

        var branch = (Branch)node;
        int child = ChildOf(branch, key);
        if (Insert(branch.Children[child]!, key, id, out Node? part, out byte[] partKey))
        {
            if (branch.Count == Capacity - 1)
            {
                right = Split(branch, child == branch.Count, out separator);
                if (key.SequenceCompareTo(separator) >= 0)
                {
                    branch = (Branch)right;
                }

                // This finds the left part again: the separator of the right one is not in the branch yet.
                child = ChildOf(branch, key);
            }
            InsertAt(branch, child, part!, partKey);
        }
        return right is not null;
    }

    private void InsertAt(Leaf leaf, int at, ReadOnlySpan<byte> key, uint id)
    {
        if (!key.StartsWith(leaf.Prefix))
        {
            Shorten(leaf, CommonPrefix(key, leaf.Prefix));
        }
        int moved = leaf.Count - at;
        leaf.Ids.AsSpan(at, moved).CopyTo(leaf.Ids.AsSpan(at + 1));
        leaf.Heads.AsSpan(at, moved).CopyTo(leaf.Heads.AsSpan(at + 1));
        ulong below = (1UL << at) - 1;
        leaf.LiveMask = (leaf.LiveMask & below) | ((leaf.LiveMask & ~below) << 1);
        leaf.Ids[at] = id;
        leaf.Heads[at] = Head(key, leaf.Prefix.Length);
        leaf.Count++;
    }

    private static void InsertAt(Branch branch, int child, Node part, byte[] partKey)
    {
        if (!partKey.AsSpan().StartsWith(branch.Prefix))
        {
            branch.Prefix = branch.Prefix[..CommonPrefix(partKey, branch.Prefix)];
            SetHeads(branch);
        }
        int moved = branch.Count - child;
        branch.Separators.AsSpan(child, moved).CopyTo(branch.Separators.AsSpan(child + 1));
        branch.Heads.AsSpan(child, moved).CopyTo(branch.Heads.AsSpan(child + 1));
        branch.Children.AsSpan(child + 1, moved).CopyTo(branch.Children.AsSpan(child + 2));
        branch.Lives.AsSpan(child + 1, moved).CopyTo(branch.Lives.AsSpan(child + 2));
        branch.Separators[child] = partKey;
        branch.Heads[child] = Head(partKey, branch.Prefix.Length);
        branch.Children[child + 1] = part;
        branch.Lives[child] = LiveOf(branch.Children[child]!);
        branch.Lives[child + 1] = LiveOf(part);
        branch.Count++;
    }

    /// <summary>
    /// In the middle; but a key behind the last one begins a leaf of its own, so that ascending keys fill leaves.
    /// </summary>
    private Leaf Split(Leaf leaf, ReadOnlySpan<byte> key, out byte[] separator)
    {
        var right = new Leaf();
        ReadOnlySpan<byte> last = _keys.Key(leaf.Ids[Capacity - 1]);
        if (key.SequenceCompareTo(last) > 0)
        {
            separator = Separator(last, key);
            right.Prefix = separator[..^1];
            return right;
        }
        const int Half = Capacity / 2;
        leaf.Ids.AsSpan(Half).CopyTo(right.Ids);
        right.Count = Capacity - Half;
        right.LiveMask = leaf.LiveMask >> Half;
        leaf.Count = Half;
        leaf.LiveMask &= (1UL << Half) - 1;
        separator = Separator(_keys.Key(leaf.Ids[Half - 1]), _keys.Key(right.Ids[0]));
        SetPrefix(leaf);
        SetPrefix(right);
        return right;
    }

    private static Branch Split(Branch branch, bool atEnd, out byte[] separator)
    {
        // Separators left of the middle stay, the middle one goes up, the rest moves.
        int middle = atEnd ? branch.Count - 2 : branch.Count / 2;
        var right = new Branch { Count = branch.Count - middle - 1 };
        separator = branch.Separators[middle]!;
        branch.Separators.AsSpan(middle + 1, right.Count).CopyTo(right.Separators);
        branch.Children.AsSpan(middle + 1, right.Count + 1).CopyTo(right.Children);
        branch.Lives.AsSpan(middle + 1, right.Count + 1).CopyTo(right.Lives);
        branch.Count = middle;
        branch.Separators.AsSpan(middle).Clear();
        branch.Children.AsSpan(middle + 1).Clear();
        SetPrefix(branch);
        SetPrefix(right);
        return right;
    }

    private bool Remove(Node node, ReadOnlySpan<byte> key)
    {
        if (node is Leaf leaf)
        {
            int at = LowerBound(leaf, key, out bool found);
            if (!found)
            {
                return false;
            }
            int moved = leaf.Count - at - 1;
            leaf.Ids.AsSpan(at + 1, moved).CopyTo(leaf.Ids.AsSpan(at));
            leaf.Heads.AsSpan(at + 1, moved).CopyTo(leaf.Heads.AsSpan(at));
            ulong below = (1UL << at) - 1;
            leaf.LiveMask = (leaf.LiveMask & below) | ((leaf.LiveMask >> 1) & ~below);
            leaf.Count--;
            return true;
        }

        var branch = (Branch)node;
        int child = ChildOf(branch, key);
        if (!Remove(branch.Children[child]!, key))
        {
            return false;
        }
        branch.Lives[child] = LiveOf(branch.Children[child]!);
        if (branch.Count > 0 && SizeOf(branch.Children[child]!) < MergeBelow)
        {
            Merge(branch, child == branch.Count ? child - 1 : child);
        }
        return true;
    }

    private static int SizeOf(Node node) => node is Leaf ? node.Count : node.Count + 1;

    /// <summary>Moves the child behind <paramref name="left"/> into it when both fit into three quarters.</summary>
    private void Merge(Branch branch, int left)
    {
        Node target = branch.Children[left]!;
        Node source = branch.Children[left + 1]!;
        bool isSmall = SizeOf(target) + SizeOf(source) <= Capacity * 3 / 4;
        bool isEmpty = target is Leaf && (target.Count == 0 || source.Count == 0);
        if (!isSmall && !isEmpty)
        {
            return;
        }
        if (target is Leaf leaf)
        {
            var from = (Leaf)source;
            from.Ids.AsSpan(0, from.Count).CopyTo(leaf.Ids.AsSpan(leaf.Count));
            leaf.LiveMask |= from.LiveMask << leaf.Count;
            leaf.Count += from.Count;
            SetPrefix(leaf);
        }
        else
        {
            var into = (Branch)target;
            var from = (Branch)source;
            int at = into.Count;
            into.Separators[at] = branch.Separators[left];
            from.Separators.AsSpan(0, from.Count).CopyTo(into.Separators.AsSpan(at + 1));
            from.Children.AsSpan(0, from.Count + 1).CopyTo(into.Children.AsSpan(at + 1));
            from.Lives.AsSpan(0, from.Count + 1).CopyTo(into.Lives.AsSpan(at + 1));
            into.Count = at + 1 + from.Count;
            SetPrefix(into);
        }
        int moved = branch.Count - left - 1;
        branch.Separators.AsSpan(left + 1, moved).CopyTo(branch.Separators.AsSpan(left));
        branch.Heads.AsSpan(left + 1, moved).CopyTo(branch.Heads.AsSpan(left));
        branch.Children.AsSpan(left + 2, moved).CopyTo(branch.Children.AsSpan(left + 1));
        branch.Lives.AsSpan(left + 2, moved).CopyTo(branch.Lives.AsSpan(left + 1));
        branch.Count--;
        branch.Separators[branch.Count] = null;
        branch.Children[branch.Count + 1] = null;
        branch.Lives[left] = LiveOf(target);
    }

    private void SetPrefix(Leaf leaf)
    {
        if (leaf.Count == 0)
        {
            leaf.Prefix = [];
            return;
        }
        ReadOnlySpan<byte> first = _keys.Key(leaf.Ids[0]);
        int common = CommonPrefix(first, _keys.Key(leaf.Ids[leaf.Count - 1]));
        leaf.Prefix = first[..common].ToArray();
        SetHeads(leaf);
    }

    private void Shorten(Leaf leaf, int bytes)
    {
        leaf.Prefix = leaf.Prefix[..bytes];
        SetHeads(leaf);
    }

    private void SetHeads(Leaf leaf)
    {
        for (int i = 0; i < leaf.Count; i++)
        {
            leaf.Heads[i] = Head(_keys.Key(leaf.Ids[i]), leaf.Prefix.Length);
        }
    }

    private static void SetPrefix(Branch branch)
    {
        if (branch.Count == 0)
        {
            branch.Prefix = [];
            return;
        }
        byte[] first = branch.Separators[0]!;
        branch.Prefix = first[..CommonPrefix(first, branch.Separators[branch.Count - 1])];
        SetHeads(branch);
    }

    private static void SetHeads(Branch branch)
    {
        for (int i = 0; i < branch.Count; i++)
        {
            branch.Heads[i] = Head(branch.Separators[i], branch.Prefix.Length);
        }
    }

    /// <summary>
    /// Count: keys of a leaf, separators of a branch. Prefix: what all of them begin with. Heads: see Head.
    /// </summary>
    private abstract class Node
    {
        public int Count;
        public byte[] Prefix = [];
        public readonly ulong[] Heads = new ulong[Capacity];
    }

    private sealed class Leaf : Node
    {
        public readonly uint[] Ids = new uint[Capacity];

        /// <summary>Bit i: key i is alive as of the published revision.</summary>
        public ulong LiveMask;
    }

    /// <summary>Child i holds keys in [separator i - 1, separator i).</summary>
    private sealed class Branch : Node
    {
        public readonly byte[]?[] Separators = new byte[]?[Capacity];
        public readonly Node?[] Children = new Node?[Capacity];
        public readonly long[] Lives = new long[Capacity];
    }
}
