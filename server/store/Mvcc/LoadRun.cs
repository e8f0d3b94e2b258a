using System.Buffers.Binary;
using System.Runtime.CompilerServices;
using Perf.Engine.Transactions;
using Perf.Store.Backend;
using Perf.Store.Commands;

namespace Perf.Store.Mvcc;

/// <summary>
/// Some ten thousands of records that enter the index in key order instead of revision order: neighbours then meet
/// the same leaves while they are in the cache, which makes a start several times faster than key by key.
/// </summary>
/// <remarks>
/// What runs for each record is optimized at once: it is in loops that are entered a few times, and a start is over
/// before the runtime would have replaced what was compiled ahead.
/// </remarks>
internal sealed class LoadRun
{
    private const int RecordsAtFirst = 1 << 14;

    private readonly Comparison<int> _byKey;
    private Item[] _items = new Item[RecordsAtFirst];
    private ulong[] _heads = [];
    private ulong[] _otherHeads = [];
    private int[] _order = [];
    private int[] _otherOrder = [];
    private uint[] _ids = [];
    private byte[] _keys = new byte[1 << 20];
    private int _keyBytes;
    private int _count;
    private int _prefixBytes;

    public LoadRun()
    {
        _byKey = (left, right) =>
        {
            int order = Key(left).SequenceCompareTo(Key(right));
            return order != 0 ? order : left.CompareTo(right);
        };
    }

    /// <summary>Main revision of the last record seen; 0 when there was none.</summary>
    public long Newest { get; set; }

    /// <summary>One of the records has a lease.</summary>
    public bool HasLeases { get; private set; }

    /// <summary>
    /// Takes the records of a bucket from the cursor's on, up to a key (null: all); false where one is no revision.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public bool TryTake(ref BucketCursor cursor, byte[]? to)
    {
        do
        {
            ReadOnlySpan<byte> name = cursor.Key;
            if (to is not null && IsAtLeast(name, to))
            {
                return true;
            }

            ReadOnlySpan<byte> value = cursor.Value;
            if (!RevisionKey.TryRead(name, out Revision revision, out bool isTombstone) || revision.Sub > int.MaxValue)
            {
                return false;
            }

            if (!TryReadCanonical(value, out ReadOnlySpan<byte> key, out long create, out long version, out long lease))
            {
                if (!KeyValueView.TryParse(value, out KeyValueView record))
                {
                    return false;
                }

                key = record.Key;
                create = record.CreateRevision;
                version = record.Version;
                lease = record.Lease;
            }

            Newest = revision.Main;

            // A restore that moved the revision up has left a record without content; no key is empty.
            if (!key.IsEmpty)
            {
                Add(revision, isTombstone, value.Length, key, create, version, lease);
            }
        }
        while (cursor.Next());
        return true;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static bool IsAtLeast(ReadOnlySpan<byte> name, byte[] to)
    {
        if (name.Length >= sizeof(ulong) && to.Length >= sizeof(ulong))
        {
            ulong left = BinaryPrimitives.ReadUInt64BigEndian(name);
            ulong right = BinaryPrimitives.ReadUInt64BigEndian(to);
            if (left != right)
            {
                return left > right;
            }
        }

        return name.SequenceCompareTo(to) >= 0;
    }

    /// <summary>
    /// The parts of a mvccpb.KeyValue whose fields ascend, as everybody writes it. False: it is something else, which
    /// <see cref="KeyValueView"/> knows better.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static bool TryReadCanonical(
        ReadOnlySpan<byte> record, out ReadOnlySpan<byte> key, out long create, out long version, out long lease)
    {
        const int KeyTag = 0x0a;
        const int CreateTag = 0x10;
        const int ModTag = 0x18;
        const int VersionTag = 0x20;
        const int ValueTag = 0x2a;
        const int LeaseTag = 0x30;
        key = default;
        create = 0;
        version = 0;
        lease = 0;
        int last = 0;
        for (int at = 0; at < record.Length;)
        {
            int tag = record[at++];
            if (tag <= last)
            {
                return false;
            }

            last = tag;
            ulong number = 0;
            int shift = 0;
            while (true)
            {
                if (at >= record.Length || shift > 56)
                {
                    return false;
                }

                byte part = record[at++];
                number |= (ulong)(part & 0x7f) << shift;
                if (part < 0x80)
                {
                    break;
                }

                shift += 7;
            }

            switch (tag)
            {
                case KeyTag or ValueTag:
                    if (number > (ulong)(record.Length - at))
                    {
                        return false;
                    }

                    key = tag == KeyTag ? record.Slice(at, (int)number) : key;
                    at += (int)number;
                    break;
                case CreateTag:
                    create = (long)number;
                    break;
                case VersionTag:
                    version = (long)number;
                    break;
                case LeaseTag:
                    lease = (long)number;
                    break;
                case ModTag:
                    break;
                default:
                    return false;
            }
        }

        return true;
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private void Add(
        Revision revision, bool isTombstone, int length, ReadOnlySpan<byte> key, long create, long version, long lease)
    {
        if (_keys.Length - _keyBytes < key.Length)
        {
            Array.Resize(ref _keys, Math.Max(_keys.Length * 2, _keyBytes + key.Length));
        }
        if (_count == _items.Length)
        {
            Array.Resize(ref _items, _count * 2);
        }
        key.CopyTo(_keys.AsSpan(_keyBytes));
        _items[_count] = new Item(
            revision.Main,
            (int)revision.Sub,
            isTombstone,
            length,
            _keyBytes,
            key.Length,
            create,
            version,
            lease);
        HasLeases |= lease != 0;
        _keyBytes += key.Length;
        if (_count == 0)
        {
            _prefixBytes = key.Length;
        }
        else if (!key.StartsWith(Key(0)[.._prefixBytes]))
        {
            _prefixBytes = key.CommonPrefixLength(Key(0)[.._prefixBytes]);
        }
        _count++;
    }

    /// <summary>Moves what was taken, and sorted, into the index; the run is empty then.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public void AddTo(KeyIndex index)
    {
        KeyTable keys = index.Keys;
        var ascent = new KeyTree.Ascent(index.Tree);
        for (int i = 0; i < _count; i++)
        {
            int position = _order[i];
            ref readonly Item item = ref _items[position];
            ReadOnlySpan<byte> key = Key(position);
            uint id = ascent.Find(key);
            if (id == 0)
            {
                id = keys.Add(key);
                ascent.Insert(key, id);
            }
            _ids[position] = item.IsTombstone || keys.Peek(id).Main != 0 ? id : 0;
            bool lives = !item.IsTombstone;
            keys.SetNewest(
                id,
                item.Main,
                item.Sub,
                item.Length,
                item.IsTombstone,
                lives ? item.Create : 0,
                lives ? item.Version : 0,
                lives ? item.Lease : 0);
        }
        for (int position = 0; position < _count; position++)
        {
            if (_ids[position] != 0)
            {
                index.Superseded.Enqueue(_items[position].Main, _ids[position]);
            }
        }
        index.HasLeases |= HasLeases;
        HasLeases = false;
        _count = 0;
        _keyBytes = 0;
        Newest = 0;
    }

    /// <summary>By key, and by revision for one key: first by eight bytes, then whole among equals.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public void Sort()
    {
        if (_order.Length < _count)
        {
            _heads = new ulong[_items.Length];
            _otherHeads = new ulong[_items.Length];
            _order = new int[_items.Length];
            _otherOrder = new int[_items.Length];
            _ids = new uint[_items.Length];
        }
        for (int i = 0; i < _count; i++)
        {
            _order[i] = i;
            _heads[i] = KeyTree.Head(Key(i), _prefixBytes);
        }
        SortHeads();
        for (int from = 0; from < _count;)
        {
            int to = from + 1;
            while (to < _count && _heads[to] == _heads[from])
            {
                to++;
            }
            if (!Ascends(from, to))
            {
                _order.AsSpan(from, to - from).Sort(_byKey);
            }
            from = to;
        }
    }

    /// <summary>Byte by byte from the last one; those that all heads share are left out. Keeps the order of equals.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private void SortHeads()
    {
        ulong differs = 0;
        for (int i = 1; i < _count; i++)
        {
            differs |= _heads[i] ^ _heads[0];
        }
        Span<int> next = stackalloc int[256];
        for (int shift = 0; shift < 64; shift += 8)
        {
            if ((byte)(differs >> shift) == 0)
            {
                continue;
            }
            next.Clear();
            for (int i = 0; i < _count; i++)
            {
                next[(byte)(_heads[i] >> shift)]++;
            }
            int begin = 0;
            foreach (ref int place in next)
            {
                int count = place;
                place = begin;
                begin += count;
            }
            for (int i = 0; i < _count; i++)
            {
                int place = next[(byte)(_heads[i] >> shift)]++;
                _otherHeads[place] = _heads[i];
                _otherOrder[place] = _order[i];
            }
            (_heads, _otherHeads) = (_otherHeads, _heads);
            (_order, _otherOrder) = (_otherOrder, _order);
        }
    }

    /// <summary>The keys at these places do not descend; positions then ascend among equals.</summary>
    private bool Ascends(int from, int to)
    {
        for (int i = from + 1; i < to; i++)
        {
            if (Key(_order[i - 1]).SequenceCompareTo(Key(_order[i])) > 0)
            {
                return false;
            }
        }
        return true;
    }

    private ReadOnlySpan<byte> Key(int position) =>
        _keys.AsSpan(_items[position].KeyAt, _items[position].KeyBytes);

    private readonly record struct Item(
        long Main,
        int Sub,
        bool IsTombstone,
        int Length,
        int KeyAt,
        int KeyBytes,
        long Create,
        long Version,
        long Lease);
}
