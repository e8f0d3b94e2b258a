using System.Buffers;
using Perf.Engine.IO;

namespace Perf.Engine.Wal;

/// <summary>How a segment's data ends at the present position, or that it goes on.</summary>
internal enum FrameOutcome
{
    /// <summary>A whole frame is there.</summary>
    Frame,

    /// <summary>The readable part ends exactly here.</summary>
    End,

    /// <summary>A zero length field: etcd's sign for the end of the data.</summary>
    Zero,

    /// <summary>Fewer bytes are left than the frame needs.</summary>
    Short,

    /// <summary>The length field is none that a writer makes.</summary>
    BadLength,
}

/// <summary>Reads a segment front to back through one rented window.</summary>
internal sealed class FrameReader : IDisposable
{
    private const int WindowBytes = 1 << 20;

    private readonly IDiskFile _file;
    private readonly long _limit;
    private byte[] _window;
    private int _windowStart;
    private int _windowEnd;

    /// <param name="file">The segment.</param>
    /// <param name="offset">Where the first frame begins.</param>
    /// <param name="limit">What lies at and beyond this offset is not looked at.</param>
    public FrameReader(IDiskFile file, long offset, long limit)
    {
        _file = file;
        _limit = limit;
        _window = ArrayPool<byte>.Shared.Rent(WindowBytes);
        Offset = offset;
    }

    /// <summary>Where the next frame begins.</summary>
    public long Offset { get; private set; }

    /// <summary>Goes over one frame; its record bytes are good until the next call.</summary>
    public FrameOutcome Read(out ReadOnlySpan<byte> record)
    {
        record = default;
        long left = _limit - Offset;
        if (left == 0)
        {
            return FrameOutcome.End;
        }

        if (left < WalFormat.LengthBytes)
        {
            return FrameOutcome.Short;
        }

        ReadOnlySpan<byte> lengthField = Peek(WalFormat.LengthBytes);
        if (lengthField.IndexOfAnyExcept((byte)0) < 0)
        {
            return FrameOutcome.Zero;
        }

        if (!WalFormat.TryReadLength(lengthField, out FrameHead head))
        {
            return FrameOutcome.BadLength;
        }

        if (head.FrameBytes > left)
        {
            return FrameOutcome.Short;
        }

        int frameBytes = checked((int)head.FrameBytes);
        record = Peek(frameBytes).Slice(WalFormat.LengthBytes, (int)head.RecordBytes);
        _windowStart += frameBytes;
        Offset += frameBytes;
        return FrameOutcome.Frame;
    }

    public void Dispose()
    {
        byte[] window = _window;
        _window = [];
        if (window.Length > 0)
        {
            ArrayPool<byte>.Shared.Return(window);
        }
    }

    private ReadOnlySpan<byte> Peek(int count)
    {
        if (_windowEnd - _windowStart < count)
        {
            Fill(count);
        }

        return _window.AsSpan(_windowStart, count);
    }

    private void Fill(int count)
    {
        int kept = _windowEnd - _windowStart;
        byte[] window = _window;
        if (count > window.Length)
        {
            window = ArrayPool<byte>.Shared.Rent(count);
        }

        _window.AsSpan(_windowStart, kept).CopyTo(window);
        if (!ReferenceEquals(window, _window))
        {
            ArrayPool<byte>.Shared.Return(_window);
            _window = window;
        }

        _windowStart = 0;
        _windowEnd = kept;
        int wanted = (int)Math.Min(window.Length - kept, _limit - Offset - kept);
        int read = _file.Read(window.AsSpan(kept, wanted), Offset + kept);
        _windowEnd += read;
        if (_windowEnd < count)
        {
            throw new IOException($"{_file.Path}: the file became shorter while it was read");
        }
    }
}
