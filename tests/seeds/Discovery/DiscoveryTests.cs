using System.Globalization;
using Perf.Client;
using Perf.Client.Tests;
using Perf.Cluster.Tests.Harness;
using Perf.Seeds.Tests.Harness;
using Perf.Seeds.Tests.V2;
using Xunit;

namespace Perf.Seeds.Tests.Discovery;

/// <summary>Clusters whose founders find each other (SURFACE 5.2 to 5.4).</summary>
[Collection(BesideProxies.Name)]
public sealed class DiscoveryTests
{
    private static readonly TimeSpan s_patience = TimeSpan.FromSeconds(60);

    /// <summary>Our own server is the service: a token, three members, a fourth that is one too many.</summary>
    [Fact]
    public async Task DSC_03_Three_members_found_a_cluster_by_a_token_and_the_fourth_becomes_a_proxy_or_ends()
    {
        using var directory = new TempDirectory();
        using PerfProcess service = PerfProcess.Start(directory["service"], FreePort.NextPair(), "--enable-v2");
        using var client = new V2Client(service);
        string token = (await client.SendAsync("GET", "/new?size=3")).Body;
        await FoundAsync(directory, token, async members =>
        {
            await AssertOneClusterAsync(members);
            V2Reply registered = await client.SendAsync("GET", new Uri(token).AbsolutePath);
            Assert.Equal(3, registered.Json["node"]!["nodes"]!.AsArray().Count);

            using (PerfProcess late = Launch(directory, "late", token, "--discovery-fallback", "exit"))
            {
                Assert.Equal(1, late.WaitForExit());
                Assert.Contains("discovery: cluster is full", late.Log, StringComparison.Ordinal);
            }

            // As a proxy it serves the cluster's v2 keys, and again after a restart, from its own directory.
            int port = FreePort.NextPair();
            for (int i = 0; i < 2; i++)
            {
                using PerfProcess proxy = PerfProcess.Launch(
                    directory["proxy"],
                    port,
                    "--name", "proxy",
                    "--discovery", token,
                    "--initial-advertise-peer-urls", $"http://127.0.0.1:{port + 1}");
                using var through = new V2Client(proxy);
                await EventuallyAsync(async () =>
                    (await through.SendAsync("GET", "/version")).Status == 200, () => proxy.Log);
                Assert.True(File.Exists(Path.Combine(directory["proxy"], "proxy", "cluster")));
            }
        });
    }

    [ProgramFact("/usr/bin/discovery.etcd.io")]
    public async Task DSC_01_Debians_discovery_service_in_front_of_our_server()
    {
        using var directory = new TempDirectory();
        using PerfProcess store = PerfProcess.Start(directory["service"], FreePort.NextPair(), "--enable-v2");
        int port = FreePort.NextPair();
        using Command service = Command.Start(
            "/usr/bin/discovery.etcd.io", "-a", $"127.0.0.1:{port}", "-e", store.Url, "-h", $"http://127.0.0.1:{port}");
        await service.WaitForPortAsync(port);
        using var client = new V2Client(new Uri($"http://127.0.0.1:{port}"));
        V2Reply fresh = new(0, "", new Dictionary<string, string>());
        await EventuallyAsync(
            async () => (fresh = await client.SendAsync("GET", "/new?size=3")).Status == 200,
            () => $"{fresh} {service.Output} {store.Log}");
        await FoundAsync(directory, fresh.Body, AssertOneClusterAsync);
    }

    [Fact]
    public async Task DSC_03_What_is_wrong_with_a_token_is_said()
    {
        using var directory = new TempDirectory();
        using PerfProcess service = PerfProcess.Start(directory["service"], FreePort.NextPair(), "--enable-v2");
        using var client = new V2Client(service);
        await client.SendAsync("PUT", "/v2/keys/bad/_config/size", "value=many");
        await client.SendAsync("PUT", "/v2/keys/named/_config/size", "value=2");
        await client.SendAsync("PUT", "/v2/keys/named/1234", "value=twin=http://127.0.0.1:1");
        (string Token, string Name, string Text)[] cases =
        [
            ("none", "m", "discovery: size key not found"),
            ("bad", "m", "discovery: size key is bad"),
            ("named", "twin", "discovery: found duplicate name"),
        ];
        foreach ((string token, string name, string text) in cases)
        {
            using PerfProcess member = Launch(directory, name, $"{service.Url}/v2/keys/{token}");
            Assert.Equal(1, member.WaitForExit());
            Assert.Contains(text, member.Log, StringComparison.Ordinal);
            Directory.Delete(directory[name], recursive: true);
        }

        using (PerfProcess late = Launch(directory, "late", $"{service.Url}/v2/keys/named"))
        {
            Assert.Equal(1, late.WaitForExit());
            Assert.Contains("discovery: cluster is full", late.Log, StringComparison.Ordinal);
        }

        // Its own id is there already: somebody has used the token with these URLs.
        await client.SendAsync("PUT", "/v2/keys/twice/_config/size", "value=2");
        int port = FreePort.NextPair();
        string[] token2 = ["--discovery", $"{service.Url}/v2/keys/twice", "--discovery-fallback", "exit"];
        using (PerfProcess first = LaunchWith(directory, "first", port, token2))
        {
            await EventuallyAsync(
                () => Task.FromResult(first.Log.Contains("waiting for more", StringComparison.Ordinal)), () => first.Log);
            first.Kill();
        }

        using PerfProcess again = LaunchWith(directory, "again", port, token2);
        Assert.Equal(1, again.WaitForExit());
        Assert.Contains("discovery: found duplicate id", again.Log, StringComparison.Ordinal);
    }

    /// <summary>A service that is not there yet is waited for.</summary>
    [Fact]
    public async Task DSC_04_A_member_waits_for_its_service()
    {
        using var directory = new TempDirectory();
        int port = FreePort.NextPair();
        using PerfProcess member = Launch(directory, "patient", $"http://127.0.0.1:{port}/v2/keys/token");
        await EventuallyAsync(
            () => Task.FromResult(member.Log.Contains("failed to reach the discovery service; will retry", StringComparison.Ordinal)),
            () => member.Log);
        using PerfProcess service = PerfProcess.Start(directory["service"], port, "--enable-v2");
        using var client = new V2Client(service);
        await client.SendAsync("PUT", "/v2/keys/token/_config/size", "value=1");
        member.WaitUntilHealthy();
    }

    [Fact]
    public async Task DS3_01_Three_members_found_a_cluster_by_v3_keys()
    {
        using var directory = new TempDirectory();
        using PerfProcess service = PerfProcess.Start(directory["service"], FreePort.NextPair());
        await using EtcdClient client = await EtcdClient.ConnectAsync(new EtcdClientOptions { Endpoints = [service.Endpoint] });
        using var limit = new CancellationTokenSource(s_patience);
        await client.Kv.PutAsync("/_etcd/registry/t/_config/size", "3", null, limit.Token);
        string[] flags = ["--discovery-token", "t", "--discovery-endpoints", service.Endpoint];
        await FoundWithAsync(directory, _ => flags, async members =>
        {
            await AssertOneClusterAsync(members);
            using PerfProcess late = LaunchWith(directory, "late", FreePort.NextPair(), [.. flags, "--discovery-fallback", "exit"]);
            Assert.Equal(1, late.WaitForExit());
            Assert.Contains("discovery: cluster is full", late.Log, StringComparison.Ordinal);
        });
    }

    [Fact]
    public async Task DNS_01_Three_members_found_a_cluster_by_SRV_records()
    {
        using var directory = new TempDirectory();
        using var names = new NameServer();
        int[] ports = [FreePort.NextPair(), FreePort.NextPair(), FreePort.NextPair()];
        names.Offer(
            "_etcd-server-east._tcp.cluster.test",
            [.. ports.Select(p => new SrvRecord(0, 0, p + 1, "localhost"))]);
        Environment.SetEnvironmentVariable(SrvResolver.ServerVariable, names.Address.ToString());
        try
        {
            string[] flags = ["--discovery-srv", "cluster.test", "--discovery-srv-name", "east", "--initial-cluster-token", "by-dns"];
            await FoundWithAsync(
                directory,
                i => [.. flags, "--initial-advertise-peer-urls", $"http://localhost:{ports[i] + 1}"],
                AssertOneClusterAsync,
                ports);
            using PerfProcess stranger = LaunchWith(directory, "stranger", FreePort.NextPair(), flags);
            Assert.Equal(1, stranger.WaitForExit());
            Assert.Contains(
                "cannot find local etcd member \\\"stranger\\\" in SRV records", stranger.Log, StringComparison.Ordinal);
        }
        finally
        {
            Environment.SetEnvironmentVariable(SrvResolver.ServerVariable, null);
        }
    }

    private static Task FoundAsync(TempDirectory directory, string token, Func<PerfProcess[], Task> then) =>
        FoundWithAsync(directory, _ => ["--discovery", token], then);

    private static async Task FoundWithAsync(
        TempDirectory directory, Func<int, string[]> flags, Func<PerfProcess[], Task> then, int[]? ports = null)
    {
        var members = new List<PerfProcess>();
        try
        {
            for (int i = 0; i < 3; i++)
            {
                members.Add(LaunchWith(directory, $"m{i}", ports?[i] ?? FreePort.NextPair(), flags(i)));
            }

            foreach (PerfProcess member in members)
            {
                member.WaitUntilHealthy();
            }

            await then([.. members]);
        }
        finally
        {
            foreach (PerfProcess member in members)
            {
                member.Dispose();
            }
        }
    }

    private static PerfProcess Launch(TempDirectory directory, string name, string token, params string[] flags) =>
        LaunchWith(directory, name, FreePort.NextPair(), ["--discovery", token, "--discovery-fallback", "exit", .. flags]);

    private static PerfProcess LaunchWith(TempDirectory directory, string name, int port, string[] flags) => PerfProcess.Launch(
        directory[name],
        port,
        ["--name", name, "--initial-advertise-peer-urls", $"http://127.0.0.1:{port + 1}", .. flags]);

    private static async Task AssertOneClusterAsync(PerfProcess[] members)
    {
        using var limit = new CancellationTokenSource(s_patience);
        await using EtcdClient client = await EtcdClient.ConnectAsync(
            new EtcdClientOptions { Endpoints = [.. members.Select(m => m.Endpoint)] });
        MembersResponse listed = await client.Cluster.ListAsync(cancellation: limit.Token);
        Assert.Equal(members.Length, listed.Members.Count);
        await EventuallyAsync(
            async () => (await client.Cluster.ListAsync(cancellation: limit.Token)).Members.All(m => m.Name.Length > 0),
            () => members[0].Log);
        await client.Kv.PutAsync("k", "v", null, limit.Token);
        Assert.Equal("v", (await client.Kv.GetAsync("k", null, limit.Token)).Kvs[0].Value.ToString());
    }

    private static async Task EventuallyAsync(Func<Task<bool>> condition, Func<string> describe)
    {
        DateTime end = DateTime.UtcNow + s_patience;
        while (true)
        {
            try
            {
                if (await condition())
                {
                    return;
                }
            }
            catch (HttpRequestException)
            {
                // Not yet.
            }

            Assert.True(DateTime.UtcNow < end, string.Create(CultureInfo.InvariantCulture, $"waited too long: {describe()}"));
            await Task.Delay(20);
        }
    }
}
