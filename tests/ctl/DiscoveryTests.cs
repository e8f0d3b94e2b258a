using Perf.Client;
using Perf.Client.Tests;
using Xunit;

namespace Perf.Ctl.Tests;

/// <summary>--discovery-srv, --discovery-srv-name and --insecure-discovery against a name server of the test's own.</summary>
public sealed class DiscoveryTests
{
    [InteropFact]
    public async Task Endpoints_are_taken_from_a_domains_records()
    {
        using var etcd = new EtcdProcess(31296);
        using var names = new NameServer();
        var variables = new Dictionary<string, string> { [SrvResolver.ServerVariable] = names.Address.ToString() };
        names.Offer("_etcd-client._tcp.example.com", new SrvRecord(0, 0, etcd.Port, "localhost"));
        names.Offer("_etcd-client-blue._tcp.example.com", new SrvRecord(0, 0, etcd.Port, "localhost"));
        Task<Outcome> Run(string line) => Console.RunAsync(line.Split(' '), environment: variables);

        Assert.Equal("OK\n", (await Run("--discovery-srv example.com put k v")).Output);
        Assert.Equal("k\nv\n", (await Run("-d example.com --discovery-srv-name blue get k")).Output);

        Outcome unknown = await Run("-d elsewhere.test get k");
        Assert.Equal(1, unknown.Code);
        Assert.StartsWith(
            "Error: dns lookup errors: lookup _etcd-client-ssl._tcp.elsewhere.test on 127.0.0.1:",
            unknown.LastError, StringComparison.Ordinal);

        // An insecure endpoint is passed over when that is asked for; then --endpoints counts.
        Outcome insecure = await Run(
            $"-d example.com --insecure-discovery=false --insecure-transport --endpoints {etcd.Endpoint} "
            + "--command-timeout 1s get k");
        Assert.StartsWith(
            "ignoring discovered insecure endpoint \"http://localhost:31296\"\n",
            insecure.Error, StringComparison.Ordinal);
    }
}
