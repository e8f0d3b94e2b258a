namespace Perf.Store.Mvcc;

/// <summary>A version that a range found: where its record stands and how many bytes of it the answer takes.</summary>
internal struct RangeHit
{
    public long Main;
    public int Sub;
    public int Length;
}

/// <summary>What to order a hit by, and where it stood.</summary>
internal readonly record struct SortKey(int Position, long Number, byte[]? Value);

/// <summary>The hits of one range, in an array that is kept for the next.</summary>
internal sealed class RangeHits
{
    /// <summary>Larger arrays than this are let go after use.</summary>
    private const int KeptMax = 1 << 16;

    private RangeHit[] _hits = new RangeHit[64];

    public int Count { get; private set; }

    /// <summary>Keys in the range, whatever limit and filters say.</summary>
    public long Total { get; set; }

    public ref RangeHit this[int position] => ref _hits[position];

    public void Clear()
    {
        Count = 0;
        Total = 0;
        if (_hits.Length > KeptMax)
        {
            _hits = new RangeHit[64];
        }
    }

    public void Add(long main, int sub, int length)
    {
        if (Count == _hits.Length)
        {
            Array.Resize(ref _hits, Count * 2);
        }
        _hits[Count++] = new RangeHit { Main = main, Sub = sub, Length = length };
    }

    public void Truncate(int count) => Count = count;

    public void Reverse() => _hits.AsSpan(0, Count).Reverse();

    public void Reorder(SortKey[] order)
    {
        var sorted = new RangeHit[_hits.Length];
        for (int i = 0; i < order.Length; i++)
        {
            sorted[i] = _hits[order[i].Position];
        }
        _hits = sorted;
    }
}
