using System.Net;
using Perf.Client;
using Perf.Proxy.Grpc;
using Xunit;

namespace Perf.Rpc.Tests;

/// <summary>A member with a gRPC proxy before it, which is where the channel goes.</summary>
public sealed class ProxiedServer : RpcServer
{
    private GrpcProxyServer? _proxy;

    /// <summary>The proxy's address.</summary>
    public Uri ProxyUrl { get; private set; } = null!;

    public override async Task StopAsync()
    {
        await base.StopAsync();
        if (_proxy is not null)
        {
            await _proxy.DisposeAsync();
            _proxy = null;
        }
    }

    protected override async Task<Uri> FrontAsync(Uri member)
    {
        _proxy = new GrpcProxyServer(
            new GrpcProxyOptions
            {
                Listen = "127.0.0.1:0",
                Cluster = new EtcdClientOptions { Endpoints = [member.OriginalString] },
            },
            (_, _, _) => { });
        await _proxy.StartAsync();
        return ProxyUrl = new Uri($"http://{(IPEndPoint)_proxy.Address}");
    }
}

/// <summary>The proxy stands for a whole member.</summary>
public sealed class ProxyServicesTests(ProxiedServer server) : IClassFixture<ProxiedServer>
{
    [Fact]
    public async Task SUB02_EveryMethodOfAMemberIsServed()
    {
        using var http = new HttpClient();
        string own = await server.Http.GetStringAsync("/metrics");
        string proxied = await http.GetStringAsync(new Uri(server.ProxyUrl, "/proxy/metrics"));

        // Reflection tells of a member's messages; who wants it asks a member.
        Assert.Equal(
            Methods(own).Where(path => !path.Contains("reflection", StringComparison.Ordinal)), Methods(proxied));
    }

    private static IEnumerable<string> Methods(string page) => page.Split('\n')
        .Where(line => line.StartsWith("grpc_server_started_total{", StringComparison.Ordinal))
        .Select(line => line.Split('"'))
        .Select(parts => $"/{parts[3]}/{parts[1]}")
        .Order(StringComparer.Ordinal);
}

/// <summary>What holds of the services holds of them behind the proxy (SURFACE SUB-02).</summary>
public sealed class KvThroughProxyTests(ProxiedServer server) : KvTests(server), IClassFixture<ProxiedServer>;

/// <inheritdoc cref="KvThroughProxyTests"/>
public sealed class ConcurrencyThroughProxyTests(ProxiedServer server) : ConcurrencyTests(server), IClassFixture<ProxiedServer>;
