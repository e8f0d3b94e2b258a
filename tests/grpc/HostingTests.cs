using System.Net;
using System.Net.Security;
using System.Net.Sockets;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using System.Text;
using Xunit;

namespace Perf.Grpc.Tests;

public sealed class HostingTests
{
    [Fact]
    public async Task Http1_and_grpc_share_a_cleartext_port()
    {
        await using TestServer server = await TestServer.StartAsync();
        using var http = new HttpClient(new SocketsHttpHandler { UseProxy = false });
        Assert.Equal("fallback /health", await http.GetStringAsync(new Uri(server.Url + "/health")));
        Assert.Equal("x", await server.Channel.UnaryAsync(TestServer.Method(TestServer.Echo), "x"));
        using var post = new StringContent("{}");
        using HttpResponseMessage posted = await http.PostAsync(new Uri(server.Url + "/v3/kv/range"), post);
        Assert.Equal("fallback /v3/kv/range", await posted.Content.ReadAsStringAsync());
    }

    /// <summary>Kestrel's clock overflowed on a keep-alive without an end; see GrpcServer.</summary>
    [Fact]
    public async Task Http1_connection_survives_silence()
    {
        await using TestServer server = await TestServer.StartAsync();
        await using NetworkStream stream = await RawClient.ConnectAsync(server.Port);
        using var reader = new StreamReader(stream, Encoding.ASCII);
        for (int i = 0; i < 3; i++)
        {
            await stream.WriteAsync("GET /health HTTP/1.1\r\nHost: x\r\n\r\n"u8.ToArray());
            string answer = "";
            while (!answer.EndsWith("fallback /health", StringComparison.Ordinal))
            {
                int next = reader.Read();
                Assert.True(next >= 0, $"closed after \"{answer}\"");
                answer += (char)next;
            }

            // Two beats of Kestrel's clock: it looks at its connections once a second.
            await Task.Delay(TimeSpan.FromSeconds(2.2));
        }
    }

    /// <summary>The threads that wait for the sockets run handlers themselves, and there are few of them.</summary>
    [Fact]
    public async Task Handlers_that_block_their_threads_keep_nobody_from_being_served()
    {
        const string Block = "/test.Service/Block";
        int blockedMax = Environment.ProcessorCount + 4;
        await using TestServer server = await TestServer.StartAsync();
        using var goOn = new ManualResetEventSlim();
        int blocked = 0;
        server.Router.Map(Block, MethodKind.Unary, call =>
        {
            Interlocked.Increment(ref blocked);
            goOn.Wait();
            call.WriteMessage([]);
            return default;
        });
        var channels = new List<GrpcChannel>();
        var calls = new List<Task<string>>();
        try
        {
            for (int i = 0; i < blockedMax; i++)
            {
                // Each on a connection of its own, so that each takes a thread.
                channels.Add(new GrpcChannel(server.Url));
                calls.Add(channels[i].UnaryAsync(TestServer.Method(Block), ""));
            }

            await Eventually.True(() => Volatile.Read(ref blocked) == blockedMax);
            Assert.Equal("x", await server.Channel.UnaryAsync(TestServer.Method(TestServer.Echo), "x"));
        }
        finally
        {
            goOn.Set();
        }

        await Task.WhenAll(calls);
        foreach (GrpcChannel channel in channels)
        {
            await channel.DisposeAsync();
        }
    }

    [Fact]
    public async Task Http2_that_is_not_grpc_goes_to_the_fallback()
    {
        await using TestServer server = await TestServer.StartAsync();
        using var http = new HttpClient(new SocketsHttpHandler { UseProxy = false })
        {
            DefaultRequestVersion = HttpVersion.Version20,
            DefaultVersionPolicy = HttpVersionPolicy.RequestVersionExact,
        };
        Assert.Equal("fallback /version", await http.GetStringAsync(new Uri(server.Url + "/version")));
    }

    [Theory]
    [InlineData(1)]
    [InlineData(5)]
    [InlineData(23)]
    public async Task Preface_in_pieces_is_recognised(int pieceBytes)
    {
        await using TestServer server = await TestServer.StartAsync();
        await using NetworkStream stream = await RawClient.ConnectAsync(server.Port);
        byte[] hello = [.. RawClient.Preface, .. RawClient.Frame(4, 0, 0)];
        foreach (byte[] piece in hello.Chunk(pieceBytes))
        {
            await stream.WriteAsync(piece);
            await Task.Delay(2);
        }

        // The server's own SETTINGS.
        Assert.Equal(4, (await RawClient.ReadFrameAsync(stream)).Type);
    }

    [Fact]
    public async Task Request_line_that_begins_like_the_preface_is_http1()
    {
        await using TestServer server = await TestServer.StartAsync();
        await using NetworkStream stream = await RawClient.ConnectAsync(server.Port);
        foreach (string piece in (string[])["P", "R", "OPFIND /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"])
        {
            await stream.WriteAsync(Encoding.ASCII.GetBytes(piece));
            await Task.Delay(10);
        }

        using var reader = new StreamReader(stream);
        Assert.StartsWith("HTTP/1.1 200", await reader.ReadToEndAsync(), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Silent_connection_is_closed_after_the_preface_timeout()
    {
        await using TestServer server = await TestServer.StartAsync(o => new()
        {
            Endpoints = o.Endpoints,
            PrefaceTimeout = TimeSpan.FromMilliseconds(100),
        });
        await using NetworkStream stream = await RawClient.ConnectAsync(server.Port);
        await stream.WriteAsync(RawClient.Preface.AsMemory(0, 10));
        Assert.Equal(255, (await RawClient.ReadFrameAsync(stream)).Type);
    }

    [Fact]
    public async Task Address_may_serve_one_protocol_only()
    {
        await using TestServer server = await TestServer.StartAsync(o => new()
        {
            Endpoints = [new ListenEndpoint { Url = o.Endpoints[0].Url, Protocols = ServedProtocols.Http1, Fallback = c =>
            {
                c.Response.StatusCode = 299;
                return Task.CompletedTask;
            } }],
        });
        using var http = new HttpClient(new SocketsHttpHandler { UseProxy = false });
        using HttpResponseMessage response = await http.GetAsync(new Uri(server.Url + "/"));
        Assert.Equal(299, (int)response.StatusCode);
        await Assert.ThrowsAsync<RpcException>(
            () => server.Channel.UnaryAsync(TestServer.Method(TestServer.Echo), "x"));
    }

    [Fact]
    public async Task Several_addresses_and_a_unix_socket()
    {
        string path = Path.Combine(Path.GetTempPath(), $"perf-grpc-{Environment.ProcessId}-{Guid.NewGuid():N}.sock");
        await using TestServer server = await TestServer.StartAsync(o => new()
        {
            Endpoints = [.. o.Endpoints, new ListenEndpoint { Url = $"unix://{path}" }, new ListenEndpoint { Url = "http://127.0.0.1:0" }],
        });
        await using var unix = new GrpcChannel($"unix://{path}");
        Assert.Equal("u", await unix.UnaryAsync(TestServer.Method(TestServer.Echo), "u"));
        await using var free = new GrpcChannel($"http://{server.Server.Addresses[2]}");
        Assert.Equal("f", await free.UnaryAsync(TestServer.Method(TestServer.Echo), "f"));
        await server.Server.StopAsync(TimeSpan.Zero);
        Assert.Equal(
            StatusCode.Unavailable,
            (await Assert.ThrowsAsync<RpcException>(() => unix.UnaryAsync(TestServer.Method(TestServer.Echo), "u"))).Code);
    }

    [Fact]
    public async Task Taken_port_is_reported_and_nothing_stays_bound()
    {
        await using TestServer server = await TestServer.StartAsync();
        string free = $"http://127.0.0.1:{TestServer.NextPort()}";
        await using var second = new GrpcServer(
            new GrpcServerOptions { Endpoints = [new ListenEndpoint { Url = free }, new ListenEndpoint { Url = server.Url }] },
            new GrpcRouter());
        await Assert.ThrowsAsync<IOException>(() => second.StartAsync());
        await using var third = new GrpcServer(
            new GrpcServerOptions { Endpoints = [new ListenEndpoint { Url = free }] }, new GrpcRouter());
        await third.StartAsync();
    }

    [Fact]
    public async Task Connections_above_the_limit_wait_until_one_ends()
    {
        await using TestServer server = await TestServer.StartAsync(o => new()
        {
            Endpoints = o.Endpoints,
            ConnectionsMax = 1,
        });
        await using var second = new GrpcChannel(server.Url);
        Assert.Equal("1", await server.Channel.UnaryAsync(TestServer.Method(TestServer.Echo), "1"));
        RpcException e = await Assert.ThrowsAsync<RpcException>(() => second.UnaryAsync(
            TestServer.Method(TestServer.Echo), "2", CallOptions.Timeout(TimeSpan.FromMilliseconds(300))));
        Assert.Equal(StatusCode.DeadlineExceeded, e.Code);
        await server.Channel.DisposeAsync();
        Assert.Equal("2", await second.UnaryAsync(
            TestServer.Method(TestServer.Echo), "2", CallOptions.Timeout(TimeSpan.FromSeconds(20))));
    }

    [Fact]
    public async Task Tls_serves_grpc_and_http1_by_alpn()
    {
        using X509Certificate2 root = TestCertificates.Root();
        using X509Certificate2 leaf = TestCertificates.Leaf(root, "localhost");
        await using TestServer server = await StartTlsAsync(new TlsOptions
        {
            Certificate = _ => SslStreamCertificateContext.Create(leaf, null, offline: true),
        });
        server.UseChannel(new GrpcChannelOptions { Tls = new ClientTlsOptions { TrustedRoots = [root], ServerName = "localhost" } });
        Assert.Equal("tls", await server.Channel.UnaryAsync(TestServer.Method(TestServer.Echo), "tls"));
        string large = new('x', 3 << 20);
        Assert.Equal(large, await server.Channel.UnaryAsync(TestServer.Method(TestServer.Echo), large));
        using var http = new HttpClient(new SocketsHttpHandler
        {
            UseProxy = false,
            SslOptions = { RemoteCertificateValidationCallback = (_, _, _, _) => true },
        });
        Assert.Equal("fallback /health", await http.GetStringAsync(new Uri(server.Url + "/health")));
    }

    [Fact]
    public async Task Client_refuses_a_server_it_does_not_trust()
    {
        using X509Certificate2 root = TestCertificates.Root();
        using X509Certificate2 stranger = TestCertificates.Root();
        using X509Certificate2 leaf = TestCertificates.Leaf(root, "localhost");
        await using TestServer server = await StartTlsAsync(new TlsOptions
        {
            Certificate = _ => SslStreamCertificateContext.Create(leaf, null, offline: true),
        });
        server.UseChannel(new GrpcChannelOptions { Tls = new ClientTlsOptions { TrustedRoots = [stranger], ServerName = "localhost" } });
        RpcException e = await Assert.ThrowsAsync<RpcException>(
            () => server.Channel.UnaryAsync(TestServer.Method(TestServer.Echo), "x"));
        Assert.Equal(StatusCode.Unavailable, e.Code);
        Assert.Contains("authentication handshake failed", e.Message, StringComparison.Ordinal);
        server.UseChannel(new GrpcChannelOptions { Tls = new ClientTlsOptions { SkipVerify = true } });
        Assert.Equal("x", await server.Channel.UnaryAsync(TestServer.Method(TestServer.Echo), "x"));
    }

    [Fact]
    public async Task Client_certificates_are_required_and_checked()
    {
        using X509Certificate2 root = TestCertificates.Root();
        using X509Certificate2 leaf = TestCertificates.Leaf(root, "localhost");
        using X509Certificate2 alice = TestCertificates.Leaf(root, "alice");
        using X509Certificate2 mallory = TestCertificates.Leaf(root, "mallory");
        await using TestServer server = await StartTlsAsync(new TlsOptions
        {
            Certificate = _ => SslStreamCertificateContext.Create(leaf, null, offline: true),
            ClientCertificateRequired = true,
            ClientRoots = () => [root],
            ClientCertificateCheck = check => check.Errors == SslPolicyErrors.None
                && check.Remote is IPEndPoint
                && check.Certificate!.GetNameInfo(X509NameType.SimpleName, false) == "alice",
        });
        server.Router.Map("/test.Service/Who", MethodKind.Unary, call =>
        {
            call.WriteMessage(Encoding.UTF8.GetBytes(call.ClientCertificate?.Subject ?? "nobody"));
            return default;
        });
        Assert.Equal("CN=alice", await AskAsync(alice));
        await Assert.ThrowsAsync<RpcException>(() => AskAsync(mallory));
        await Assert.ThrowsAsync<RpcException>(() => AskAsync(null));
        await Assert.ThrowsAsync<RpcException>(() => AskAsync(TestCertificates.Root()));

        async Task<string> AskAsync(X509Certificate2? certificate)
        {
            await using var channel = new GrpcChannel(server.Url, new GrpcChannelOptions
            {
                Tls = new ClientTlsOptions { TrustedRoots = [root], ServerName = "localhost", ClientCertificate = () => certificate },
            });
            return await channel.UnaryAsync(TestServer.Method("/test.Service/Who"), "");
        }
    }

    [Fact]
    public async Task Certificate_is_asked_for_at_each_handshake()
    {
        using X509Certificate2 root = TestCertificates.Root();
        using X509Certificate2 old = TestCertificates.Leaf(root, "localhost");
        using X509Certificate2 fresh = TestCertificates.Leaf(root, "localhost");
        X509Certificate2 current = old;
        await using TestServer server = await StartTlsAsync(new TlsOptions
        {
            Certificate = _ => SslStreamCertificateContext.Create(current, null, offline: true),
        });
        Assert.Equal(old.Thumbprint, await SeeAsync());
        current = fresh;
        Assert.Equal(fresh.Thumbprint, await SeeAsync());

        async Task<string> SeeAsync()
        {
            string seen = "";
            await using var channel = new GrpcChannel(server.Url, new GrpcChannelOptions
            {
                Tls = new ClientTlsOptions
                {
                    Verify = (_, certificate, _, _) =>
                    {
                        seen = ((X509Certificate2)certificate!).Thumbprint;
                        return true;
                    },
                },
            });
            await channel.UnaryAsync(TestServer.Method(TestServer.Echo), "");
            return seen;
        }
    }

    [Theory]
    [InlineData("http://127.0.0.1")]
    [InlineData("ftp://127.0.0.1:1")]
    [InlineData("127.0.0.1:2379")]
    [InlineData("https://127.0.0.1:2379")]
    public async Task Address_that_is_none_is_refused(string url)
    {
        await using var server = new GrpcServer(
            new GrpcServerOptions { Endpoints = [new ListenEndpoint { Url = url }] }, new GrpcRouter());
        await Assert.ThrowsAsync<FormatException>(() => server.StartAsync());
    }

    private static Task<TestServer> StartTlsAsync(TlsOptions tls) =>
        TestServer.StartAsync(url: $"https://127.0.0.1:{TestServer.NextPort()}", tls: tls);

    private static class TestCertificates
    {
        private static readonly DateTimeOffset From = DateTimeOffset.UtcNow.AddDays(-1);

        public static X509Certificate2 Root()
        {
            using ECDsa key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
            var request = new CertificateRequest("CN=root", key, HashAlgorithmName.SHA256);
            request.CertificateExtensions.Add(new X509BasicConstraintsExtension(true, false, 0, true));
            request.CertificateExtensions.Add(new X509SubjectKeyIdentifierExtension(request.PublicKey, false));
            return request.CreateSelfSigned(From, From.AddYears(1));
        }

        public static X509Certificate2 Leaf(X509Certificate2 root, string name)
        {
            using ECDsa key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
            var request = new CertificateRequest($"CN={name}", key, HashAlgorithmName.SHA256);
            var names = new SubjectAlternativeNameBuilder();
            names.AddDnsName(name);
            request.CertificateExtensions.Add(names.Build());
            using X509Certificate2 signed = request.Create(root, From.AddHours(1), From.AddMonths(6), RandomNumberGenerator.GetBytes(8));
            return signed.CopyWithPrivateKey(key);
        }
    }
}
