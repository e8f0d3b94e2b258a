using System.Buffers;

namespace Perf.Node.Consensus;

/// <summary>A growing response buffer that keeps its array between uses.</summary>
public sealed class ResponseBuffer : IBufferWriter<byte>
{
    /// <summary>The answer to a put fits twice over; thousands of them may wait.</summary>
    private const int FirstBytes = 128;

    private byte[] _bytes = new byte[FirstBytes];
    private int _written;

    /// <summary>What has been written.</summary>
    public ReadOnlySpan<byte> WrittenSpan => _bytes.AsSpan(0, _written);

    /// <summary>What has been written, as memory.</summary>
    public ReadOnlyMemory<byte> WrittenMemory => _bytes.AsMemory(0, _written);

    /// <inheritdoc/>
    public void Advance(int count) => _written += count;

    /// <inheritdoc/>
    public Memory<byte> GetMemory(int sizeHint = 0)
    {
        Ensure(sizeHint);
        return _bytes.AsMemory(_written);
    }

    /// <inheritdoc/>
    public Span<byte> GetSpan(int sizeHint = 0)
    {
        Ensure(sizeHint);
        return _bytes.AsSpan(_written);
    }

    /// <summary>Empties it; an array above <paramref name="bytesKept"/> is let go.</summary>
    public void Clear(int bytesKept = int.MaxValue)
    {
        _written = 0;
        if (_bytes.Length > bytesKept)
        {
            _bytes = new byte[FirstBytes];
        }
    }

    private void Ensure(int sizeHint)
    {
        int needed = Math.Max(sizeHint, 64);
        if (_bytes.Length - _written < needed)
        {
            Array.Resize(ref _bytes, Math.Max(_bytes.Length * 2, _written + needed));
        }
    }
}
