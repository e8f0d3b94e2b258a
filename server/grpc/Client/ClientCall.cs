using System.Buffers;
using System.Buffers.Binary;
using System.Net;
using System.Net.Http.Headers;

namespace Perf.Grpc;

/// <summary>One call over SocketsHttpHandler: frames out, frames in, and how it ended.</summary>
internal sealed class ClientCall : IAsyncDisposable
{
    private const int PrefixBytes = 5;

    private readonly GrpcChannel _channel;
    private readonly CallOptions _options;
    private readonly CancellationTokenSource _cancel;
    private readonly RequestContent _content;
    private readonly bool _waitInPlace;
    private readonly Task<HttpResponseMessage> _response;

    private Stream? _body;
    private byte[] _buffer = [];
    private int _start;
    private int _end;
    private RpcException? _failure;
    private bool _ended;
    private volatile bool _disposed;

    /// <param name="single">The only request message, or null when messages follow by <see cref="WriteAsync"/>.</param>
    /// <param name="waitInPlace">True: reading waits on the calling thread.</param>
    public ClientCall(
        GrpcChannel channel, string path, CallOptions options, ReadOnlyMemory<byte>? single, bool waitInPlace = false)
    {
        _channel = channel;
        _options = options;
        _waitInPlace = waitInPlace;
        if (single is not null)
        {
            channel.CheckSend(single.Value.Length);
        }

        _cancel = CancellationTokenSource.CreateLinkedTokenSource(options.Cancellation);
        TimeSpan? timeout = null;
        if (options.Deadline is { } deadline)
        {
            timeout = deadline.ToUniversalTime() - DateTime.UtcNow;
            if (timeout.Value <= TimeSpan.Zero)
            {
                _cancel.Cancel();
            }
            else if (timeout.Value.TotalMilliseconds < uint.MaxValue - 1)
            {
                _cancel.CancelAfter(timeout.Value);
            }
        }

        _content = new RequestContent(single);
        _response = channel.SendAsync(path, _content, options, timeout, _cancel.Token);

        // Whoever reads sees the failure; whoever only writes is told by the content.
        _ = _response.ContinueWith(
            static (response, content) => ((RequestContent)content!).Abandon(response.Exception!),
            _content,
            CancellationToken.None,
            TaskContinuationOptions.NotOnRanToCompletion | TaskContinuationOptions.ExecuteSynchronously,
            TaskScheduler.Default);
    }

    /// <summary>The current response message; valid until the next read.</summary>
    public ReadOnlyMemory<byte> Message { get; private set; }

    public Metadata Trailers { get; private set; } = Metadata.Empty;

    public async Task<Metadata> HeadersAsync()
    {
        try
        {
            return ToMetadata((await _response).Headers);
        }
        catch (Exception e) when (e is not RpcException)
        {
            throw Translate(e);
        }
    }

    public async ValueTask WriteAsync(ReadOnlyMemory<byte> message)
    {
        _channel.CheckSend(message.Length);
        if (_failure is not null)
        {
            throw _failure;
        }

        try
        {
            await _content.WriteAsync(message, _cancel.Token);
        }
        catch (Exception e) when (e is not RpcException)
        {
            throw _failure ?? await RefusalAsync() ?? Translate(e);
        }
    }

    /// <summary>Why nothing more was taken, when the server has answered with a status alone; null when it has not.</summary>
    private async ValueTask<RpcException?> RefusalAsync()
    {
        try
        {
            HttpResponseMessage response = await _response.WaitAsync(_cancel.Token);
            if (response.Headers.Contains("grpc-status"))
            {
                EndWith(response);
            }
        }
        catch (RpcException e)
        {
            return e;
        }
        catch (Exception e) when (e is HttpRequestException or OperationCanceledException or IOException)
        {
            // No answer either.
        }

        return null;
    }

    public async ValueTask CompleteAsync()
    {
        try
        {
            await _content.CompleteAsync(_cancel.Token);
        }
        catch (Exception e) when (e is not RpcException)
        {
            // The call has ended already: reading tells how.
        }
    }

    /// <summary>The one response of a unary call, with the status behind it.</summary>
    public async ValueTask<ReadOnlyMemory<byte>> ReadSingleAsync()
    {
        if (!await ReadAsync())
        {
            throw Fail(StatusCode.Internal, "cardinality violation: received no response message from a unary call");
        }

        // Reading on keeps the buffer's content: only the end may follow.
        ReadOnlyMemory<byte> message = Message;
        if (await ReadAsync(keepMessage: true))
        {
            throw Fail(StatusCode.Internal, "cardinality violation: received more than one response message from a unary call");
        }

        return message;
    }

    public async ValueTask<bool> ReadAsync(bool keepMessage = false)
    {
        if (_failure is not null)
        {
            throw _failure;
        }

        if (_ended)
        {
            return false;
        }

        try
        {
            HttpResponseMessage response = _waitInPlace ? _response.GetAwaiter().GetResult() : await _response;
            if (_body is null)
            {
                CheckHead(response);
                _body = await response.Content.ReadAsStreamAsync(_cancel.Token);
            }

            if (await ReadFrameAsync(_body, keepMessage))
            {
                return true;
            }

            _ended = true;
            EndWith(response);
            return false;
        }
        catch (RpcException)
        {
            throw;
        }
        catch (Exception e)
        {
            throw _failure = Translate(e);
        }
    }

    public async ValueTask DisposeAsync()
    {
        _disposed = true;
        if (!_ended)
        {
            await _cancel.CancelAsync();
        }

        _content.Abandon(new OperationCanceledException());
        if (_response.IsCompletedSuccessfully)
        {
            _response.Result.Dispose();
        }
        else
        {
            _ = _response.ContinueWith(
                static response => response.Result.Dispose(),
                CancellationToken.None,
                TaskContinuationOptions.OnlyOnRanToCompletion | TaskContinuationOptions.ExecuteSynchronously,
                TaskScheduler.Default);
        }

        _cancel.Dispose();
        if (_buffer.Length > 0)
        {
            ArrayPool<byte>.Shared.Return(_buffer);
            _buffer = [];
        }
    }

    private async ValueTask<bool> ReadFrameAsync(Stream body, bool keepMessage)
    {
        if (!await FillAsync(body, PrefixBytes, keepMessage))
        {
            return false;
        }

        byte flag = _buffer[_start];
        uint length = BinaryPrimitives.ReadUInt32BigEndian(_buffer.AsSpan(_start + 1));
        if (flag != 0)
        {
            throw Fail(StatusCode.Internal, $"grpc: received unexpected payload format {flag}");
        }

        if (length > (uint)_channel.ReceiveBytesMax)
        {
            throw Fail(
                StatusCode.ResourceExhausted,
                $"grpc: received message larger than max ({length} vs. {_channel.ReceiveBytesMax})");
        }

        if (!await FillAsync(body, PrefixBytes + (int)length, keepMessage))
        {
            return false;
        }

        Message = _buffer.AsMemory(_start + PrefixBytes, (int)length);
        _start += PrefixBytes + (int)length;
        return true;
    }

    /// <summary>Reads until that many bytes stand at _start. False at a clean end before the first of them.</summary>
    private async ValueTask<bool> FillAsync(Stream body, int bytes, bool keepMessage)
    {
        if (_end - _start >= bytes)
        {
            return true;
        }

        if (_buffer.Length - _start < bytes)
        {
            // The message a unary caller still reads stays in its array, which then is left to the collector.
            byte[] larger = ArrayPool<byte>.Shared.Rent(Math.Max(bytes, 4096));
            _buffer.AsSpan(_start, _end - _start).CopyTo(larger);
            if (_buffer.Length > 0 && !keepMessage)
            {
                ArrayPool<byte>.Shared.Return(_buffer);
            }

            _buffer = larger;
            _end -= _start;
            _start = 0;
        }

        while (_end - _start < bytes)
        {
            ValueTask<int> reading = body.ReadAsync(_buffer.AsMemory(_end), _cancel.Token);
            int read = _waitInPlace ? reading.AsTask().GetAwaiter().GetResult() : await reading;
            if (read == 0)
            {
                return _end == _start ? false : throw Fail(StatusCode.Internal, "unexpected EOF");
            }

            _end += read;
        }

        return true;
    }

    private void CheckHead(HttpResponseMessage response)
    {
        if (response.Headers.TryGetValues("grpc-status", out _))
        {
            return;
        }

        if (response.StatusCode != HttpStatusCode.OK)
        {
            StatusCode code = (int)response.StatusCode switch
            {
                400 => StatusCode.Internal,
                401 => StatusCode.Unauthenticated,
                403 => StatusCode.PermissionDenied,
                404 => StatusCode.Unimplemented,
                429 or 502 or 503 or 504 => StatusCode.Unavailable,
                _ => StatusCode.Unknown,
            };
            throw Fail(
                code,
                $"unexpected HTTP status code received from server: {(int)response.StatusCode} ({response.ReasonPhrase})");
        }

        string? contentType = response.Content.Headers.ContentType?.ToString();
        if (contentType is null || !GrpcApplication.IsGrpcContentType(contentType))
        {
            throw Fail(StatusCode.Unknown, $"transport: received unexpected content-type \"{contentType}\"");
        }
    }

    private void EndWith(HttpResponseMessage response)
    {
        HttpResponseHeaders source =
            response.TrailingHeaders.Contains("grpc-status") ? response.TrailingHeaders : response.Headers;
        Trailers = ToMetadata(source);
        if (!source.TryGetValues("grpc-status", out IEnumerable<string>? status)
            || !int.TryParse(status.First(), out int number))
        {
            throw Fail(StatusCode.Internal, "server closed the stream without sending trailers");
        }

        if (number != 0)
        {
            string message = source.TryGetValues("grpc-message", out IEnumerable<string>? text)
                ? WireText.DecodeMessage(text.First())
                : "";
            throw Fail(number is > 0 and <= 16 ? (StatusCode)number : StatusCode.Unknown, message);
        }
    }

    private RpcException Fail(StatusCode code, string message) => _failure = new RpcException(code, message, Trailers);

    private RpcException Translate(Exception e)
    {
        // Cancelled, but by nobody else: that was the timer, whatever the clock says to the millisecond.
        bool deadlinePassed = _options.Deadline is not null
            && _cancel.IsCancellationRequested
            && !_options.Cancellation.IsCancellationRequested
            && !_disposed;
        return ClientFailure.Translate(e, _channel, deadlinePassed);
    }

    private static Metadata ToMetadata(HttpResponseHeaders headers)
    {
        Metadata? metadata = null;
        foreach ((string name, IEnumerable<string> values) in headers)
        {
            string lower = name.ToLowerInvariant();
            if (lower is "grpc-status" or "grpc-message" or "date" or "trailer")
            {
                continue;
            }

            foreach (string value in values)
            {
                (metadata ??= new Metadata()).Add(lower, value);
            }
        }

        return metadata ?? Metadata.Empty;
    }
}
