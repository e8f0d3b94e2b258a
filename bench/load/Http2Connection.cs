using System.Buffers.Binary;
using System.Diagnostics;
using System.Net.Security;
using System.Net.Sockets;
using System.Text;

namespace Perf.Bench.Load;

/// <summary>A unary call: the header block of its method and the framed message.</summary>
internal readonly record struct Call(byte[] Headers, byte[] Body);

/// <summary>Takes a whole message of a stream, without gRPC's five bytes. Lent for the call.</summary>
internal delegate void MessageSink(int stream, ReadOnlySpan<byte> message);

/// <summary>
/// Just enough of an HTTP/2 client to load a gRPC server cheaply: one connection, unary calls or streams, no header
/// decoding. It looks at frame types and the end of streams, not at gRPC statuses: the bench checks the server's
/// revision afterwards. One thread drives a connection.
/// </summary>
internal sealed class Http2Connection : IDisposable
{
    private const int FrameHeaderBytes = 9;
    private const int FramePayloadMax = 16_384;
    private const byte DataFrame = 0;
    private const byte HeadersFrame = 1;
    private const byte ResetFrame = 3;
    private const byte SettingsFrame = 4;
    private const byte PingFrame = 6;
    private const byte GoAwayFrame = 7;
    private const byte WindowUpdateFrame = 8;
    private const byte EndStream = 1;
    private const byte EndHeaders = 4;
    private const byte Ack = 1;
    private const int WindowBytes = 1 << 30;

    private readonly Socket _socket;
    private readonly Stream _stream;
    private readonly byte[] _credentialsAtFirst = [];
    private readonly byte[] _credentials = [];
    private byte[]? _blockOfLast;
    private byte[] _withCredentials = [];
    private readonly byte[] _send = new byte[256 * 1024];
    private readonly byte[] _receive = new byte[256 * 1024];
    private readonly Dictionary<int, long> _startedAt = [];
    private readonly Dictionary<int, StreamState> _streams = [];
    private int _sendCount;
    private int _held;
    private int _unacknowledged;
    private long _received;
    private int _nextStream = 1;
    private int _credit = 65_535;

    /// <summary>Connects; as somebody, with TLS, where <paramref name="door"/> says so.</summary>
    public Http2Connection(string host, int port, Door? door = null)
    {
        _socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
        _socket.Connect(host, port);
        _stream = new NetworkStream(_socket, ownsSocket: false);
        if (door?.Tls is { } tls)
        {
            var secure = new SslStream(_stream);
            secure.AuthenticateAsClient(tls);
            _stream = secure;
        }

        if (door?.Token is { } token)
        {
            // As Go's clients do it: told in full once, and by its place in the connection's table from then on.
            _credentialsAtFirst = [0x40, 5, .. "token"u8, (byte)token.Length, .. Encoding.ASCII.GetBytes(token)];
            _credentials = [0x80 | 62];
        }

        Encoding.ASCII.GetBytes("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").CopyTo(_send, 0);
        _sendCount = 24;
        Span<byte> settings = stackalloc byte[6];
        BinaryPrimitives.WriteUInt16BigEndian(settings, 4);
        BinaryPrimitives.WriteInt32BigEndian(settings[2..], WindowBytes);
        Frame(SettingsFrame, 0, 0, settings);
        OpenWindow(WindowBytes - 65_535);
    }

    /// <summary>Calls that ended with a reset or a broken connection.</summary>
    public long Failed { get; private set; }

    /// <summary>Gets the messages of streams opened with <see cref="Open"/>.</summary>
    public MessageSink? OnMessage { get; set; }

    /// <summary>
    /// Makes calls until <paramref name="next"/> says there are no more, keeping <paramref name="inFlight"/> under way.
    /// <paramref name="done"/> gets each call's latency in stopwatch ticks.
    /// </summary>
    public void Run(int inFlight, Func<Call?> next, Action<long> done)
    {
        bool more = true;
        while (more || _startedAt.Count > 0)
        {
            while (more && _startedAt.Count < inFlight && _sendCount < _send.Length / 2)
            {
                if (next() is not { } call)
                {
                    more = false;
                    break;
                }

                Begin(call, Stopwatch.GetTimestamp(), done);
            }

            Flush();
            if (_startedAt.Count == 0)
            {
                break;
            }

            Receive(done);
        }
    }

    /// <summary>
    /// Makes calls at a fixed rate whatever the server does. A latency counts from when the call was due, so a server
    /// that stands still pays for all that would have come meanwhile. In steps of a millisecond, which latencies include: a load that
    /// looked for the next call each few microseconds would take the processor from the server. For <paramref name="time"/>, and then until
    /// <paramref name="work"/> is done.
    /// </summary>
    public void RunOpen(double perSecond, TimeSpan time, Task work, Func<Call> next, Action<long> done)
    {
        long start = Stopwatch.GetTimestamp();
        double ticks = Stopwatch.Frequency / perSecond;
        int sent = 0;
        bool goesOn = true;
        while (goesOn || _startedAt.Count > 0)
        {
            long now = Stopwatch.GetTimestamp();
            goesOn = goesOn && (Stopwatch.GetElapsedTime(start, now) < time || !work.IsCompleted);
            while (goesOn && start + (long)(sent * ticks) <= now)
            {
                Begin(next(), start + (long)(sent * ticks), done);
                sent++;
            }

            Flush();
            Thread.Sleep(1);
            while (_socket.Poll(0, SelectMode.SelectRead))
            {
                Receive(done);
            }
        }
    }

    /// <summary>Makes one call and throws away what it answers, however much; the bytes of that.</summary>
    public long Drain(in Call call)
    {
        int stream = _nextStream;
        long before = _received;
        long open = _received;
        Begin(call, Stopwatch.GetTimestamp(), static _ => { });
        while (_startedAt.Count > 0)
        {
            Flush();
            Receive(static _ => { });
            if (_received - open > WindowBytes / 4)
            {
                OpenWindow((int)(_received - open), stream);
                open = _received;
            }
        }

        return _received - before;
    }

    /// <summary>Opens a stream; its messages go to <see cref="OnMessage"/>.</summary>
    public int Open(byte[] headers)
    {
        int stream = _nextStream;
        _nextStream += 2;
        _streams.Add(stream, new StreamState());
        Headers(stream, headers);
        return stream;
    }

    /// <summary>Sends a framed message on a stream.</summary>
    public void Send(int stream, ReadOnlySpan<byte> body)
    {
        while (body.Length > _credit)
        {
            Flush();
            Receive(static _ => { });
        }

        Data(stream, body, 0);
    }

    /// <summary>Sends what is buffered and takes what has come, waiting for at most so long.</summary>
    public void Exchange(int waitMicros)
    {
        Flush();
        if (_socket.Poll(waitMicros, SelectMode.SelectRead))
        {
            Receive(static _ => { });
        }
    }

    /// <summary>The header block of a method.</summary>
    public static byte[] HeadersOf(string path) => HeaderBlock(path, "127.0.0.1");

    public void Dispose()
    {
        _stream.Dispose();
        _socket.Dispose();
    }

    private static byte[] HeaderBlock(string path, string authority)
    {
        using var block = new MemoryStream();
        block.WriteByte(0x83); // :method POST
        block.WriteByte(0x86); // :scheme http
        Literal(4, path);
        Literal(1, authority);
        Literal(31, "application/grpc");
        Named("te", "trailers");
        return block.ToArray();

        void Literal(int index, string value)
        {
            // Literal without indexing, name from the static table (4-bit prefix).
            if (index < 15)
            {
                block.WriteByte((byte)index);
            }
            else
            {
                block.WriteByte(15);
                block.WriteByte((byte)(index - 15));
            }

            Text(value);
        }

        void Named(string name, string value)
        {
            block.WriteByte(0);
            Text(name);
            Text(value);
        }

        void Text(string value)
        {
            // All our strings are shorter than 127 bytes: one length byte, no Huffman.
            block.WriteByte((byte)value.Length);
            block.Write(Encoding.ASCII.GetBytes(value));
        }
    }

    private void Begin(in Call call, long startedAt, Action<long> done)
    {
        if (call.Body.Length > _credit)
        {
            // The server's connection window is used up: read until it opens.
            Flush();
            while (call.Body.Length > _credit)
            {
                Receive(done);
            }
        }

        int stream = _nextStream;
        _nextStream += 2;
        Headers(stream, call.Headers);
        Data(stream, call.Body, EndStream);
        _startedAt.Add(stream, startedAt);
    }

    /// <summary>A message of at most a stream's first window (64 KiB), in frames of the size everybody takes.</summary>
    private void Data(int stream, ReadOnlySpan<byte> body, byte flags)
    {
        _credit -= body.Length;
        while (body.Length > FramePayloadMax)
        {
            Frame(DataFrame, 0, stream, body[..FramePayloadMax]);
            body = body[FramePayloadMax..];
        }

        Frame(DataFrame, flags, stream, body);
    }

    private void Headers(int stream, byte[] block)
    {
        if (_credentials.Length == 0)
        {
            Frame(HeadersFrame, EndHeaders, stream, block);
            return;
        }

        if (stream == 1)
        {
            Frame(HeadersFrame, EndHeaders, stream, [.. block, .. _credentialsAtFirst]);
            return;
        }

        if (!ReferenceEquals(block, _blockOfLast))
        {
            _blockOfLast = block;
            _withCredentials = [.. block, .. _credentials];
        }

        Frame(HeadersFrame, EndHeaders, stream, _withCredentials);
    }

    private void OpenWindow(int bytes, int stream = 0)
    {
        Span<byte> payload = stackalloc byte[4];
        BinaryPrimitives.WriteInt32BigEndian(payload, bytes);
        Frame(WindowUpdateFrame, 0, stream, payload);
    }

    private void Frame(byte type, byte flags, int stream, ReadOnlySpan<byte> payload)
    {
        if (_sendCount + FrameHeaderBytes + payload.Length > _send.Length)
        {
            Flush();
        }

        Span<byte> target = _send.AsSpan(_sendCount);
        target[0] = (byte)(payload.Length >> 16);
        BinaryPrimitives.WriteUInt16BigEndian(target[1..], (ushort)payload.Length);
        target[3] = type;
        target[4] = flags;
        BinaryPrimitives.WriteInt32BigEndian(target[5..], stream);
        payload.CopyTo(target[FrameHeaderBytes..]);
        _sendCount += FrameHeaderBytes + payload.Length;
    }

    private void Flush()
    {
        _stream.Write(_send.AsSpan(0, _sendCount));
        _sendCount = 0;
    }

    /// <summary>One read from the socket, all whole frames in it.</summary>
    private void Receive(Action<long> done)
    {
        int read = _stream.Read(_receive.AsSpan(_held));
        if (read == 0)
        {
            throw new IOException("the server closed the connection");
        }

        _held += read;
        int at = 0;
        while (_held - at >= FrameHeaderBytes)
        {
            ReadOnlySpan<byte> head = _receive.AsSpan(at);
            int length = (head[0] << 16) | BinaryPrimitives.ReadUInt16BigEndian(head[1..]);
            if (_held - at < FrameHeaderBytes + length)
            {
                break;
            }

            int stream = BinaryPrimitives.ReadInt32BigEndian(head[5..]);
            Take(head[3], head[4], stream, head.Slice(FrameHeaderBytes, length), done);
            if (head[3] == DataFrame)
            {
                _unacknowledged += length;
                _received += length;
            }

            at += FrameHeaderBytes + length;
        }

        _receive.AsSpan(at, _held - at).CopyTo(_receive);
        _held -= at;
        if (_unacknowledged > WindowBytes / 4)
        {
            OpenWindow(_unacknowledged);
            _unacknowledged = 0;
        }
    }

    private void Take(byte type, byte flags, int stream, ReadOnlySpan<byte> payload, Action<long> done)
    {
        if (_streams.TryGetValue(stream, out StreamState? state))
        {
            if (type == DataFrame)
            {
                state.Take(stream, payload, OnMessage!);
                state.Unacknowledged += payload.Length;
                if (state.Unacknowledged > WindowBytes / 4)
                {
                    OpenWindow(state.Unacknowledged, stream);
                    state.Unacknowledged = 0;
                }
            }
            else if (type == ResetFrame || (type == HeadersFrame && (flags & EndStream) != 0))
            {
                throw new IOException("the server ended a stream");
            }

            return;
        }

        switch (type)
        {
            case HeadersFrame or DataFrame when (flags & EndStream) != 0:
                End(stream, done);
                break;
            case ResetFrame:
                Failed++;
                End(stream, done);
                break;
            case SettingsFrame when (flags & Ack) == 0:
                Frame(SettingsFrame, Ack, 0, default);
                break;
            case PingFrame when (flags & Ack) == 0:
                Frame(PingFrame, Ack, 0, payload);
                break;
            case WindowUpdateFrame when stream == 0:
                _credit += BinaryPrimitives.ReadInt32BigEndian(payload);
                break;
            case GoAwayFrame:
                throw new IOException("the server sent GOAWAY");
        }
    }

    private void End(int stream, Action<long> done)
    {
        if (_startedAt.Remove(stream, out long startedAt))
        {
            done(Stopwatch.GetTimestamp() - startedAt);
        }
    }

    /// <summary>What has come of a stream's next message.</summary>
    private sealed class StreamState
    {
        private byte[] _partial = new byte[1024];
        private int _count;

        public int Unacknowledged { get; set; }

        public void Take(int stream, ReadOnlySpan<byte> data, MessageSink sink)
        {
            while (!data.IsEmpty)
            {
                if (_count == 0 && TryMessage(data, out int whole))
                {
                    sink(stream, data[5..whole]);
                    data = data[whole..];
                    continue;
                }

                int wanted = _count < 5 ? 5 : 5 + BinaryPrimitives.ReadInt32BigEndian(_partial.AsSpan(1));
                int taken = Math.Min(wanted - _count, data.Length);
                if (_count + taken > _partial.Length)
                {
                    Array.Resize(ref _partial, Math.Max(_count + taken, _partial.Length * 2));
                }

                data[..taken].CopyTo(_partial.AsSpan(_count));
                _count += taken;
                data = data[taken..];
                if (TryMessage(_partial.AsSpan(0, _count), out whole))
                {
                    sink(stream, _partial.AsSpan(5, whole - 5));
                    _count = 0;
                }
            }
        }

        private static bool TryMessage(ReadOnlySpan<byte> data, out int whole)
        {
            whole = data.Length < 5 ? int.MaxValue : 5 + BinaryPrimitives.ReadInt32BigEndian(data[1..]);
            return data.Length >= whole;
        }
    }
}
