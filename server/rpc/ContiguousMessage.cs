using System.Buffers;

namespace Perf.Rpc;

/// <summary>A request message as one span: in place where it lies in one piece, else copied.</summary>
internal readonly ref struct ContiguousMessage
{
    private readonly byte[]? _rented;

    public ContiguousMessage(in ReadOnlySequence<byte> message, Span<byte> scratch)
    {
        if (message.IsSingleSegment)
        {
            Span = message.FirstSpan;
            return;
        }

        int bytes = (int)message.Length;
        if (bytes > scratch.Length)
        {
            _rented = ArrayPool<byte>.Shared.Rent(bytes);
            scratch = _rented;
        }

        message.CopyTo(scratch);
        Span = scratch[..bytes];
    }

    /// <summary>The message; good until Dispose, and as long as the call's message is.</summary>
    public ReadOnlySpan<byte> Span { get; }

    public void Dispose()
    {
        if (_rented is not null)
        {
            ArrayPool<byte>.Shared.Return(_rented);
        }
    }
}
