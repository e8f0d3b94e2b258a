using System.Buffers;
using Perf.Store.Mvcc;

namespace Perf.Rpc;

/// <summary>
/// An answer kept back until it is known that it may go out. One per thread at a time; used within a synchronous piece
/// of a handler.
/// </summary>
internal sealed class HeldResponse : ISizedBufferWriter
{
    /// <summary>A thread keeps no more than this for its next answer.</summary>
    private const int KeptBytesMax = 1 << 20;

    [ThreadStatic]
    private static HeldResponse? t_forThread;

    private readonly ArrayBufferWriter<byte> _bytes = new(1024);

    /// <summary>The thread's own, empty. Hand it back with <see cref="Release"/>.</summary>
    public static HeldResponse ForThread()
    {
        HeldResponse held = t_forThread ?? new HeldResponse();
        t_forThread = null;
        return held;
    }

    public void Release()
    {
        if (_bytes.Capacity <= KeptBytesMax)
        {
            _bytes.ResetWrittenCount();
            t_forThread = this;
        }
    }

    public ReadOnlySpan<byte> Written => _bytes.WrittenSpan;

    /// <inheritdoc/>
    public void Begin(int bytes)
    {
        if (bytes > 0)
        {
            _bytes.GetSpan(bytes);
        }
    }

    /// <inheritdoc/>
    public void Advance(int count) => _bytes.Advance(count);

    /// <inheritdoc/>
    public Memory<byte> GetMemory(int sizeHint = 0) => _bytes.GetMemory(sizeHint);

    /// <inheritdoc/>
    public Span<byte> GetSpan(int sizeHint = 0) => _bytes.GetSpan(sizeHint);
}
