using System.Net;
using System.Net.Sockets;
using System.Text;
using Perf.Client;
using Perf.Client.Tests;
using Perf.Cluster.Tests.Harness;
using Perf.Proxy.Gateway;
using Perf.Seeds.Tests.Harness;
using Xunit;

namespace Perf.Seeds.Tests.Proxy;

/// <summary>`etcd gateway start` (SURFACE SUB-01, SUB-05).</summary>
public sealed class GatewayTests
{
    private static readonly TimeSpan s_patience = TimeSpan.FromSeconds(60);

    [Fact]
    public async Task SUB_01_Connections_go_to_the_endpoints_in_turn_and_never_to_a_dead_one()
    {
        await using var one = new Echo("one");
        await using var other = new Echo("other");
        int dead = FreePort.NextPair();
        await using TcpGateway gateway = Start(
            TimeSpan.FromMinutes(5), Record(one.Port), Record(dead), Record(other.Port));
        var seen = new List<string>();
        for (int i = 0; i < 9; i++)
        {
            seen.Add(await AskAsync(gateway));
        }

        // By the third everybody has had a turn; from then on the living ones alternate.
        string[] living = [.. seen.Skip(3)];
        Assert.Equal(3, living.Count(name => name == "one"));
        Assert.Equal(3, living.Count(name => name == "other"));
        Assert.DoesNotContain("", seen);
    }

    [Fact]
    public async Task SUB_01_An_endpoint_that_comes_back_is_used_again_after_the_retry_delay()
    {
        int port = FreePort.NextPair();
        await using TcpGateway gateway = Start(TimeSpan.FromMilliseconds(50), Record(port));
        using (var early = new TcpClient())
        {
            await early.ConnectAsync(gateway.Address);
            Assert.Equal(0, await early.GetStream().ReadAsync(new byte[1]).AsTask().WaitAsync(s_patience));
        }

        await using var late = new Echo("late", port);
        DateTime end = DateTime.UtcNow + s_patience;
        string answer = "";
        while (answer != "late" && DateTime.UtcNow < end)
        {
            answer = await AskAsync(gateway);
        }

        Assert.Equal("late", answer);
    }

    [Fact]
    public async Task SUB_01_The_best_priority_is_used_while_it_lives_and_weights_decide_within_it()
    {
        await using var heavy = new Echo("heavy");
        await using var light = new Echo("light");
        await using var second = new Echo("second");
        await using TcpGateway gateway = Start(
            TimeSpan.FromMinutes(5),
            new SrvRecord(1, 90, heavy.Port, "127.0.0.1"),
            new SrvRecord(1, 10, light.Port, "127.0.0.1"),
            new SrvRecord(2, 50, second.Port, "127.0.0.1"));
        var counts = new Dictionary<string, int> { ["heavy"] = 0, ["light"] = 0 };
        for (int i = 0; i < 100; i++)
        {
            counts[await AskAsync(gateway)]++;
        }

        Assert.True(counts["heavy"] > counts["light"], $"{counts["heavy"]} {counts["light"]}");
        await heavy.DisposeAsync();
        await light.DisposeAsync();
        Assert.Equal("second", await AskAsync(gateway));
    }

    /// <summary>The program itself, between etcdctl-like clients and a server, found by SRV records.</summary>
    [Fact]
    public async Task SUB_01_The_program_forwards_to_a_member_found_by_DNS()
    {
        using var directory = new TempDirectory();
        using PerfProcess server = PerfProcess.Start(directory["data"], FreePort.NextPair());
        using var names = new NameServer();
        names.Offer("_etcd-client._tcp.gateway.test", new SrvRecord(0, 0, server.Port, "localhost"));
        int port = FreePort.NextPair();
        using Command gateway = Command.Etcd(
            ["gateway", "start", "--listen-addr", $"127.0.0.1:{port}", "--discovery-srv", "gateway.test", "--insecure-discovery"],
            new Dictionary<string, string> { [SrvResolver.ServerVariable] = names.Address.ToString() });
        await gateway.WaitForPortAsync(port);
        await using EtcdClient client = await EtcdClient.ConnectAsync(
            new EtcdClientOptions { Endpoints = [$"127.0.0.1:{port}"] });
        using var limit = new CancellationTokenSource(s_patience);
        await client.Kv.PutAsync("k", "v", null, limit.Token);
        Assert.Equal("v", (await client.Kv.GetAsync("k", null, limit.Token)).Kvs[0].Value.ToString());
    }

    [Fact]
    public void SUB_01_It_refuses_to_forward_to_itself_and_what_it_cannot_read()
    {
        int port = FreePort.NextPair();
        (string[] Arguments, string Text)[] cases =
        [
            (["gateway", "start", "--listen-addr", $"127.0.0.1:{port}", "--endpoints", $"127.0.0.1:{port}"], "should not resolve to the gateway"),
            (["gateway", "start", "--endpoints", "nonsense"], "error parsing endpoint \"nonsense\""),
            (["gateway", "start", "--bogus"], "unknown flag: --bogus"),
            (["gateway", "start", "--retry-delay", "soon"], "invalid argument \"soon\" for \"--retry-delay\" flag"),
            (["grpc-proxy", "start", "--resolver-prefix", "p"], "invalid resolver-ttl 0"),
        ];
        foreach ((string[] arguments, string text) in cases)
        {
            using Command command = Command.Etcd(arguments);
            Assert.Equal(1, command.WaitForExit());
            Assert.Contains(text, command.Output, StringComparison.Ordinal);
        }
    }

    [Fact]
    public void SUB_05_Without_start_they_print_help()
    {
        foreach (string name in (string[])["gateway", "grpc-proxy"])
        {
            using Command command = Command.Etcd([name]);
            Assert.Equal(0, command.WaitForExit());
            Assert.Contains($"etcd {name} [command]", command.Output, StringComparison.Ordinal);
        }
    }

    private static SrvRecord Record(int port) => new(0, 0, port, "127.0.0.1");

    private static TcpGateway Start(TimeSpan retryDelay, params SrvRecord[] endpoints)
    {
        var gateway = new TcpGateway(
            new GatewayOptions
            {
                Listen = new IPEndPoint(IPAddress.Loopback, 0),
                Endpoints = endpoints,
                RetryDelay = retryDelay,
            },
            (_, _, _) => { });
        gateway.Start();
        return gateway;
    }

    /// <summary>Who answers; empty when nobody does.</summary>
    private static async Task<string> AskAsync(TcpGateway gateway)
    {
        using var client = new TcpClient();
        await client.ConnectAsync(gateway.Address);
        NetworkStream stream = client.GetStream();
        byte[] buffer = new byte[64];
        try
        {
            int read = await stream.ReadAsync(buffer).AsTask().WaitAsync(s_patience);
            return Encoding.ASCII.GetString(buffer, 0, read);
        }
        catch (IOException)
        {
            return "";
        }
    }

    /// <summary>Says its name to everybody.</summary>
    private sealed class Echo : IAsyncDisposable
    {
        private readonly TcpListener _listener;
        private readonly Task _running;

        public Echo(string name, int port = 0)
        {
            _listener = new TcpListener(IPAddress.Loopback, port);
            _listener.Start();
            _running = RunAsync(name);
        }

        public int Port => ((IPEndPoint)_listener.LocalEndpoint).Port;

        public async ValueTask DisposeAsync()
        {
            _listener.Dispose();
            await _running.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }

        private async Task RunAsync(string name)
        {
            while (true)
            {
                using TcpClient client = await _listener.AcceptTcpClientAsync();
                await client.GetStream().WriteAsync(Encoding.ASCII.GetBytes(name));
            }
        }
    }
}
