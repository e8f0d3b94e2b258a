using System.Buffers;

namespace Perf.Grpc;

/// <summary>What a stream tells whoever serves it; always with the gate held.</summary>
internal interface IStreamUser
{
    /// <summary>Nobody runs on behalf of it any more.</summary>
    bool IsDone { get; }

    /// <summary>The request's headers are there.</summary>
    void OnOpen(ReadyBatch batch);

    /// <summary>The request is not whole, and its deadline has passed: it is to be answered so, once.</summary>
    bool TryExpire();

    /// <summary>Body bytes, or the end of the request, have come.</summary>
    void OnBody(ReadyBatch batch);

    /// <summary>The stream is reset. Without a batch what follows is run on the pool.</summary>
    void OnReset(ReadyBatch? batch);

    /// <summary>Some of what was unsent has been framed.</summary>
    void OnSent();

    /// <summary>Writes the frames that end the answer, headers included if they are still to come.</summary>
    void WriteEnd(Http2Output output);

    /// <summary>Writes the headers of the answer, unless they have been.</summary>
    void WriteHeaders(Http2Output output);

    /// <summary>
    /// The stream is over: forget everything of it. False when somebody may still be woken on behalf of it: then neither is used again.
    /// </summary>
    bool TryRecycle();
}

/// <summary>
/// One stream of a connection: what has come and is not read yet, what is to go and has no room yet, and both windows. All of it is
/// guarded by the connection's gate. Used again for other streams of the connection, and of others when that one has ended.
/// </summary>
internal sealed class Http2Stream(Http2Connection connection)
{
    /// <summary>A small answer fits; hundreds of calls wait at once, each with such a buffer or three.</summary>
    private const int FirstBytes = 1 << 7;

    private byte[] _in = [];
    private int _inStart;
    private int _inEnd;
    private byte[] _out = [];
    private int _outStart;
    private int _outEnd;

    public Http2Connection Connection { get; private set; } = connection;

    public int Id { get; private set; }

    public RequestHeaders Headers { get; private set; } = null!;

    /// <summary>What may still be sent on this stream.</summary>
    public long SendWindow { get; set; }

    /// <summary>What the client may still send.</summary>
    public int ReceiveWindow { get; set; }

    /// <summary>Received, and not given back to the client's window yet.</summary>
    public int Uncredited { get; set; }

    /// <summary>Given back, but not told the client yet.</summary>
    public int Creditable { get; set; }

    /// <summary>Bytes of the request's body so far.</summary>
    public long BodyBytes { get; set; }

    /// <summary>The client has sent all it wants to.</summary>
    public bool RequestEnded { get; set; }

    /// <summary>The stream has ended before its time: reset by the client, or its connection is gone.</summary>
    public bool IsReset { get; set; }

    /// <summary>Our last frame of it has been written.</summary>
    public bool ResponseEnded { get; set; }

    /// <summary>The answer is complete; only its data may lack room.</summary>
    public bool EndWanted { get; set; }

    /// <summary>Stands in the connection's queue for room.</summary>
    public bool IsQueued { get; set; }

    /// <summary>Received and unread.</summary>
    public ReadOnlySpan<byte> Unread => _in.AsSpan(_inStart, _inEnd - _inStart);

    /// <summary>To go, and without room so far.</summary>
    public ReadOnlySpan<byte> Unsent => _out.AsSpan(_outStart, _outEnd - _outStart);

    /// <summary>Whom the stream serves now.</summary>
    public IStreamUser User { get; private set; } = null!;

    /// <summary>The gRPC call that lives with this stream, once there was one.</summary>
    public Http2Call? Call { get; set; }

    /// <summary>Nothing that was begun for this connection can still come to it.</summary>
    public bool MayMove => Id == 0 && Call is not { HasTimer: true };

    /// <summary>Lives with another connection from now on. Nothing runs on it.</summary>
    public void MoveTo(Http2Connection other)
    {
        Connection = other;
        Call?.MoveTo(other);
    }

    public void Open(int id, IStreamUser user, RequestHeaders headers, long sendWindow, int receiveWindow)
    {
        Id = id;
        User = user;
        Headers = headers;
        SendWindow = sendWindow;
        ReceiveWindow = receiveWindow;
        Uncredited = 0;
        Creditable = 0;
        BodyBytes = 0;
        RequestEnded = false;
        IsReset = false;
        ResponseEnded = false;
        EndWanted = false;
        IsQueued = false;
    }

    /// <summary>Lets go of what it held. Keeps small buffers for the next stream.</summary>
    public void Close()
    {
        const int KeptBytesMax = 4 << 10;
        Id = 0;
        Trim(ref _in, KeptBytesMax);
        Trim(ref _out, KeptBytesMax);
        _inStart = _inEnd = _outStart = _outEnd = 0;
    }

    /// <summary>Adds to what is unread.</summary>
    public void Receive(ReadOnlySpan<byte> bytes)
    {
        Append(ref _in, ref _inStart, ref _inEnd, bytes);
        BodyBytes += bytes.Length;
    }

    /// <summary>Takes from what is unread; the bytes stay where they are until more come.</summary>
    public void Consume(int bytes)
    {
        _inStart += bytes;
        if (_inStart == _inEnd)
        {
            _inStart = _inEnd = 0;
        }
    }

    /// <summary>So much of the unread as memory; good while nothing is received.</summary>
    public ReadOnlyMemory<byte> UnreadMemory(int start, int bytes) => _in.AsMemory(_inStart + start, bytes);

    /// <summary>Puts the unread out of harm's way: the caller's array takes its place.</summary>
    public (byte[] Array, int Start) SwapUnread(byte[] spare)
    {
        (byte[], int) taken = (_in, _inStart);
        _in = spare;
        _inStart = _inEnd = 0;
        return taken;
    }

    /// <summary>Adds to what is to go.</summary>
    public void Send(ref byte[] draft, int bytes)
    {
        if (_outEnd == 0 && bytes > 0)
        {
            // Nothing waits: the buffers change places.
            (_out, draft) = (draft, _out);
            _outEnd = bytes;
            return;
        }

        Append(ref _out, ref _outStart, ref _outEnd, draft.AsSpan(0, bytes));
    }

    /// <summary>So much of the unsent has been framed.</summary>
    public void Framed(int bytes)
    {
        _outStart += bytes;
        if (_outStart == _outEnd)
        {
            _outStart = _outEnd = 0;
        }
    }

    /// <summary>Room for so many bytes, rented.</summary>
    public static void Grow(ref byte[] buffer, int used, int wanted)
    {
        if (buffer.Length >= wanted)
        {
            return;
        }

        byte[] larger = ArrayPool<byte>.Shared.Rent(Math.Max(wanted, FirstBytes));
        buffer.AsSpan(0, used).CopyTo(larger);
        Trim(ref buffer, 0);
        buffer = larger;
    }

    /// <summary>Gives a rented buffer back if it is larger than that.</summary>
    public static void Trim(ref byte[] buffer, int keptBytesMax)
    {
        if (buffer.Length > keptBytesMax)
        {
            ArrayPool<byte>.Shared.Return(buffer);
            buffer = [];
        }
    }

    private static void Append(ref byte[] buffer, ref int start, ref int end, ReadOnlySpan<byte> bytes)
    {
        if (buffer.Length - end < bytes.Length)
        {
            int used = end - start;
            if (start > 0)
            {
                buffer.AsSpan(start, used).CopyTo(buffer);
                start = 0;
                end = used;
            }

            if (buffer.Length - end < bytes.Length)
            {
                Grow(ref buffer, used, Math.Max(used + bytes.Length, Math.Min(used, int.MaxValue / 4) * 2));
            }
        }

        bytes.CopyTo(buffer.AsSpan(end));
        end += bytes.Length;
    }
}
