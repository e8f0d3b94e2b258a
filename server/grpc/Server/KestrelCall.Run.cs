using System.Diagnostics;
using System.Globalization;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.Extensions.Primitives;

namespace Perf.Grpc;

// The way of a call: Begin -> RunAsync -> (fallback | request message -> handler -> Finish) -> End, and again from Begin.
internal sealed partial class KestrelCall
{
    private string? _contentTypeSeen;
    private string? _pathSeen;
    private GrpcMethod? _methodSeen;
    private long _startedAt;

    public void Begin(IFeatureCollection features)
    {
        if (!ReferenceEquals(features, _features))
        {
            _features = features;
            _request = features.GetRequiredFeature<IHttpRequestFeature>();
            _response = features.GetRequiredFeature<IHttpResponseFeature>();
            _responseBody = features.GetRequiredFeature<IHttpResponseBodyFeature>();
            _requestBody = features.GetRequiredFeature<IRequestBodyPipeFeature>();
            _lifetime = features.GetRequiredFeature<IHttpRequestLifetimeFeature>();
            _trailers = features.Get<IHttpResponseTrailersFeature>();
            _guard = features.Get<FrameGuard>();
        }

        _guard?.CallBegan();
    }

    /// <summary>Forgets the call, so that nothing of it is seen by the next one on this stream.</summary>
    public void End()
    {
        _guard?.CallEnded();
        Volatile.Write(ref _deadlineAt, 0);
        if (_cancelled is not null)
        {
            _timer?.Change(Timeout.Infinite, Timeout.Infinite);
            _cancelled.Dispose();
            _cancelled = null;
        }

        _reader = null;
        _writer = null;
        _message = default;
        _holdsMessage = false;
        _messageWaits = false;
        _requestEnded = false;
        _status = StatusCode.OK;
        _statusMessage = "";
        _messageStarted = false;
        _addedTrailers = null;
        _messagesReceived = 0;
        _bytesReceived = 0;
        _messagesSent = 0;
        _bytesSent = 0;
    }

    public Task RunAsync()
    {
        IHeaderDictionary headers = _request.Headers;
        if (_request.Protocol != "HTTP/2" || !IsGrpc(headers.ContentType))
        {
            return _application.FallbackAsync(_features!);
        }

        _response.Headers.ContentType = ContentTypeGrpc;
        if (_request.Method != "POST")
        {
            return Refuse(
                405, StatusCode.Internal, $"http2Server.operateHeaders parsed a :method field \"{_request.Method}\" which should be POST");
        }

        // Kestrel hands the same string again when a stream of the connection asks the same path again.
        _path = _request.Path;
        if (!ReferenceEquals(_path, _pathSeen))
        {
            _application.Router.TryFind(_path, out _methodSeen);
            _pathSeen = _path;
        }

        _method = _methodSeen;
        if (_method is null)
        {
            Fail(StatusCode.Unimplemented, _application.Router.DescribeUnknown(_path));
            SendStatus();
            return Task.CompletedTask;
        }

        _method.CountStart();
        _startedAt = Stopwatch.GetTimestamp();
        _receiveBytesMax = _method.ReceiveBytesMax >= 0 ? _method.ReceiveBytesMax : _application.ReceiveBytesMax;
        if (!AcceptTimeout(headers.GrpcTimeout) || !AcceptEncoding(headers.GrpcEncoding))
        {
            Finish();
            return Task.CompletedTask;
        }

        try
        {
            if (_method.Kind is MethodKind.Unary or MethodKind.ServerStream)
            {
                ValueTask<bool> read = ReadNextAsync();
                if (!read.IsCompletedSuccessfully)
                {
                    return ReadAndServeAsync(read);
                }

                if (!AcceptFirst(read.Result))
                {
                    Finish();
                    return Task.CompletedTask;
                }
            }

            ValueTask serving = _method.Handler(this);
            if (!serving.IsCompletedSuccessfully)
            {
                return ServeAsync(serving);
            }

            serving.GetAwaiter().GetResult();
        }
        catch (Exception e)
        {
            FailWith(e);
        }

        Finish();
        return Task.CompletedTask;
    }

    private async Task ReadAndServeAsync(ValueTask<bool> read)
    {
        try
        {
            if (AcceptFirst(await read))
            {
                await _method!.Handler(this);
            }
        }
        catch (Exception e)
        {
            FailWith(e);
        }

        Finish();
    }

    private async Task ServeAsync(ValueTask serving)
    {
        try
        {
            await serving;
        }
        catch (Exception e)
        {
            FailWith(e);
        }

        Finish();
    }

    private bool AcceptFirst(bool hasMessage)
    {
        if (!hasMessage)
        {
            Fail(StatusCode.Internal, "no request message for a method that takes one");
        }

        _messageWaits = hasMessage;
        return hasMessage;
    }

    private bool AcceptTimeout(StringValues text)
    {
        if (text.Count == 0)
        {
            return true;
        }

        if (!WireText.TryParseTimeout(text.ToString(), out TimeSpan timeout))
        {
            Fail(StatusCode.Internal, $"malformed grpc-timeout: \"{text}\"");
            return false;
        }

        Volatile.Write(ref _deadlineAt, Environment.TickCount64 + Math.Max(1, (long)Math.Ceiling(timeout.TotalMilliseconds)));
        return true;
    }

    private bool AcceptEncoding(StringValues encoding)
    {
        if (encoding.Count == 0 || encoding.ToString() is "identity" or "gzip")
        {
            return true;
        }

        _response.Headers.GrpcAcceptEncoding = "identity,gzip";
        Fail(StatusCode.Unimplemented, $"grpc: Decompressor is not installed for grpc-encoding \"{encoding}\"");
        return false;
    }

    private bool IsGrpc(StringValues contentType)
    {
        string? text = contentType.Count == 1 ? contentType[0] : null;
        if (text is null)
        {
            return false;
        }

        if (ReferenceEquals(text, _contentTypeSeen))
        {
            return true;
        }

        if (GrpcApplication.IsGrpcContentType(text))
        {
            _contentTypeSeen = text;
            return true;
        }

        return false;
    }

    private void FailWith(Exception e)
    {
        switch (e)
        {
            case RpcException rpc:
                Fail(rpc.Code, rpc.Message);
                foreach ((string name, string value) in rpc.Trailers)
                {
                    AddTrailer(name, value);
                }

                break;
            case OperationCanceledException when DeadlinePassed:
                Fail(StatusCode.DeadlineExceeded, "context deadline exceeded");
                break;
            case OperationCanceledException:
            case IOException when IsCancelled:
                Fail(StatusCode.Cancelled, "context canceled");
                break;
            default:
                Fail(StatusCode.Unknown, e.Message);
                _application.Trouble?.Invoke($"the handler of {_path} failed", e);
                break;
        }
    }

    private void Finish()
    {
        try
        {
            if (_reader is not null)
            {
                ReleaseMessage(_reader);
            }
        }
        catch (Exception e) when (e is IOException or InvalidOperationException)
        {
            // The client has reset the stream, and Kestrel has ended the reader with it.
        }

        _method!.CountEnd(_status);
        _method.CountReceived(_messagesReceived, _bytesReceived);
        _method.CountSent(_messagesSent, _bytesSent);
        if (_application.CallEnded is { } ended)
        {
            long ticks = Stopwatch.GetTimestamp() - _startedAt;
            ended(this, new CallOutcome(
                _method, _status, ticks, _messagesReceived, _bytesReceived, _messagesSent, _bytesSent));
        }

        SendStatus();
    }

    /// <summary>
    /// The status, as trailers behind messages, or in the headers when there are none (Trailers-Only). Kestrel sends it when the
    /// request's task has ended.
    /// </summary>
    private void SendStatus()
    {
        _guard?.Answering();
        bool inTrailers = _messageStarted || _response.HasStarted;
        IHeaderDictionary target = inTrailers ? _trailers!.Trailers : _response.Headers;
        if (_status == StatusCode.OK)
        {
            target.GrpcStatus = StatusOk;
        }
        else
        {
            target.GrpcStatus = ((int)_status).ToString(CultureInfo.InvariantCulture);
            if (_statusMessage.Length > 0)
            {
                target.GrpcMessage = WireText.EncodeMessage(_statusMessage);
            }
        }

        if (_addedTrailers is not null)
        {
            foreach ((string name, string value) in _addedTrailers)
            {
                target.Append(name, value);
            }
        }
    }

    private Task Refuse(int httpStatus, StatusCode code, string message)
    {
        _response.StatusCode = httpStatus;
        Fail(code, message);
        SendStatus();
        return Task.CompletedTask;
    }
}
