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
/// is there, and what comes meanwhile goes with the next piece. Http2Output.Headers.cs: header blocks, and the peer's table of them.
/// </summary>
internal sealed partial class Http2Output : IThreadPoolWorkItem
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

    /// <summary>Has what was written sent: at the end of this thread's batch, or soon. Any thread.</summary>
    public void FlushSoon()
    {
        if (!OutputBatch.TryAdd(this) && Interlocked.Exchange(ref _flushQueued, 1) == 0)
        {
            ThreadPool.UnsafeQueueUserWorkItem(this, preferLocal: false);
        }
    }

    /// <summary>The same, if anything was written that nobody sends yet. Any thread, without the gate.</summary>
    public void FlushAnythingSoon()
    {
        bool hasAny;
        lock (Gate)
        {
            hasAny = _pendingBytes > 0 || _isEnding;
        }

        if (hasAny)
        {
            FlushSoon();
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
