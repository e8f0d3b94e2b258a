using System.Diagnostics;
using System.Net;
using System.Text.Json.Nodes;
using Perf.Client;
using Perf.Client.Concurrency;
using Perf.Cluster.Tests.Harness;
using Perf.Proxy.Grpc;
using Perf.Seeds.Tests.Harness;
using Xunit;
using Mutex = Perf.Client.Concurrency.Mutex;

namespace Perf.Seeds.Tests.Proxy;

/// <summary>`etcd grpc-proxy start` (SURFACE SUB-02 to SUB-05), in this process in front of a server of its own.</summary>
public sealed class GrpcProxyTests
{
    private static readonly TimeSpan s_patience = TimeSpan.FromSeconds(60);

    [Fact]
    public async Task SUB_02_Watchers_of_one_range_share_a_watch_and_each_sees_everything_from_where_it_began()
    {
        using var limit = new CancellationTokenSource(s_patience);
        await using var front = await Front.StartAsync();
        for (int i = 1; i <= 5; i++)
        {
            await front.Client.Kv.PutAsync("k", $"v{i}", null, limit.Token);
        }

        // Revision 2 is v1. Some begin now, some in the past: the latter have watches of their own until they have caught up.
        var watchers = new List<(Watching Watch, int First)>();
        for (int i = 0; i < 20; i++)
        {
            int first = i % 4 == 0 ? 3 : 6;
            watchers.Add((
                front.Client.Watches.Start("k", new WatchOptions { StartRevision = first == 6 ? 0 : first + 1 }), first));
        }

        foreach ((Watching watch, int first) in watchers.Where(w => w.First == 3))
        {
            Assert.Equal(["v3", "v4", "v5"], await ReadAsync(watch, 3, limit.Token));
        }

        await Eventually.IsTrueAsync(() => front.Proxy.Watches.Count == 1 && front.Proxy.Figures.WatchersCoalesced == 19);
        await front.Client.Kv.PutAsync("k", "v6", null, limit.Token);
        await front.Client.Kv.DeleteAsync("k", null, limit.Token);
        foreach ((Watching watch, _) in watchers)
        {
            Assert.Equal(["v6", ""], await ReadAsync(watch, 2, limit.Token));
            await watch.DisposeAsync();
        }

        await Eventually.IsTrueAsync(() => front.Proxy.Watches.Count == 0);
        Assert.Equal(0, front.Proxy.Figures.WatchersCoalesced);
    }

    [Fact]
    public async Task SUB_02_A_shared_watch_gives_each_what_it_asked_for()
    {
        using var limit = new CancellationTokenSource(s_patience);
        await using var front = await Front.StartAsync();
        await front.Client.Kv.PutAsync("k", "old", null, limit.Token);
        await using Watching plain = front.Client.Watches.Start("k", new WatchOptions { StartRevision = 3 });
        await using Watching previous = front.Client.Watches.Start("k", new WatchOptions { StartRevision = 3, PrevKv = true });
        await using Watching deletes = front.Client.Watches.Start("k", new WatchOptions { StartRevision = 3, NoPut = true });
        await front.Client.Kv.PutAsync("k", "new", null, limit.Token);
        await front.Client.Kv.DeleteAsync("k", null, limit.Token);

        Assert.Null((await plain.Responses.ReadAsync(limit.Token)).Events[0].PrevKv);
        Assert.Equal("old", (await previous.Responses.ReadAsync(limit.Token)).Events[0].PrevKv!.Value.ToString());
        Assert.Equal(WatchEventType.Delete, (await deletes.Responses.ReadAsync(limit.Token)).Events[0].Type);

        await front.Client.Kv.CompactAsync(4, cancellation: limit.Token);
        CompactedException compacted = await Assert.ThrowsAsync<CompactedException>(async () =>
        {
            await foreach (WatchResponse _ in front.Client.Watches.WatchAsync(
                "k", new WatchOptions { StartRevision = 1 }, limit.Token))
            {
            }
        });
        Assert.Contains("compacted", compacted.Message, StringComparison.Ordinal);
    }

    /// <summary>The member goes and comes back: the shared watch goes on behind the last event.</summary>
    [Fact]
    public async Task SUB_02_A_shared_watch_survives_its_member()
    {
        using var limit = new CancellationTokenSource(s_patience);
        using var directory = new TempDirectory();
        int port = FreePort.NextPair();
        PerfProcess server = PerfProcess.Start(directory["data"], port);
        await using var front = await Front.StartAsync(server);
        await using Watching watch = front.Client.Watches.Start("k", new WatchOptions { StartRevision = 2 });
        await front.Client.Kv.PutAsync("k", "1", null, limit.Token);
        Assert.Equal(["1"], await ReadAsync(watch, 1, limit.Token));
        server.Kill();
        server.Dispose();
        using PerfProcess again = PerfProcess.Start(directory["data"], port);
        await using EtcdClient direct = await EtcdClient.ConnectAsync(new EtcdClientOptions { Endpoints = [again.Endpoint] });
        await direct.Kv.PutAsync("k", "2", null, limit.Token);
        Assert.Equal(["2"], await ReadAsync(watch, 1, limit.Token));
    }

    [Fact]
    public async Task SUB_02_Serializable_reads_come_from_the_cache_until_a_write_passes_by()
    {
        using var limit = new CancellationTokenSource(s_patience);
        await using var front = await Front.StartAsync();
        var local = new GetOptions { Serializable = true };
        await front.Client.Kv.PutAsync("k", "1", null, limit.Token);
        Assert.Equal("1", (await front.Client.Kv.GetAsync("k", null, limit.Token)).Kvs[0].Value.ToString());
        Assert.Equal("1", (await front.Client.Kv.GetAsync("k", local, limit.Token)).Kvs[0].Value.ToString());
        Assert.Equal(1, front.Proxy.Figures.CacheHits);
        await front.Client.Kv.PutAsync("k", "2", null, limit.Token);
        Assert.Equal("2", (await front.Client.Kv.GetAsync("k", local, limit.Token)).Kvs[0].Value.ToString());
        Assert.Equal("2", (await front.Client.Kv.GetAsync("k", local, limit.Token)).Kvs[0].Value.ToString());
        Assert.Equal(2, front.Proxy.Figures.CacheHits);
        await front.Client.Kv.DeleteAsync("a", new DeleteOptions { RangeEnd = "z" }, limit.Token);
        Assert.Empty((await front.Client.Kv.GetAsync("k", local, limit.Token)).Kvs);
    }

    [Fact]
    public async Task SUB_03_A_namespace_holds_its_clients_keys_watches_and_leases()
    {
        using var limit = new CancellationTokenSource(s_patience);
        await using var front = await Front.StartAsync(configure: o => o with { Namespace = "app/" });
        await front.Direct.Kv.PutAsync("outside", "x", null, limit.Token);
        await using Watching all = front.Client.Watches.Start(Bytes.Zero, new WatchOptions { RangeEnd = Bytes.Zero, StartRevision = 2 });
        LeaseGrantResponse lease = await front.Client.Leases.GrantAsync(60, 0, limit.Token);
        await front.Client.Kv.PutAsync("k", "1", new PutOptions { Lease = lease.Id }, limit.Token);
        await front.Direct.Kv.PutAsync("outside", "y", null, limit.Token);
        await front.Client.Kv.PutAsync("l", "2", null, limit.Token);

        GetResponse inside = await front.Client.Kv.GetAsync(Bytes.Zero, new GetOptions { RangeEnd = Bytes.Zero }, limit.Token);
        Assert.Equal(["k", "l"], inside.Kvs.Select(kv => kv.Key.ToString()));
        Assert.Equal("1", (await front.Direct.Kv.GetAsync("app/k", null, limit.Token)).Kvs[0].Value.ToString());
        Assert.Equal(["1", "2"], await ReadAsync(all, 2, limit.Token));
        LeaseTimeToLiveResponse told = await front.Client.Leases.TimeToLiveAsync(lease.Id, true, limit.Token);
        Assert.Equal(["k"], told.Keys.Select(k => k.ToString()));
        Assert.True((await front.Client.Kv.Txn()
            .If(Compare.Value("k", CompareResult.Equal, "1"))
            .Then(Op.Put("k", "3"), Op.Delete("l"))
            .CommitAsync(limit.Token)).Succeeded);
        Assert.Equal("3", (await front.Direct.Kv.GetAsync("app/k", null, limit.Token)).Kvs[0].Value.ToString());
    }

    [Fact]
    public async Task SUB_02_Leases_locks_and_elections_work_through_it()
    {
        using var limit = new CancellationTokenSource(s_patience);
        await using var front = await Front.StartAsync();
        await using Session one = await Session.OpenAsync(front.Client, 5, limit.Token);
        await using Session other = await Session.OpenAsync(front.Client, 5, limit.Token);
        var held = new Mutex(one, "lock");
        var next = new Mutex(other, "lock");
        await held.LockAsync(limit.Token);
        Assert.False(await next.TryLockAsync(limit.Token));
        Task waiting = next.LockAsync(limit.Token);
        Assert.False(waiting.IsCompleted);
        long first = held.FencingRevision;
        await held.UnlockAsync(limit.Token);
        await waiting;
        Assert.True(next.FencingRevision > first);
        await next.UnlockAsync(limit.Token);

        // Kept alive for longer than it was granted for.
        await Task.Delay(TimeSpan.FromSeconds(7), limit.Token);
        Assert.False(one.Lost.IsCancellationRequested);
        Assert.True((await front.Client.Leases.TimeToLiveAsync(one.Lease, false, limit.Token)).Ttl > 0);
    }

    [Fact]
    public async Task SUB_03_Proxies_under_a_resolver_prefix_are_the_members_that_clients_see()
    {
        using var limit = new CancellationTokenSource(s_patience);
        using var directory = new TempDirectory();
        using PerfProcess server = PerfProcess.Start(directory["data"], FreePort.NextPair());
        GrpcProxyOptions Registered(GrpcProxyOptions options, string url) => options with
        {
            ResolverPrefix = "/proxies",
            ResolverTtlSeconds = 5,
            AdvertiseClientUrl = url,
        };
        await using var one = await Front.StartAsync(server, o => Registered(o, "10.0.0.1:23790"));
        await using (var other = await Front.StartAsync(server, o => Registered(o, "10.0.0.2:23790")))
        {
            await Eventually.IsTrueAsync(async () => (await UrlsAsync(one)).SequenceEqual(["10.0.0.1:23790", "10.0.0.2:23790"]));
        }

        await Eventually.IsTrueAsync(async () => (await UrlsAsync(one)).SequenceEqual(["10.0.0.1:23790"]));
        await using var alone = await Front.StartAsync(server, o => o with { AdvertiseClientUrl = "here:1" });
        Assert.Equal(["here:1"], await UrlsAsync(alone));
        await using var plain = await Front.StartAsync(server);
        Assert.Equal([server.Url], await UrlsAsync(plain));

        async Task<string[]> UrlsAsync(Front front) =>
        [
            .. (await front.Client.Cluster.ListAsync(cancellation: limit.Token)).Members
                .SelectMany(m => m.ClientUrls).Order(StringComparer.Ordinal),
        ];
    }

    [Fact]
    public async Task SUB_04_Health_and_metrics_of_the_cluster_and_of_itself()
    {
        using var directory = new TempDirectory();
        using PerfProcess server = PerfProcess.Start(directory["data"], FreePort.NextPair());
        await using var front = await Front.StartAsync(server, o => o with { AdvertiseClientUrl = "here:1" });
        using var http = new HttpClient { BaseAddress = front.Url, Timeout = s_patience };
        foreach (string path in (string[])["/health", "/proxy/health"])
        {
            Assert.Equal("true", (string?)JsonNode.Parse(await http.GetStringAsync(path))!["health"]);
            using HttpResponseMessage posted = await http.PostAsync(path, null);
            Assert.Equal(HttpStatusCode.MethodNotAllowed, posted.StatusCode);
        }

        Assert.Contains("etcd_server_has_leader 1", await http.GetStringAsync("/metrics"), StringComparison.Ordinal);
        Assert.Contains("etcd_grpc_proxy_cache_hits_total 0", await http.GetStringAsync("/proxy/metrics"), StringComparison.Ordinal);
        server.Kill();
        using HttpResponseMessage ill = await http.GetAsync("/health");
        Assert.Equal(HttpStatusCode.ServiceUnavailable, ill.StatusCode);
    }

    /// <summary>Users are the clients', not the proxy's: each call goes on with its own token.</summary>
    [Fact]
    public async Task SUB_02_Tokens_pass_through_and_permissions_hold_for_watches_and_the_cache()
    {
        using var limit = new CancellationTokenSource(s_patience);
        await using var front = await Front.StartAsync();
        Auth auth = front.Direct.Auth;
        await auth.UserAddAsync("root", "pw", cancellation: limit.Token);
        await auth.UserGrantRoleAsync("root", "root", limit.Token);
        await auth.UserAddAsync("guest", "pw", cancellation: limit.Token);
        await auth.EnableAsync(limit.Token);
        await using EtcdClient root = await front.ConnectAsync("root");
        await using EtcdClient guest = await front.ConnectAsync("guest");
        await root.Kv.PutAsync("secret", "1", null, limit.Token);
        Assert.Single((await root.Kv.GetAsync("secret", null, limit.Token)).Kvs);
        EtcdException refused = await Assert.ThrowsAsync<EtcdException>(
            () => guest.Kv.GetAsync("secret", new GetOptions { Serializable = true }, limit.Token));
        Assert.Equal(RpcCode.PermissionDenied, refused.Code);
        EtcdException blind = await Assert.ThrowsAsync<EtcdException>(async () =>
        {
            await foreach (WatchResponse _ in guest.Watches.WatchAsync(
                "secret", new WatchOptions { StartRevision = 1 }, limit.Token))
            {
            }
        });
        Assert.Contains("permission denied", blind.Message, StringComparison.Ordinal);
    }

    /// <summary>The seed's walk, typed into Debian's etcdctl, with the program in between.</summary>
    [ProgramFact(ProgramFactAttribute.Etcdctl)]
    public async Task SUB_02_Debians_etcdctl_is_at_home()
    {
        using var directory = new TempDirectory();
        using PerfProcess server = PerfProcess.Start(directory["data"], FreePort.NextPair());
        int port = FreePort.NextPair();
        using Command proxy = Command.Etcd(
            ["grpc-proxy", "start", "--endpoints", server.Endpoint, "--listen-addr", $"127.0.0.1:{port}", "--advertise-client-url", $"127.0.0.1:{port}"]);
        await proxy.WaitForPortAsync(port);
        await proxy.WaitForAsync("started gRPC proxy");
        string Run(string line, string? input = null)
        {
            Outcome outcome = Etcdctl.RunOffline(
                ["--endpoints", $"127.0.0.1:{port}", .. line.Split(' ')], input);
            Assert.True(outcome.Code == 0, $"{line}: {outcome.Error}\n{proxy.Output}");
            return outcome.Output;
        }

        Assert.Equal("OK\n", Run("put foo bar"));
        Assert.Equal("OK\n", Run("put foo1 bar1"));
        Assert.Equal("foo\nbar\nfoo1\nbar1\n", Run("get --prefix foo"));
        Assert.Equal("foo\nbar\n", Run("get --rev=2 foo"));
        Assert.Equal("PUT\nfoo\nbar\nPUT\nfoo1\nbar1\n", await WatchedAsync(2));
        string lease = Run("lease grant 500").Split(' ')[1];
        Assert.Equal("OK\n", Run($"put leased v --lease={lease}"));
        Assert.Contains("attached keys([leased])", Run($"lease timetolive {lease} --keys"), StringComparison.Ordinal);
        Assert.Contains("keepalived with TTL(500)", Run($"lease keep-alive --once {lease}"), StringComparison.Ordinal);
        Assert.Contains("revoked", Run($"lease revoke {lease}"), StringComparison.Ordinal);
        Assert.Equal("SUCCESS\n\nOK\n", Run("txn", "mod(\"foo\") > \"0\"\n\nput foo changed\n\n\n"));
        Assert.Equal("2\n", Run("del --prefix foo"));
        Assert.Contains("compacted revision", Run("compaction 5"), StringComparison.Ordinal);
        Assert.Contains($"127.0.0.1:{port}", Run("member list"), StringComparison.Ordinal);
        Assert.Contains("in-lock", Run("lock name echo in-lock"), StringComparison.Ordinal);
        Assert.StartsWith($"127.0.0.1:{port}, ", Run("endpoint status"), StringComparison.Ordinal);
        string file = directory["snapshot"];
        Run($"snapshot save {file}");
        Assert.True(new FileInfo(file).Length > 0);

        async Task<string> WatchedAsync(int events)
        {
            var start = new ProcessStartInfo(Etcdctl.Program) { RedirectStandardOutput = true };
            foreach (string argument in (string[])["--endpoints", $"127.0.0.1:{port}", "watch", "--prefix", "foo", "--rev=2"])
            {
                start.ArgumentList.Add(argument);
            }

            using Process process = Process.Start(start)!;
            string text = "";
            for (int i = 0; i < events * 3; i++)
            {
                text += await process.StandardOutput.ReadLineAsync().WaitAsync(s_patience) + "\n";
            }

            process.Kill();
            return text;
        }
    }

    /// <summary>TLS with certificates on both sides; a certificate with a name towards the cluster is refused.</summary>
    [Fact]
    public async Task SUB_05_TLS_on_both_sides()
    {
        using var limit = new CancellationTokenSource(s_patience);
        using var directory = new TempDirectory();
        Certificates.Write(directory.Path);
        string ca = directory["ca.pem"];
        int port = FreePort.NextPair();
        string url = $"https://127.0.0.1:{port}";
        using PerfProcess server = PerfProcess.Launch(
            directory["data"],
            port,
            "--listen-client-urls", url, "--advertise-client-urls", url, "--listen-metrics-urls", $"http://127.0.0.1:{FreePort.NextPair()}",
            "--cert-file", directory["named.pem"], "--key-file", directory["named-key.pem"],
            "--trusted-ca-file", ca, "--client-cert-auth");
        int listen = FreePort.NextPair();
        string[] cluster = ["grpc-proxy", "start", "--endpoints", url, "--listen-addr", $"127.0.0.1:{listen}", "--cacert", ca];
        using (Command named = Command.Etcd([.. cluster, "--cert", directory["named.pem"], "--key", directory["named-key.pem"]]))
        {
            Assert.Equal(1, named.WaitForExit());
            Assert.Contains("cert has non empty Common Name", named.Output, StringComparison.Ordinal);
        }

        using Command proxy = Command.Etcd(
        [
            .. cluster,
            "--cert", directory["nameless.pem"], "--key", directory["nameless-key.pem"],
            "--cert-file", directory["named.pem"], "--key-file", directory["named-key.pem"], "--trusted-ca-file", ca,
        ]);
        await proxy.WaitForPortAsync(listen);
        await using EtcdClient client = await EtcdClient.ConnectAsync(new EtcdClientOptions
        {
            Endpoints = [$"https://127.0.0.1:{listen}"],
            Tls = EtcdTls.FromFiles(ca, directory["named.pem"], directory["named-key.pem"]),
        });
        await client.Kv.PutAsync("k", "v", null, limit.Token);
        Assert.Equal("v", (await client.Kv.GetAsync("k", null, limit.Token)).Kvs[0].Value.ToString());
    }

    /// <summary>Values of so many events; a delete's is empty.</summary>
    private static async Task<List<string>> ReadAsync(Watching watch, int events, CancellationToken cancelled)
    {
        var values = new List<string>();
        while (values.Count < events)
        {
            WatchResponse answer = await watch.Responses.ReadAsync(cancelled);
            values.AddRange(answer.Events.Select(e => e.Kv.Value.ToString()));
        }

        return values;
    }

    /// <summary>A proxy in this process, a client through it, and one beside it.</summary>
    private sealed class Front : IAsyncDisposable
    {
        private readonly TempDirectory? _directory;
        private readonly PerfProcess? _own;

        private Front(TempDirectory? directory, PerfProcess? own, GrpcProxyServer proxy, EtcdClient client, EtcdClient direct)
        {
            _directory = directory;
            _own = own;
            Proxy = proxy;
            Client = client;
            Direct = direct;
        }

        public GrpcProxyServer Proxy { get; }

        public EtcdClient Client { get; }

        public EtcdClient Direct { get; }

        public Uri Url => new($"http://{Proxy.Address}");

        public static async Task<Front> StartAsync(
            PerfProcess? server = null, Func<GrpcProxyOptions, GrpcProxyOptions>? configure = null)
        {
            TempDirectory? directory = server is null ? new TempDirectory() : null;
            PerfProcess? own = server is null ? PerfProcess.Start(directory!["data"], FreePort.NextPair()) : null;
            string endpoint = (server ?? own)!.Endpoint;
            var options = new GrpcProxyOptions
            {
                Listen = "127.0.0.1:0",
                Cluster = new EtcdClientOptions { Endpoints = [endpoint] },
            };
            var proxy = new GrpcProxyServer(configure?.Invoke(options) ?? options, (_, _, _) => { });
            await proxy.StartAsync();
            return new Front(
                directory,
                own,
                proxy,
                await EtcdClient.ConnectAsync(new EtcdClientOptions { Endpoints = [$"{proxy.Address}"] }),
                await EtcdClient.ConnectAsync(new EtcdClientOptions { Endpoints = [endpoint] }));
        }

        public Task<EtcdClient> ConnectAsync(string user) => EtcdClient.ConnectAsync(new EtcdClientOptions
        {
            Endpoints = [$"{Proxy.Address}"],
            Username = user,
            Password = "pw",
            DialTimeout = s_patience,
        });

        public async ValueTask DisposeAsync()
        {
            await Client.DisposeAsync();
            await Direct.DisposeAsync();
            await Proxy.DisposeAsync();
            _own?.Dispose();
            _directory?.Dispose();
        }
    }
}
