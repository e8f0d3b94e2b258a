using System.IO.Compression;
using System.Net;
using System.Net.Sockets;
using System.Text;
using Xunit;

namespace Perf.Grpc.Tests;

/// <summary>Messages and frames that break the rules, and floods.</summary>
public sealed class FrameTests
{
    private const int LimitBytes = 1000;

    [Theory]
    [InlineData(LimitBytes - 1, 0)]
    [InlineData(LimitBytes, 0)]
    [InlineData(LimitBytes + 1, 8)]
    public async Task Message_limit_holds_at_its_edge(int bytes, int status)
    {
        await using TestServer server = await StartLimitedAsync();
        using HttpResponseMessage response =
            await RawClient.PostAsync(server.Url, TestServer.Echo, RawClient.Message(new string('x', bytes)));
        (int code, string message) = RawClient.StatusOf(response);
        Assert.Equal(status, code);
        if (code != 0)
        {
            Assert.Equal("grpc: received message larger than max (1001 vs. 1000)", message);
        }
    }

    [Theory]
    [InlineData(int.MaxValue, "grpc: received message larger than max (2147483647 vs. 1000)")]
    [InlineData(-1, "grpc: received message larger than max (4294967295 vs. 1000)")]
    public async Task Huge_length_is_refused_before_anything_is_buffered(int length, string expected)
    {
        await using TestServer server = await StartLimitedAsync();
        using HttpResponseMessage response =
            await RawClient.PostAsync(server.Url, TestServer.Echo, RawClient.Message("x", length: length));
        Assert.Equal((8, expected), RawClient.StatusOf(response));
    }

    [Theory]
    [InlineData(new byte[0], "no request message for a method that takes one")]
    [InlineData(new byte[] { 0, 0, 0 }, "unexpected EOF")]
    [InlineData(new byte[] { 0, 0, 0, 0, 5, 1, 2 }, "unexpected EOF")]
    [InlineData(new byte[] { 2, 0, 0, 0, 0 }, "grpc: received unexpected payload format 2")]
    [InlineData(new byte[] { 1, 0, 0, 0, 0 }, "grpc: compressed flag set with identity or empty encoding")]
    [InlineData(new byte[] { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0 }, "more than one request message for a method that takes one")]
    public async Task Broken_request_is_internal_and_the_connection_lives_on(byte[] body, string expected)
    {
        await using TestServer server = await StartLimitedAsync();
        using HttpResponseMessage response = await RawClient.PostAsync(server.Url, TestServer.Echo, body);
        Assert.Equal((13, expected), RawClient.StatusOf(response));
        Assert.Equal("fine", await server.Channel.UnaryAsync(TestServer.Method(TestServer.Echo), "fine"));
    }

    [Fact]
    public async Task Gzip_requests_are_understood_and_bounded_by_what_comes_out()
    {
        await using TestServer server = await StartLimitedAsync();
        using HttpResponseMessage good = await RawClient.PostAsync(
            server.Url, TestServer.Echo, Gzip(new string('y', LimitBytes)), headers: ("grpc-encoding", "gzip"));
        Assert.Equal((0, ""), RawClient.StatusOf(good));
        byte[] body = await good.Content.ReadAsByteArrayAsync();
        Assert.Equal(new string('y', LimitBytes), Encoding.UTF8.GetString(body.AsSpan(5)));
        using HttpResponseMessage bomb = await RawClient.PostAsync(
            server.Url, TestServer.Echo, Gzip(new string('y', 100_000)), headers: ("grpc-encoding", "gzip"));
        (int code, string message) = RawClient.StatusOf(bomb);
        Assert.Equal(8, code);
        Assert.StartsWith("grpc: received message after decompression larger than max", message, StringComparison.Ordinal);
        using HttpResponseMessage broken = await RawClient.PostAsync(
            server.Url, TestServer.Echo, RawClient.Message("not gzip", flag: 1), headers: ("grpc-encoding", "gzip"));
        Assert.Equal(13, RawClient.StatusOf(broken).Status);
    }

    [Fact]
    public async Task Unknown_compression_is_unimplemented_and_names_what_we_take()
    {
        await using TestServer server = await TestServer.StartAsync();
        using HttpResponseMessage response = await RawClient.PostAsync(
            server.Url, TestServer.Echo, RawClient.Message("x", flag: 1), headers: ("grpc-encoding", "snappy"));
        Assert.Equal(
            (12, "grpc: Decompressor is not installed for grpc-encoding \"snappy\""), RawClient.StatusOf(response));
        Assert.Equal("identity,gzip", string.Join(',', response.Headers.GetValues("grpc-accept-encoding")));
    }

    [Fact]
    public async Task Malformed_timeout_is_refused()
    {
        await using TestServer server = await TestServer.StartAsync();
        using HttpResponseMessage response = await RawClient.PostAsync(
            server.Url, TestServer.Echo, RawClient.Message("x"), headers: ("grpc-timeout", "soon"));
        Assert.Equal((13, "malformed grpc-timeout: \"soon\""), RawClient.StatusOf(response));
    }

    [Theory]
    [InlineData("application/grpc+proto", HttpStatusCode.OK)]
    [InlineData("application/grpc; x=y", HttpStatusCode.OK)]
    [InlineData("application/grpc-web", HttpStatusCode.UnsupportedMediaType)]
    [InlineData("application/json", HttpStatusCode.UnsupportedMediaType)]
    [InlineData("", HttpStatusCode.UnsupportedMediaType)]
    public async Task Content_type_decides(string contentType, HttpStatusCode expected)
    {
        await using TestServer server = await TestServer.StartAsync(o => new() { Endpoints = o.Endpoints });
        using HttpResponseMessage response =
            await RawClient.PostAsync(server.Url, TestServer.Echo, RawClient.Message("x"), contentType);
        Assert.Equal(expected, response.StatusCode);
        if (expected != HttpStatusCode.OK)
        {
            Assert.Equal((3, $"invalid gRPC request content-type \"{contentType}\""), RawClient.StatusOf(response));
        }
    }

    [Fact]
    public async Task Message_in_single_bytes_is_put_together()
    {
        await using TestServer server = await TestServer.StartAsync();
        await using NetworkStream stream = await RawClient.OpenAsync(server.Port);
        await stream.WriteAsync(RawClient.Call(1, TestServer.Echo));
        byte[] message = RawClient.Message("slowly");
        for (int i = 0; i < message.Length; i++)
        {
            await stream.WriteAsync(RawClient.Frame(0, (byte)(i == message.Length - 1 ? 1 : 0), 1, message[i]));
            await Task.Delay(2);
        }

        (byte type, _, byte[] payload) = await NextAsync(stream, wanted: 0);
        Assert.Equal(0, type);
        Assert.Equal(message, payload);
    }

    [Fact]
    public async Task Resetting_the_stream_cancels_the_handler()
    {
        await using TestServer server = await TestServer.StartAsync();
        await using NetworkStream stream = await RawClient.OpenAsync(server.Port);
        await stream.WriteAsync(RawClient.Call(1, TestServer.Hang));
        await stream.WriteAsync(RawClient.Frame(0, 1, 1, RawClient.Message("")));
        GrpcMethod method = server.Router.Methods.Single(m => m.Path == TestServer.Hang);
        await Eventually.True(() => method.Started == 1);
        await stream.WriteAsync(RawClient.Frame(3, 0, 1, 0, 0, 0, 8));
        Assert.True(await server.HangEnded.Task.WaitAsync(TimeSpan.FromSeconds(10)));
        await Eventually.True(() => method.Handled(StatusCode.Cancelled) == 1);
    }

    [Fact]
    public async Task Pings_without_need_end_in_goaway_too_many_pings()
    {
        await using TestServer server = await TestServer.StartAsync();
        await using NetworkStream stream = await RawClient.OpenAsync(server.Port);
        for (int i = 0; i < 10; i++)
        {
            try
            {
                await stream.WriteAsync(RawClient.Frame(6, 0, 0, 0, 0, 0, 0, 0, 0, 0, (byte)i));
            }
            catch (IOException)
            {
                // Sent away before the last.
            }

            await Task.Delay(5);
        }

        await AssertSentAwayAsync(stream, "too_many_pings");
    }

    [Fact]
    public async Task Pings_below_the_limit_are_answered()
    {
        await using TestServer server = await TestServer.StartAsync();
        await using NetworkStream stream = await RawClient.OpenAsync(server.Port);

        // The first is no strike, two strikes are forgiven, and an answered call forgives all.
        int stream1 = 1;
        for (int round = 0; round < 3; round++)
        {
            for (byte i = 0; i < 2; i++)
            {
                await stream.WriteAsync(RawClient.Frame(6, 0, 0, 0, 0, 0, 0, 0, 0, 0, i));
                (byte type, _, byte[] payload) = await NextAsync(stream, wanted: 6);
                Assert.Equal(6, type);
                Assert.Equal(i, payload[7]);
            }

            await stream.WriteAsync(RawClient.Call(stream1, TestServer.Echo));
            await stream.WriteAsync(RawClient.Frame(0, 1, stream1, RawClient.Message("x")));
            stream1 += 2;
            Assert.Equal(0, (await NextAsync(stream, wanted: 0)).Type);
        }
    }

    [Fact]
    public async Task Flood_of_empty_frames_ends_in_goaway()
    {
        await using TestServer server = await TestServer.StartAsync();
        await using NetworkStream stream = await RawClient.OpenAsync(server.Port);
        await stream.WriteAsync(RawClient.Call(1, TestServer.Sum));
        byte[] empty = RawClient.Frame(0, 0, 1);
        byte[] flood = [.. Enumerable.Repeat(empty, 500).SelectMany(f => f)];
        try
        {
            for (int i = 0; i < 20; i++)
            {
                await stream.WriteAsync(flood);
            }
        }
        catch (IOException)
        {
            // Sent away before the last.
        }

        await AssertSentAwayAsync(stream, "too_many_empty_frames");
    }

    [Fact]
    public async Task Headers_above_32_KiB_are_refused_and_other_connections_live()
    {
        await using TestServer server = await TestServer.StartAsync();
        var headers = new Metadata { { "token", new string('x', 40_000) } };
        await Assert.ThrowsAsync<RpcException>(() => server.Channel.UnaryAsync(
            TestServer.Method(TestServer.Echo), "x", new CallOptions(Headers: headers)));
        Assert.Equal("x", await server.Channel.UnaryAsync(TestServer.Method(TestServer.Echo), "x"));
        var large = new Metadata { { "token", new string('x', 30_000) } };
        Assert.Equal("x", await server.Channel.UnaryAsync(
            TestServer.Method(TestServer.Echo), "x", new CallOptions(Headers: large)));
    }

    [Fact]
    public async Task Slow_reader_holds_back_its_stream_and_no_other()
    {
        await using TestServer server = await TestServer.StartAsync();
        var sent = new StrongBox();
        server.Router.Map("/test.Service/Pour", MethodKind.ServerStream, async call =>
        {
            byte[] block = new byte[16 << 10];
            for (int i = 0; i < 4000; i++)
            {
                call.WriteMessage(block);
                await call.FlushAsync();
                Volatile.Write(ref sent.Value, i + 1);
            }
        });
        var pour = new ClientMethod<string, int>("/test.Service/Pour", text => Encoding.UTF8.GetBytes(text), bytes => bytes.Length);
        await using ClientStream<string, int> stream = server.Channel.ServerStream(pour, "");
        Assert.True(await stream.MoveNextAsync());

        // Nobody reads: the server must stop with what windows and buffers hold, far below the whole.
        int before;
        do
        {
            before = Volatile.Read(ref sent.Value);
            await Task.Delay(200);
        }
        while (Volatile.Read(ref sent.Value) != before);
        Assert.True(before < 3000, $"{before} messages of 16 KiB went out to a client that does not read");
        Assert.Equal("other", await server.Channel.UnaryAsync(TestServer.Method(TestServer.Echo), "other"));
        int received = 1;
        while (await stream.MoveNextAsync())
        {
            Assert.Equal(16 << 10, stream.Current);
            received++;
        }

        Assert.Equal(4000, received);
    }

    private static Task<TestServer> StartLimitedAsync() => TestServer.StartAsync(o => new()
    {
        Endpoints = o.Endpoints,
        ReceiveBytesMax = LimitBytes,
    });

    private static byte[] Gzip(string text)
    {
        var target = new MemoryStream();
        using (var gzip = new GZipStream(target, CompressionLevel.Fastest))
        {
            gzip.Write(Encoding.UTF8.GetBytes(text));
        }

        byte[] payload = target.ToArray();
        byte[] message = [1, 0, 0, (byte)(payload.Length >> 8), (byte)payload.Length, .. payload];
        return message;
    }

    private static async Task<(byte Type, byte Flags, byte[] Payload)> NextAsync(Stream stream, byte wanted)
    {
        while (true)
        {
            (byte type, byte flags, _, byte[] payload) = await RawClient.ReadFrameAsync(stream);
            if ((type == wanted && (type != 0 || payload.Length > 0)) || type is 7 or 255)
            {
                return (type, flags, payload);
            }
        }
    }

    private static async Task AssertSentAwayAsync(Stream stream, string reason)
    {
        bool calm = false;
        while (true)
        {
            (byte type, _, _, byte[] payload) = await RawClient.ReadFrameAsync(stream);
            if (type == 255)
            {
                break;
            }

            if (type == 7 && payload[7] == 0xb)
            {
                Assert.Equal(reason, Encoding.ASCII.GetString(payload.AsSpan(8)));
                calm = true;
            }
        }

        Assert.True(calm, "the connection ended without GOAWAY ENHANCE_YOUR_CALM");
    }

    private sealed class StrongBox
    {
        public int Value;
    }
}
