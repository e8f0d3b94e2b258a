using System.Net.Security;
using System.Net.Sockets;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using System.Text;
using Xunit;

namespace Perf.Grpc.Tests;

/// <summary>Clients that mean ill: each pattern has an end, and nobody else notices.</summary>
public sealed class FloodTests
{
    private const byte Data = 0;
    private const byte Headers = 1;
    private const byte Priority = 2;
    private const byte Reset = 3;
    private const byte Settings = 4;
    private const byte Continuation = 9;
    private const byte EndStream = 1;

    [Fact]
    public async Task Rapid_resets_are_sent_away_and_leave_no_handler_running()
    {
        await using TestServer server = await StartStrictAsync();
        await using NetworkStream stream = await RawClient.OpenAsync(server.Port);
        GrpcMethod method = server.Router.Methods.Single(m => m.Path == TestServer.Hang);
        int next = 1;
        await FloodAsync(stream, () =>
        {
            var pieces = new MemoryStream();
            for (int i = 0; i < 200; i++, next += 2)
            {
                pieces.Write(RawClient.Call(next, TestServer.Hang));
                pieces.Write(RawClient.Frame(Reset, 0, next, 0, 0, 0, 8));
            }

            return pieces.ToArray();
        });
        await AssertSentAwayAsync(stream, "too_many_resets");

        // What did start was cancelled.
        await Eventually.True(() => Ended(method) == method.Started);
        await AssertServesAsync(server);
    }

    [Fact]
    public async Task Settings_floods_are_sent_away()
    {
        await using TestServer server = await StartStrictAsync();
        await using NetworkStream stream = await RawClient.OpenAsync(server.Port);
        byte[] flood = Repeat(RawClient.Frame(Settings, 0, 0), 500);
        await FloodAsync(stream, () => flood);
        await AssertSentAwayAsync(stream, "too_many_empty_frames");
        await AssertServesAsync(server);
    }

    [Fact]
    public async Task Priority_floods_are_sent_away()
    {
        await using TestServer server = await StartStrictAsync();
        await using NetworkStream stream = await RawClient.OpenAsync(server.Port);
        byte[] flood = Repeat(RawClient.Frame(Priority, 0, 1, 0, 0, 0, 0, 1), 500);
        await FloodAsync(stream, () => flood);
        await AssertSentAwayAsync(stream, "too_many_empty_frames");
        await AssertServesAsync(server);
    }

    [Fact]
    public async Task Continuations_without_end_are_cut_off()
    {
        await using TestServer server = await StartStrictAsync();

        // Empty ones, which no limit of bytes ever meets.
        await using NetworkStream empty = await RawClient.OpenAsync(server.Port);
        await empty.WriteAsync(OpenHeaders(1));
        byte[] nothing = Repeat(RawClient.Frame(Continuation, 0, 1), 500);
        await FloodAsync(empty, () => nothing);
        await AssertEndsAsync(empty);

        // And full ones, above the limit of header bytes.
        await using NetworkStream full = await RawClient.OpenAsync(server.Port);
        await full.WriteAsync(OpenHeaders(1));
        byte[] much = RawClient.Frame(Continuation, 0, 1, Literal("x-pad", new string('x', 120)));
        byte[] flood = Repeat(much, 100);
        await FloodAsync(full, () => flood);
        await AssertEndsAsync(full);
        await AssertServesAsync(server);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Half_a_header_is_not_waited_for_longer_than_its_time(bool http2)
    {
        await using TestServer server = await TestServer.StartAsync(o => new()
        {
            Endpoints = o.Endpoints,
            HeaderTimeout = TimeSpan.FromMilliseconds(200),
        });
        await using NetworkStream stream = http2 ? await RawClient.OpenAsync(server.Port) : await RawClient.ConnectAsync(server.Port);
        await stream.WriteAsync(http2 ? OpenHeaders(1) : Encoding.ASCII.GetBytes("GET /health HTTP/1.1\r\nHost: a\r\nX-Slow: "));
        await AssertEndsAsync(stream);
        await AssertServesAsync(server);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Under_TLS_silence_has_an_end_before_and_behind_the_handshake(bool shakesHands)
    {
        using X509Certificate2 certificate = SelfSigned();
        await using TestServer server = await TestServer.StartAsync(
            o => new() { Endpoints = o.Endpoints, PrefaceTimeout = TimeSpan.FromSeconds(2) },
            url: $"https://127.0.0.1:{TestServer.NextPort()}",
            tls: new TlsOptions { Certificate = _ => SslStreamCertificateContext.Create(certificate, null, offline: true) });
        await using NetworkStream stream = await RawClient.ConnectAsync(server.Port);
        if (!shakesHands)
        {
            await AssertEndsAsync(stream);
            return;
        }

        await using var tls = new SslStream(stream, leaveInnerStreamOpen: true, (_, _, _, _) => true);
        await tls.AuthenticateAsClientAsync(new SslClientAuthenticationOptions
        {
            TargetHost = "localhost",
            ApplicationProtocols = [SslApplicationProtocol.Http2],
        });
        await AssertEndsAsync(tls);
    }

    [Fact]
    public async Task Streams_above_the_limit_are_refused_and_the_others_go_on()
    {
        await using TestServer server = await TestServer.StartAsync(o => new()
        {
            Endpoints = o.Endpoints,
            StreamsPerConnectionMax = 3,
        });
        await using NetworkStream stream = await RawClient.OpenAsync(server.Port);
        for (int id = 1; id <= 9; id += 2)
        {
            await stream.WriteAsync(RawClient.Call(id, TestServer.Hang));
            await stream.WriteAsync(RawClient.Frame(Data, EndStream, id, RawClient.Message("")));
        }

        (byte type, _, _, byte[] payload) = await RawClient.ReadFrameAsync(stream);
        while (type is not (Reset or 255))
        {
            (type, _, _, payload) = await RawClient.ReadFrameAsync(stream);
        }

        Assert.Equal(Reset, type);
        Assert.Equal(7, payload[3]);
        Assert.True(server.Router.Methods.Single(m => m.Path == TestServer.Hang).Started <= 3);
        await AssertServesAsync(server);
    }

    /// <summary>With budgets that a busy machine exhausts within their second too.</summary>
    private static Task<TestServer> StartStrictAsync() => TestServer.StartAsync(o => new()
    {
        Endpoints = o.Endpoints,
        EmptyFramesPerSecondMax = 200,
        ResetsPerSecondMax = 200,
    });

    private static long Ended(GrpcMethod method) => Enum.GetValues<StatusCode>().Sum(method.Handled);

    /// <summary>A HEADERS frame that says there is more to come.</summary>
    private static byte[] OpenHeaders(int stream) => RawClient.Frame(Headers, 0, stream, Literal(":method", "POST"));

    private static byte[] Literal(string name, string value) =>
        [0, (byte)name.Length, .. Encoding.ASCII.GetBytes(name), (byte)value.Length, .. Encoding.ASCII.GetBytes(value)];

    private static byte[] Repeat(byte[] frame, int count) => [.. Enumerable.Repeat(frame, count).SelectMany(f => f)];

    /// <summary>Writes until the server has had enough, however slowly it takes it.</summary>
    private static async Task FloodAsync(NetworkStream stream, Func<byte[]> piece)
    {
        // Reading nothing meanwhile would be another test: the server might stop reading.
        using var patience = new CancellationTokenSource(TimeSpan.FromSeconds(5));
        try
        {
            for (int i = 0; i < 60; i++)
            {
                await stream.WriteAsync(piece(), patience.Token);
            }
        }
        catch (Exception e) when (e is IOException or OperationCanceledException)
        {
            // Sent away before the last.
        }
    }

    private static async Task AssertSentAwayAsync(Stream stream, string reason)
    {
        var reasons = new List<string>();
        while (await RawClient.ReadFrameAsync(stream) is var (type, _, _, payload) && type != 255)
        {
            if (type == 7 && payload[7] == 0xb)
            {
                reasons.Add(Encoding.ASCII.GetString(payload.AsSpan(8)));
            }
        }

        Assert.Equal([reason], reasons);
    }

    /// <summary>The connection ends by itself.</summary>
    private static async Task AssertEndsAsync(Stream stream)
    {
        using var patience = new CancellationTokenSource(TimeSpan.FromSeconds(60));
        byte[] rest = new byte[4096];
        try
        {
            while (await stream.ReadAsync(rest, patience.Token) > 0)
            {
            }
        }
        catch (IOException)
        {
            // An end as well.
        }
    }

    private static async Task AssertServesAsync(TestServer server) => Assert.Equal(
        "x",
        await server.Channel.UnaryAsync(
            TestServer.Method(TestServer.Echo), "x", CallOptions.Timeout(TimeSpan.FromSeconds(30))));

    private static X509Certificate2 SelfSigned()
    {
        using ECDsa key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        var request = new CertificateRequest("CN=localhost", key, HashAlgorithmName.SHA256);
        return request.CreateSelfSigned(DateTimeOffset.UtcNow.AddDays(-1), DateTimeOffset.UtcNow.AddDays(1));
    }
}
