using System.Buffers;
using System.Buffers.Binary;
using System.Net;
using System.Net.Http.Headers;

namespace Perf.Grpc;

/// <summary>
/// The request side of a call: either one message known beforehand, or a stream that stays open for messages until
/// <see cref="CompleteAsync"/>.
/// </summary>
internal sealed class RequestContent : HttpContent
{
    private const int PrefixBytes = 5;

    private static readonly MediaTypeHeaderValue ContentType = new("application/grpc");

    private readonly ReadOnlyMemory<byte>? _single;
    private readonly TaskCompletionSource<Stream>? _opened;
    private readonly TaskCompletionSource? _closed;
    private readonly SemaphoreSlim? _writing;

    public RequestContent(ReadOnlyMemory<byte>? single)
    {
        _single = single;
        Headers.ContentType = ContentType;
        if (single is null)
        {
            _opened = new(TaskCreationOptions.RunContinuationsAsynchronously);
            _closed = new(TaskCreationOptions.RunContinuationsAsynchronously);
            _writing = new(1);
        }
    }

    public async ValueTask WriteAsync(ReadOnlyMemory<byte> message, CancellationToken cancellation)
    {
        Stream stream = await (_opened ?? throw new InvalidOperationException("the call takes a single message")).Task
            .WaitAsync(cancellation);
        await _writing!.WaitAsync(cancellation);
        try
        {
            if (_closed!.Task.IsCompleted)
            {
                throw new RpcException(StatusCode.Internal, "the call takes no more messages");
            }

            await WriteFrameAsync(stream, message, cancellation);
            await stream.FlushAsync(cancellation);
        }
        finally
        {
            _writing.Release();
        }
    }

    public async ValueTask CompleteAsync(CancellationToken cancellation)
    {
        if (_writing is not null)
        {
            await _writing.WaitAsync(cancellation);
            _closed!.TrySetResult();
            _writing.Release();
        }
    }

    /// <summary>The call failed or was given up: writers wait no longer.</summary>
    public void Abandon(Exception reason)
    {
        if (_opened is not null && _opened.TrySetException(reason))
        {
            _ = _opened.Task.Exception;
        }

        _closed?.TrySetResult();
    }

    protected override Task SerializeToStreamAsync(Stream stream, TransportContext? context) =>
        SerializeToStreamAsync(stream, context, CancellationToken.None);

    protected override async Task SerializeToStreamAsync(
        Stream stream, TransportContext? context, CancellationToken cancellationToken)
    {
        if (_single is not null)
        {
            await WriteFrameAsync(stream, _single.Value, cancellationToken);
            return;
        }

        // The headers wait for the first bytes otherwise, and a server that speaks first would never be asked.
        try
        {
            await stream.FlushAsync(cancellationToken);
        }
        catch (Exception e)
        {
            // The server has ended the call before it took anything: writers must not wait for a stream that never opens.
            Abandon(e);
            throw;
        }

        _opened!.TrySetResult(stream);
        await _closed!.Task.WaitAsync(cancellationToken);
    }

    protected override bool TryComputeLength(out long length)
    {
        length = 0;
        return false;
    }

    private static async ValueTask WriteFrameAsync(Stream stream, ReadOnlyMemory<byte> message, CancellationToken cancellation)
    {
        byte[] frame = ArrayPool<byte>.Shared.Rent(PrefixBytes + message.Length);
        frame[0] = 0;
        BinaryPrimitives.WriteInt32BigEndian(frame.AsSpan(1), message.Length);
        message.Span.CopyTo(frame.AsSpan(PrefixBytes));
        await stream.WriteAsync(frame.AsMemory(0, PrefixBytes + message.Length), cancellation);
        ArrayPool<byte>.Shared.Return(frame);
    }
}
