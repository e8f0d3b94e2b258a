namespace Perf.Store.Mvcc;

/// <summary>
/// The keys that a request means (RNG-02): one key when the range end is empty, everything from the key on when it
/// is a zero byte, else [key, range end), which is empty when the end is not greater.
/// </summary>
internal readonly ref struct KeyRange
{
    private KeyRange(ReadOnlySpan<byte> from, ReadOnlySpan<byte> to, bool isSingle, bool toEnd)
    {
        From = from;
        To = to;
        IsSingle = isSingle;
        ToEnd = toEnd;
    }

    public ReadOnlySpan<byte> From { get; }

    /// <summary>Upper bound, itself outside; meaningless for a single key or without a bound.</summary>
    public ReadOnlySpan<byte> To { get; }

    public bool IsSingle { get; }

    public bool ToEnd { get; }

    /// <summary>True when no key can be in it.</summary>
    public bool IsEmpty => !IsSingle && !ToEnd && From.SequenceCompareTo(To) >= 0;

    public static KeyRange Of(ReadOnlySpan<byte> key, ReadOnlySpan<byte> rangeEnd) =>
        new(key, rangeEnd, rangeEnd.IsEmpty, rangeEnd is [0]);

    public bool Contains(ReadOnlySpan<byte> key)
    {
        if (IsSingle)
        {
            return key.SequenceEqual(From);
        }
        return key.SequenceCompareTo(From) >= 0 && (ToEnd || key.SequenceCompareTo(To) < 0);
    }
}
