namespace Perf.Raft;

/// <summary>
/// MsgApp with entries on their way to a peer, oldest first: the index of the last entry of each, and its bytes.
/// Bounded by count and by bytes; one message always fits.
/// </summary>
internal sealed class Inflights(int countMax, long bytesMax)
{
    private Item[] _items = new Item[Math.Min(8, countMax)];
    private int _start;
    private long _bytes;

    public int Count { get; private set; }

    public bool IsFull => Count >= countMax || _bytes >= bytesMax;

    public void Add(ulong lastIndex, long bytes)
    {
        Check.That(!IsFull);
        if (Count == _items.Length)
        {
            Grow();
        }

        _items[(_start + Count) % _items.Length] = new Item(lastIndex, bytes);
        Count++;
        _bytes += bytes;
    }

    /// <summary>Everything up to this index has arrived.</summary>
    public void FreeTo(ulong index)
    {
        while (Count > 0 && _items[_start].LastIndex <= index)
        {
            _bytes -= _items[_start].Bytes;
            _start = (_start + 1) % _items.Length;
            Count--;
        }
    }

    public void Clear()
    {
        Count = 0;
        _start = 0;
        _bytes = 0;
    }

    private void Grow()
    {
        var target = new Item[Math.Min(_items.Length * 2, countMax)];
        for (int i = 0; i < Count; i++)
        {
            target[i] = _items[(_start + i) % _items.Length];
        }

        _items = target;
        _start = 0;
    }

    private readonly record struct Item(ulong LastIndex, long Bytes);
}
