using System.Net;
using Xunit;

namespace Perf.Client.Tests;

public sealed class SrvResolverTests
{
    private static readonly SrvRecord First = new(1, 10, 2379, "a.example.com");
    private static readonly SrvRecord Second = new(2, 0, 22379, "b.example.com");

    [Fact]
    public async Task Records_come_by_priority()
    {
        using var server = new NameServer();
        server.Offer("_etcd-client._tcp.example.com", Second, First);
        IReadOnlyList<SrvRecord> found = await new SrvResolver(server.Address).LookupAsync("etcd-client", "example.com");
        Assert.Equal([First, Second], found);
    }

    [Fact]
    public async Task Endpoints_have_the_scheme_of_the_service_that_named_them()
    {
        using var server = new NameServer();
        var resolver = new SrvResolver(server.Address);
        server.Offer("_etcd-client-x._tcp.example.com", First);
        Assert.Equal(["http://a.example.com:2379"], await resolver.ClientEndpointsAsync("example.com", "x"));
        server.Offer("_etcd-client-ssl-x._tcp.example.com", Second);
        Assert.Equal(
            ["https://b.example.com:22379", "http://a.example.com:2379"],
            await resolver.ClientEndpointsAsync("example.com.", "x"));
    }

    [Fact]
    public async Task An_answer_too_large_for_a_datagram_is_asked_for_by_tcp()
    {
        using var server = new NameServer { Truncates = true };
        SrvRecord[] many = [.. Enumerable.Range(1, 200).Select(i => new SrvRecord(0, i, i, $"host-{i}.example.com"))];
        server.Offer("_etcd-server._tcp.example.com", many);
        IReadOnlyList<SrvRecord> found = await new SrvResolver(server.Address).LookupAsync("etcd-server", "example.com");
        Assert.Equal(many, found.OrderBy(r => r.Port));
        Assert.Equal(1, server.StreamsSeen);
    }

    [Fact]
    public async Task A_lost_datagram_is_sent_again()
    {
        using var server = new NameServer { Loses = 1 };
        server.Offer("_etcd-client._tcp.example.com", First);
        var resolver = new SrvResolver(server.Address) { AnswerWithin = TimeSpan.FromSeconds(1) };
        Assert.Equal([First], await resolver.LookupAsync("etcd-client", "example.com"));
        Assert.Equal(2, server.DatagramsSeen);
    }

    [Fact]
    public async Task What_does_not_exist_is_said_in_gos_words()
    {
        using var server = new NameServer();
        var resolver = new SrvResolver(server.Address);
        SrvLookupException e = await Assert.ThrowsAsync<SrvLookupException>(
            () => resolver.ClientEndpointsAsync("nowhere.test", ""));
        Assert.Equal(
            $"dns lookup errors: lookup _etcd-client-ssl._tcp.nowhere.test on {server.Address}: no such host "
            + $"and lookup _etcd-client._tcp.nowhere.test on {server.Address}: no such host",
            e.Message);
        server.Code = 2;
        e = await Assert.ThrowsAsync<SrvLookupException>(() => resolver.LookupAsync("etcd-client", "nowhere.test"));
        Assert.EndsWith("server misbehaving", e.Message, StringComparison.Ordinal);
        await Assert.ThrowsAsync<FormatException>(() => resolver.LookupAsync("etcd-client", "a..b"));
        await Assert.ThrowsAsync<FormatException>(() => resolver.LookupAsync("etcd-client", new string('x', 64)));
    }

    [Fact]
    public async Task A_silent_server_is_given_up()
    {
        using var server = new NameServer { Loses = int.MaxValue };
        var resolver = new SrvResolver(server.Address) { AnswerWithin = TimeSpan.FromMilliseconds(100) };
        SrvLookupException e = await Assert.ThrowsAsync<SrvLookupException>(
            () => resolver.LookupAsync("etcd-client", "example.com"));
        Assert.EndsWith("i/o timeout", e.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Bytes_of_any_kind_are_read_or_refused()
    {
        var random = new Random(5);
        byte[] query = DnsMessage.Query(7, "_etcd-client._tcp.example.com");
        for (int i = 0; i < 20_000; i++)
        {
            byte[] bytes = [.. query[..12], .. new byte[random.Next(60)]];
            random.NextBytes(bytes.AsSpan(12));
            bytes[7] = (byte)random.Next(4);
            bytes[2] = 0x81;
            try
            {
                if (DnsMessage.IsAnswerTo(query, bytes))
                {
                    DnsMessage.Read(bytes);
                }

                DnsMessage.Read(bytes);
            }
            catch (FormatException)
            {
                // Refused.
            }
        }
    }

    [Fact]
    public void Records_of_one_priority_are_spread_by_weight()
    {
        SrvRecord[] records = [new(0, 90, 1, "heavy"), new(0, 10, 2, "light"), new(1, 1000, 3, "later")];
        int heavyFirst = 0;
        for (int i = 0; i < 1000; i++)
        {
            IReadOnlyList<SrvRecord> ordered = SrvResolver.Ordered(records);
            Assert.Equal("later", ordered[2].Target);
            heavyFirst += ordered[0].Target == "heavy" ? 1 : 0;
        }

        Assert.InRange(heavyFirst, 700, 980);
    }

    [Fact]
    public void The_servers_of_resolv_conf_are_asked()
    {
        IReadOnlyList<IPEndPoint> servers = SrvResolver.Servers(
            ["# here", "search example.com", "nameserver 10.0.0.2", "nameserver\tfe80::1", "nameserver bogus"]);
        Assert.Equal(["10.0.0.2:53", "[fe80::1]:53"], servers.Select(s => s.ToString()));
        Assert.Equal("127.0.0.1:53", Assert.Single(SrvResolver.Servers([])).ToString());
    }
}
