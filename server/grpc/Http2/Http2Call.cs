using System.Buffers;
using System.Buffers.Binary;
using System.Net;
using System.Runtime.CompilerServices;
using System.Security.Cryptography.X509Certificates;
using System.Threading.Tasks.Sources;

namespace Perf.Grpc;

/// <summary>
/// A <see cref="ServerCall"/> over one HTTP/2 stream. It lives with the stream and is used again with it, so a warm call allocates
/// nothing. This file: the handler's view. Http2Call.Run.cs: from headers to trailers.
/// </summary>
internal sealed partial class Http2Call : ServerCall, IBufferWriter<byte>, IValueTaskSource<bool>, IValueTaskSource
{
    private const int PrefixBytes = 5;

    /// <summary>So much of a stream's messages may wait for room before its handler does.</summary>
    private const int UnsentBytesMax = 64 << 10;

    private readonly GrpcApplication _application;
    private readonly Http2Stream _stream;
    private Http2Connection _connection;

    private RequestHeaders _headers = null!;
    private GrpcMethod? _method;
    private int _receiveBytesMax;

    // Request side: the current message, and the array it stands in unless that is the stream's.
    private ReadOnlySequence<byte> _message;
    private byte[] _messageArray = [];
    private byte[]? _inflated;
    private bool _holdsMessage;
    private bool _messageWaits;

    // Response side: what the handler has written since the last flush. The handler's own.
    private byte[] _draft = [];
    private int _draftBytes;
    private StatusCode _status;
    private string _statusMessage = "";
    private bool _messageStarted;
    private Metadata? _addedHeaders;
    private Metadata? _addedTrailers;

    // Waiting for a message, and for room; the flags are guarded by the gate.
    private ManualResetValueTaskSourceCore<bool> _readSource;
    private ManualResetValueTaskSourceCore<bool> _roomSource = new() { RunContinuationsAsynchronously = true };
    private bool _waitsForMessage;
    private bool _waitsForRoom;

    /// <summary>A read that had to wait has not brought its result to the handler yet.</summary>
    private bool _isReading;

    // Deadline: ticks of the monotonic clock, zero for none. The timer is armed only when somebody waits for it.
    private long _deadlineAt;
    private Timer? _timer;
    private CancellationTokenSource? _cancelled;

    private long _messagesReceived;
    private long _bytesReceived;
    private long _messagesSent;
    private long _bytesSent;

    public Http2Call(GrpcApplication application, Http2Stream stream)
    {
        _application = application;
        _stream = stream;
        _connection = stream.Connection;
        _onServed = OnServed;
    }

    /// <summary>Its timer may be about to fire, for what it served before.</summary>
    public bool HasTimer => _timer is not null;

    public override string Path => _headers.Path;

    public override string Authority => _headers.Authority;

    public override DateTime? Deadline =>
        _deadlineAt == 0 ? null : DateTime.UtcNow.AddMilliseconds(_deadlineAt - Environment.TickCount64);

    public override CancellationToken Cancelled
    {
        get
        {
            CancellationTokenSource? source = Volatile.Read(ref _cancelled);
            if (source is not null)
            {
                return source.Token;
            }

            bool isReset;
            source = new CancellationTokenSource();
            lock (_connection.Gate)
            {
                Volatile.Write(ref _cancelled, source);
                isReset = _stream.IsReset;
            }

            if (isReset || DeadlinePassed)
            {
                source.Cancel();
            }
            else
            {
                ArmDeadline();
            }

            return source.Token;
        }
    }

    public override bool IsCancelled => DeadlinePassed || Volatile.Read(ref _isReset);

    public override bool IsAlone => _isAlone;

    public override EndPoint? Remote => _connection.Info.Remote;

    public override EndPoint? Local => _connection.Info.Local;

    public override bool IsTls => _connection.Info.IsTls;

    public override X509Certificate2? ClientCertificate => _connection.Info.ClientCertificate;

    public override long StartedAt => _startedAt;

    public override object? Memo
    {
        get => _headers.Memo;
        set => _headers.Memo = value;
    }

    public override StrongBox<long>? Tally
    {
        get => _headers.Tally;
        set => _headers.Tally = value;
    }

    public override ReadOnlySequence<byte> Message => _message;

    private bool DeadlinePassed
    {
        get
        {
            long at = Volatile.Read(ref _deadlineAt);
            return at != 0 && Environment.TickCount64 >= at;
        }
    }

    private bool TakesOneMessage => _method!.Kind is MethodKind.Unary or MethodKind.ServerStream;

    public override bool TryGetHeader(string name, out string value) => _headers.TryGet(name, out value);

    public override Metadata GetHeaders()
    {
        var metadata = new Metadata();
        foreach ((string name, string value) in _headers.Fields)
        {
            if (name is not ("te" or "content-type" or "host" or "user-agent" or "grpc-timeout" or "grpc-encoding"
                or "grpc-accept-encoding"))
            {
                metadata.Add(name, value);
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

        lock (_connection.Gate)
        {
            ReleaseMessage();
            if (!CanRead())
            {
                _readSource.Reset();
                _waitsForMessage = true;
                _isReading = true;
                ArmDeadline();
                return new(this, _readSource.Version);
            }
        }

        // Not under the gate: it may throw, and inflate.
        return new(Take());
    }

    public override IBufferWriter<byte> StartMessage(int payloadBytes)
    {
        Http2Stream.Grow(ref _draft, _draftBytes, _draftBytes + PrefixBytes + payloadBytes);
        Span<byte> prefix = _draft.AsSpan(_draftBytes, PrefixBytes);
        prefix[0] = 0;
        BinaryPrimitives.WriteInt32BigEndian(prefix[1..], payloadBytes);
        _draftBytes += PrefixBytes;
        CountSent(payloadBytes);
        return this;
    }

    public override void WriteMessage(ReadOnlySpan<byte> payload)
    {
        StartMessage(payload.Length);
        payload.CopyTo(_draft.AsSpan(_draftBytes));
        _draftBytes += payload.Length;
    }

    public override void TakeBack()
    {
        _draftBytes = 0;
        _messageStarted = _headersWritten;
        _messagesSent = 0;
        _bytesSent = 0;
    }

    public override ValueTask FlushAsync()
    {
        lock (_connection.Gate)
        {
            ThrowIfCancelled();
            _stream.User.WriteHeaders(_connection.Output);
            _stream.Send(ref _draft, _draftBytes);
            _draftBytes = 0;
            _connection.Pump(_stream);
            if (_stream.Unsent.Length > UnsentBytesMax)
            {
                _roomSource.Reset();
                _waitsForRoom = true;
                ArmDeadline();
            }
        }

        _connection.Output.FlushSoon();
        return _waitsForRoom ? new(this, _roomSource.Version) : default;
    }

    public override ValueTask SendHeadersAsync()
    {
        // What was flushed has begun the response: a failure after it speaks in trailers.
        _messageStarted = true;
        return FlushAsync();
    }

    public override void AddHeader(string name, string value) => (_addedHeaders ??= new Metadata()).Add(name, value);

    public override void AddTrailer(string name, string value) => (_addedTrailers ??= new Metadata()).Add(name, value);

    public override void Fail(StatusCode code, string message)
    {
        _status = code;
        _statusMessage = message;
    }

    void IBufferWriter<byte>.Advance(int count)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThan((uint)count, (uint)(_draft.Length - _draftBytes), nameof(count));
        _draftBytes += count;
    }

    Memory<byte> IBufferWriter<byte>.GetMemory(int sizeHint)
    {
        GrowDraft(sizeHint);
        return _draft.AsMemory(_draftBytes);
    }

    Span<byte> IBufferWriter<byte>.GetSpan(int sizeHint)
    {
        GrowDraft(sizeHint);
        return _draft.AsSpan(_draftBytes);
    }

    bool IValueTaskSource<bool>.GetResult(short token)
    {
        _readSource.GetResult(token);
        return Take();
    }

    ValueTaskSourceStatus IValueTaskSource<bool>.GetStatus(short token) => _readSource.GetStatus(token);

    void IValueTaskSource<bool>.OnCompleted(
        Action<object?> continuation, object? state, short token, ValueTaskSourceOnCompletedFlags flags) =>
        _readSource.OnCompleted(continuation, state, token, flags);

    void IValueTaskSource.GetResult(short token)
    {
        _roomSource.GetResult(token);
        lock (_connection.Gate)
        {
            ThrowIfCancelled();
        }
    }

    ValueTaskSourceStatus IValueTaskSource.GetStatus(short token) => _roomSource.GetStatus(token);

    void IValueTaskSource.OnCompleted(
        Action<object?> continuation, object? state, short token, ValueTaskSourceOnCompletedFlags flags) =>
        _roomSource.OnCompleted(continuation, state, token, flags);

    /// <summary>See <see cref="Http2Stream.MoveTo"/>.</summary>
    public void MoveTo(Http2Connection other) => _connection = other;

    private void GrowDraft(int sizeHint) => Http2Stream.Grow(ref _draft, _draftBytes, _draftBytes + Math.Max(sizeHint, 1));

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

    /// <summary>A read would end now, well or not. Gate held.</summary>
    private bool CanRead()
    {
        if (_stream.RequestEnded || _stream.IsReset || DeadlinePassed)
        {
            return true;
        }

        ReadOnlySpan<byte> unread = _stream.Unread;
        if (unread.Length < PrefixBytes)
        {
            return false;
        }

        // What breaks a rule is told as soon as it is known.
        uint length = BinaryPrimitives.ReadUInt32BigEndian(unread[1..]);
        long end = PrefixBytes + (long)length;
        return unread[0] > 1 || length > (uint)_receiveBytesMax
            || (TakesOneMessage ? unread.Length > end : unread.Length >= end);
    }

    /// <summary>The next message, after <see cref="CanRead"/>. By the handler's thread.</summary>
    private bool Take()
    {
        byte flag;
        lock (_connection.Gate)
        {
            _isReading = false;
            ReadOnlySpan<byte> unread = _stream.Unread;
            uint length = unread.Length < PrefixBytes ? 0 : BinaryPrimitives.ReadUInt32BigEndian(unread[1..]);
            long end = PrefixBytes + (long)length;
            ThrowIfCancelled();
            if (unread.IsEmpty)
            {
                return false;
            }

            flag = unread[0];
            string? broken = flag > 1 && unread.Length >= PrefixBytes ? $"grpc: received unexpected payload format {flag}"
                : length <= (uint)_receiveBytesMax && unread.Length < end ? "unexpected EOF"
                : TakesOneMessage && length <= (uint)_receiveBytesMax && unread.Length > end
                    ? "more than one request message for a method that takes one"
                : null;
            if (broken is not null)
            {
                throw new RpcException(StatusCode.Internal, broken);
            }

            if (length > (uint)_receiveBytesMax)
            {
                throw new RpcException(
                    StatusCode.ResourceExhausted, $"grpc: received message larger than max ({length} vs. {_receiveBytesMax})");
            }

            _holdsMessage = true;
            if (TakesOneMessage)
            {
                // Nothing more comes: it may stay where it is.
                _message = new(_stream.UnreadMemory(PrefixBytes, (int)length));
                _messagesReceived++;
                _bytesReceived += length;
            }
            else
            {
                TakeAway((int)length, (int)end);
                _method!.CountReceived(1, length);
            }
        }

        if (flag == 1)
        {
            Inflate();
        }

        return true;
    }

    /// <summary>Moves the message out of the stream, which goes on receiving.</summary>
    private void TakeAway(int length, int end)
    {
        if (_stream.Unread.Length == end)
        {
            (byte[] array, int start) = _stream.SwapUnread(_messageArray);
            _messageArray = array;
            _message = new(array, start + PrefixBytes, length);
        }
        else
        {
            Http2Stream.Grow(ref _messageArray, 0, length);
            _stream.Unread.Slice(PrefixBytes, length).CopyTo(_messageArray);
            _stream.Consume(end);
            _message = new(_messageArray, 0, length);
        }

        _connection.Credit(_stream, CanRead() ? Math.Min(end, _stream.Uncredited) : _stream.Uncredited);
    }

    private void Inflate()
    {
        if (_headers.Encoding is "" or "identity")
        {
            throw new RpcException(
                StatusCode.Internal, "grpc: compressed flag set with identity or empty encoding");
        }

        // Anything but gzip was refused with the headers.
        _inflated = GzipMessage.Inflate(_message, _receiveBytesMax, out int length);
        _message = new(_inflated, 0, length);
    }

    private void ReleaseMessage()
    {
        if (!_holdsMessage)
        {
            return;
        }

        _holdsMessage = false;
        _message = default;
        if (TakesOneMessage)
        {
            _stream.Consume(_stream.Unread.Length);
        }

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
        _timer ??= new Timer(static state => ((Http2Call)state!).OnDeadline(), this, Timeout.Infinite, Timeout.Infinite);
        _timer.Change(due, Timeout.Infinite);
    }

    /// <summary>
    /// Runs on a timer thread, perhaps late, when the call already serves another client: then that one's deadline decides, and
    /// whoever is woken for nothing looks at it too.
    /// </summary>
    private void OnDeadline()
    {
        CancellationTokenSource? source;
        bool wakesReader;
        lock (_connection.Gate)
        {
            if (!DeadlinePassed)
            {
                return;
            }

            source = _cancelled;
            wakesReader = _waitsForMessage;
            _waitsForMessage = false;
            WakeForRoom();
        }

        if (wakesReader)
        {
            _readSource.SetResult(true);
        }

        if (source is not null)
        {
            Cancellation.Fire(source);
        }
    }

    private void WakeForRoom()
    {
        if (_waitsForRoom)
        {
            _waitsForRoom = false;
            _roomSource.SetResult(true);
        }
    }

    private void ThrowIfCancelled()
    {
        if (_stream.IsReset || DeadlinePassed)
        {
            throw new OperationCanceledException(DeadlinePassed ? "context deadline exceeded" : "context canceled");
        }
    }
}
