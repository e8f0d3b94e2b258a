using System.Buffers.Binary;

namespace Perf.Store.Auth;

/// <summary>
/// A set of keys made of half-open ranges: merged, sorted, immutable. One lookup is one binary search. A range end
/// of null means "no end".
/// </summary>
internal sealed class KeyRangeSet
{
    public static readonly KeyRangeSet Empty = new([], []);

    private const int HeadBytes = sizeof(ulong);

    private readonly byte[][] _begins;
    private readonly byte[]?[] _ends;

    /// <summary>The first bytes of each begin as a number that compares as they do: most steps of a search need no more.</summary>
    private readonly ulong[] _heads;

    /// <summary>The same of each end.</summary>
    private readonly ulong[] _endHeads;

    /// <summary>Where the last key was found. A guess for the next, whichever thread made it.</summary>
    private int _recent;

    private KeyRangeSet(byte[][] begins, byte[]?[] ends)
    {
        _begins = begins;
        _ends = ends;
        _heads = Array.ConvertAll(begins, begin => Head(begin));
        _endHeads = Array.ConvertAll(ends, end => end is null ? ulong.MaxValue : Head(end));
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

        return begins.Count == 0 ? Empty : new KeyRangeSet([.. begins], [.. ends]);

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
        int low = 0;
        int high = _begins.Length;
        if (high == 0)
        {
            return false;
        }

        // Whoever asks for a key asks for its neighbours next.
        int recent = Volatile.Read(ref _recent);
        if (head >= _heads[recent] && head < _endHeads[recent]
            && (head > _heads[recent] || _begins[recent].AsSpan().SequenceCompareTo(key) <= 0))
        {
            low = high = recent + 1;
        }

        while (low < high)
        {
            int middle = (low + high) >>> 1;
            ulong there = _heads[middle];
            if (there < head || (there == head && _begins[middle].AsSpan().SequenceCompareTo(key) <= 0))
            {
                low = middle + 1;
            }
            else
            {
                high = middle;
            }
        }

        if (low == 0 || key.IsEmpty)
        {
            return false;
        }

        if (low - 1 != recent)
        {
            Volatile.Write(ref _recent, low - 1);
        }

        byte[]? end = _ends[low - 1];
        if (end is null)
        {
            return true;
        }

        ulong endHead = _endHeads[low - 1];
        if (head > endHead || (head == endHead && key.SequenceCompareTo(end) >= 0))
        {
            return false;
        }

#if MUTANTS
        if (Mutant.Is("21-open-end-is-one-key") && KeyRanges.IsOpenEnd(rangeEnd))
        {
            return true;
        }
#endif
        return rangeEnd.IsEmpty || (!KeyRanges.IsOpenEnd(rangeEnd) && rangeEnd.SequenceCompareTo(end) <= 0);
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
