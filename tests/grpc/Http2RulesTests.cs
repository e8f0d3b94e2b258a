using System.Buffers.Binary;
using System.Net;
using System.Net.Sockets;
using System.Text;
using Xunit;

namespace Perf.Grpc.Tests;

/// <summary>
/// The rules of RFC 9113 for a server, one case each, in the manner of h2spec: what breaks one ends the stream or the connection with
/// the error it asks for, and the server serves on.
/// </summary>
public sealed class Http2RulesTests
{
    private const byte Data = 0;
    private const byte Headers = 1;
    private const byte Priority = 2;
    private const byte Reset = 3;
    private const byte Settings = 4;
    private const byte PushPromise = 5;
    private const byte Ping = 6;
    private const byte GoAway = 7;
    private const byte WindowUpdate = 8;
    private const byte Continuation = 9;
    private const byte EndStream = 1;
    private const byte EndHeaders = 4;

    private const int ProtocolError = 1;
    private const int FlowControlError = 3;
    private const int StreamClosed = 5;
    private const int FrameSizeError = 6;
    private const int CompressionError = 9;

    /// <summary>Name, the error, and the frames behind preface and SETTINGS.</summary>
    public static TheoryData<string, int, byte[]> ConnectionErrors
    {
        get
        {
            byte[] open = RawClient.Call(1, TestServer.Hang);
            byte[] closed = [.. RawClient.Call(1, TestServer.Echo), .. RawClient.Frame(Data, EndStream, 1, RawClient.Message("x"))];
            return new TheoryData<string, int, byte[]>
            {
                { "frame above 16 KiB", FrameSizeError, [0, 0x40, 1, Data, 0, 0, 0, 0, 1] },
                { "DATA on stream 0", ProtocolError, RawClient.Frame(Data, 0, 0, 1) },
                { "DATA on an idle stream", ProtocolError, RawClient.Frame(Data, 0, 1, 1) },
                { "DATA with too much padding", ProtocolError, [.. open, .. RawClient.Frame(Data, 8, 1, 5, 1, 2)] },
                { "HEADERS on stream 0", ProtocolError, RawClient.Frame(Headers, EndHeaders, 0, 0x82) },
                { "HEADERS on an even stream", ProtocolError, RawClient.Frame(Headers, EndHeaders, 2, 0x82) },
                { "HEADERS with too much padding", ProtocolError, RawClient.Frame(Headers, EndHeaders | 8, 1, 9, 0x82) },
                { "HEADERS with half a priority", FrameSizeError, RawClient.Frame(Headers, EndHeaders | 0x20, 1, 0, 0) },
                { "HEADERS that are no block", CompressionError, RawClient.Frame(Headers, EndHeaders, 1, 0x80) },
                { "PRIORITY on stream 0", ProtocolError, RawClient.Frame(Priority, 0, 0, 0, 0, 0, 0, 1) },
                { "PRIORITY of four bytes", FrameSizeError, RawClient.Frame(Priority, 0, 1, 0, 0, 0, 0) },
                { "RST_STREAM on stream 0", ProtocolError, RawClient.Frame(Reset, 0, 0, 0, 0, 0, 8) },
                { "RST_STREAM on an idle stream", ProtocolError, RawClient.Frame(Reset, 0, 1, 0, 0, 0, 8) },
                { "RST_STREAM of three bytes", FrameSizeError, [.. open, .. RawClient.Frame(Reset, 0, 1, 0, 0, 8)] },
                { "SETTINGS on a stream", ProtocolError, RawClient.Frame(Settings, 0, 1) },
                { "SETTINGS of five bytes", FrameSizeError, RawClient.Frame(Settings, 0, 0, 0, 4, 0, 0, 0) },
                { "SETTINGS ACK with a payload", FrameSizeError, RawClient.Frame(Settings, 1, 0, 0, 4, 0, 0, 0, 0) },
                { "ENABLE_PUSH of 2", ProtocolError, RawClient.Frame(Settings, 0, 0, 0, 2, 0, 0, 0, 2) },
                { "INITIAL_WINDOW_SIZE of 2^31", FlowControlError, RawClient.Frame(Settings, 0, 0, 0, 4, 0x80, 0, 0, 0) },
                { "MAX_FRAME_SIZE of 16383", ProtocolError, RawClient.Frame(Settings, 0, 0, 0, 5, 0, 0, 0x3f, 0xff) },
                { "MAX_FRAME_SIZE of 2^24", ProtocolError, RawClient.Frame(Settings, 0, 0, 0, 5, 1, 0, 0, 0) },
                { "PUSH_PROMISE", ProtocolError, RawClient.Frame(PushPromise, EndHeaders, 1, 0, 0, 0, 2, 0x82) },
                { "PING on a stream", ProtocolError, RawClient.Frame(Ping, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0) },
                { "PING of seven bytes", FrameSizeError, RawClient.Frame(Ping, 0, 0, 0, 0, 0, 0, 0, 0, 0) },
                { "GOAWAY on a stream", ProtocolError, RawClient.Frame(GoAway, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0) },
                { "WINDOW_UPDATE of nothing", ProtocolError, RawClient.Frame(WindowUpdate, 0, 0, 0, 0, 0, 0) },
                { "WINDOW_UPDATE of three bytes", FrameSizeError, RawClient.Frame(WindowUpdate, 0, 0, 0, 0, 1) },
                { "WINDOW_UPDATE on an idle stream", ProtocolError, RawClient.Frame(WindowUpdate, 0, 1, 0, 0, 0, 1) },
                { "WINDOW_UPDATE beyond 2^31", FlowControlError, RawClient.Frame(WindowUpdate, 0, 0, 0x7f, 0xff, 0xff, 0xff) },
                { "CONTINUATION of nothing", ProtocolError, RawClient.Frame(Continuation, EndHeaders, 1, 0x82) },
                { "CONTINUATION behind the end", ProtocolError, [.. open, .. RawClient.Frame(Continuation, EndHeaders, 1, 0x82)] },
                { "a block interrupted by PING", ProtocolError,
                    [.. RawClient.Frame(Headers, 0, 1, 0x83), .. RawClient.Frame(Ping, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)] },
                { "a block interrupted by another stream", ProtocolError,
                    [.. RawClient.Frame(Headers, 0, 1, 0x83), .. RawClient.Frame(Continuation, 0, 3, 0x86)] },
            };
        }
    }

    /// <summary>Name, the error, and the frames; the connection lives on.</summary>
    public static TheoryData<string, int, byte[]> StreamErrors
    {
        get
        {
            byte[] call = RawClient.Call(1, TestServer.Sum);
            return new TheoryData<string, int, byte[]>
            {
                { "an upper case name", ProtocolError, RawClient.Call(1, TestServer.Echo, ("Token", "x")) },
                { "an unknown pseudo header", ProtocolError, Request(1, ":method", "POST", ":scheme", "http", ":path", "/a", ":foo", "x") },
                { "a pseudo header of responses", ProtocolError,
                    Request(1, ":method", "POST", ":scheme", "http", ":path", "/a", ":status", "200") },
                { "a pseudo header behind others", ProtocolError,
                    Request(1, ":method", "POST", ":scheme", "http", "te", "trailers", ":path", "/a") },
                { "no :method", ProtocolError, Request(1, ":scheme", "http", ":path", "/a") },
                { "no :scheme", ProtocolError, Request(1, ":method", "POST", ":path", "/a") },
                { "no :path", ProtocolError, Request(1, ":method", "POST", ":scheme", "http") },
                { "an empty :path", ProtocolError, Request(1, ":method", "POST", ":scheme", "http", ":path", "") },
                { "two :method", ProtocolError, Request(1, ":method", "POST", ":method", "POST", ":scheme", "http", ":path", "/a") },
                { "connection: close", ProtocolError, RawClient.Call(1, TestServer.Echo, ("connection", "close")) },
                { "transfer-encoding", ProtocolError, RawClient.Call(1, TestServer.Echo, ("transfer-encoding", "chunked")) },
                { "te that is not trailers", ProtocolError, RawClient.Call(1, TestServer.Echo, ("te", "gzip")) },
                { "a line break in a value", ProtocolError, RawClient.Call(1, TestServer.Echo, ("token", "a\r\nb")) },
                { "content-length that is no number", ProtocolError, RawClient.Call(1, TestServer.Echo, ("content-length", "x")) },
                { "more body than announced", ProtocolError,
                    [.. RawClient.Call(1, TestServer.Sum, ("content-length", "3")), .. RawClient.Frame(Data, 0, 1, new byte[4])] },
                { "less body than announced", ProtocolError,
                    [.. RawClient.Call(1, TestServer.Sum, ("content-length", "3")), .. RawClient.Frame(Data, EndStream, 1, new byte[2])] },
                { "trailers that do not end the stream", ProtocolError, [.. call, .. RawClient.Frame(Headers, EndHeaders, 1, Literal("a", "b"))] },
                { "pseudo headers in trailers", ProtocolError,
                    [.. call, .. RawClient.Frame(Headers, EndHeaders | EndStream, 1, Literal(":path", "/"))] },
                { "DATA behind the end", StreamClosed,
                    [.. RawClient.Call(1, TestServer.Hang), .. RawClient.Frame(Data, EndStream, 1, RawClient.Message("")),
                        .. RawClient.Frame(Data, 0, 1, 1)] },
                { "WINDOW_UPDATE of nothing", ProtocolError, [.. call, .. RawClient.Frame(WindowUpdate, 0, 1, 0, 0, 0, 0)] },
                { "WINDOW_UPDATE beyond 2^31", FlowControlError,
                    [.. call, .. RawClient.Frame(WindowUpdate, 0, 1, 0x7f, 0xff, 0xff, 0xff)] },
            };
        }
    }

    [Theory]
    [MemberData(nameof(ConnectionErrors))]
    public async Task What_breaks_the_connection_ends_it(string name, int error, byte[] frames)
    {
        await using TestServer server = await TestServer.StartAsync();
        await using NetworkStream stream = await RawClient.OpenAsync(server.Port);
        await stream.WriteAsync(frames);
        int? last = null;
        while (await RawClient.ReadFrameAsync(stream) is var (type, _, _, payload) && type != 255)
        {
            if (type == GoAway)
            {
                last = BinaryPrimitives.ReadInt32BigEndian(payload.AsSpan(4));
            }
        }

        Assert.True(last is not null, $"{name}: no GOAWAY");
        Assert.Equal(error, last);
        await AssertServesAsync(server);
    }

    [Theory]
    [MemberData(nameof(StreamErrors))]
    public async Task What_breaks_a_stream_ends_that_alone(string name, int error, byte[] frames)
    {
        await using TestServer server = await TestServer.StartAsync();
        await using NetworkStream stream = await RawClient.OpenAsync(server.Port);
        await stream.WriteAsync(frames);
        (byte type, _, int id, byte[] payload) = await NextAsync(stream, Reset);
        Assert.True(type == Reset, $"{name}: no RST_STREAM");
        Assert.Equal(1, id);
        Assert.Equal(error, BinaryPrimitives.ReadInt32BigEndian(payload));
        await AssertEchoesAsync(stream, 5);
    }

    [Theory]
    [InlineData("GET / HTTP/2.0\r\n\r\nSM\r\n\r\nxxxxxxxx")]
    [InlineData("PRI * HTTP/2.0\r\n\r\nSX\r\n\r\n")]
    public async Task Another_preface_is_not_answered_in_HTTP2(string preface)
    {
        await using TestServer server = await TestServer.StartAsync(o => new()
        {
            Endpoints = [new ListenEndpoint { Url = o.Endpoints[0].Url, Protocols = ServedProtocols.Http2 }],
        });
        await using NetworkStream stream = await RawClient.ConnectAsync(server.Port);
        await stream.WriteAsync(Encoding.ASCII.GetBytes(preface));
        (byte type, _, _, byte[] payload) = await NextAsync(stream, GoAway);
        Assert.Equal(GoAway, type);
        Assert.Equal(ProtocolError, BinaryPrimitives.ReadInt32BigEndian(payload.AsSpan(4)));
    }

    [Fact]
    public async Task The_first_frame_is_SETTINGS()
    {
        await using TestServer server = await TestServer.StartAsync();
        await using NetworkStream stream = await RawClient.ConnectAsync(server.Port);
        await stream.WriteAsync(RawClient.Preface);
        await stream.WriteAsync(RawClient.Frame(Ping, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0));
        (byte type, _, _, byte[] payload) = await NextAsync(stream, GoAway);
        Assert.Equal(GoAway, type);
        Assert.Equal(ProtocolError, BinaryPrimitives.ReadInt32BigEndian(payload.AsSpan(4)));
    }

    /// <summary>Frames and padding of any shape that the rules allow.</summary>
    [Fact]
    public async Task Unknown_frames_padding_priorities_and_pieces_are_taken_as_they_come()
    {
        await using TestServer server = await TestServer.StartAsync();
        await using NetworkStream stream = await RawClient.OpenAsync(server.Port);
        byte[] call = RawClient.Call(1, TestServer.Echo)[9..];
        await stream.WriteAsync((byte[])[
            .. RawClient.Frame(0xee, 0xff, 0, 1, 2, 3),
            .. RawClient.Frame(Priority, 0, 77, 0, 0, 0, 0, 1),
            .. RawClient.Frame(Headers, 8 | 0x20, 1, [3, 0, 0, 0, 0, 9, .. call[..10], 0, 0, 0]),
            .. RawClient.Frame(Continuation, 0, 1),
            .. RawClient.Frame(Continuation, 0, 1, call[10..20]),
            .. RawClient.Frame(Continuation, EndHeaders, 1, call[20..]),
            .. RawClient.Frame(Data, 8, 1, [2, .. RawClient.Message("padded")[..4], 0, 0]),
            .. RawClient.Frame(Data, 8 | EndStream, 1, [1, .. RawClient.Message("padded")[4..], 0]),
        ]);
        (byte type, _, int id, byte[] payload) = await NextAsync(stream, Data);
        Assert.Equal((Data, 1), (type, id));
        Assert.Equal(RawClient.Message("padded"), payload);
        await AssertEchoesAsync(stream, 3);
    }

    [Fact]
    public async Task Trailers_of_a_request_end_it()
    {
        await using TestServer server = await TestServer.StartAsync();
        await using NetworkStream stream = await RawClient.OpenAsync(server.Port);
        await stream.WriteAsync(RawClient.Call(1, TestServer.Echo));
        await stream.WriteAsync(RawClient.Frame(Data, 0, 1, RawClient.Message("t")));
        await stream.WriteAsync(RawClient.Frame(Headers, EndHeaders | EndStream, 1, Literal("checksum", "1")));
        (byte type, _, _, byte[] payload) = await NextAsync(stream, Data);
        Assert.Equal(Data, type);
        Assert.Equal(RawClient.Message("t"), payload);
    }

    /// <summary>A window of one byte, opened byte by byte, then closed and opened again by SETTINGS.</summary>
    [Fact]
    public async Task Answers_keep_within_the_clients_windows()
    {
        await using TestServer server = await TestServer.StartAsync();
        await using NetworkStream stream = await RawClient.ConnectAsync(server.Port);
        await stream.WriteAsync(RawClient.Preface);
        await stream.WriteAsync(RawClient.Frame(Settings, 0, 0, 0, 4, 0, 0, 0, 1));
        await stream.WriteAsync(RawClient.Call(1, TestServer.Echo));
        byte[] message = RawClient.Message("window");
        await stream.WriteAsync(RawClient.Frame(Data, EndStream, 1, message));
        for (int i = 0; i < 4; i++)
        {
            (_, _, _, byte[] piece) = await NextAsync(stream, Data);
            Assert.Equal([message[i]], piece);
            if (i < 3)
            {
                await stream.WriteAsync(RawClient.Frame(WindowUpdate, 0, 1, 0, 0, 0, 1));
            }
        }

        // A smaller initial window makes this stream's negative; one more byte only brings it back to nothing.
        await stream.WriteAsync(RawClient.Frame(Settings, 0, 0, 0, 4, 0, 0, 0, 0));
        await stream.WriteAsync(RawClient.Frame(WindowUpdate, 0, 1, 0, 0, 0, 1));
        await stream.WriteAsync(RawClient.Frame(Ping, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8));
        (byte type, _, _, _) = await NextAsync(stream, Ping, Data);
        Assert.Equal(Ping, type);
        await stream.WriteAsync(RawClient.Frame(Settings, 0, 0, 0, 4, 0, 1, 0, 0));
        (_, _, _, byte[] rest) = await NextAsync(stream, Data);
        Assert.Equal(message[4..], rest);
        (type, byte flags, _, _) = await NextAsync(stream, Headers);
        Assert.Equal((Headers, EndStream | EndHeaders), (type, flags));
    }

    /// <summary>Two answers above the connection's window both get on, and a third stream is not held up for ever.</summary>
    [Fact]
    public async Task Answers_share_the_connections_window()
    {
        await using TestServer server = await TestServer.StartAsync();
        await using NetworkStream stream = await RawClient.ConnectAsync(server.Port);
        await stream.WriteAsync(RawClient.Preface);
        await stream.WriteAsync(RawClient.Frame(Settings, 0, 0, 0, 4, 0x10, 0, 0, 0));
        byte[] message = RawClient.Message(new string('x', 200_000));
        foreach (int id in (int[])[1, 3, 5])
        {
            await stream.WriteAsync(RawClient.Call(id, TestServer.Echo));
            foreach (byte[] piece in message.Chunk(16 << 10))
            {
                await stream.WriteAsync(RawClient.Frame(Data, 0, id, piece));
            }

            await stream.WriteAsync(RawClient.Frame(Data, EndStream, id));
        }

        var got = new Dictionary<int, int> { [1] = 0, [3] = 0, [5] = 0 };
        int ended = 0;
        int unacknowledged = 0;
        while (ended < 3)
        {
            (byte type, byte flags, int id, byte[] payload) = await RawClient.ReadFrameAsync(stream);
            Assert.NotEqual(255, type);
            if (type == Data)
            {
                got[id] += payload.Length;
                unacknowledged += payload.Length;
                if (unacknowledged > 30_000)
                {
                    byte[] increment = new byte[4];
                    BinaryPrimitives.WriteInt32BigEndian(increment, unacknowledged);
                    await stream.WriteAsync(RawClient.Frame(WindowUpdate, 0, 0, increment));
                    unacknowledged = 0;
                }
            }

            ended += type == Headers && (flags & EndStream) != 0 ? 1 : 0;
        }

        Assert.All(got.Values, bytes => Assert.Equal(message.Length, bytes));
    }

    /// <summary>What a handler does not read stays within its stream's window, and so do others.</summary>
    [Fact]
    public async Task Unread_messages_fill_their_own_window_only()
    {
        await using TestServer server = await TestServer.StartAsync();
        var reads = new SemaphoreSlim(0);
        long total = 0;
        server.Router.Map("/test.Service/Sip", MethodKind.ClientStream, async call =>
        {
            await reads.WaitAsync(call.Cancelled);
            while (await call.ReadMessageAsync())
            {
                total += call.Message.Length;
            }

            call.WriteMessage([]);
        });
        await using NetworkStream stream = await RawClient.OpenAsync(server.Port);
        await stream.WriteAsync(RawClient.Call(1, "/test.Service/Sip"));
        byte[] message = RawClient.Message(new string('m', (16 << 10) - 5));
        const int FramesInWindow = 48;
        for (int i = 0; i < FramesInWindow; i++)
        {
            await stream.WriteAsync(RawClient.Frame(Data, 0, 1, message));
        }

        // The window is full, and the connection's is not: another call goes on.
        await AssertEchoesAsync(stream, 3);
        reads.Release();
        int credit = 0;
        while (credit < FramesInWindow * message.Length / 2)
        {
            (byte type, _, int id, byte[] payload) = await NextAsync(stream, WindowUpdate);
            Assert.Equal(WindowUpdate, type);
            credit += id == 1 ? BinaryPrimitives.ReadInt32BigEndian(payload) : 0;
        }

        await stream.WriteAsync(RawClient.Frame(Data, EndStream, 1));
        Assert.Equal(Headers, (await NextAsync(stream, Headers)).Type);
        await Eventually.True(() => total == FramesInWindow * (message.Length - 5));

        // One frame too many for a handler that does not read.
        await stream.WriteAsync(RawClient.Call(5, "/test.Service/Sip"));
        for (int i = 0; i <= FramesInWindow; i++)
        {
            await stream.WriteAsync(RawClient.Frame(Data, 0, 5, message));
        }

        (byte last, _, int wrong, byte[] reason) = await NextAsync(stream, Reset);
        Assert.Equal((Reset, 5), (last, wrong));
        Assert.Equal(FlowControlError, BinaryPrimitives.ReadInt32BigEndian(reason));
        await AssertEchoesAsync(stream, 7);
    }

    /// <summary>
    /// A request refused by its first bytes: the client may have sent more of it already, and hears nothing but the status. (A reset
    /// with STREAM_CLOSED overtook the status in grpc's C core.)
    /// </summary>
    [Fact]
    public async Task What_follows_a_refused_request_is_ignored()
    {
        await using TestServer server = await TestServer.StartAsync(o => new() { Endpoints = o.Endpoints, ReceiveBytesMax = 1000 });
        await using NetworkStream stream = await RawClient.OpenAsync(server.Port);
        await stream.WriteAsync(RawClient.Call(1, TestServer.Echo));
        for (int i = 0; i < 40; i++)
        {
            await stream.WriteAsync(RawClient.Frame(Data, (byte)(i == 39 ? EndStream : 0), 1, RawClient.Message("x", length: 5000)));
        }

        (byte type, byte flags, int id, _) = await NextAsync(stream, Headers, Data);
        Assert.Equal((Headers, EndStream | EndHeaders, 1), (type, flags, id));
        (type, _, id, byte[] payload) = await NextAsync(stream, Reset);
        Assert.Equal((Reset, 1, 0), (type, id, BinaryPrimitives.ReadInt32BigEndian(payload)));
        await stream.WriteAsync(RawClient.Frame(Data, 0, 1, RawClient.Message("late")));
        await stream.WriteAsync(RawClient.Frame(Ping, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8));
        (type, _, _, _) = await NextAsync(stream, Reset, Ping, GoAway);
        Assert.Equal(Ping, type);
        await AssertEchoesAsync(stream, 3);
    }

    [Fact]
    public async Task A_request_that_is_not_whole_by_its_deadline_is_answered_so()
    {
        await using TestServer server = await TestServer.StartAsync();
        await using NetworkStream stream = await RawClient.OpenAsync(server.Port);
        await stream.WriteAsync(RawClient.Call(1, TestServer.Echo, ("grpc-timeout", "50m")));
        await stream.WriteAsync(RawClient.Frame(Data, 0, 1, 0, 0));
        (byte type, _, int id, byte[] payload) = await NextAsync(stream, Headers);
        Assert.Equal((Headers, 1), (type, id));
        var fields = new HeaderFields(1 << 16);
        new HpackDecoder().Decode(payload, fields);
        Assert.Contains(new("grpc-status", "4"), fields.Fields);
        await AssertEchoesAsync(stream, 3);
    }

    /// <summary>A proxy's handler hears "cancelled" from the server behind it when its own deadline passes.</summary>
    [Fact]
    public async Task A_call_cancelled_by_its_deadline_is_told_so_whatever_its_handler_says()
    {
        await using TestServer server = await TestServer.StartAsync();
        server.Router.Map("/test.Service/Relay", MethodKind.Unary, async call =>
        {
            try
            {
                await Task.Delay(Timeout.Infinite, call.Cancelled);
            }
            catch (OperationCanceledException)
            {
                throw new RpcException(StatusCode.Cancelled, "context canceled");
            }
        });
        await using NetworkStream stream = await RawClient.OpenAsync(server.Port);
        await stream.WriteAsync(RawClient.Call(1, "/test.Service/Relay", ("grpc-timeout", "50m")));
        await stream.WriteAsync(RawClient.Frame(Data, EndStream, 1, RawClient.Message("")));
        (_, _, _, byte[] payload) = await NextAsync(stream, Headers);
        var fields = new HeaderFields(1 << 16);
        new HpackDecoder().Decode(payload, fields);
        Assert.Contains(new("grpc-status", "4"), fields.Fields);
    }

    [Fact]
    public async Task What_was_taken_back_is_never_seen()
    {
        await using TestServer server = await TestServer.StartAsync();
        server.Router.Map("/test.Service/Regret", MethodKind.Unary, call =>
        {
            call.WriteMessage("secret"u8);
            call.TakeBack();
            call.Fail(StatusCode.PermissionDenied, "no");
            return default;
        });
        await using NetworkStream stream = await RawClient.OpenAsync(server.Port);
        await stream.WriteAsync(RawClient.Call(1, "/test.Service/Regret"));
        await stream.WriteAsync(RawClient.Frame(Data, EndStream, 1, RawClient.Message("")));
        (byte type, byte flags, _, _) = await NextAsync(stream, Headers, Data);
        Assert.Equal((Headers, EndStream | EndHeaders), (type, flags));
        await AssertEchoesAsync(stream, 3);
    }

    /// <summary>What a server notes at a call's headers is there again for the same headers of the same connection, and for no others.</summary>
    [Fact]
    public async Task A_memo_stays_with_its_headers()
    {
        await using TestServer server = await TestServer.StartAsync();
        server.Router.Map("/test.Service/Memo", MethodKind.Unary, call =>
        {
            call.TryGetHeader("token", out string token);
            string seen = call.Memo as string ?? "nothing";
            call.Memo = token;
            call.WriteMessage(Encoding.ASCII.GetBytes(seen));
            return default;
        });
        Assert.Equal(["nothing", "alice", "nothing", "alice", "bob", "bob"], await AskAsync("alice", "alice", "bob", "alice", "bob", "bob"));
        Assert.Equal(["nothing"], await AskAsync("alice"));

        async Task<List<string>> AskAsync(params string[] tokens)
        {
            await using NetworkStream stream = await RawClient.OpenAsync(server.Port);
            var answers = new List<string>();
            int id = 1;
            foreach (string token in tokens)
            {
                await stream.WriteAsync(RawClient.Call(id, "/test.Service/Memo", ("token", token)));
                await stream.WriteAsync(RawClient.Frame(Data, EndStream, id, RawClient.Message("")));
                answers.Add(Encoding.ASCII.GetString((await NextAsync(stream, Data)).Payload.AsSpan(5)));
                id += 2;
            }

            return answers;
        }
    }

    /// <summary>A client that keeps no table is told everything in words.</summary>
    [Theory]
    [InlineData(0)]
    [InlineData(100)]
    [InlineData(4096)]
    public async Task Header_tables_of_any_size_are_respected(int tableBytes)
    {
        await using TestServer server = await TestServer.StartAsync();
        await using NetworkStream stream = await RawClient.OpenAsync(server.Port);
        var decoder = new HpackDecoder();
        await AnswerAsync(1);
        await stream.WriteAsync(RawClient.Frame(Settings, 0, 0, 0, 1, 0, 0, (byte)(tableBytes >> 8), (byte)tableBytes));
        for (int id = 3; id < 12; id += 2)
        {
            await AnswerAsync(id);
        }

        async Task AnswerAsync(int id)
        {
            await stream.WriteAsync(RawClient.Call(id, TestServer.Echo));
            await stream.WriteAsync(RawClient.Frame(Data, EndStream, id, RawClient.Message("x")));
            var fields = new HeaderFields(1 << 16);
            bool ends = false;
            while (!ends)
            {
                (byte type, byte flags, _, byte[] payload) = await NextAsync(stream, Headers);
                Assert.Equal(Headers, type);
                decoder.Decode(payload, fields);
                ends = (flags & EndStream) != 0;
            }

            Assert.Equal(
                ":status=200;content-type=application/grpc;grpc-status=0",
                string.Join(';', fields.Fields.Select(f => $"{f.Key}={f.Value}")));
        }
    }

    [Fact]
    public async Task Stopping_says_goodbye_and_lets_calls_end()
    {
        await using TestServer server = await TestServer.StartAsync();
        await using NetworkStream stream = await RawClient.OpenAsync(server.Port);
        await stream.WriteAsync(RawClient.Call(1, TestServer.Chat));
        await stream.WriteAsync(RawClient.Frame(Data, 0, 1, RawClient.Message("a")));
        Assert.Equal(Data, (await NextAsync(stream, Data)).Type);
        Task stopping = server.Server.StopAsync(TimeSpan.FromSeconds(30));
        (byte type, _, _, byte[] payload) = await NextAsync(stream, GoAway);
        Assert.Equal(GoAway, type);
        Assert.Equal((1, 0), (BinaryPrimitives.ReadInt32BigEndian(payload), BinaryPrimitives.ReadInt32BigEndian(payload.AsSpan(4))));

        // What has begun goes on; what comes now is not taken.
        await stream.WriteAsync(RawClient.Call(3, TestServer.Echo));
        await stream.WriteAsync(RawClient.Frame(Data, EndStream, 3, RawClient.Message("late")));
        await stream.WriteAsync(RawClient.Frame(Data, EndStream, 1, RawClient.Message("b")));
        (type, _, int id, payload) = await NextAsync(stream, Data);
        Assert.Equal((Data, 1), (type, id));
        Assert.Equal(RawClient.Message("re: b"), payload);
        while (type != 255)
        {
            (type, _, id, _) = await RawClient.ReadFrameAsync(stream);
            Assert.NotEqual(3, id);
        }

        await stopping;
    }

    [Fact]
    public async Task A_silent_client_is_pinged_and_left()
    {
        await using TestServer server = await TestServer.StartAsync(o => new()
        {
            Endpoints = o.Endpoints,
            KeepAliveInterval = TimeSpan.FromMilliseconds(100),
            KeepAliveTimeout = TimeSpan.FromSeconds(5),
        });
        await using NetworkStream stream = await RawClient.OpenAsync(server.Port);
        for (int i = 0; i < 3; i++)
        {
            (byte type, byte flags, _, byte[] payload) = await NextAsync(stream, Ping);
            Assert.Equal((Ping, 0), (type, flags));
            await stream.WriteAsync(RawClient.Frame(Ping, 1, 0, payload));
        }

        Assert.Equal(Ping, (await NextAsync(stream, Ping)).Type);
        Assert.Equal(255, (await NextAsync(stream, GoAway)).Type);
    }

    /// <summary>Thousands of calls on one connection leave nothing behind that the next one would see.</summary>
    [Fact]
    public async Task Streams_are_used_again_and_forget()
    {
        await using TestServer server = await TestServer.StartAsync();
        var options = new ParallelOptions { MaxDegreeOfParallelism = 64 };
        await Parallel.ForAsync(0, 5000, options, async (i, _) =>
        {
            string text = new((char)('a' + (i % 26)), i % 3000);
            switch (i % 4)
            {
                case 0:
                    RpcException failed = await Assert.ThrowsAsync<RpcException>(
                        () => server.Channel.UnaryAsync(TestServer.Method(TestServer.Fail), "no " + i));
                    Assert.Equal("no " + i, failed.Message);
                    Assert.Equal("because", failed.Trailers.Get("why"));
                    break;
                case 1:
                    RpcException late = await Assert.ThrowsAsync<RpcException>(() => server.Channel.UnaryAsync(
                        TestServer.Method(TestServer.Hang), "", CallOptions.Timeout(TimeSpan.FromMilliseconds(1 + (i % 20)))));
                    Assert.Equal(StatusCode.DeadlineExceeded, late.Code);
                    break;
                default:
                    Assert.Equal(text, await server.Channel.UnaryAsync(
                        TestServer.Method(TestServer.Echo), text, CallOptions.Timeout(TimeSpan.FromSeconds(60))));
                    break;
            }
        });
        foreach (GrpcMethod method in server.Router.Methods)
        {
            await Eventually.True(() => method.Started == Enum.GetValues<StatusCode>().Sum(method.Handled));
        }
    }

    [Fact]
    public async Task The_fallback_reads_bodies_and_writes_them()
    {
        await using TestServer server = await TestServer.StartAsync(o => new()
        {
            Endpoints = o.Endpoints,
            Fallback = async context =>
            {
                using var body = new MemoryStream();
                await context.Request.Body.CopyToAsync(body);
                context.Response.Headers["X-Path"] = context.Request.Path.Value + "|" + context.Request.QueryString;
                context.Response.StatusCode = context.Request.Method == "PUT" ? 201 : 200;
                if (context.Request.Path == "/broken")
                {
                    throw new InvalidOperationException("broken");
                }

                await context.Response.Body.WriteAsync(body.ToArray());
            },
        });
        using var http = new HttpClient(new SocketsHttpHandler { UseProxy = false })
        {
            DefaultRequestVersion = HttpVersion.Version20,
            DefaultVersionPolicy = HttpVersionPolicy.RequestVersionExact,
        };
        byte[] sent = new byte[3 << 20];
        new Random(3).NextBytes(sent);
        using var content = new ByteArrayContent(sent);
        using HttpResponseMessage answer = await http.PutAsync(new Uri(server.Url + "/a%20b%2Fc?c=d"), content);
        Assert.Equal(HttpStatusCode.Created, answer.StatusCode);
        Assert.Equal("/a b%2Fc|?c=d", answer.Headers.GetValues("x-path").Single());
        Assert.Equal(sent, await answer.Content.ReadAsByteArrayAsync());
        using var head = new HttpRequestMessage(HttpMethod.Head, server.Url + "/head");
        using HttpResponseMessage headed = await http.SendAsync(head);
        Assert.Equal(HttpStatusCode.OK, headed.StatusCode);
        using HttpResponseMessage broken = await http.GetAsync(new Uri(server.Url + "/broken"));
        Assert.Equal(HttpStatusCode.InternalServerError, broken.StatusCode);
    }

    private static byte[] Literal(string name, string value) =>
        [0, (byte)name.Length, .. Encoding.ASCII.GetBytes(name), (byte)value.Length, .. Encoding.ASCII.GetBytes(value)];

    private static byte[] Request(int stream, params string[] fields) => RawClient.Frame(
        Headers, EndHeaders, stream, [.. Enumerable.Range(0, fields.Length / 2).SelectMany(i => Literal(fields[2 * i], fields[(2 * i) + 1]))]);

    private static async Task<(byte Type, byte Flags, int Stream, byte[] Payload)> NextAsync(Stream stream, params byte[] wanted)
    {
        while (true)
        {
            (byte Type, byte Flags, int Stream, byte[] Payload) frame = await RawClient.ReadFrameAsync(stream);
            if (frame.Type == 255 || (wanted.Contains(frame.Type) && (frame.Type != Data || frame.Payload.Length > 0)))
            {
                return frame;
            }
        }
    }

    private static async Task AssertEchoesAsync(NetworkStream stream, int id)
    {
        await stream.WriteAsync(RawClient.Call(id, TestServer.Echo));
        await stream.WriteAsync(RawClient.Frame(Data, EndStream, id, RawClient.Message("on")));
        (byte type, _, int answered, byte[] payload) = await NextAsync(stream, Data);
        Assert.Equal((Data, id), (type, answered));
        Assert.Equal(RawClient.Message("on"), payload);
    }

    private static async Task AssertServesAsync(TestServer server) => Assert.Equal(
        "x",
        await server.Channel.UnaryAsync(
            TestServer.Method(TestServer.Echo), "x", CallOptions.Timeout(TimeSpan.FromSeconds(30))));
}
