using System.Net;
using System.Net.Sockets;
using System.Security.Cryptography.X509Certificates;
using Perf.Node.Security;
using Perf.Tests.Security;
using Xunit;

namespace Perf.Node.Tests.Security;

public sealed class PeerAddressTests
{
    /// <summary>Who comes from 10.0.0.1, called "one.example.", may show a certificate for these.</summary>
    [Theory]
    [InlineData(true)]
    [InlineData(true, "10.0.0.1")]
    [InlineData(true, "10.0.0.2", "10.0.0.1")]
    [InlineData(true, "one.example")]
    [InlineData(true, "*.example")]
    [InlineData(true, "forward.example")]
    [InlineData(true, "10.0.0.2", "one.example")]
    [InlineData(false, "10.0.0.2")]
    [InlineData(false, "::1")]
    [InlineData(false, "other.example")]
    [InlineData(false, "unknown.example")]
    [InlineData(false, "*.elsewhere")]
    [InlineData(false, "example")]
    public async Task Names_are_compared_with_where_the_peer_comes_from(bool fits, params string[] hosts)
    {
        using var ca = new Authority("root");
        using X509Certificate2 certificate = ca.Issue("peer", hosts);
        foreach (string remote in (string[])["10.0.0.1", "::ffff:10.0.0.1"])
        {
            string? refusal = await PeerAddress.CheckAsync(
                certificate, IPAddress.Parse(remote), ReverseAsync, ForwardAsync, CancellationToken.None);
            Assert.Equal(fits, refusal is null);
        }
    }

    private static Task<string[]> ReverseAsync(IPAddress address, CancellationToken cancel) =>
        Task.FromResult<string[]>(["one.example."]);

    private static Task<IPAddress[]> ForwardAsync(string name, CancellationToken cancel) => name switch
    {
        "forward.example" => Task.FromResult<IPAddress[]>([IPAddress.Parse("10.0.0.9"), IPAddress.Parse("10.0.0.1")]),
        "unknown.example" => Task.FromException<IPAddress[]>(new SocketException((int)SocketError.HostNotFound)),
        _ => Task.FromResult<IPAddress[]>([IPAddress.Parse("10.0.0.9")]),
    };
}
