using System.Net;
using System.Text.Json;
using Xunit;

namespace Perf.Rpc.Tests;

/// <summary>Plain HTTP on the client port (SURFACE 2.2, 10).</summary>
public sealed class HttpTests(RpcServer server) : IClassFixture<RpcServer>
{
    [Fact]
    public async Task HTTP01_Health()
    {
        Assert.Equal((200, """{"health":"true","reason":""}"""), await GetAsync("/health"));
        Assert.Equal((200, """{"health":"true","reason":""}"""), await GetAsync("/health?serializable=true&exclude=NOSPACE"));
        using HttpResponseMessage post = await server.Http.PostAsync("/health", null);
        Assert.Equal(HttpStatusCode.MethodNotAllowed, post.StatusCode);
        Assert.Equal(["GET"], post.Content.Headers.Allow);
        Assert.Equal("Method Not Allowed\n", await post.Content.ReadAsStringAsync());
    }

    [Fact]
    public async Task HTTP02_AnAlarmMakesUnhealthyUnlessExcluded()
    {
        RpcServer own = await RpcServer.StartAsync();
        try
        {
            await own.JsonAsync(
                "/v3/maintenance/alarm",
                $$"""{"action":"ACTIVATE","memberID":"{{own.Node.MemberId}}","alarm":"NOSPACE"}""");
            using HttpResponseMessage ill = await own.Http.GetAsync("/health");
            Assert.Equal(HttpStatusCode.ServiceUnavailable, ill.StatusCode);
            Assert.Equal("""{"health":"false","reason":"ALARM NOSPACE"}""" + "\n", await ill.Content.ReadAsStringAsync());
            using HttpResponseMessage excluded = await own.Http.GetAsync("/health?exclude=NOSPACE");
            Assert.Equal(HttpStatusCode.OK, excluded.StatusCode);
            Assert.Equal(429, (await own.PostAsync("/v3/kv/put", """{"key":"YQ=="}""")).Status);
        }
        finally
        {
            await own.DisposeAsync();
        }
    }

    [Theory]
    [InlineData("/livez", "ok\n")]
    [InlineData("/readyz", "ok\n")]
    [InlineData("/livez?verbose", "[+]serializable_read ok\nok\n")]
    [InlineData(
        "/readyz?verbose",
        "[+]data_corruption ok\n[+]serializable_read ok\n[+]linearizable_read ok\n[+]non_learner ok\nok\n")]
    [InlineData(
        "/readyz?verbose&exclude=linearizable_read",
        "[+]data_corruption ok\n[+]serializable_read ok\n[+]non_learner ok\nok\n")]
    [InlineData("/readyz/data_corruption", "ok\n")]
    [InlineData("/livez/serializable_read", "ok\n")]
    public async Task HTTP03_LivezAndReadyz(string path, string text) => Assert.Equal((200, text), await GetAsync(path));

    [Fact]
    public async Task HTTP04_Version() =>
        Assert.Equal((200, """{"etcdserver":"3.5.33","etcdcluster":"3.5.0"}"""), await GetAsync("/version"));

    [Fact]
    public async Task HTTP06_DebugVarsIsJson()
    {
        (int status, string body) = await GetAsync("/debug/vars");
        Assert.Equal(200, status);
        JsonElement vars = JsonDocument.Parse(body).RootElement;
        Assert.Equal(JsonValueKind.Array, vars.GetProperty("cmdline").ValueKind);
        Assert.Equal("StateLeader", vars.GetProperty("raft.status").GetProperty("raftState").GetString());
    }

    [Fact]
    public async Task HTTP09_CorsAnswersEveryOriginByDefault()
    {
        using var request = new HttpRequestMessage(HttpMethod.Options, "/v3/kv/range");
        using HttpResponseMessage response = await server.Http.SendAsync(request);
        Assert.Equal(HttpStatusCode.OK, response.StatusCode);
        Assert.Equal(["*"], response.Headers.GetValues("Access-Control-Allow-Origin"));
        Assert.Equal("", await response.Content.ReadAsStringAsync());
    }

    [Fact]
    public async Task HTTP10_ListsOfHostsAndOrigins()
    {
        RpcServer own = await RpcServer.StartAsync(config =>
        {
            config.HostWhitelist = ["good.example"];
            config.Cors = ["http://page.example"];
        });
        try
        {
            using HttpResponseMessage refused = await own.Http.GetAsync("/version");
            Assert.Equal(421, (int)refused.StatusCode);
            Assert.Contains("--host-whitelist", await refused.Content.ReadAsStringAsync());
            foreach ((string origin, bool isLet) in new[] { ("http://page.example", true), ("http://other.example", false) })
            {
                using var request = new HttpRequestMessage(HttpMethod.Get, "/version");
                request.Headers.Host = "good.example";
                request.Headers.Add("Origin", origin);
                using HttpResponseMessage response = await own.Http.SendAsync(request);
                Assert.Equal(HttpStatusCode.OK, response.StatusCode);
                Assert.Equal(isLet, response.Headers.Contains("Access-Control-Allow-Origin"));
            }
        }
        finally
        {
            await own.DisposeAsync();
        }
    }

    [Fact]
    public async Task HTTP11_UnknownPath() => Assert.Equal((404, "404 page not found\n"), await GetAsync("/nothing"));

    [Fact]
    public async Task HTTP07_WhoLooksForGoProfilesIsToldWhatThereIs()
    {
        foreach (string path in new[] { "/debug/pprof/", "/debug/pprof/profile", "/debug/pprof/heap" })
        {
            (int status, string body) = await GetAsync(path);
            Assert.Equal(404, status);
            Assert.Contains("dotnet-trace", body, StringComparison.Ordinal);
        }
    }

    [Fact]
    public async Task MET01_EveryFamilyOf35IsThere()
    {
        (int status, string body) = await GetAsync("/metrics");
        Assert.Equal(200, status);
        string[] lines = body.Split('\n');
        foreach ((string name, string type) in MetricNames.All)
        {
            Assert.True(lines.Contains($"# TYPE {name} {type}"), $"{name} {type}");
        }

        string[] families = [.. lines.Where(line => line.StartsWith("# TYPE ", StringComparison.Ordinal)).Select(line => line.Split(' ')[2])];
        Assert.Equal(families.Distinct().Count(), families.Length);
    }

    [Fact]
    public async Task ME205_BucketsAndPreregisteredMethods()
    {
        await server.PostAsync("/v3/kv/put", """{"key":"YQ=="}""");
        string body = (await GetAsync("/metrics")).Body;
        Assert.Contains("etcd_disk_wal_fsync_duration_seconds_bucket{le=\"0.001\"}", body);
        Assert.Contains("etcd_disk_wal_fsync_duration_seconds_bucket{le=\"8.192\"}", body);
        Assert.Contains("etcd_disk_backend_commit_duration_seconds_bucket{le=\"+Inf\"}", body);
        Assert.DoesNotContain("\netcd_disk_wal_fsync_duration_seconds_count 0\n", body);
        Assert.Contains(
            "grpc_server_handled_total{grpc_code=\"Unavailable\",grpc_method=\"Campaign\",grpc_service=\"v3electionpb.Election\",grpc_type=\"unary\"} 0",
            body);
        Assert.Contains("etcd_server_has_leader 1\n", body);
    }

    private async Task<(int Status, string Body)> GetAsync(string path)
    {
        using HttpResponseMessage response = await server.Http.GetAsync(path);
        return ((int)response.StatusCode, await response.Content.ReadAsStringAsync());
    }
}
