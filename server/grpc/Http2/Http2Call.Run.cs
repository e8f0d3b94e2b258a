using System.Diagnostics;
using System.Runtime.CompilerServices;

namespace Perf.Grpc;

// The way of a call: OnOpen -> (OnBody until the request is there) -> Go: handler -> Finish -> the stream sends the rest -> TryRecycle.
internal sealed partial class Http2Call : IStreamUser, IReady, IThreadPoolWorkItem
{
    private const int Start = 0;
    private const int Resume = 1;

    private readonly Action _onServed;
    private ConfiguredValueTaskAwaitable.ConfiguredValueTaskAwaiter _serving;
    private long _startedAt;
    private int _httpStatus;
    private bool _isAlone;

    // Guarded by the gate; _isReset repeats the stream's for whoever asks without it.
    private bool _isReset;
    private bool _isStarted;
    private bool _isIncomplete;
    private bool _isDone;
    private bool _headersWritten;

    bool IStreamUser.IsDone => _isDone;

    /// <summary>Gate held, as for all of <see cref="IStreamUser"/>.</summary>
    void IStreamUser.OnOpen(ReadyBatch batch)
    {
        _headers = _stream.Headers;
        _method = _headers.Called;
        _startedAt = batch.ReadAt;
        _receiveBytesMax = _method is { ReceiveBytesMax: >= 0 } ? _method.ReceiveBytesMax : _application.ReceiveBytesMax;
        _httpStatus = 200;
        if (_headers.Timeout.Length > 0 && WireText.TryParseTimeout(_headers.Timeout, out TimeSpan timeout))
        {
            Volatile.Write(
                ref _deadlineAt, Environment.TickCount64 + Math.Max(1, (long)Math.Ceiling(timeout.TotalMilliseconds)));
        }

        if (_method is null || !TakesOneMessage || _headers.Method != "POST" || CanRead())
        {
            StartSoon(batch);
        }
        else if (_deadlineAt != 0)
        {
            _isIncomplete = true;
            _connection.Incomplete++;
        }
    }

    bool IStreamUser.TryExpire()
    {
        if (_isStarted || !DeadlinePassed)
        {
            return false;
        }

        Started();
        return true;
    }

    void IStreamUser.OnBody(ReadyBatch batch)
    {
        if (!_isStarted)
        {
            // A single request is buffered whole, whatever the window: its size has a limit of its own.
            _connection.Credit(_stream, _stream.Uncredited);
            if (CanRead())
            {
                StartSoon(batch);
            }
        }
        else if (_isDone || _method is null)
        {
            _stream.Consume(_stream.Unread.Length);
        }
        else
        {
            bool canRead = CanRead();
            if (!canRead)
            {
                // The beginning of a message: the rest of it must find room.
                _connection.Credit(_stream, _stream.Uncredited);
            }
            else if (_waitsForMessage)
            {
                _waitsForMessage = false;
                batch.Add(this, Resume);
            }
        }
    }

    void IStreamUser.OnReset(ReadyBatch? batch)
    {
        Volatile.Write(ref _isReset, true);
        WakeForRoom();
        if (_cancelled is not null)
        {
            if (batch is not null)
            {
                batch.Cancel(_cancelled);
            }
            else
            {
                Cancellation.FireSoon(_cancelled);
            }
        }

        if (_waitsForMessage)
        {
            _waitsForMessage = false;
            if (batch is not null)
            {
                batch.Add(this, Resume);
            }
            else
            {
                ThreadPool.UnsafeQueueUserWorkItem(this, preferLocal: false);
            }
        }

        if (!_isStarted)
        {
            // Nothing runs on behalf of it, and nothing will.
            Started();
            _isDone = true;
        }
    }

    void IStreamUser.OnSent()
    {
        if (_waitsForRoom && _stream.Unsent.Length <= UnsentBytesMax / 2)
        {
            WakeForRoom();
        }
    }

    void IStreamUser.WriteHeaders(Http2Output output)
    {
        if (!_headersWritten)
        {
            _headersWritten = true;
            _connection.NoteAnswer();
            output.GrpcHeaders(_stream.Id, _httpStatus, _addedHeaders);
        }
    }

    void IStreamUser.WriteEnd(Http2Output output)
    {
        var status = new StatusFields(_status, _statusMessage, _addedTrailers);
        if (_headersWritten)
        {
            output.GrpcTrailers(_stream.Id, status);
        }
        else
        {
            output.GrpcTrailersOnly(_stream.Id, _httpStatus, _addedHeaders, status);
        }
    }

    /// <summary>Forgets the call, so that nothing of it is seen by the next one on this stream.</summary>
    bool IStreamUser.TryRecycle()
    {
        Volatile.Write(ref _deadlineAt, 0);
        if (_cancelled is not null)
        {
            _timer?.Change(Timeout.Infinite, Timeout.Infinite);
            _cancelled.Dispose();
            _cancelled = null;
        }

        ReleaseMessage();
        const int KeptBytesMax = 4 << 10;
        Http2Stream.Trim(ref _messageArray, KeptBytesMax);
        Http2Stream.Trim(ref _draft, KeptBytesMax);
        _draftBytes = 0;
        _messageWaits = false;
        _status = StatusCode.OK;
        _statusMessage = "";
        _messageStarted = false;
        _addedHeaders = null;
        _addedTrailers = null;
        _messagesReceived = 0;
        _bytesReceived = 0;
        _messagesSent = 0;
        _bytesSent = 0;
        _isReset = false;
        _isStarted = false;
        _isDone = false;
        _headersWritten = false;
        _headers = null!;
        _method = null;

        // A handler may leave a read behind. Its waker can be on the way: it must not meet the next call.
        return !_isReading;
    }

    void IReady.Go(int what, bool isAlone)
    {
        if (what == Resume)
        {
            _readSource.SetResult(true);
            return;
        }

        _isAlone = isAlone;
        Run();
    }

    /// <summary>Resumes the handler on the pool.</summary>
    void IThreadPoolWorkItem.Execute() => _readSource.SetResult(true);

    private void StartSoon(ReadyBatch batch)
    {
        Started();
        batch.Add(this, Start);
    }

    private void Started()
    {
        _isStarted = true;
        if (_isIncomplete)
        {
            _isIncomplete = false;
            _connection.Incomplete--;
        }
    }

    private void Run()
    {
        if (_headers.Method != "POST")
        {
            _httpStatus = 405;
            Fail(
                StatusCode.Internal,
                $"http2Server.operateHeaders parsed a :method field \"{_headers.Method}\" which should be POST");
            End();
            return;
        }

        if (_method is null)
        {
            Fail(StatusCode.Unimplemented, _application.Router.DescribeUnknown(_headers.Path));
            End();
            return;
        }

        _method.CountStart();
        if (!AcceptTimeout() || !AcceptEncoding())
        {
            Finish();
            return;
        }

        try
        {
            if (TakesOneMessage)
            {
                if (!Take())
                {
                    Fail(StatusCode.Internal, "no request message for a method that takes one");
                    Finish();
                    return;
                }

                _messageWaits = true;
            }

            ConfiguredValueTaskAwaitable.ConfiguredValueTaskAwaiter serving =
                _method.Handler(this).ConfigureAwait(false).GetAwaiter();
            if (!serving.IsCompleted)
            {
                _serving = serving;
                serving.UnsafeOnCompleted(_onServed);
                return;
            }

            serving.GetResult();
        }
        catch (Exception e)
        {
            FailWith(e);
        }

        Finish();
    }

    private void OnServed()
    {
        try
        {
            _serving.GetResult();
        }
        catch (Exception e)
        {
            FailWith(e);
        }

        _serving = default;
        Finish();
    }

    private bool AcceptTimeout()
    {
        if (_headers.Timeout.Length > 0 && _deadlineAt == 0)
        {
            Fail(StatusCode.Internal, $"malformed grpc-timeout: \"{_headers.Timeout}\"");
            return false;
        }

        return true;
    }

    private bool AcceptEncoding()
    {
        if (_headers.Encoding is "" or "identity" or "gzip")
        {
            return true;
        }

        AddHeader("grpc-accept-encoding", "identity,gzip");
        Fail(StatusCode.Unimplemented, $"grpc: Decompressor is not installed for grpc-encoding \"{_headers.Encoding}\"");
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
                _application.Trouble?.Invoke($"the handler of {Path} failed", e);
                break;
        }
    }

    private void Finish()
    {
        if (_status == StatusCode.Cancelled && DeadlinePassed)
        {
            // Whatever a handler was told to stop by: for the client it was the deadline.
            Fail(StatusCode.DeadlineExceeded, "context deadline exceeded");
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

        End();
    }

    /// <summary>
    /// Hands over what is left to be sent, and the status: as trailers behind messages, or in the headers when there are none.
    /// </summary>
    private void End()
    {
        // The call may be another connection's when the gate is open again.
        Http2Connection connection = _connection;
        lock (connection.Gate)
        {
            _isDone = true;
            if (!_stream.IsReset)
            {
                if (_messageStarted)
                {
                    ((IStreamUser)this).WriteHeaders(connection.Output);
                }

                _stream.Send(ref _draft, _draftBytes);
                _draftBytes = 0;
                _stream.EndWanted = true;
                connection.Pump(_stream);
            }

            connection.ReleaseIfOver(_stream);
        }

        connection.Output.FlushSoon();
    }
}
