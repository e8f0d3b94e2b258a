using System.Numerics;

namespace Perf.Engine.Space;

/// <summary>
/// Which pages are in use: a bit for "reachable from the newest commit" and one for "not to be given out", which
/// also covers pages in quarantine. Gives out the lowest hole that fits, so that the end of the file empties by itself.
/// Committer only.
/// </summary>
internal sealed class PageSpace
{
    private const int RunClasses = 32;

    /// <summary>For runs of 2^k pages: no hole that long begins below.</summary>
    private readonly long[] _lowest = new long[RunClasses];

    private ulong[] _used = new ulong[16];
    private ulong[] _busy = new ulong[16];
    private long _usedEnd;
    private long _busyEnd;

    public PageSpace()
    {
        MarkUsed(0, 2);
    }

    /// <summary>Reachable pages, metas included.</summary>
    public long UsedPages { get; private set; }

    /// <summary>One past the highest reachable page: the high-water mark of a commit made now.</summary>
    public long HighWater => _usedEnd = EndOf(_used, _usedEnd);

    /// <summary>One past the highest page that is reachable or in quarantine.</summary>
    public long BusyEnd => _busyEnd = EndOf(_busy, _busyEnd);

    /// <summary>True when any page of the range is reachable.</summary>
    public bool IsUsed(long page, long count)
    {
        for (long i = page; i < page + count; i++)
        {
            if (Get(_used, i))
            {
                return true;
            }
        }

        return false;
    }

    /// <summary>While the tree is walked at open.</summary>
    public void MarkUsed(long page, long count)
    {
        Grow(page + count);
        for (long i = page; i < page + count; i++)
        {
            Check.That(!Get(_busy, i));
            Set(_used, i);
            Set(_busy, i);
        }

        UsedPages += count;
        _usedEnd = Math.Max(_usedEnd, page + count);
        _busyEnd = Math.Max(_busyEnd, page + count);
    }

    /// <summary>The lowest hole of <paramref name="count"/> pages; beyond the end of the file if need be.</summary>
    public long Allocate(int count)
    {
        long page = FindHole(count);
        int kind = BitOperations.Log2((uint)count);
        if (BitOperations.IsPow2(count))
        {
            _lowest[kind] = page + count;
        }

        MarkUsed(page, count);
        return page;
    }

    /// <summary>Where <see cref="Allocate"/> would place a run.</summary>
    public long FindHole(int count)
    {
        long at = Math.Max(2, _lowest[BitOperations.Log2((uint)count)]);
        while (true)
        {
            at = NextClear(_busy, at);
            long end = NextSet(_busy, at, at + count);
            if (end - at >= count)
            {
                return at;
            }

            at = end;
        }
    }

    /// <summary>The page is no longer reachable, but stays in quarantine.</summary>
    public void Retire(long page, long count)
    {
        for (long i = page; i < page + count; i++)
        {
            Check.That(Get(_used, i));
            Clear(_used, i);
        }

        UsedPages -= count;
    }

    /// <summary>Takes a Retire back, when the commit failed.</summary>
    public void Reinstate(long page, long count)
    {
        for (long i = page; i < page + count; i++)
        {
            Check.That(Get(_busy, i));
            Check.That(!Get(_used, i));
            Set(_used, i);
        }

        UsedPages += count;
        _usedEnd = Math.Max(_usedEnd, page + count);
    }

    /// <summary>Ends the quarantine of retired pages: they may be given out.</summary>
    public void Release(long page, long count)
    {
        for (long i = page; i < page + count; i++)
        {
            Check.That(Get(_busy, i));
            Check.That(!Get(_used, i));
            Clear(_busy, i);
        }

        long start = page;
        while (start > 2 && !Get(_busy, start - 1))
        {
            // A hole grows downwards into its neighbour; 64 pages at a time where all are clear.
            start = (start & 63) == 0 && _busy[(start >> 6) - 1] == 0 ? Math.Max(2, start - 64) : start - 1;
        }

        for (int kind = 0; kind < RunClasses; kind++)
        {
            _lowest[kind] = Math.Min(_lowest[kind], start);
        }
    }

    /// <summary>
    /// Where a tail begins that can move down: at most <paramref name="pagesMax"/> reachable pages lie at or above it, and below it are
    /// as many free ones and <paramref name="spare"/> more. The high-water mark when there is no such tail.
    /// </summary>
    public long TailStart(int pagesMax, int spare)
    {
        long at = HighWater;
        long free = at - CountSet(_busy, at);
        long needed = spare;
        while (at > 2)
        {
            needed += Get(_used, at - 1) ? 1 : 0;
            free -= Get(_busy, at - 1) ? 0 : 1;
            if (needed > pagesMax + (long)spare || free < needed)
            {
                break;
            }

            at--;
        }

        return at;
    }

    private static bool Get(ulong[] bits, long page) =>
        page >> 6 < bits.Length && (bits[page >> 6] & (1ul << (int)page)) != 0;

    private static void Set(ulong[] bits, long page) => bits[page >> 6] |= 1ul << (int)page;

    private static void Clear(ulong[] bits, long page) => bits[page >> 6] &= ~(1ul << (int)page);

    private static long EndOf(ulong[] bits, long end)
    {
        long word = Math.Min((end + 63) >> 6, bits.Length) - 1;
        while (bits[word] == 0)
        {
            word--;
        }

        return (word << 6) + 64 - BitOperations.LeadingZeroCount(bits[word]);
    }

    private static long NextClear(ulong[] bits, long from)
    {
        long word = from >> 6;
        ulong mask = ~0ul << (int)from;
        while (word < bits.Length)
        {
            ulong clear = ~bits[word] & mask;
            if (clear != 0)
            {
                return (word << 6) + BitOperations.TrailingZeroCount(clear);
            }

            mask = ~0ul;
            word++;
        }

        return Math.Max(from, (long)bits.Length << 6);
    }

    /// <summary>The first set bit in [from, limit), or limit.</summary>
    private static long NextSet(ulong[] bits, long from, long limit)
    {
        long word = from >> 6;
        ulong mask = ~0ul << (int)from;
        while (word < bits.Length && word << 6 < limit)
        {
            ulong set = bits[word] & mask;
            if (set != 0)
            {
                return Math.Min(limit, (word << 6) + BitOperations.TrailingZeroCount(set));
            }

            mask = ~0ul;
            word++;
        }

        return limit;
    }

    private static long CountSet(ulong[] bits, long end)
    {
        long count = 0;
        for (long word = 0; word << 6 < end && word < bits.Length; word++)
        {
            long rest = end - (word << 6);
            count += BitOperations.PopCount(rest >= 64 ? bits[word] : bits[word] & ~(~0ul << (int)rest));
        }

        return count;
    }

    private void Grow(long end)
    {
        long needed = (end + 63) >> 6;
        if (needed > _used.Length)
        {
            int larger = (int)Math.Max(needed, _used.Length * 2L);
            Array.Resize(ref _used, larger);
            Array.Resize(ref _busy, larger);
        }
    }
}
