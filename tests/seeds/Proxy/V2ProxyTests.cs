using Perf.Cluster.Tests.Harness;
using Perf.Seeds.Tests.V2;
using Xunit;

namespace Perf.Seeds.Tests.Proxy;

/// <summary>`etcd --proxy on|readonly` (seed 004, part (8)).</summary>
public sealed class V2ProxyTests
{
    private static readonly TimeSpan s_patience = TimeSpan.FromSeconds(60);

    [Fact]
    public async Task The_v2_proxy_serves_reads_writes_and_waits_of_the_members_it_finds()
    {
        using var directory = new TempDirectory();
        int memberPort = FreePort.NextPair();
        using PerfProcess member = PerfProcess.Start(directory["member"], memberPort, Member(memberPort));
        using PerfProcess proxy = Proxy(directory["proxy"], memberPort, "on", "--proxy-refresh-interval", "200");
        using var client = new V2Client(proxy);
        await ReadyAsync(client, proxy);
        Assert.Equal(201, (await client.SendAsync("PUT", "/v2/keys/a%2Fb", "value=1 2")).Status);
        V2Reply read = await client.SendAsync("GET", "/v2/keys/a/b");
        Assert.Equal("1 2", (string?)read.Json["node"]!["value"]);
        Assert.True(read.Headers.ContainsKey("X-Etcd-Index"));
        Assert.Equal(404, (await client.SendAsync("GET", "/v2/keys/none")).Status);

        using StreamReader stream = await client.OpenAsync("/v2/keys/watched?wait=true&stream=true");
        await client.SendAsync("PUT", "/v2/keys/watched", "value=1");
        Assert.Contains("\"value\":\"1\"", await stream.ReadLineAsync().WaitAsync(s_patience), StringComparison.Ordinal);

        V2Reply told = await client.SendAsync("GET", "/v2/config/local/proxy");
        Assert.Equal($$"""{"endpoints":["{{member.Url}}"]}""" + "\n", told.Body);
        Assert.Equal(405, (await client.SendAsync("PUT", "/v2/config/local/proxy")).Status);
    }

    [Fact]
    public async Task A_readonly_proxy_takes_nothing_but_GET()
    {
        using var directory = new TempDirectory();
        int memberPort = FreePort.NextPair();
        using PerfProcess member = PerfProcess.Start(directory["member"], memberPort, Member(memberPort));
        using PerfProcess proxy = Proxy(directory["proxy"], memberPort, "readonly");
        using var client = new V2Client(proxy);
        await ReadyAsync(client, proxy);
        Assert.Equal(501, (await client.SendAsync("PUT", "/v2/keys/a", "value=1")).Status);
        Assert.Equal(404, (await client.SendAsync("GET", "/v2/keys/a")).Status);
    }

    /// <summary>A directory of a proxy remembers the members; it wants neither --proxy nor --initial-cluster.</summary>
    [Fact]
    public async Task A_proxys_directory_goes_on_as_a_proxy()
    {
        using var directory = new TempDirectory();
        int memberPort = FreePort.NextPair();
        using PerfProcess member = PerfProcess.Start(directory["member"], memberPort, Member(memberPort));
        using (PerfProcess first = Proxy(directory["proxy"], memberPort, "on"))
        {
            using var before = new V2Client(first);
            await ReadyAsync(before, first);
            Assert.Equal(0, first.Stop());
        }

        using PerfProcess again = PerfProcess.Launch(directory["proxy"], FreePort.NextPair());
        using var client = new V2Client(again);
        await ReadyAsync(client, again);
        Assert.Contains("proxy using peer URLS from cluster file", again.Log, StringComparison.Ordinal);
    }

    private static string[] Member(int port) =>
    [
        "--enable-v2", "--name", "m",
        "--initial-advertise-peer-urls", $"http://127.0.0.1:{port + 1}",
        "--initial-cluster", $"m=http://127.0.0.1:{port + 1}",
    ];

    private static PerfProcess Proxy(string dataDir, int memberPort, string mode, params string[] flags) => PerfProcess.Launch(
        dataDir,
        FreePort.NextPair(),
        ["--proxy", mode, "--initial-cluster", $"m=http://127.0.0.1:{memberPort + 1}", .. flags]);

    private static Task ReadyAsync(V2Client client, PerfProcess proxy) => AnsweredAsync(client, proxy, r => r.Status == 200);

    private static async Task<V2Reply> AnsweredAsync(V2Client client, PerfProcess proxy, Func<V2Reply, bool> isEnough)
    {
        DateTime end = DateTime.UtcNow + s_patience;
        V2Reply? last = null;
        while (true)
        {
            try
            {
                last = await client.SendAsync("GET", "/version");
                if (isEnough(last))
                {
                    return last;
                }
            }
            catch (HttpRequestException)
            {
                // Not yet.
            }

            Assert.True(DateTime.UtcNow < end, $"{last}: {proxy.Log}");
            await Task.Delay(20);
        }
    }
}
