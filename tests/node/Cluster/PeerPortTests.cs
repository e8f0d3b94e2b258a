using System.Net;
using System.Net.Sockets;
using System.Text.Json;
using Perf.Raft;
using Perf.Store;
using Perf.Store.Membership;
using Xunit;

namespace Perf.Node.Tests.Cluster;

/// <summary>What the peer port answers to friends, strangers and noise.</summary>
public sealed class PeerPortTests : IAsyncLifetime
{
    private static readonly HttpClient s_http = new() { Timeout = TimeSpan.FromSeconds(10) };

    private TestCluster _cluster = null!;
    private EtcdNode _node = null!;

    public async Task InitializeAsync()
    {
        _cluster = await TestCluster.StartAsync(1);
        _node = await _cluster.LeaderAsync();
    }

    public async Task DisposeAsync() => await _cluster.DisposeAsync();

    [Theory]
    [InlineData("GET", "/raft", 405, "Method Not Allowed\n")]
    [InlineData("POST", "/raft/stream/msgapp/1", 405, "Method Not Allowed\n")]
    [InlineData("GET", "/raft/snapshot", 405, "Method Not Allowed\n")]
    [InlineData("POST", "/members", 405, "Method Not Allowed\n")]
    [InlineData("GET", "/raft/stream/msgapp/1", 404, "error sender not found\n")]
    [InlineData("GET", "/raft/stream/message/xyz", 404, "invalid from\n")]
    [InlineData("POST", "/raft", 400, "error unmarshalling raft message\n")]
    [InlineData("GET", "/health", 404, "404 page not found\n")]
    [InlineData("GET", "/metrics", 404, "404 page not found\n")]
    [InlineData("GET", "/downgrade/enabled", 200, "false")]
    [InlineData("POST", "/members/promote/zz", 404, "member zz not found in cluster\n")]
    [InlineData("POST", "/members/promote/1", 404, "membership: ID not found\n")]
    [InlineData("POST", "/leases", 404, "lease not found\n")]
    public async Task Each_path_has_its_status_and_text(string method, string path, int status, string text)
    {
        byte[]? body = method == "GET" ? null : path == "/leases" ? [0x08, 0x7B] : [0xFF];
        using HttpResponseMessage response = await AskAsync(method, path, body: body);
        Assert.Equal(text, await response.Content.ReadAsStringAsync());
        Assert.Equal(status, (int)response.StatusCode);
    }

    [Fact]
    public async Task Strangers_are_told_why_they_are_refused()
    {
        using HttpResponseMessage cluster = await AskAsync("POST", "/raft", clusterId: "1", body: [1]);
        Assert.Equal(412, (int)cluster.StatusCode);
        Assert.Equal("cluster ID mismatch\n", await cluster.Content.ReadAsStringAsync());
        Assert.Equal(MemberIds.Hex(_node.ClusterId), cluster.Headers.GetValues("X-Etcd-Cluster-ID").Single());

        using HttpResponseMessage old = await AskAsync("POST", "/raft", version: "2.3.0", body: [1]);
        Assert.Equal(412, (int)old.StatusCode);
        Assert.Equal("incompatible version\n", await old.Content.ReadAsStringAsync());

        using HttpResponseMessage demanding = await AskAsync("POST", "/raft", minVersion: "3.9.0", body: [1]);
        Assert.Equal("incompatible version\n", await demanding.Content.ReadAsStringAsync());
    }

    [Fact]
    public async Task Members_version_hash_and_probe_are_told_as_json()
    {
        using HttpResponseMessage members = await AskAsync("GET", "/members");
        using JsonDocument list = JsonDocument.Parse(await members.Content.ReadAsStringAsync());
        Assert.Equal(_node.MemberId, list.RootElement[0].GetProperty("id").GetUInt64());
        Assert.Equal(MemberIds.Hex(_node.ClusterId), members.Headers.GetValues("X-Etcd-Cluster-ID").Single());

        using HttpResponseMessage version = await AskAsync("GET", "/version");
        Assert.StartsWith("{\"etcdserver\":\"3.5.33\",\"etcdcluster\":\"", await version.Content.ReadAsStringAsync());

        using HttpResponseMessage probe = await AskAsync("GET", "/raft/probing");
        Assert.StartsWith("{\"OK\":true,\"Now\":\"", await probe.Content.ReadAsStringAsync());

        await TestCluster.PutAsync(_node, "key", "value");
        using HttpResponseMessage hash = await AskAsync("GET", "/members/hashkv", body: "{\"revision\":0}"u8.ToArray());
        Assert.Equal(200, (int)hash.StatusCode);
        using HttpResponseMessage future = await AskAsync("GET", "/members/hashkv", body: "{\"revision\":99}"u8.ToArray());
        Assert.Equal("mvcc: required revision is a future revision\n", await future.Content.ReadAsStringAsync());
        using HttpResponseMessage noise = await AskAsync("GET", "/members/hashkv", body: "noise"u8.ToArray());
        Assert.Equal("error unmarshalling request\n", await noise.Content.ReadAsStringAsync());
    }

    [Fact]
    public async Task A_removed_member_is_told_that_it_is_gone()
    {
        (StoreError error, ulong id) = await _node.AddMemberAsync(["http://127.0.0.1:1"], isLearner: true);
        Assert.Equal(StoreError.None, error);
        Assert.Equal(StoreError.None, await _node.RemoveMemberAsync(id));
        using HttpResponseMessage stream = await AskAsync("GET", "/raft/stream/message/" + MemberIds.Hex(id));
        Assert.Equal(HttpStatusCode.Gone, stream.StatusCode);
        Assert.Equal("removed member\n", await stream.Content.ReadAsStringAsync());

        byte[] message = new byte[256];
        int bytes = MessageCodec.Write(
            new Message { Type = MessageType.Vote, From = id, To = _node.MemberId, Term = 9 }, message, alwaysSnapshot: true);
        using HttpResponseMessage vote = await AskAsync("POST", "/raft", body: message[..bytes]);
        Assert.Equal(HttpStatusCode.Forbidden, vote.StatusCode);
        Assert.Equal("{\"message\":\"cannot process message from removed member\"}", await vote.Content.ReadAsStringAsync());
    }

    [Fact]
    public async Task A_message_of_somebody_unknown_is_taken_and_one_for_somebody_else_is_not()
    {
        // It may be of a leader that we have yet to hear of; raft decides.
        using HttpResponseMessage unknown = await AskAsync("POST", "/raft", body: Vote(_node.MemberId));
        Assert.Equal(HttpStatusCode.NoContent, unknown.StatusCode);
        using HttpResponseMessage misled = await AskAsync("POST", "/raft", body: Vote(_node.MemberId + 1));
        Assert.Equal(HttpStatusCode.Forbidden, misled.StatusCode);
        Assert.Equal("{\"message\":\"cannot process message to mismatch member\"}", await misled.Content.ReadAsStringAsync());
        await TestCluster.PutAsync(_node, "still", "there");

        static byte[] Vote(ulong to)
        {
            byte[] message = new byte[256];
            int bytes = MessageCodec.Write(
                new Message { Type = MessageType.Vote, From = 12345, To = to, Term = 9 }, message, alwaysSnapshot: true);
            return message[..bytes];
        }
    }

    [Theory]
    [InlineData("/raft", "error reading raft message\n")]
    [InlineData("/raft/snapshot", "failed to decode raft message (")]
    public async Task A_body_beyond_the_limit_is_refused_by_its_length_before_it_comes(string path, string answer)
    {
        // The post says so in its header, the snapshot's message in its first bytes; what follows is never sent.
        long bytes = Perf.Node.Peers.PeerLimits.FrameBytesMax + 1L;
        using var socket = new Socket(SocketType.Stream, ProtocolType.Tcp);
        await socket.ConnectAsync(IPAddress.Loopback, _cluster.Ports["m0"]);
        string head =
            $"POST {path} HTTP/1.1\r\nHost: x\r\nX-Server-From: 5\r\nX-Server-Version: 3.5.0\r\nX-Min-Cluster-Version: 3.0.0\r\n"
            + $"X-Etcd-Cluster-ID: {MemberIds.Hex(_node.ClusterId)}\r\nContent-Length: {bytes + 1000}\r\n\r\n";
        byte[] claim = new byte[8];
        System.Buffers.Binary.BinaryPrimitives.WriteInt64BigEndian(claim, 1L << 40);
        await socket.SendAsync(System.Text.Encoding.ASCII.GetBytes(head).Concat(claim).ToArray());
        string text = "";
        byte[] buffer = new byte[4096];
        using var limit = new CancellationTokenSource(TestCluster.Patience);
        while (!text.Contains(answer, StringComparison.Ordinal))
        {
            int read = await socket.ReceiveAsync(buffer, limit.Token);
            Assert.True(read > 0, text);
            text += System.Text.Encoding.ASCII.GetString(buffer, 0, read);
        }

        Assert.StartsWith("HTTP/1.1 400 ", text);
        await TestCluster.PutAsync(_node, "still", "there");
    }

    [Fact]
    public async Task A_snapshot_that_is_none_changes_nothing()
    {
        byte[] truncated = [0, 0, 0, 0, 0, 0, 0, 100, 1, 2, 3];
        using HttpResponseMessage short1 = await AskAsync("POST", "/raft/snapshot", body: truncated);
        Assert.Equal(400, (int)short1.StatusCode);
        Assert.StartsWith("failed to decode raft message (", await short1.Content.ReadAsStringAsync());

        byte[] huge = [0x7F, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 1];
        using HttpResponseMessage claim = await AskAsync("POST", "/raft/snapshot", body: huge);
        Assert.Equal(400, (int)claim.StatusCode);

        // A message that is well-formed, and a database that is noise.
        var message = new Message
        {
            Type = MessageType.Snap,
            From = 5,
            To = _node.MemberId,
            Term = 50,
            Snapshot = new Snapshot(new SnapshotMetadata(1000, 50, new ConfState([5, _node.MemberId], [])), "{}"u8.ToArray()),
        };
        using var body = new MemoryStream();
        await Perf.Node.Peers.SnapshotPost.WriteAsync(
            message,
            (target, at) =>
            {
                if (at > 100_000)
                {
                    return 0;
                }

                target.Span.Fill(0xAB);
                return target.Length;
            },
            body,
            alwaysSnapshot: true,
            CancellationToken.None);
        using HttpResponseMessage damaged = await AskAsync("POST", "/raft/snapshot", body: body.ToArray());
        Assert.Equal(500, (int)damaged.StatusCode);
        Assert.StartsWith("failed to save KV snapshot (", await damaged.Content.ReadAsStringAsync());
        Assert.Empty(Directory.GetFiles(_node.Config.SnapDir, "*.snap.db"));
        Assert.Empty(Directory.GetFiles(_node.Config.SnapDir, "tmp*"));
        await TestCluster.PutAsync(_node, "still", "there");
    }

    [Fact]
    public async Task Noise_is_survived()
    {
        var random = new Random(11);
        for (int i = 0; i < 50; i++)
        {
            byte[] noise = new byte[random.Next(1, 4096)];
            random.NextBytes(noise);
            if (i % 2 == 0)
            {
                using HttpResponseMessage response = await AskAsync("POST", "/raft", body: noise);
                Assert.InRange((int)response.StatusCode, 200, 499);
            }
            else
            {
                using var socket = new Socket(SocketType.Stream, ProtocolType.Tcp);
                await socket.ConnectAsync(IPAddress.Loopback, _cluster.Ports["m0"]);
                await socket.SendAsync(noise);
            }
        }

        await TestCluster.PutAsync(_node, "still", "there");
    }

    private async Task<HttpResponseMessage> AskAsync(
        string method,
        string path,
        string? clusterId = null,
        string version = "3.5.0",
        string minVersion = "3.0.0",
        byte[]? body = null)
    {
        using var request = new HttpRequestMessage(new HttpMethod(method), _cluster.PeerUrl("m0") + path);
        request.Headers.Add("X-Server-From", "5");
        request.Headers.Add("X-Server-Version", version);
        request.Headers.Add("X-Min-Cluster-Version", minVersion);
        request.Headers.Add("X-Etcd-Cluster-ID", clusterId ?? MemberIds.Hex(_node.ClusterId));
        request.Headers.Add("X-Raft-To", MemberIds.Hex(_node.MemberId));
        if (body is not null)
        {
            request.Content = new ByteArrayContent(body);
        }

        return await s_http.SendAsync(request);
    }
}
