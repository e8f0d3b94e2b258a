using System.Net;
using System.Net.Sockets;
using System.Text;
using Etcdserverpb;
using Google.Protobuf;
using Perf.Grpc;
using Xunit;

namespace Perf.Rpc.Tests.Security;

/// <summary>Plain HTTP and metadata from people who mean ill.</summary>
public sealed class HostileHttpTests(RpcServer server) : IClassFixture<RpcServer>
{
    [Theory]
    [InlineData("""{"key":"YQ==","limit":NaN}""")]
    [InlineData("""{"key":"YQ==","limit":Infinity}""")]
    [InlineData("""{"key":"YQ==","limit":1e400}""")]
    [InlineData("""{"key":"YQ==","limit":"9223372036854775808"}""")]
    [InlineData("""{"key":"YQ=="}{"key":""")]
    [InlineData("{\"key\":\"\\ud800\"}")]
    [InlineData("[]")]
    [InlineData("\"x\"")]
    public async Task What_is_no_request_is_refused_with_a_code(string json)
    {
        (int status, string body) = await server.PostAsync("/v3/kv/range", json);

        // The second of two documents is not looked at, as in etcd.
        Assert.True(status is 400 || json.Contains("}{", StringComparison.Ordinal), $"{status} {body}");
        if (status == 400)
        {
            Assert.Contains("\"code\":3", body, StringComparison.Ordinal);
        }
    }

    [Fact]
    public async Task A_body_beyond_all_limits_is_refused_before_it_is_taken_in()
    {
        long before = GC.GetTotalMemory(forceFullCollection: true);
        using var content = new StreamContent(new Endless(100 << 20));
        using HttpResponseMessage? answer = await SendAsync(content);
        Assert.True(answer is null || answer.StatusCode is HttpStatusCode.BadRequest or HttpStatusCode.RequestEntityTooLarge);
        Assert.InRange(GC.GetTotalMemory(forceFullCollection: true) - before, long.MinValue, 32 << 20);
        Assert.Equal(200, (await server.PostAsync("/v3/kv/range", """{"key":"YQ=="}""")).Status);

        async Task<HttpResponseMessage?> SendAsync(HttpContent body)
        {
            try
            {
                return await server.Http.PostAsync(new Uri("/v3/kv/put", UriKind.Relative), body);
            }
            catch (HttpRequestException)
            {
                // Answered and cut while we were still sending.
                return null;
            }
        }
    }

    [Theory]
    [InlineData("Content-Length: 5\r\nTransfer-Encoding: chunked")]
    [InlineData("Transfer-Encoding: chunked, identity")]
    [InlineData("Transfer-Encoding: xchunked")]
    [InlineData("Content-Length: 5\r\nContent-Length: 6")]
    [InlineData("Content-Length: -1")]
    [InlineData("Content-Length : 5")]
    public async Task Lengths_that_contradict_each_other_smuggle_nothing(string headers)
    {
        string answer = await RawAsync(
            $"POST /nothing HTTP/1.1\r\nHost: a\r\n{headers}\r\n\r\n0\r\n\r\nGET /version HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        Assert.DoesNotContain("etcdserver\":", answer, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("/v2/keys/../../0/members")]
    [InlineData("/v2/keys/%2e%2e/%2e%2e/0/members")]
    [InlineData("/v2/keys//../0/members")]
    [InlineData("/v2/keys/_hidden")]
    [InlineData("/v2/keys/a%00b")]
    [InlineData("/../../../../etc/passwd")]
    [InlineData("/debug/pprof/heap")]
    [InlineData("/debug/pprof/cmdline")]
    [InlineData("/debug/requests")]
    [InlineData("/config/local/log")]
    public async Task Paths_that_are_not_served_tell_nothing(string path)
    {
        string answer = await RawAsync($"GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        Assert.True(
            answer.StartsWith("HTTP/1.1 404", StringComparison.Ordinal) || answer.StartsWith("HTTP/1.1 400", StringComparison.Ordinal),
            answer);
        Assert.DoesNotContain("root:", answer, StringComparison.Ordinal);
        Assert.DoesNotContain("peerURLs", answer, StringComparison.Ordinal);
    }

    [Fact]
    public async Task What_clients_call_themselves_makes_no_new_series()
    {
        int before = await SeriesAsync();
        for (int i = 0; i < 20; i++)
        {
            var headers = new Perf.Grpc.Metadata
            {
                { "client-api-version", $"9.9.{i}" }, { "x-evil", $"a\"}}{i}" }, { "user-agent-x", $"agent-{i}" },
            };
            await server.Channel.UnaryAsync(
                "/etcdserverpb.KV/Range",
                new RangeRequest { Key = ByteString.CopyFromUtf8($"series-{i}") }.ToByteArray(),
                CallOptions.Timeout(TimeSpan.FromSeconds(20), headers));
            using var request = new HttpRequestMessage(HttpMethod.Get, $"/nothing-{i}");
            request.Headers.TryAddWithoutValidation("User-Agent", $"agent-{i}");
            using HttpResponseMessage answer = await server.Http.SendAsync(request);
        }

        // A family that begins to count shows up once; twenty callers do not.
        Assert.InRange(await SeriesAsync() - before, 0, 10);

        async Task<int> SeriesAsync() => (await server.Http.GetStringAsync("/metrics")).Split('\n').Length;
    }

    private async Task<string> RawAsync(string request)
    {
        using var socket = new TcpClient();
        await socket.ConnectAsync(IPAddress.Loopback, server.Url.Port);
        await using NetworkStream stream = socket.GetStream();
        await stream.WriteAsync(Encoding.ASCII.GetBytes(request));
        using var patience = new CancellationTokenSource(TimeSpan.FromSeconds(30));
        using var reader = new StreamReader(stream, Encoding.ASCII);
        try
        {
            return await reader.ReadToEndAsync(patience.Token);
        }
        catch (IOException)
        {
            return "";
        }
    }

    /// <summary>So many bytes of a JSON string that does not end.</summary>
    private sealed class Endless(long bytes) : Stream
    {
        private long _given;

        public override bool CanRead => true;

        public override bool CanSeek => false;

        public override bool CanWrite => false;

        public override long Length => throw new NotSupportedException();

        public override long Position
        {
            get => _given;
            set => throw new NotSupportedException();
        }

        public override int Read(byte[] buffer, int offset, int count)
        {
            int taken = (int)Math.Min(count, bytes - _given);
            buffer.AsSpan(offset, taken).Fill((byte)'A');
            if (_given == 0 && taken > 16)
            {
                "{\"value\":\""u8.CopyTo(buffer.AsSpan(offset));
            }

            _given += taken;
            return taken;
        }

        public override void Flush()
        {
        }

        public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();

        public override void SetLength(long value) => throw new NotSupportedException();

        public override void Write(byte[] buffer, int offset, int count) => throw new NotSupportedException();
    }
}
