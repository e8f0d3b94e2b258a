using System.Buffers;
using System.Buffers.Binary;
using System.Runtime.CompilerServices;
using System.Text;

namespace Perf.Grpc;

/// <summary>Types of frames (RFC 9113, section 6).</summary>
internal enum FrameType : byte
{
    Data = 0,
    Headers = 1,
    Priority = 2,
    ResetStream = 3,
    Settings = 4,
    PushPromise = 5,
    Ping = 6,
    GoAway = 7,
    WindowUpdate = 8,
    Continuation = 9,
}

/// <summary>
/// What goes out on one connection. Frames are written into a buffer under <see cref="Gate"/>; whoever flushes first sends all that
/// is there, and what comes meanwhile goes with the next piece.
/// </summary>
internal sealed class Http2Output : IThreadPoolWorkItem
{
    public const byte EndStream = 1;
    public const byte EndHeaders = 4;
    public const byte Ack = 1;
    public const int FrameHeaderBytes = 9;

    /// <summary>Above this many unsent bytes calls keep their data back.</summary>
    private const int DataBytesMax = 256 << 10;

    /// <summary>Above this many, all of them answers to frames that need one, the peer does not mean to read.</summary>
    private const int BytesMax = 8 << 20;

    private const int FirstBytes = 4 << 10;
    private const int EndHeaderBlockBytes = 64;

    // Positions in HPACK's dynamic table are counted back from its newest entry; ours are at most these two.
    private const int FirstDynamicIndex = 62;
    private const int TableBytesWanted = 256;
    private const int TableBytesDefault = 4096;

    private readonly ByteChannel _channel;
    private readonly IOutputOwner _owner;
    private readonly Action _onSent;
    private ConfiguredValueTaskAwaitable.ConfiguredValueTaskAwaiter _sendingAwaiter;

    // Guarded by Gate.
    private byte[] _pending = [];
    private int _pendingBytes;
    private byte[] _sending = [];
    private int _sendingBytes;
    private bool _isSending;
    private bool _isBroken;
    private bool _isEnding;
    private int _tableBytes = TableBytesDefault;
    private bool _tableChanged;
    private int _inserted;
    private int _contentTypeAt;
    private int _statusAt;

    private int _flushQueued;

    public Http2Output(ByteChannel channel, IOutputOwner owner)
    {
        _channel = channel;
        _owner = owner;
        _onSent = OnSent;
    }

    /// <summary>Guards this and everything of the connection that its reader and its callers share.</summary>
    public Lock Gate { get; } = new();

    /// <summary>How much data may be added now. Gate held.</summary>
    public int DataRoom => DataBytesMax - _pendingBytes;

    /// <summary>Nothing more leaves: the peer is gone. Gate held.</summary>
    public bool IsBroken => _isBroken;

    /// <summary>Begins a frame and returns the place of its payload, which the caller fills at once. Gate held.</summary>
    public Span<byte> Frame(FrameType type, byte flags, int stream, int length)
    {
        Span<byte> frame = Reserve(FrameHeaderBytes + length);
        BinaryPrimitives.WriteInt32BigEndian(frame, (length << 8) | (byte)type);
        frame[4] = flags;
        BinaryPrimitives.WriteInt32BigEndian(frame[5..], stream);
        return frame[FrameHeaderBytes..];
    }

    public void WindowUpdate(int stream, int bytes) =>
        BinaryPrimitives.WriteInt32BigEndian(Frame(FrameType.WindowUpdate, 0, stream, 4), bytes);

    public void ResetStream(int stream, Http2Error error) =>
        BinaryPrimitives.WriteInt32BigEndian(Frame(FrameType.ResetStream, 0, stream, 4), (int)error);

    public void GoAway(int lastStream, Http2Error error, string reason)
    {
        Span<byte> payload = Frame(FrameType.GoAway, 0, 0, 8 + reason.Length);
        BinaryPrimitives.WriteInt32BigEndian(payload, lastStream);
        BinaryPrimitives.WriteInt32BigEndian(payload[4..], (int)error);
        Encoding.Latin1.GetBytes(reason, payload[8..]);
    }

    /// <summary>The headers of a gRPC answer. Gate held.</summary>
    public void GrpcHeaders(int stream, int httpStatus, Metadata? more)
    {
        Span<byte> start = stackalloc byte[EndHeaderBlockBytes];
        var block = new HeaderBlock(start);
        BeginBlock(ref block);
        block.Status(httpStatus);
        ContentType(ref block);
        Add(ref block, more);
        Headers(stream, ref block, 0);
    }

    /// <summary>Headers and status in one: an answer without messages. Gate held.</summary>
    public void GrpcTrailersOnly(int stream, int httpStatus, Metadata? headers, in StatusFields status)
    {
        Span<byte> start = stackalloc byte[EndHeaderBlockBytes];
        var block = new HeaderBlock(start);
        BeginBlock(ref block);
        block.Status(httpStatus);
        ContentType(ref block);
        Add(ref block, headers);
        Status(ref block, status);
        Headers(stream, ref block, EndStream);
    }

    /// <summary>The status behind the messages. Gate held.</summary>
    public void GrpcTrailers(int stream, in StatusFields status)
    {
        Span<byte> start = stackalloc byte[EndHeaderBlockBytes];
        var block = new HeaderBlock(start);
        BeginBlock(ref block);
        Status(ref block, status);
        Headers(stream, ref block, EndStream);
    }

    /// <summary>Headers of any answer. Gate held.</summary>
    public void HttpHeaders(int stream, int httpStatus, IEnumerable<KeyValuePair<string, string>> fields, bool endStream)
    {
        Span<byte> start = stackalloc byte[EndHeaderBlockBytes];
        var block = new HeaderBlock(start);
        BeginBlock(ref block);
        block.Status(httpStatus);
        foreach ((string name, string value) in fields)
        {
            block.Literal(name, value);
        }

        Headers(stream, ref block, endStream ? EndStream : (byte)0);
    }

    /// <summary>The peer's SETTINGS_HEADER_TABLE_SIZE. Gate held.</summary>
    public void ChangeTable(uint bytes)
    {
        if (bytes >= _tableBytes)
        {
            return;
        }

        _tableBytes = (int)bytes;
        _tableChanged = true;
        _inserted = 0;
        _contentTypeAt = 0;
        _statusAt = 0;
    }

    /// <summary>Has what was written sent: at the end of this thread's batch, or soon. Any thread.</summary>
    public void FlushSoon()
    {
        if (!OutputBatch.TryAdd(this) && Interlocked.Exchange(ref _flushQueued, 1) == 0)
        {
            ThreadPool.UnsafeQueueUserWorkItem(this, preferLocal: false);
        }
    }

    void IThreadPoolWorkItem.Execute()
    {
        Volatile.Write(ref _flushQueued, 0);
        Flush();
    }

    /// <summary>Sends what is there, unless somebody does already. Any thread, without the gate.</summary>
    public void Flush()
    {
        while (TryTakeForSending())
        {
            try
            {
                ConfiguredValueTaskAwaitable.ConfiguredValueTaskAwaiter awaiter =
                    _channel.WriteAsync(_sending.AsMemory(0, _sendingBytes)).ConfigureAwait(false).GetAwaiter();
                if (!awaiter.IsCompleted)
                {
                    _sendingAwaiter = awaiter;
                    awaiter.UnsafeOnCompleted(_onSent);
                    return;
                }

                awaiter.GetResult();
            }
            catch (Exception e)
            {
                Break(e);
                return;
            }

            Sent();
        }
    }

    /// <summary>After what is written has been sent the writing side ends. Gate held.</summary>
    public void EndWhenSent() => _isEnding = true;

    /// <summary>Nothing more is sent. Without the gate.</summary>
    public void Abandon()
    {
        lock (Gate)
        {
            _isBroken = true;
            _pendingBytes = 0;
            if (!_isSending)
            {
                Release(ref _sending);
            }

            Release(ref _pending);
        }
    }

    private static void Release(ref byte[] buffer)
    {
        if (buffer.Length > 0)
        {
            ArrayPool<byte>.Shared.Return(buffer);
            buffer = [];
        }
    }

    private static void Add(ref HeaderBlock block, Metadata? more)
    {
        if (more is not null)
        {
            foreach ((string name, string value) in more)
            {
                block.Literal(name, value);
            }
        }
    }

    private void BeginBlock(ref HeaderBlock block)
    {
        if (_tableChanged)
        {
            // Everything out, then the size that the peer allows, of which nothing more than that is used.
            _tableChanged = false;
            block.TableSize(0);
            block.TableSize(_tableBytes);
        }
    }

    private void ContentType(ref HeaderBlock block)
    {
        if (_contentTypeAt > 0)
        {
            block.Indexed(FirstDynamicIndex + _inserted - _contentTypeAt);
            return;
        }

        const int ContentTypeIndex = 31;
        bool insert = _tableBytes >= TableBytesWanted;
        block.LiteralOf(ContentTypeIndex, "application/grpc", insert);
        if (insert)
        {
            _contentTypeAt = ++_inserted;
        }
    }

    private void Status(ref HeaderBlock block, in StatusFields status)
    {
        if (status.Code != StatusCode.OK)
        {
            block.Literal("grpc-status", status.CodeText);
            if (status.Message.Length > 0)
            {
                block.Literal("grpc-message", WireText.EncodeMessage(status.Message));
            }
        }
        else if (_statusAt > 0)
        {
            block.Indexed(FirstDynamicIndex + _inserted - _statusAt);
        }
        else
        {
            bool insert = _tableBytes >= TableBytesWanted;
            block.Literal("grpc-status", "0", insert);
            if (insert)
            {
                _statusAt = ++_inserted;
            }
        }

        Add(ref block, status.Trailers);
    }

    private void Headers(int stream, ref HeaderBlock block, byte flags)
    {
        // Longer blocks go on in further frames; every peer takes frames of this size.
        const int FrameBytesMax = 16 << 10;
        ReadOnlySpan<byte> rest = block.Written;
        FrameType type = FrameType.Headers;
        do
        {
            ReadOnlySpan<byte> piece = rest[..Math.Min(rest.Length, FrameBytesMax)];
            rest = rest[piece.Length..];
            piece.CopyTo(Frame(type, rest.IsEmpty ? (byte)(flags | EndHeaders) : flags, stream, piece.Length));
            type = FrameType.Continuation;
            flags = 0;
        }
        while (!rest.IsEmpty);
        block.Dispose();
    }

    private Span<byte> Reserve(int bytes)
    {
        if (_isBroken)
        {
            // Written to nowhere.
            _pendingBytes = 0;
        }

        if (_pending.Length - _pendingBytes < bytes)
        {
            byte[] larger = ArrayPool<byte>.Shared.Rent(Math.Max(FirstBytes, Math.Max(_pending.Length * 2, _pendingBytes + bytes)));
            _pending.AsSpan(0, _pendingBytes).CopyTo(larger);
            Release(ref _pending);
            _pending = larger;
        }

        Span<byte> place = _pending.AsSpan(_pendingBytes, bytes);
        _pendingBytes += bytes;
        return place;
    }

    private bool TryTakeForSending()
    {
        bool end;
        bool tooMuch;
        lock (Gate)
        {
            if (_isSending || _isBroken)
            {
                return false;
            }

            tooMuch = _pendingBytes > BytesMax;
            end = _pendingBytes == 0 && _isEnding;
            if (_pendingBytes > 0 && !tooMuch)
            {
                _isSending = true;
                (_pending, _sending) = (_sending, _pending);
                _sendingBytes = _pendingBytes;
                _pendingBytes = 0;
                return true;
            }

            if (end)
            {
                _isEnding = false;
            }
        }

        if (tooMuch)
        {
            Break(new IOException("the client asks and does not read"));
        }
        else if (end)
        {
            _owner.AllSent();
        }

        return false;
    }

    private void OnSent()
    {
        try
        {
            _sendingAwaiter.GetResult();
        }
        catch (Exception e)
        {
            Break(e);
            return;
        }

        Sent();
        Flush();
    }

    private void Sent()
    {
        lock (Gate)
        {
            _isSending = false;
            Release(ref _sending);
            if (_isBroken)
            {
                return;
            }

            _owner.HasRoom();
        }
    }

    private void Break(Exception e)
    {
        lock (Gate)
        {
            _isSending = false;
            _isBroken = true;
        }

        _owner.Broken(e);
    }
}

/// <summary>Whoever a connection's output belongs to.</summary>
internal interface IOutputOwner
{
    /// <summary>Some of what was written has left: more data may be added. Gate held.</summary>
    void HasRoom();

    /// <summary>All that was written has been sent, as asked for.</summary>
    void AllSent();

    /// <summary>Sending has failed; nothing leaves any more.</summary>
    void Broken(Exception e);
}

/// <summary>How a call ended, as it is told to the client.</summary>
internal readonly ref struct StatusFields(StatusCode code, string message, Metadata? trailers)
{
    public StatusCode Code { get; } = code;

    public string CodeText => ((int)Code).ToString(System.Globalization.CultureInfo.InvariantCulture);

    public string Message { get; } = message;

    public Metadata? Trailers { get; } = trailers;
}

/// <summary>Builds one header block (RFC 7541, section 6), first in the caller's span, in a rented array when that is full.</summary>
internal ref struct HeaderBlock(Span<byte> start)
{
    private Span<byte> _target = start;
    private byte[]? _rented;
    private int _bytes;

    public readonly ReadOnlySpan<byte> Written => _target[.._bytes];

    public readonly void Dispose()
    {
        if (_rented is not null)
        {
            ArrayPool<byte>.Shared.Return(_rented);
        }
    }

    public void TableSize(int bytes) => Number(0x20, 5, bytes);

    public void Indexed(int index) => Number(0x80, 7, index);

    public void Status(int code)
    {
        const int Status200Index = 8;
        if (code == 200)
        {
            Indexed(Status200Index);
        }
        else
        {
            LiteralOf(Status200Index, code.ToString(System.Globalization.CultureInfo.InvariantCulture), insert: false);
        }
    }

    /// <summary>A field whose name stands in the table.</summary>
    public void LiteralOf(int nameIndex, string value, bool insert)
    {
        Number(insert ? (byte)0x40 : (byte)0, insert ? 6 : 4, nameIndex);
        Text(value);
    }

    public void Literal(string name, string value, bool insert = false)
    {
        Number(insert ? (byte)0x40 : (byte)0, insert ? 6 : 4, 0);
        Text(name);
        Text(value);
    }

    private void Text(string text)
    {
        Number(0, 7, text.Length);
        Ensure(text.Length);
        _bytes += Encoding.Latin1.GetBytes(text, _target[_bytes..]);
    }

    private void Number(byte flags, int prefixBits, int value)
    {
        Ensure(6);
        int max = (1 << prefixBits) - 1;
        if (value < max)
        {
            _target[_bytes++] = (byte)(flags | value);
            return;
        }

        _target[_bytes++] = (byte)(flags | max);
        value -= max;
        while (value >= 0x80)
        {
            _target[_bytes++] = (byte)(value | 0x80);
            value >>= 7;
        }

        _target[_bytes++] = (byte)value;
    }

    private void Ensure(int more)
    {
        if (_target.Length - _bytes >= more)
        {
            return;
        }

        byte[] larger = ArrayPool<byte>.Shared.Rent(Math.Max(_target.Length * 2, _bytes + more));
        _target[.._bytes].CopyTo(larger);
        Dispose();
        _rented = larger;
        _target = larger;
    }
}
