using System.Net.WebSockets;
using System.Text;
using System.Text.Json;
using Xunit;

namespace Perf.Rpc.Tests;

/// <summary>The JSON gateway (SURFACE 2.1).</summary>
public sealed class GatewayTests(RpcServer server) : IClassFixture<RpcServer>
{
    private readonly CancellationTokenSource _patience = new(TimeSpan.FromSeconds(60));

    [Fact]
    public async Task GW03_PutAndRangeInEtcdsSpelling()
    {
        (int status, string body) = await server.PostAsync("/v3/kv/put", """{"key":"Z29sZGVu","value":"YmFy"}""");
        Assert.Equal(200, status);
        Assert.Matches(
            """^\{"header":\{"cluster_id":"\d+","member_id":"\d+","revision":"\d+","raft_term":"\d+"\}\}$""", body);

        (status, body) = await server.PostAsync("/v3/kv/range", """{"key":"Z29sZGVu"}""");
        Assert.Equal(200, status);
        Assert.Matches(
            """^\{"header":\{"cluster_id":"\d+","member_id":"\d+","revision":"\d+","raft_term":"\d+"\},"kvs":\[\{"key":"Z29sZGVu","create_revision":"\d+","mod_revision":"\d+","version":"1","value":"YmFy"\}\],"count":"1"\}$""",
            body);
    }

    [Fact]
    public async Task GW03_InputTakesBothNamesNumbersAndTexts()
    {
        string key = Base64("both/");
        await server.JsonAsync("/v3/kv/put", $$$"""{"key":"{{{Base64("both/1")}}}","value":"YQ==","ignored":{"x":[1]}}""");
        await server.JsonAsync("/v3/kv/put", $$"""{"key":"{{Base64("both/2")}}","value":"_-8="}""");
        string end = Base64("both0");
        foreach (string query in new[]
        {
            $$"""{"key":"{{key}}","range_end":"{{end}}","limit":1,"sort_order":"DESCEND","sort_target":"KEY"}""",
            $$"""{"key":"{{key}}","rangeEnd":"{{end}}","limit":"1","sortOrder":2,"sortTarget":0,"revision":null}""",
        })
        {
            JsonElement answer = await server.JsonAsync("/v3/kv/range", query);
            Assert.Equal(Base64("both/2"), answer.GetProperty("kvs")[0].GetProperty("key").GetString());
            Assert.Equal("/+8=", answer.GetProperty("kvs")[0].GetProperty("value").GetString());
            Assert.True(answer.GetProperty("more").GetBoolean());
            Assert.Equal("2", answer.GetProperty("count").GetString());
        }
    }

    [Fact]
    public async Task GW05_TxnAnswersByOp()
    {
        string key = Base64("txn");
        JsonElement answer = await server.JsonAsync(
            "/v3/kv/txn",
            $$$"""
            {"compare":[{"key":"{{{key}}}","target":"CREATE","createRevision":"0"}],
             "success":[{"requestPut":{"key":"{{{key}}}","value":"YQ=="}},{"request_range":{"key":"{{{key}}}"}}]}
            """);
        Assert.True(answer.GetProperty("succeeded").GetBoolean());
        string revision = answer.GetProperty("header").GetProperty("revision").GetString()!;
        Assert.Equal(
            "{\"response_put\":{\"header\":{\"revision\":\"" + revision + "\"}}}",
            answer.GetProperty("responses")[0].GetRawText());
        Assert.Equal("1", answer.GetProperty("responses")[1].GetProperty("response_range").GetProperty("count").GetString());
    }

    [Fact]
    public async Task GW08_ErrorsAreGrpcsInJson()
    {
        (int status, string body) = await server.PostAsync("/v3/kv/put", "{}");
        Assert.Equal(400, status);
        Assert.Equal(
            """{"error":"etcdserver: key is not provided","message":"etcdserver: key is not provided","code":3}""", body);
        (status, body) = await server.PostAsync("/v3/lease/revoke", """{"ID":"4711"}""");
        Assert.Equal(404, status);
        Assert.Contains("\"code\":5", body);
        (status, body) = await server.PostAsync("/v3/kv/range", """{"key":"YQ==","revision":"99999999"}""");
        Assert.Equal(400, status);
        Assert.Contains("\"code\":11", body);
    }

    [Theory]
    [InlineData("""{"key":"Zm9"}""", "illegal base64 data at input byte 0")]
    [InlineData("""{"key":"Zm9v!m9v"}""", "illegal base64 data at input byte 4")]
    [InlineData("bogus", "invalid character 'b' looking for beginning of value")]
    [InlineData("""{"key":"Zm9v" """, "unexpected EOF")]
    [InlineData("""{"key":7}""", "json: cannot unmarshal number into Go value of type []uint8")]
    [InlineData("""{"limit":"x"}""", "json: cannot unmarshal string into Go value of type int64")]
    public async Task GW09_BadBodies(string body, string message)
    {
        (int status, string answer) = await server.PostAsync("/v3/kv/range", body);
        Assert.Equal(400, status);
        JsonElement error = JsonDocument.Parse(answer).RootElement;
        Assert.Equal(message, error.GetProperty("error").GetString());
        Assert.Equal(3, error.GetProperty("code").GetInt32());
    }

    [Fact]
    public async Task GW09_DeepNestingIsRefused()
    {
        string deep = string.Concat(Enumerable.Repeat("""{"success":[{"request_txn":""", 40)) + "{}"
            + string.Concat(Enumerable.Repeat("}]}", 40));
        Assert.Equal(400, (await server.PostAsync("/v3/kv/txn", deep)).Status);
    }

    [Fact]
    public async Task GW01_MethodsAndPaths()
    {
        using HttpResponseMessage get = await server.Http.GetAsync("/v3/kv/range");
        Assert.Equal(405, (int)get.StatusCode);
        Assert.Equal("Method Not Allowed\n", await get.Content.ReadAsStringAsync());
        Assert.Equal((404, "Not Found\n"), await server.PostAsync("/v3/nothing", "{}"));
        Assert.Equal(404, (await server.PostAsync("/v3alpha/kv/range", "{}")).Status);
        Assert.Equal(200, (await server.PostAsync("/v3beta/kv/range", """{"key":"YQ=="}""")).Status);
    }

    [Fact]
    public async Task GW06_WatchStreamsLines()
    {
        string key = Base64("watched");
        using var request = new HttpRequestMessage(HttpMethod.Post, "/v3/watch")
        {
            Content = new StringContent($$$"""{"create_request":{"key":"{{{key}}}"}}""", Encoding.UTF8),
        };
        using HttpResponseMessage response = await server.Http.SendAsync(
            request, HttpCompletionOption.ResponseHeadersRead).WaitAsync(TimeSpan.FromSeconds(10));
        using var lines = new StreamReader(await response.Content.ReadAsStreamAsync());
        Assert.Matches(
            """^\{"result":\{"header":\{.*\},"created":true\}\}$""",
            await lines.ReadLineAsync().WaitAsync(TimeSpan.FromSeconds(10)));
        await server.JsonAsync("/v3/kv/put", $$"""{"key":"{{key}}","value":"YQ=="}""");
        string? line = await lines.ReadLineAsync().WaitAsync(TimeSpan.FromSeconds(10));
        JsonElement ev = JsonDocument.Parse(line!).RootElement.GetProperty("result").GetProperty("events")[0];
        Assert.Equal(key, ev.GetProperty("kv").GetProperty("key").GetString());
        Assert.False(ev.TryGetProperty("type", out _));
    }

    [Fact]
    public async Task GW02_EveryPathIsServed()
    {
        Assert.Equal(51, Perf.Rpc.Http.Gateway.GatewayRoutes.All.Length);
        Assert.Equal(51, Perf.Rpc.Http.Gateway.GatewayRoutes.All.Select(route => route.Path).Distinct().Count());
        foreach ((string path, string _) in Perf.Rpc.Http.Gateway.GatewayRoutes.All)
        {
            using HttpResponseMessage response = await server.Http.GetAsync("/v3/" + path);
            Assert.True((int)response.StatusCode == 405, $"{path}: {(int)response.StatusCode}");
        }
    }

    [Fact]
    public async Task GW10_TokenInTheAuthorizationHeader()
    {
        RpcServer own = await RpcServer.StartAsync();
        try
        {
            await own.JsonAsync("/v3/auth/user/add", """{"name":"root","password":"pw"}""");
            await own.JsonAsync("/v3/auth/user/grant", """{"user":"root","role":"root"}""");
            await own.JsonAsync("/v3/auth/enable", "{}");
            string token = (await own.JsonAsync("/v3/auth/authenticate", """{"name":"root","password":"pw"}"""))
                .GetProperty("token").GetString()!;
            Assert.Equal(400, (await own.PostAsync("/v3/kv/range", """{"key":"YQ=="}""")).Status);
            Assert.Equal(401, (await own.PostAsync("/v3/kv/range", """{"key":"YQ=="}""", "nonsense")).Status);
            Assert.Equal(200, (await own.PostAsync("/v3/kv/range", """{"key":"YQ=="}""", token)).Status);
            Assert.Equal(200, (await own.PostAsync("/v3/kv/range", """{"key":"YQ=="}""", "Bearer " + token)).Status);
        }
        finally
        {
            await own.DisposeAsync();
        }
    }

    [Fact]
    public async Task GW07_WebSocketsCarryStreamsMessageByMessage()
    {
        using var socket = new ClientWebSocket();
        socket.Options.AddSubProtocol("Bearer");
        socket.Options.AddSubProtocol("some.token");
        var address = new Uri($"ws://127.0.0.1:{server.Url.Port}/v3/watch");
        await socket.ConnectAsync(address, _patience.Token);
        Assert.Equal("Bearer", socket.SubProtocol);
        string key = Base64("socket");
        await SendAsync(socket, $$$"""{"create_request":{"key":"{{{key}}}"}}""");
        JsonElement created = (await ReceiveAsync(socket)).GetProperty("result");
        Assert.True(created.GetProperty("created").GetBoolean());

        // A large value comes whole, and a second request on the same socket is answered too.
        string value = Base64(new string('x', 200_000));
        await server.JsonAsync("/v3/kv/put", $$"""{"key":"{{key}}","value":"{{value}}"}""");
        JsonElement told = (await ReceiveAsync(socket)).GetProperty("result").GetProperty("events")[0];
        Assert.Equal(value, told.GetProperty("kv").GetProperty("value").GetString());
        await SendAsync(socket, """{"cancel_request":{"watch_id":0}}""");
        Assert.True((await ReceiveAsync(socket)).GetProperty("result").GetProperty("canceled").GetBoolean());
        await socket.CloseAsync(WebSocketCloseStatus.NormalClosure, null, _patience.Token);
        Assert.Equal(WebSocketState.Closed, socket.State);
    }

    [Fact]
    public async Task GW07_ASocketWithoutAKeyIsRefusedAndAnErrorEndsIt()
    {
        using var request = new HttpRequestMessage(HttpMethod.Get, "/v3/watch");
        request.Headers.TryAddWithoutValidation("Connection", "Upgrade");
        request.Headers.TryAddWithoutValidation("Upgrade", "websocket");
        using HttpResponseMessage refused = await server.Http.SendAsync(request);
        Assert.Equal(400, (int)refused.StatusCode);

        using var socket = new ClientWebSocket();
        await socket.ConnectAsync(new Uri($"ws://127.0.0.1:{server.Url.Port}/v3/watch"), _patience.Token);
        await SendAsync(socket, "nonsense");
        Assert.True((await ReceiveAsync(socket)).TryGetProperty("error", out _));
        ValueWebSocketReceiveResult end = await socket.ReceiveAsync(new byte[64].AsMemory(), _patience.Token);
        Assert.Equal(WebSocketMessageType.Close, end.MessageType);
    }

    private static async Task SendAsync(ClientWebSocket socket, string json) =>
        await socket.SendAsync(Encoding.UTF8.GetBytes(json), WebSocketMessageType.Text, true, CancellationToken.None);

    private async Task<JsonElement> ReceiveAsync(ClientWebSocket socket)
    {
        var message = new MemoryStream();
        byte[] buffer = new byte[16 << 10];
        ValueWebSocketReceiveResult received;
        do
        {
            received = await socket.ReceiveAsync(buffer.AsMemory(), _patience.Token);
            message.Write(buffer, 0, received.Count);
        }
        while (!received.EndOfMessage);
        return JsonDocument.Parse(message.ToArray()).RootElement;
    }

    private static string Base64(string text) => Convert.ToBase64String(Encoding.UTF8.GetBytes(text));
}
