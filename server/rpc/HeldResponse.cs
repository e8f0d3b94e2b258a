using System.Buffers;
using Perf.Store.Mvcc;

namespace Perf.Rpc;

/// <summary>An answer kept back until it is known what goes out of it.</summary>
internal sealed class HeldResponse : ISizedBufferWriter
{
    private readonly ArrayBufferWriter<byte> _bytes = new(1024);

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
