using Perf.Store.Backend;
using Perf.Store.Commands;

namespace Perf.Store.Mvcc;

/// <summary>
/// Some ten thousands of records that enter the index in key order instead of revision order: neighbours then meet
/// the same leaves while they are in the cache, which makes a start several times faster than key by key.
/// </summary>
internal sealed class LoadRun
{
    private const int RecordsAtFirst = 1 << 14;

    private readonly Comparison<int> _byKey;
    private Item[] _items = new Item[RecordsAtFirst];
    private ulong[] _heads = [];
    private int[] _order = [];
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

    /// <summary>Takes a record; revisions come in ascending order.</summary>
    public void Add(Revision revision, bool isTombstone, int length, in KeyValueView record)
    {
        ReadOnlySpan<byte> key = record.Key;
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
            record.CreateRevision,
            record.Version,
            record.Lease);
        _keyBytes += key.Length;
        _prefixBytes = _count == 0 ? key.Length : key.CommonPrefixLength(Key(0)[.._prefixBytes]);
        _count++;
    }

    /// <summary>Moves what was taken, and sorted, into the index; the run is empty then.</summary>
    public void AddTo(KeyIndex index)
    {
        KeyTable keys = index.Keys;
        for (int i = 0; i < _count; i++)
        {
            int position = _order[i];
            ref readonly Item item = ref _items[position];
            ReadOnlySpan<byte> key = Key(position);
            uint id = index.Tree.FindExact(key);
            if (id == 0)
            {
                id = keys.Add(key);
                index.Tree.Insert(key, id);
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
        _count = 0;
        _keyBytes = 0;
        Newest = 0;
    }

    /// <summary>By key, and by revision for one key: first by eight bytes, then whole among equals.</summary>
    public void Sort()
    {
        if (_order.Length < _count)
        {
            _heads = new ulong[_items.Length];
            _order = new int[_items.Length];
            _ids = new uint[_items.Length];
        }
        for (int i = 0; i < _count; i++)
        {
            _order[i] = i;
            _heads[i] = KeyTree.Head(Key(i), _prefixBytes);
        }
        Array.Sort(_heads, _order, 0, _count);
        for (int from = 0; from < _count;)
        {
            int to = from + 1;
            while (to < _count && _heads[to] == _heads[from])
            {
                to++;
            }
            if (to - from > 1)
            {
                _order.AsSpan(from, to - from).Sort(_byKey);
            }
            from = to;
        }
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
