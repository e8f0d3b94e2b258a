using System.Net;
using System.Text;
using Perf.Cluster.Tests.Harness;
using Perf.Grpc;
using Xunit;

namespace Perf.Surface.Tests.Rules;

/// <summary>Which address serves what, and what lies in the data directory.</summary>
public sealed class ListenerTests
{
    [Fact]
    public async Task Seed09_the_data_directory_holds_what_etcds_does()
    {
        await using var server = new Server();
        string member = Path.Combine(server.DataDirectory, "member");
        Assert.True(File.Exists(Path.Combine(member, "snap", "db")));
        Assert.True(File.Exists(Path.Combine(member, "wal", "0000000000000000-0000000000000000.wal")));
        MemberGroup.Eventually(
            () => File.Exists(Path.Combine(member, "wal", "0.tmp")), there => there, "the next segment is prepared");
        Assert.Equal(
            UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute,
            File.GetUnixFileMode(server.DataDirectory));
    }

    [Fact]
    public async Task Http05_metrics_addresses_serve_monitors_and_nobody_else()
    {
        string address = $"http://127.0.0.1:{FreePort.NextPair()}";
        await using var server = new Server("--listen-metrics-urls", address);
        using var http = new HttpClient();
        foreach (string path in new[] { "/metrics", "/health", "/livez", "/readyz" })
        {
            using HttpResponseMessage answer = await http.GetAsync(address + path);
            Assert.True(answer.StatusCode == HttpStatusCode.OK, $"{path}: {answer.StatusCode}");
        }

        using HttpResponseMessage metrics = await http.GetAsync(server.Process.Url + "/metrics");
        Assert.Equal("text/plain; version=0.0.4; charset=utf-8", metrics.Content.Headers.ContentType!.ToString());
        using var body = new StringContent("{\"key\":\"YQ==\"}", Encoding.UTF8, "application/json");
        using HttpResponseMessage key = await http.PostAsync(address + "/v3/kv/range", body);
        Assert.Equal(HttpStatusCode.NotFound, key.StatusCode);
    }

    [Fact]
    public async Task Http12_Http_with_an_address_of_its_own_leaves_the_clients_address_to_gRPC()
    {
        using var directory = new TempDirectory();
        string address = $"http://127.0.0.1:{FreePort.NextPair()}";
        using PerfProcess process = PerfProcess.Launch(
            directory["data"], FreePort.NextPair(), "--listen-client-http-urls", address);
        using var http = new HttpClient();
        MemberGroup.Eventually(() => HealthAsync().Result, healthy => healthy, "it is healthy at " + address);
        await using var caller = new Caller(process);
        await caller.PutAsync("a", "1");
        await Assert.ThrowsAnyAsync<Exception>(() => http.GetStringAsync(process.Url + "/health"));
        await using var elsewhere = new Caller(address, TimeSpan.FromSeconds(20));
        await Assert.ThrowsAsync<RpcException>(() => elsewhere.PutAsync("a", "1"));

        async Task<bool> HealthAsync()
        {
            try
            {
                return (await http.GetStringAsync(address + "/health")).Contains("true", StringComparison.Ordinal);
            }
            catch (HttpRequestException)
            {
                return false;
            }
        }
    }

    [Fact]
    public async Task Gw11_without_the_gateway_its_paths_are_unknown()
    {
        await using var server = new Server("--enable-grpc-gateway=false");
        using var http = new HttpClient();
        using var body = new StringContent("{\"key\":\"YQ==\"}", Encoding.UTF8, "application/json");
        using HttpResponseMessage answer = await http.PostAsync(server.Process.Url + "/v3/kv/range", body);
        Assert.Equal(HttpStatusCode.NotFound, answer.StatusCode);
        Assert.Equal(HttpStatusCode.OK, (await http.GetAsync(server.Process.Url + "/health")).StatusCode);
    }
}
