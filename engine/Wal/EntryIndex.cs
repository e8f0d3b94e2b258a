namespace Perf.Engine.Wal;

/// <summary>A place in the log.</summary>
internal readonly record struct WalPosition(ulong Sequence, long Offset) : IComparable<WalPosition>
{
    public int CompareTo(WalPosition other)
    {
        int bySequence = Sequence.CompareTo(other.Sequence);
        return bySequence != 0 ? bySequence : Offset.CompareTo(other.Offset);
    }
}

/// <summary>An entry's place, and the running checksum that reading from there needs.</summary>
internal readonly record struct EntryAnchor(ulong Index, WalPosition Position, uint CrcBefore);

/// <summary>
/// Finds entries in the segments: one anchor per 64 KiB, ascending in index and in place, and the truncations that
/// still matter. An entry record is void when a truncation at or below its index stands behind it in the log.
/// Not thread-safe.
/// </summary>
internal sealed class EntryIndex
{
    private const long StrideBytes = 64 << 10;

    private readonly List<EntryAnchor> _anchors = [];

    /// <summary>Ascending in place and in index: a truncation makes every older one at or above its index moot.</summary>
    private readonly List<(ulong Index, WalPosition Position)> _truncations = [];

    /// <summary>Lowest index that can be found; <see cref="ulong.MaxValue"/> when none can.</summary>
    public ulong FirstIndex => _anchors.Count == 0 ? ulong.MaxValue : _anchors[0].Index;

    /// <summary>Makes room, so that the entries of one segment allocate nothing.</summary>
    public void Reserve(long segmentBytes)
    {
        _anchors.EnsureCapacity(_anchors.Count + (int)(segmentBytes / StrideBytes) + 64);
        _truncations.EnsureCapacity(_truncations.Count + 64);
    }

    public void Add(ulong index, WalPosition position, uint crcBefore)
    {
        if (_anchors.Count > 0)
        {
            WalPosition last = _anchors[^1].Position;
            if (last.Sequence == position.Sequence && position.Offset - last.Offset < StrideBytes)
            {
                return;
            }
        }

        _anchors.Add(new EntryAnchor(index, position, crcBefore));
    }

    /// <summary>Entries at and above the index, as far as they stand before the position, are void.</summary>
    public void Truncate(ulong index, WalPosition position)
    {
        while (_anchors.Count > 0 && _anchors[^1].Index >= index)
        {
            _anchors.RemoveAt(_anchors.Count - 1);
        }

        while (_truncations.Count > 0 && _truncations[^1].Index >= index)
        {
            _truncations.RemoveAt(_truncations.Count - 1);
        }

        _truncations.Add((index, position));
    }

    /// <summary>Forgets all: a snapshot has replaced the log.</summary>
    public void Clear()
    {
        _anchors.Clear();
        _truncations.Clear();
    }

    /// <summary>Forgets segments before this one.</summary>
    public void RemoveBefore(ulong sequence)
    {
        _anchors.RemoveAll(a => a.Position.Sequence < sequence);
        _truncations.RemoveAll(t => t.Position.Sequence < sequence);
    }

    public bool TryFind(ulong index, out EntryAnchor anchor)
    {
        int low = 0;
        int high = _anchors.Count;
        while (low < high)
        {
            int middle = (low + high) / 2;
            if (_anchors[middle].Index <= index)
            {
                low = middle + 1;
            }
            else
            {
                high = middle;
            }
        }

        anchor = low == 0 ? default : _anchors[low - 1];
        return low > 0;
    }

    public bool IsVoid(ulong index, WalPosition position)
    {
        foreach ((ulong truncated, WalPosition at) in _truncations)
        {
            if (at.CompareTo(position) > 0)
            {
                // The first one behind has the lowest index of all behind.
                return truncated <= index;
            }
        }

        return false;
    }
}
