namespace Perf.Engine.IO;

/// <summary>
/// The contents of a simulated file: as read now, as synced, and the writes between the two. Zeros behind the last
/// written byte are not stored. Guarded by its disk's lock.
/// </summary>
internal sealed class SimFile
{
    private const int SectorBytes = 512;

    private readonly List<Change> _unsynced = [];
    private byte[] _now = [];
    private byte[] _synced = [];
    private long _syncedLength;

    public long Length { get; private set; }

    public long WrittenBytes => Math.Min(Length, _now.AsSpan().LastIndexOfAnyExcept((byte)0) + 1);

    public object? WholeLock { get; set; }

    public object? DescriptionLock { get; set; }

    public int Read(Span<byte> target, long offset)
    {
        int count = (int)Math.Clamp(Length - offset, 0, target.Length);
        Fill(_now, target[..count], offset);
        return count;
    }

    public ReadOnlyMemory<byte> Window(long offset, int length)
    {
        Grow(ref _now, offset + length);
        return _now.AsMemory((int)offset, length);
    }

    public void Write(ReadOnlySpan<byte> source, long offset)
    {
        long end = offset + source.Length;
        if (offset >= _now.Length && source.IndexOfAnyExcept((byte)0) < 0)
        {
            // Lost or kept, zeros behind the end of what is stored read the same: only the length counts.
            if (end > Length)
            {
                SetLength(end);
            }

            return;
        }

        Grow(ref _now, end);
        source.CopyTo(_now.AsSpan((int)offset));
        if (end > Length)
        {
            SetLength(end);
        }

        _unsynced.Add(new Change(offset, source.ToArray()));
    }

    public void SetLength(long length)
    {
        if (length < Length && length < _now.Length)
        {
            _now.AsSpan((int)length).Clear();
        }

        Length = length;
        _unsynced.Add(new Change(length, null));
    }

    public void Sync()
    {
        foreach (Change change in _unsynced)
        {
            Apply(ref _synced, ref _syncedLength, change);
        }

        _unsynced.Clear();
    }

    /// <summary>A failed sync: the kernel has marked the pages clean, so they will never be written.</summary>
    public void LoseUnsynced() => _unsynced.Clear();

    public void Flip(long offset, int bit)
    {
        Grow(ref _now, offset + 1);
        Grow(ref _synced, offset + 1);
        byte value = (byte)(_now[offset] ^ (1 << bit));
        _now[offset] = value;
        _synced[offset] = value;
    }

    public SimFile Copy()
    {
        var copy = new SimFile
        {
            _now = (byte[])_now.Clone(),
            _synced = (byte[])_synced.Clone(),
            _syncedLength = _syncedLength,
            Length = Length,
        };
        copy._unsynced.AddRange(_unsynced);
        return copy;
    }

    public SimFile AfterPowerFailure(SimLuck luck)
    {
        byte[] bytes = (byte[])_synced.Clone();
        long length = _syncedLength;

        // The size on disk is one the file had at some time since the last sync: lengths are metadata, and the
        // journal keeps their order.
        foreach (Change change in _unsynced)
        {
            if (change.Data is null)
            {
                if (!luck.Keeps())
                {
                    break;
                }

                Apply(ref bytes, ref length, change);
            }
        }

        // Sectors reach the platter in any order, each write's independently of its neighbours.
        var order = new List<Change>(_unsynced.Where(change => change.Data is not null));
        for (int i = order.Count - 1; i > 0; i--)
        {
            int j = luck.Below(i + 1);
            (order[i], order[j]) = (order[j], order[i]);
        }

        foreach (Change change in order)
        {
            for (int done = 0; done < change.Data!.Length;)
            {
                long at = change.Offset + done;
                int count = (int)Math.Min(SectorBytes - (at % SectorBytes), change.Data.Length - done);
                if (luck.Keeps() && at < length)
                {
                    count = (int)Math.Min(count, length - at);
                    Grow(ref bytes, at + count);
                    change.Data.AsSpan(done, count).CopyTo(bytes.AsSpan((int)at));
                }

                done += (int)Math.Min(SectorBytes - (at % SectorBytes), change.Data.Length - done);
            }
        }

        return new SimFile { _now = bytes, _synced = (byte[])bytes.Clone(), Length = length, _syncedLength = length };
    }

    private static void Apply(ref byte[] bytes, ref long length, Change change)
    {
        if (change.Data is null)
        {
            length = change.Offset;
            if (length < bytes.Length)
            {
                bytes.AsSpan((int)length).Clear();
            }

            return;
        }

        Grow(ref bytes, change.Offset + change.Data.Length);
        change.Data.CopyTo(bytes.AsSpan((int)change.Offset));
    }

    private static void Fill(byte[] stored, Span<byte> target, long offset)
    {
        int known = (int)Math.Clamp(stored.Length - offset, 0, target.Length);
        if (known > 0)
        {
            stored.AsSpan((int)offset, known).CopyTo(target);
        }

        target[known..].Clear();
    }

    private static void Grow(ref byte[] bytes, long end)
    {
        if (end > bytes.Length)
        {
            Array.Resize(ref bytes, (int)Math.Max(end, Math.Min(bytes.Length * 2L, Array.MaxLength)));
        }
    }

    /// <summary>A write, or (without data) a change of length to Offset.</summary>
    private sealed record Change(long Offset, byte[]? Data);
}
