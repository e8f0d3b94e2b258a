using System.Globalization;
using System.Net;
using System.Security.Authentication;
using System.Security.Cryptography.X509Certificates;
using System.Text.RegularExpressions;
using Perf.Node.Config;
using Perf.Node.Tests.Cluster;
using Perf.Tests.Security;
using Xunit;

namespace Perf.Node.Tests.Security;

/// <summary>Members that talk under TLS, and strangers at their door.</summary>
public sealed class PeerTlsTests
{
    [Fact]
    public async Task Members_agree_under_TLS_and_every_path_is_closed_to_strangers()
    {
        using var ca = new Authority("root");
        using var other = new Authority("other");
        (string certFile, string keyFile) = ca.Save(ca.Issue("member"));
        string crl = ca.Write("crl", ca.Revoke());
        await using TestCluster cluster = await TestCluster.StartAsync(3, config =>
        {
            Secure(config);
            config.PeerTls.CertFile = certFile;
            config.PeerTls.KeyFile = keyFile;
            config.PeerTls.TrustedCaFile = ca.CaFile;
            config.PeerTls.ClientCertAuth = true;
            config.PeerTls.AllowedCommonNames = ["member"];
            config.PeerTls.CrlFile = crl;
        });
        await TestCluster.PutAsync(await cluster.LeaderAsync(), "k", "v");
        await TestCluster.EventuallyAsync(() => cluster.Running.All(n => TestCluster.Has(n, "k")));

        int port = Port(cluster.Ports[cluster.Names[0]]);
        X509Certificate2 revoked = ca.Issue("member");
        ca.Write("crl", ca.Revoke(revoked));
        Assert.True(await AnswersAsync(port, "/version", ca.Issue("member")));
        foreach (string path in (string[])
            ["/version", "/members", "/raft", "/raft/stream/msgapp/1", "/raft/snapshot", "/raft/probing", "/leases", "/members/hashkv"])
        {
            Assert.False(await AnswersAsync(port, path, null));
            Assert.False(await AnswersAsync(port, path, ca.Issue("stranger")));
        }

        Assert.False(await AnswersAsync(port, "/version", other.Issue("member")));
        Assert.False(await AnswersAsync(port, "/version", revoked));
        Assert.False(await AnswersAsync(port, "/version", ca.Issue("member", ["10.1.2.3"])));
    }

    [Fact]
    public async Task Made_certificates_are_enough_for_secrecy()
    {
        await using TestCluster cluster = await TestCluster.StartAsync(2, config =>
        {
            Secure(config);
            config.PeerTls.AutoTls = true;
        });
        await TestCluster.PutAsync(await cluster.LeaderAsync(), "k", "v");
        await TestCluster.EventuallyAsync(() => cluster.Running.All(n => TestCluster.Has(n, "k")));
    }

    private static void Secure(ServerConfig config)
    {
        config.ListenPeerUrls = [.. config.ListenPeerUrls.Select(u => new Uri(Secure(u.OriginalString)))];
        config.AdvertisePeerUrls = [.. config.AdvertisePeerUrls.Select(Secure)];
        config.InitialCluster = Secure(config.InitialCluster);
    }

    /// <summary>https, and ports of our own.</summary>
    private static string Secure(string text) => Regex.Replace(
        text.Replace("http://", "https://", StringComparison.Ordinal),
        ":([0-9]+)",
        m => string.Create(CultureInfo.InvariantCulture, $":{Port(int.Parse(m.Groups[1].Value, CultureInfo.InvariantCulture))}"));

    private static int Port(int port) => port + 400;

    private static async Task<bool> AnswersAsync(int port, string path, X509Certificate2? own)
    {
        using var handler = new SocketsHttpHandler();
        handler.SslOptions.RemoteCertificateValidationCallback = (_, _, _, _) => true;
        if (own is not null)
        {
            handler.SslOptions.ClientCertificateContext =
                System.Net.Security.SslStreamCertificateContext.Create(own, [], offline: true);
        }

        using var client = new HttpClient(handler) { Timeout = TimeSpan.FromSeconds(20) };
        try
        {
            using HttpResponseMessage answer = await client.GetAsync($"https://127.0.0.1:{port}{path}");
            return answer.StatusCode == HttpStatusCode.OK;
        }
        catch (HttpRequestException e) when (e.InnerException is IOException or AuthenticationException)
        {
            return false;
        }
    }
}
