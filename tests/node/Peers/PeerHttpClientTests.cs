using System.Net;
using System.Net.Security;
using System.Net.Sockets;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using System.Text;
using Perf.Node.Peers;
using Xunit;

namespace Perf.Node.Tests.Peers;

public sealed class PeerHttpClientTests
{
    private static readonly PeerHttpOptions Quick = new()
    {
        ConnectTimeout = TimeSpan.FromSeconds(20),
        AnswerTimeout = TimeSpan.FromSeconds(20),
        ReadTimeout = TimeSpan.FromSeconds(20),
    };

    [Fact]
    public async Task A_request_is_written_as_peers_expect_it()
    {
        using var server = new ScriptServer("HTTP/1.1 204 No Content\r\n\r\n");
        var client = new PeerHttpClient(Quick);
        using PeerAnswer answer = await client.SendAsync(
            new PeerRequest("POST", server.Url("/raft"))
            {
                Headers = [new("X-Server-From", "8e9e05c52164694d")],
                ContentType = "application/protobuf",
                Body = "hello"u8.ToArray(),
            },
            CancellationToken.None);
        Assert.Equal(204, answer.Status);
        Assert.Empty(await answer.ReadAllAsync(10, CancellationToken.None));
        Assert.Equal(
            $"POST /raft HTTP/1.1\r\nHost: 127.0.0.1:{server.Port}\r\nX-Server-From: 8e9e05c52164694d\r\n"
            + "Content-Type: application/protobuf\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello",
            await server.Received);
    }

    [Fact]
    public async Task Short_requests_share_a_connection_until_the_peer_closes_it()
    {
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        int port = ((IPEndPoint)listener.LocalEndpoint).Port;
        var client = new PeerHttpClient(Quick);

        // Two exchanges on the first connection.
        Task<byte[]> sent = PostAsync();
        using Socket first = await listener.AcceptSocketAsync();
        await AnswerAsync(first, "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\none");
        Assert.Equal("one"u8.ToArray(), await sent);
        sent = PostAsync();
        await AnswerAsync(first, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\ntwo\r\n0\r\n\r\n");
        Assert.Equal("two"u8.ToArray(), await sent);

        // It closes when the third request has just come: that one may have been read and is not repeated.
        sent = PostAsync();
        await ReadRequestAsync(first);
        first.Close();
        await Assert.ThrowsAnyAsync<IOException>(() => sent);
        sent = PostAsync();
        using Socket second = await listener.AcceptSocketAsync();
        await AnswerAsync(second, "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 5\r\n\r\nthree");
        Assert.Equal("three"u8.ToArray(), await sent);

        // "Connection: close" is believed.
        sent = PostAsync();
        using Socket third = await listener.AcceptSocketAsync();
        await AnswerAsync(third, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfour");
        Assert.Equal("four"u8.ToArray(), await sent);

        // What is closed while it waits is not used.
        third.Close();
        sent = PostAsync();
        using Socket fourth = await listener.AcceptSocketAsync();
        await AnswerAsync(fourth, "HTTP/1.1 204 No Content\r\n\r\n");
        Assert.Empty(await sent);
        client.Close();

        async Task<byte[]> PostAsync()
        {
            using PeerAnswer answer = await client.SendAsync(
                new PeerRequest("POST", new Uri($"http://127.0.0.1:{port}/raft")) { Body = "body!"u8.ToArray(), KeepsConnection = true },
                CancellationToken.None);
            return await answer.ReadAllAsync(100, CancellationToken.None);
        }

        static async Task AnswerAsync(Socket socket, string answer)
        {
            await ReadRequestAsync(socket);
            await socket.SendAsync(Encoding.ASCII.GetBytes(answer));
        }

        static async Task ReadRequestAsync(Socket socket)
        {
            string text = "";
            byte[] buffer = new byte[1000];
            while (!text.EndsWith("body!", StringComparison.Ordinal))
            {
                int read = await socket.ReceiveAsync(buffer);
                Assert.NotEqual(0, read);
                text += Encoding.ASCII.GetString(buffer, 0, read);
            }

            Assert.DoesNotContain("Connection: close", text, StringComparison.Ordinal);
        }
    }

    [Theory]
    [InlineData("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello and more", "hello")]
    [InlineData("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2;x=y\r\nlo\r\n0\r\nX-Trailer: 1\r\n\r\n", "hello")]
    [InlineData("HTTP/1.0 200 OK\r\n\r\nhello", "hello")]
    [InlineData("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\nContent-Length: 0\n\n", "")]
    [InlineData("HTTP/1.1 412 Precondition Failed\r\nContent-Length: 21\r\n\r\nincompatible version\n", "incompatible version\n")]
    public async Task Every_way_to_end_a_body_is_understood(string script, string expected)
    {
        using var server = new ScriptServer(script);
        using PeerAnswer answer = await new PeerHttpClient(Quick).GetAsync(server.Url("/x"), [], CancellationToken.None);
        Assert.Equal(expected, Encoding.ASCII.GetString(await answer.ReadAllAsync(100, CancellationToken.None)));
    }

    [Theory]
    [InlineData("SSH-2.0-OpenSSH\r\n\r\n")]
    [InlineData("HTTP/1.1 abc\r\n\r\n")]
    [InlineData("HTTP/1.1 200 OK\r\nNo colon\r\n\r\n")]
    [InlineData("HTTP/1.1 200 OK\r\nA: b\r\n folded\r\n\r\n")]
    [InlineData("HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n")]
    [InlineData("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello")]
    [InlineData("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\nhello")]
    [InlineData("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nhello")]
    [InlineData("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n")]
    [InlineData("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n")]
    [InlineData("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n")]
    [InlineData("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhello\r\n0\r\n\r\n")]
    public async Task What_is_not_http_is_refused(string script)
    {
        using var server = new ScriptServer(script);
        await Assert.ThrowsAsync<InvalidDataException>(async () =>
        {
            using PeerAnswer answer = await new PeerHttpClient(Quick).GetAsync(server.Url("/x"), [], CancellationToken.None);
            await answer.ReadAllAsync(100, CancellationToken.None);
        });
    }

    [Theory]
    [InlineData("")]
    [InlineData("HTTP/1.1 200 OK\r\nContent-Le")]
    [InlineData("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel")]
    [InlineData("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel")]
    [InlineData("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n")]
    public async Task An_answer_that_breaks_off_is_never_taken_for_a_whole_one(string script)
    {
        using var server = new ScriptServer(script);
        await Assert.ThrowsAnyAsync<IOException>(async () =>
        {
            using PeerAnswer answer = await new PeerHttpClient(Quick).GetAsync(server.Url("/x"), [], CancellationToken.None);
            await answer.ReadAllAsync(100, CancellationToken.None);
        });
    }

    [Fact]
    public async Task Header_and_answer_have_their_limits()
    {
        using var atLimit = new ScriptServer("HTTP/1.1 200 OK\r\nA: " + new string('b', 900) + "\r\nContent-Length: 5\r\n\r\nhello");
        var client = new PeerHttpClient(Quick with { HeaderBytesMax = 1000 });
        using PeerAnswer answer = await client.GetAsync(atLimit.Url("/"), [], CancellationToken.None);
        await Assert.ThrowsAsync<InvalidDataException>(() => answer.ReadAllAsync(4, CancellationToken.None));

        foreach (string script in new[]
        {
            "HTTP/1.1 200 OK\r\nA: " + new string('b', 1000) + "\r\n\r\n",
            "HTTP/1.1 200 OK\r\n" + string.Concat(Enumerable.Repeat("A: b\r\n", 200)) + "\r\n",
        })
        {
            using var beyond = new ScriptServer(script);
            await Assert.ThrowsAsync<InvalidDataException>(() => client.GetAsync(beyond.Url("/"), [], CancellationToken.None));
        }
    }

    [Fact]
    public async Task Silence_ends_an_answer_and_a_stream()
    {
        var impatient = new PeerHttpClient(Quick with
        {
            AnswerTimeout = TimeSpan.FromMilliseconds(100),
            ReadTimeout = TimeSpan.FromMilliseconds(100),
        });
        using var silent = new ScriptServer("HTTP/1.1 200 OK\r\n", staysOpen: true);
        await Assert.ThrowsAsync<IOException>(() => impatient.GetAsync(silent.Url("/"), [], CancellationToken.None));

        using var stalled = new ScriptServer("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n", staysOpen: true);
        using PeerAnswer answer = await new PeerHttpClient(Quick with { ReadTimeout = TimeSpan.FromMilliseconds(100) })
            .GetAsync(stalled.Url("/"), [], CancellationToken.None);
        byte[] buffer = new byte[10];
        Assert.Equal(1, await answer.Body.ReadAsync(buffer));
        await Assert.ThrowsAsync<IOException>(() => answer.ReadAllAsync(10, CancellationToken.None));

        using var cancelled = new CancellationTokenSource();
        using var waiting = new ScriptServer("HTTP/1.1 200 OK\r\n\r\n", staysOpen: true);
        using PeerAnswer endless = await new PeerHttpClient(Quick).GetAsync(waiting.Url("/"), [], cancelled.Token);
        ValueTask<int> read = endless.Body.ReadAsync(buffer, cancelled.Token);
        await cancelled.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(async () => await read);
    }

    [Fact]
    public async Task Nobody_there_is_an_io_failure()
    {
        int port;
        using (var server = new ScriptServer(""))
        {
            port = server.Port;
        }

        await Assert.ThrowsAsync<IOException>(
            () => new PeerHttpClient(Quick).GetAsync(new Uri($"http://127.0.0.1:{port}/"), [], CancellationToken.None));
        await Assert.ThrowsAsync<IOException>(
            () => new PeerHttpClient(Quick).GetAsync(new Uri($"https://127.0.0.1:{port}/"), [], CancellationToken.None));
    }

    [Fact]
    public async Task A_header_cannot_smuggle_another()
    {
        await Assert.ThrowsAsync<ArgumentException>(() => new PeerHttpClient(Quick).GetAsync(
            new Uri("http://127.0.0.1:31099/"), [new("X-Server-From", "1\r\nX-Raft-To: 2")], CancellationToken.None));
    }

    [Fact]
    public async Task A_body_of_unknown_length_goes_out_in_chunks()
    {
        using var server = new ScriptServer("HTTP/1.1 204 No Content\r\n\r\n");
        using PeerAnswer answer = await new PeerHttpClient(Quick).SendAsync(
            new PeerRequest("POST", server.Url("/raft/snapshot"))
            {
                BodyWriter = async (body, cancel) =>
                {
                    await body.WriteAsync("hello "u8.ToArray(), cancel);
                    await body.WriteAsync(ReadOnlyMemory<byte>.Empty, cancel);
                    await body.WriteAsync(new byte[26], cancel);
                },
            },
            CancellationToken.None);
        Assert.Equal(204, answer.Status);
        Assert.EndsWith(
            "Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n6\r\nhello \r\n1a\r\n" + new string('\0', 26) + "\r\n0\r\n\r\n",
            await server.Received,
            StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_refusal_during_the_body_is_read_and_a_failing_source_is_not_hidden()
    {
        using var server = new ScriptServer("HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno", answersAtHeader: true);
        using PeerAnswer answer = await new PeerHttpClient(Quick).SendAsync(
            new PeerRequest("POST", server.Url("/raft/snapshot"))
            {
                BodyWriter = async (body, cancel) =>
                {
                    for (int i = 0; i < 20_000; i++)
                    {
                        await body.WriteAsync(new byte[64 << 10], cancel);
                    }
                },
            },
            CancellationToken.None);
        Assert.Equal(403, answer.Status);

        using var other = new ScriptServer("HTTP/1.1 204 No Content\r\n\r\n");
        FileNotFoundException failure = await Assert.ThrowsAsync<FileNotFoundException>(
            () => new PeerHttpClient(Quick).SendAsync(
                new PeerRequest("POST", other.Url("/")) { BodyWriter = (_, _) => throw new FileNotFoundException("db") },
                CancellationToken.None));
        Assert.Contains("db", failure.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Tls_works_and_an_untrusted_peer_is_refused()
    {
        using var key = RSA.Create(2048);
        using X509Certificate2 made = new CertificateRequest("CN=peer", key, HashAlgorithmName.SHA256, RSASignaturePadding.Pkcs1)
            .CreateSelfSigned(DateTimeOffset.UnixEpoch, DateTimeOffset.UnixEpoch.AddYears(200));
        using X509Certificate2 certificate = X509CertificateLoader.LoadPkcs12(made.Export(X509ContentType.Pfx), null);
        PeerHttpOptions trusting = Quick with
        {
            Tls = host => new SslClientAuthenticationOptions
            {
                TargetHost = host,
                RemoteCertificateValidationCallback = (_, presented, _, _) => presented!.GetCertHashString() == certificate.GetCertHashString(),
            },
        };
        using (var server = new ScriptServer("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", certificate: certificate))
        {
            using PeerAnswer answer = await new PeerHttpClient(trusting).GetAsync(server.Url("/version"), [], CancellationToken.None);
            Assert.Equal("ok"u8.ToArray(), await answer.ReadAllAsync(10, CancellationToken.None));
        }

        using (var server = new ScriptServer("", certificate: certificate))
        {
            PeerHttpOptions strict = Quick with { Tls = host => new SslClientAuthenticationOptions { TargetHost = host } };
            await Assert.ThrowsAsync<IOException>(
                () => new PeerHttpClient(strict).GetAsync(server.Url("/"), [], CancellationToken.None));
        }
    }

    /// <summary>Takes one connection, reads a request, answers with a script and closes.</summary>
    private sealed class ScriptServer : IDisposable
    {
        private const int PortFirst = 31000;
        private const int Ports = 100;
        private static int s_next;

        private readonly TcpListener _listener;
        private readonly CancellationTokenSource _stop = new();
        private readonly bool _isTls;
        private readonly Task<string> _received;

        public ScriptServer(
            string script, bool staysOpen = false, bool answersAtHeader = false, X509Certificate2? certificate = null)
        {
            _isTls = certificate is not null;
            (_listener, Port) = Listen();
            _received = ServeAsync(script, staysOpen, answersAtHeader, certificate);
        }

        public int Port { get; }

        /// <summary>The request, when it has come.</summary>
        public Task<string> Received => _received;

        public Uri Url(string path) => new($"{(_isTls ? "https" : "http")}://127.0.0.1:{Port}{path}");

        public void Dispose()
        {
            _stop.Cancel();
            _listener.Dispose();
            _stop.Dispose();
        }

        private static (TcpListener Listener, int Port) Listen()
        {
            for (int i = 0; ; i++)
            {
                int port = PortFirst + Interlocked.Increment(ref s_next) % Ports;
                var listener = new TcpListener(IPAddress.Loopback, port);
                try
                {
                    listener.Start();
                    return (listener, port);
                }
                catch (SocketException) when (i < Ports)
                {
                    listener.Dispose();
                }
            }
        }

        private async Task<string> ServeAsync(
            string script, bool staysOpen, bool answersAtHeader, X509Certificate2? certificate)
        {
            CancellationToken stop = _stop.Token;
            var request = new StringBuilder();
            try
            {
                using TcpClient client = await _listener.AcceptTcpClientAsync(stop);
                Stream stream = client.GetStream();
                if (certificate is not null)
                {
                    var tls = new SslStream(stream);
                    await tls.AuthenticateAsServerAsync(new SslServerAuthenticationOptions { ServerCertificate = certificate }, stop);
                    stream = tls;
                }

                byte[] buffer = new byte[64 << 10];
                while (!IsWhole(request.ToString(), answersAtHeader))
                {
                    int read = await stream.ReadAsync(buffer, stop);
                    if (read == 0)
                    {
                        return request.ToString();
                    }

                    request.Append(Encoding.Latin1.GetString(buffer, 0, read));
                }

                await stream.WriteAsync(Encoding.Latin1.GetBytes(script), stop);
                if (staysOpen)
                {
                    await Task.Delay(Timeout.Infinite, stop);
                }

                if (answersAtHeader)
                {
                    // Close as an HTTP server does: stop sending, drain a little, go.
                    client.Client.Shutdown(SocketShutdown.Send);
                    for (int i = 0; i < 8; i++)
                    {
                        await stream.ReadExactlyAsync(buffer, stop);
                    }
                }
            }
            catch (Exception e) when (e is IOException or OperationCanceledException or SocketException
                or ObjectDisposedException or System.Security.Authentication.AuthenticationException)
            {
                // The client's side of the story is what the test looks at.
            }

            return request.ToString();
        }

        private static bool IsWhole(string request, bool answersAtHeader)
        {
            int end = request.IndexOf("\r\n\r\n", StringComparison.Ordinal);
            if (end < 0)
            {
                return false;
            }

            if (answersAtHeader)
            {
                return true;
            }

            if (request.Contains("chunked", StringComparison.Ordinal))
            {
                return request.EndsWith("0\r\n\r\n", StringComparison.Ordinal);
            }

            int at = request.IndexOf("Content-Length: ", StringComparison.Ordinal);
            int length = at < 0 ? 0 : int.Parse(request[(at + 16)..request.IndexOf('\r', at)], null);
            return request.Length >= end + 4 + length;
        }
    }
}
