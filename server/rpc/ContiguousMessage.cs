using System.Buffers;

namespace Perf.Rpc;

/// <summary>A request message as one span: in place where it lies in one piece, as our transport's do, else copied.</summary>
internal readonly ref struct ContiguousMessage
{
    private readonly byte[]? _rented;

    public ContiguousMessage(in ReadOnlySequence<byte> message)
    {
        if (message.IsSingleSegment)
        {
            Span = message.FirstSpan;
            return;
        }

        int bytes = (int)message.Length;
        _rented = ArrayPool<byte>.Shared.Rent(bytes);
        message.CopyTo(_rented);
        Span = _rented.AsSpan(0, bytes);
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
