using System.Buffers;
using System.Buffers.Binary;
using System.IO.Pipelines;
using System.Net;
using System.Runtime.CompilerServices;
using System.Security.Cryptography.X509Certificates;
using Microsoft.AspNetCore.Connections.Features;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.Extensions.Primitives;

namespace Perf.Grpc;

/// <summary>
/// A <see cref="ServerCall"/> over one HTTP/2 stream of Kestrel. Kestrel pools its streams and keeps the call with them, so a warm
/// call costs no allocation of ours. This file: the handler's view. KestrelCall.Run.cs: from headers to trailers.
/// </summary>
internal sealed partial class KestrelCall : ServerCall
{
    private const int PrefixBytes = 5;

    private static readonly StringValues ContentTypeGrpc = "application/grpc";
    private static readonly StringValues StatusOk = "0";

    private readonly GrpcApplication _application;

    // The features are the stream itself and stay the same while Kestrel uses it again.
    private IFeatureCollection? _features;
    private IHttpRequestFeature _request = null!;
    private IHttpResponseFeature _response = null!;
    private IHttpResponseBodyFeature _responseBody = null!;
    private IHttpResponseTrailersFeature? _trailers;
    private IRequestBodyPipeFeature _requestBody = null!;
    private IHttpRequestLifetimeFeature _lifetime = null!;
    private FrameGuard? _guard;

    private string _path = "";
    private GrpcMethod? _method;
    private PipeReader? _reader;
    private PipeWriter? _writer;
    private int _receiveBytesMax;

    // Request side: the current message, and where the next one begins.
    private ReadOnlySequence<byte> _message;
    private SequencePosition _messageEnd;
    private bool _holdsMessage;
    private bool _messageWaits;
    private bool _requestEnded;
    private byte[]? _inflated;

    // Response side.
    private StatusCode _status;
    private string _statusMessage = "";
    private bool _messageStarted;
    private Metadata? _addedTrailers;

    // Deadline: ticks of the monotonic clock, zero for none. The timer is armed only when somebody waits for it.
    private long _deadlineAt;
    private Timer? _timer;
    private CancellationTokenSource? _cancelled;

    private long _messagesReceived;
    private long _bytesReceived;
    private long _messagesSent;
    private long _bytesSent;

    public KestrelCall(GrpcApplication application)
    {
        _application = application;
    }

    public override string Path => _path;

    public override string Authority => _request.Headers.Host.ToString();

    public override DateTime? Deadline =>
        _deadlineAt == 0 ? null : DateTime.UtcNow.AddMilliseconds(_deadlineAt - Environment.TickCount64);

    public override CancellationToken Cancelled
    {
        get
        {
            if (_deadlineAt == 0)
            {
                return _lifetime.RequestAborted;
            }

            if (_cancelled is null)
            {
                Volatile.Write(ref _cancelled, CancellationTokenSource.CreateLinkedTokenSource(_lifetime.RequestAborted));
                ArmDeadline();
            }

            return _cancelled.Token;
        }
    }

    public override bool IsCancelled => DeadlinePassed || _lifetime.RequestAborted.IsCancellationRequested;

    public override EndPoint? Remote => _features!.Get<IConnectionEndPointFeature>()?.RemoteEndPoint ?? SocketAddress(remote: true);

    public override EndPoint? Local => _features!.Get<IConnectionEndPointFeature>()?.LocalEndPoint ?? SocketAddress(remote: false);

    public override bool IsTls => _features!.Get<ITlsConnectionFeature>() is not null;

    public override X509Certificate2? ClientCertificate => _features!.Get<ITlsConnectionFeature>()?.ClientCertificate;

    public override ReadOnlySequence<byte> Message => _message;

    private bool DeadlinePassed
    {
        get
        {
            long at = Volatile.Read(ref _deadlineAt);
            return at != 0 && Environment.TickCount64 >= at;
        }
    }

    public override bool TryGetHeader(string name, out string value)
    {
        if (_request.Headers.TryGetValue(name, out StringValues values) && values.Count > 0)
        {
            value = values.Count == 1 ? values[0] ?? "" : string.Join(',', (IEnumerable<string?>)values);
            return true;
        }

        value = "";
        return false;
    }

    public override Metadata GetHeaders()
    {
        var metadata = new Metadata();
        foreach ((string name, StringValues values) in _request.Headers)
        {
            string lower = name.ToLowerInvariant();
            if (lower[0] == ':' || lower is "te" or "content-type" or "host" or "user-agent"
                || (lower.StartsWith("grpc-", StringComparison.Ordinal)
                    && lower is "grpc-timeout" or "grpc-encoding" or "grpc-accept-encoding"))
            {
                continue;
            }

            foreach (string? value in values)
            {
                metadata.Add(lower, value ?? "");
            }
        }

        return metadata;
    }

    public override ValueTask<bool> ReadMessageAsync()
    {
        if (_messageWaits)
        {
            _messageWaits = false;
            return new(true);
        }

        return ReadNextAsync();
    }

    public override IBufferWriter<byte> StartMessage(int payloadBytes)
    {
        PipeWriter writer = Writer();
        Span<byte> prefix = writer.GetSpan(PrefixBytes);
        prefix[0] = 0;
        BinaryPrimitives.WriteInt32BigEndian(prefix[1..], payloadBytes);
        writer.Advance(PrefixBytes);
        CountSent(payloadBytes);
        return writer;
    }

    public override void WriteMessage(ReadOnlySpan<byte> payload)
    {
        PipeWriter writer = Writer();
        Span<byte> target = writer.GetSpan(PrefixBytes);
        target[0] = 0;
        BinaryPrimitives.WriteInt32BigEndian(target[1..], payload.Length);
        if (target.Length >= PrefixBytes + payload.Length)
        {
            payload.CopyTo(target[PrefixBytes..]);
            writer.Advance(PrefixBytes + payload.Length);
        }
        else
        {
            writer.Advance(PrefixBytes);
            writer.Write(payload);
        }

        CountSent(payload.Length);
    }

    public override ValueTask FlushAsync()
    {
        _guard?.Answering();
        ValueTask<FlushResult> flush = Writer().FlushAsync();
        if (!flush.IsCompletedSuccessfully)
        {
            return FlushSlowAsync(flush);
        }

        if (flush.Result.IsCompleted)
        {
            ThrowCancelled();
        }

        return default;
    }

    public override ValueTask SendHeadersAsync()
    {
        // What was flushed has begun the response: a failure after it speaks in trailers.
        _messageStarted = true;
        return FlushAsync();
    }

    public override void AddHeader(string name, string value) => _response.Headers.Append(name, value);

    public override void AddTrailer(string name, string value) => (_addedTrailers ??= new Metadata()).Add(name, value);

    public override void Fail(StatusCode code, string message)
    {
        _status = code;
        _statusMessage = message;
    }

    private PipeWriter Writer() => _writer ??= _responseBody.Writer;

    private void CountSent(int payloadBytes)
    {
        _messageStarted = true;
        if (_method!.Kind is MethodKind.ServerStream or MethodKind.Duplex)
        {
            _method.CountSent(1, payloadBytes);
        }
        else
        {
            _messagesSent++;
            _bytesSent += payloadBytes;
        }
    }

    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder))]
    private async ValueTask FlushSlowAsync(ValueTask<FlushResult> flush)
    {
        ArmDeadline();
        while (true)
        {
            FlushResult result = await flush;
            if (result.IsCompleted || (result.IsCanceled && DeadlinePassed))
            {
                ThrowCancelled();
            }

            if (!result.IsCanceled)
            {
                return;
            }

            // A timer of an earlier call came late: this call's deadline has not passed.
            flush = Writer().FlushAsync();
        }
    }

    private ValueTask<bool> ReadNextAsync()
    {
        PipeReader reader = _reader ??= _requestBody.Reader;
        try
        {
            ReleaseMessage(reader);
            if (_requestEnded)
            {
                return new(false);
            }

            while (reader.TryRead(out ReadResult result))
            {
                switch (Take(reader, result))
                {
                    case Taken.Message:
                        return new(true);
                    case Taken.End:
                        return new(false);
                }
            }
        }
        catch (Exception e) when (e is IOException or BadHttpRequestException or InvalidOperationException)
        {
            ThrowBroken(e);
        }

        return ReadSlowAsync(reader);
    }

    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder<>))]
    private async ValueTask<bool> ReadSlowAsync(PipeReader reader)
    {
        ArmDeadline();
        while (true)
        {
            try
            {
                ReadResult result = await reader.ReadAsync();
                if (result.IsCanceled && DeadlinePassed)
                {
                    reader.AdvanceTo(result.Buffer.Start);
                    ThrowCancelled();
                }

                switch (Take(reader, result))
                {
                    case Taken.Message:
                        return true;
                    case Taken.End:
                        return false;
                }
            }
            catch (Exception e) when (e is IOException or BadHttpRequestException or InvalidOperationException)
            {
                ThrowBroken(e);
            }
        }
    }

    private enum Taken
    {
        NeedMore,
        Message,
        End,
    }

    /// <summary>Looks for a message in what was read; advances the reader unless it found one.</summary>
    private Taken Take(PipeReader reader, in ReadResult result)
    {
        ReadOnlySequence<byte> buffer = result.Buffer;
        if (buffer.IsEmpty && result.IsCompleted)
        {
            reader.AdvanceTo(buffer.End);
            _requestEnded = true;
            return Taken.End;
        }

        if (buffer.Length >= PrefixBytes)
        {
            Span<byte> copy = stackalloc byte[PrefixBytes];
            scoped ReadOnlySpan<byte> prefix = buffer.FirstSpan;
            if (prefix.Length < PrefixBytes)
            {
                buffer.Slice(0, PrefixBytes).CopyTo(copy);
                prefix = copy;
            }

            byte flag = prefix[0];
            uint length = BinaryPrimitives.ReadUInt32BigEndian(prefix[1..]);
            if (flag > 1)
            {
                reader.AdvanceTo(buffer.End);
                throw new RpcException(StatusCode.Internal, $"grpc: received unexpected payload format {flag}");
            }

            // Before anything believes the length.
            if (length > (uint)_receiveBytesMax)
            {
                reader.AdvanceTo(buffer.End);
                throw new RpcException(
                    StatusCode.ResourceExhausted,
                    $"grpc: received message larger than max ({length} vs. {_receiveBytesMax})");
            }

            long end = PrefixBytes + (long)length;
            bool whole = buffer.Length >= end;

            // A single request has been read when its stream has ended too; then the stream can be used again.
            bool single = _method!.Kind is MethodKind.Unary or MethodKind.ServerStream;
            if (whole && single && buffer.Length > end)
            {
                reader.AdvanceTo(buffer.End);
                throw new RpcException(StatusCode.Internal, "more than one request message for a method that takes one");
            }

            if (whole && (!single || result.IsCompleted))
            {
                _message = buffer.Slice(PrefixBytes, length);
                _messageEnd = buffer.GetPosition(end);
                _holdsMessage = true;
                if (single)
                {
                    _messagesReceived++;
                    _bytesReceived += length;
                }
                else
                {
                    _method.CountReceived(1, length);
                }

                if (flag == 1)
                {
                    Inflate();
                }

                return Taken.Message;
            }
        }

        if (result.IsCompleted)
        {
            reader.AdvanceTo(buffer.End);
            throw new RpcException(StatusCode.Internal, "unexpected EOF");
        }

        reader.AdvanceTo(buffer.Start, buffer.End);
        return Taken.NeedMore;
    }

    private void Inflate()
    {
        string encoding = _request.Headers.GrpcEncoding.ToString();
        if (encoding is "" or "identity")
        {
            throw new RpcException(
                StatusCode.Internal, "grpc: compressed flag set with identity or empty encoding");
        }

        // Anything but gzip was refused with the headers.
        _inflated = GzipMessage.Inflate(_message, _receiveBytesMax, out int length);
        _message = new(_inflated, 0, length);
    }

    private void ReleaseMessage(PipeReader reader)
    {
        if (!_holdsMessage)
        {
            return;
        }

        _holdsMessage = false;
        _message = default;
        reader.AdvanceTo(_messageEnd);
        _messageEnd = default;
        if (_inflated is not null)
        {
            ArrayPool<byte>.Shared.Return(_inflated);
            _inflated = null;
        }
    }

    private void ArmDeadline()
    {
        if (_deadlineAt == 0)
        {
            return;
        }

        long due = Math.Clamp(_deadlineAt - Environment.TickCount64, 0, uint.MaxValue - 1);
        _timer ??= new Timer(static state => ((KestrelCall)state!).OnDeadline(), this, Timeout.Infinite, Timeout.Infinite);
        _timer.Change(due, Timeout.Infinite);
    }

    /// <summary>
    /// Runs on a timer thread, perhaps late, when the call already serves another client: then that one's deadline decides, and
    /// whoever is woken for nothing looks at it too.
    /// </summary>
    private void OnDeadline()
    {
        if (!DeadlinePassed)
        {
            return;
        }

        try
        {
            Volatile.Read(ref _cancelled)?.Cancel();
            _reader?.CancelPendingRead();
            _writer?.CancelPendingFlush();
        }
        catch (Exception e) when (e is ObjectDisposedException or IOException or InvalidOperationException)
        {
            // The call ended meanwhile, or its client had reset it: whoever waits has been told.
        }
    }

    private void ThrowCancelled() =>
        throw new OperationCanceledException(DeadlinePassed ? "context deadline exceeded" : "context canceled");

    private static void ThrowBroken(Exception e) => throw new OperationCanceledException("context canceled", e);

    private IPEndPoint? SocketAddress(bool remote)
    {
        IHttpConnectionFeature? connection = _features!.Get<IHttpConnectionFeature>();
        IPAddress? address = remote ? connection?.RemoteIpAddress : connection?.LocalIpAddress;
        return address is null ? null : new IPEndPoint(address, remote ? connection!.RemotePort : connection!.LocalPort);
    }
}
