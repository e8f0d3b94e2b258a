using System.Buffers.Binary;
using System.Diagnostics;
using System.Net.Security;
using System.Net.Sockets;
using System.Text;

namespace Perf.Bench.Load;

/// <summary>
/// Just enough of an HTTP/2 client to load a gRPC server cheaply: one connection, a fixed number of unary calls in
/// flight, fixed bodies, no header decoding. It looks at frame types and the end of streams, not at gRPC statuses:
/// the bench checks the server's revision afterwards. One thread (its own) drives a connection.
/// </summary>
internal sealed class Http2Connection : IDisposable
{
    private const int FrameHeaderBytes = 9;
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
    private readonly byte[]? _tokenOnce;
    private readonly byte[] _send = new byte[256 * 1024];
    private readonly byte[] _receive = new byte[256 * 1024];
    private readonly Dictionary<int, long> _startedAt = [];
    private readonly byte[] _headers;
    private int _sendCount;
    private int _held;
    private int _nextStream = 1;
    private int _credit = 65_535;

    /// <summary>Connects; as somebody, with TLS, where <paramref name="door"/> says so.</summary>
    public Http2Connection(string host, int port, string path, Door? door = null)
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

        _headers = HeaderBlock(path, $"{host}:{port}");
        if (door?.Token is { } token)
        {
            // As Go's clients do it: told in full once, and by its place in the connection's table from then on.
            _tokenOnce = [.. _headers, 0x40, 5, .. "token"u8, (byte)token.Length, .. Encoding.ASCII.GetBytes(token)];
            _headers = [.. _headers, 0x80 | 62];
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

    /// <summary>
    /// Makes calls until <paramref name="next"/> says there are no more, keeping <paramref name="inFlight"/> under way.
    /// <paramref name="done"/> gets each call's latency in stopwatch ticks.
    /// </summary>
    public void Run(int inFlight, Func<byte[]?> next, Action<long> done)
    {
        bool more = true;
        long unacknowledged = 0;
        while (more || _startedAt.Count > 0)
        {
            while (more && _startedAt.Count < inFlight && _sendCount < _send.Length / 2)
            {
                if (next() is not { } body)
                {
                    more = false;
                    break;
                }

                if (body.Length > _credit)
                {
                    // The server's connection window is used up: read until it opens. The body is sent then.
                    Flush();
                    while (body.Length > _credit)
                    {
                        unacknowledged += Receive(done);
                    }
                }

                Call(body);
            }

            Flush();
            if (_startedAt.Count == 0)
            {
                break;
            }

            unacknowledged += Receive(done);
            if (unacknowledged > WindowBytes / 2)
            {
                OpenWindow((int)unacknowledged);
                unacknowledged = 0;
            }
        }
    }

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

    private void Call(ReadOnlySpan<byte> body)
    {
        int stream = _nextStream;
        _nextStream += 2;
        Frame(HeadersFrame, EndHeaders, stream, stream == 1 && _tokenOnce is not null ? _tokenOnce : _headers);
        Frame(DataFrame, EndStream, stream, body);
        _credit -= body.Length;
        _startedAt.Add(stream, Stopwatch.GetTimestamp());
    }

    private void OpenWindow(int bytes)
    {
        Span<byte> payload = stackalloc byte[4];
        BinaryPrimitives.WriteInt32BigEndian(payload, bytes);
        Frame(WindowUpdateFrame, 0, 0, payload);
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

    /// <summary>One read from the socket, all whole frames in it; the data bytes taken.</summary>
    private long Receive(Action<long> done)
    {
        int read = _stream.Read(_receive.AsSpan(_held));
        if (read == 0)
        {
            throw new IOException("the server closed the connection");
        }

        _held += read;
        long data = 0;
        int at = 0;
        while (_held - at >= FrameHeaderBytes)
        {
            ReadOnlySpan<byte> head = _receive.AsSpan(at);
            int length = (head[0] << 16) | BinaryPrimitives.ReadUInt16BigEndian(head[1..]);
            if (_held - at < FrameHeaderBytes + length)
            {
                break;
            }

            data += Take(head[3], head[4], BinaryPrimitives.ReadInt32BigEndian(head[5..]), head.Slice(FrameHeaderBytes, length), done);
            at += FrameHeaderBytes + length;
        }

        _receive.AsSpan(at, _held - at).CopyTo(_receive);
        _held -= at;
        return data;
    }

    private int Take(byte type, byte flags, int stream, ReadOnlySpan<byte> payload, Action<long> done)
    {
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

        return type == DataFrame ? payload.Length : 0;
    }

    private void End(int stream, Action<long> done)
    {
        if (_startedAt.Remove(stream, out long startedAt))
        {
            done(Stopwatch.GetTimestamp() - startedAt);
        }
    }
}
