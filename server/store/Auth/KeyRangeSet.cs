using System.Buffers.Binary;

namespace Perf.Store.Auth;

/// <summary>
/// A set of keys made of half-open ranges: merged, sorted, immutable. One lookup is one binary search. A range end
/// of null means "no end".
/// </summary>
internal sealed class KeyRangeSet
{
    public static readonly KeyRangeSet Empty = new([]);

    private const int HeadBytes = sizeof(ulong);

    private readonly Range[] _ranges;

    /// <summary>The head of each begin, side by side: most steps of a search need no more.</summary>
    private readonly ulong[] _heads;

    /// <summary>Where the last key was found. A guess for the next, whichever thread made it.</summary>
    private Range _recent;

    private KeyRangeSet(Range[] ranges)
    {
        _ranges = ranges;
        _heads = Array.ConvertAll(ranges, range => range.Head);
        _recent = ranges.Length == 0 ? new Range([], []) : ranges[0];
    }

    /// <summary>Compiles ranges; empty and inverted ones hold no key, touching ones become one.</summary>
    public static KeyRangeSet Compile(IEnumerable<(byte[] Begin, byte[]? End)> ranges)
    {
        var begins = new List<byte[]>();
        var ends = new List<byte[]?>();
        foreach (var (begin, end) in ranges.OrderBy(range => range.Begin, BytesComparer.Instance))
        {
            if (end is not null && begin.AsSpan().SequenceCompareTo(end) >= 0)
            {
                continue;
            }

            if (begins.Count > 0 && (ends[^1] is not { } lastEnd || begin.AsSpan().SequenceCompareTo(lastEnd) <= 0))
            {
                ends[^1] = ends[^1] is null || end is null ? null : Later(ends[^1]!, end);
                continue;
            }

            begins.Add(begin);
            ends.Add(end);
        }

        return begins.Count == 0 ? Empty : new KeyRangeSet([.. begins.Zip(ends, (begin, end) => new Range(begin, end))]);

        static byte[] Later(byte[] one, byte[] other) => one.AsSpan().SequenceCompareTo(other) >= 0 ? one : other;
    }

    /// <summary>
    /// True when every key of a request's range is in the set. The range is taken as it came over the wire: an empty
    /// end means the one key, a single zero byte means no end (ARCHITECTURE: checked before anything normalises it).
    /// An inverted range holds no key; it is covered when its first key is.
    /// </summary>
    public bool Covers(ReadOnlySpan<byte> key, ReadOnlySpan<byte> rangeEnd)
    {
        ulong head = Head(key);

        // Whoever asks for a key asks for its neighbours next.
        Range range = Volatile.Read(ref _recent);
        if (!range.Holds(key, head) && !TryFind(key, head, ref range))
        {
            return false;
        }

        if (rangeEnd.IsEmpty || range.End is null)
        {
            return true;
        }

#if MUTANTS
        if (Mutant.Is("21-open-end-is-one-key") && KeyRanges.IsOpenEnd(rangeEnd))
        {
            return true;
        }
#endif
        return !KeyRanges.IsOpenEnd(rangeEnd) && rangeEnd.SequenceCompareTo(range.End) <= 0;
    }

    private bool TryFind(ReadOnlySpan<byte> key, ulong head, ref Range range)
    {
        int low = 0;
        int high = _ranges.Length;
        while (low < high)
        {
            int middle = (low + high) >>> 1;
            ulong there = _heads[middle];
            if (there < head || (there == head && _ranges[middle].Begin.AsSpan().SequenceCompareTo(key) <= 0))
            {
                low = middle + 1;
            }
            else
            {
                high = middle;
            }
        }

        if (low == 0 || !_ranges[low - 1].Holds(key, head))
        {
            return false;
        }

        range = _ranges[low - 1];
        Volatile.Write(ref _recent, range);
        return true;
    }

    /// <summary>Shorter keys are filled up with zero bytes: they come first or are equal, and then the keys decide.</summary>
    private static ulong Head(ReadOnlySpan<byte> key)
    {
        if (key.Length >= HeadBytes)
        {
            return BinaryPrimitives.ReadUInt64BigEndian(key);
        }

        const int HalfBytes = HeadBytes / 2;
        int missingBits = 8 * (HeadBytes - key.Length);
        if (key.Length >= HalfBytes)
        {
            // Two halves that overlap: both put the bytes they share in the same place.
            ulong first = BinaryPrimitives.ReadUInt32BigEndian(key);
            ulong last = BinaryPrimitives.ReadUInt32BigEndian(key[^HalfBytes..]);
            return (first << 32) | (last << missingBits);
        }

        // One to three: the first, the middle and the last of them, whichever these are.
        return key.IsEmpty ? 0
            : ((ulong)key[0] << 56) | ((ulong)key[key.Length / 2] << (56 - (8 * (key.Length / 2)))) | ((ulong)key[^1] << missingBits);
    }

    /// <summary>One range, with the first bytes of both ends as numbers that compare as the keys do.</summary>
    private sealed class Range(byte[] begin, byte[]? end)
    {
        public readonly ulong Head = KeyRangeSet.Head(begin);
        public readonly ulong EndHead = end is null ? ulong.MaxValue : KeyRangeSet.Head(end);
        public readonly byte[] Begin = begin;
        public readonly byte[]? End = end;

        /// <summary>No range holds the empty key: no request may name it.</summary>
        public bool Holds(ReadOnlySpan<byte> key, ulong head) =>
            (head > Head || (head == Head && !key.IsEmpty && Begin.AsSpan().SequenceCompareTo(key) <= 0))
            && (head < EndHead || End is null || (head == EndHead && key.SequenceCompareTo(End) < 0));
    }
}

/// <summary>How etcd's requests and permissions spell ranges.</summary>
public static class KeyRanges
{
    /// <summary>A range end of one zero byte: all keys from the first one on.</summary>
    public static bool IsOpenEnd(ReadOnlySpan<byte> rangeEnd) => rangeEnd.Length == 1 && rangeEnd[0] == 0;

    /// <summary>What a permission may be given on: a key, a range that is not inverted, or an open end.</summary>
    public static bool IsValidPermission(ReadOnlySpan<byte> key, ReadOnlySpan<byte> rangeEnd) =>
        !key.IsEmpty && (rangeEnd.IsEmpty || IsOpenEnd(rangeEnd) || key.SequenceCompareTo(rangeEnd) < 0);
}
