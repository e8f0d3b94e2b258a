using System.Net;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using Xunit;

namespace Perf.Client.Tests;

public sealed class TlsTests
{
    [InteropFact]
    public async Task A_member_that_asks_for_certificates_is_reached_with_them_only()
    {
        string directory = Directory.CreateTempSubdirectory("perf-tls-").FullName;
        try
        {
            WriteCertificates(directory);
            string ca = Path.Combine(directory, "ca.pem");
            string cert = Path.Combine(directory, "cert.pem");
            string key = Path.Combine(directory, "key.pem");
            using var etcd = new EtcdProcess(31280, "https",
            [
                "--cert-file", cert, "--key-file", key, "--trusted-ca-file", ca, "--client-cert-auth",
            ]);
            using var limit = new CancellationTokenSource(TimeSpan.FromSeconds(30));
            EtcdClientOptions good = new()
            {
                Endpoints = [etcd.Endpoint],
                Tls = EtcdTls.FromFiles(ca, cert, key),
            };
            await using EtcdClient client = await EtcdClient.ConnectAsync(good);
            await client.Kv.PutAsync("k", "v", null, limit.Token);
            await using Watching watching = client.Watches.Start("k", new WatchOptions { StartRevision = 2 });
            Assert.Equal("v", (await watching.Responses.ReadAsync(limit.Token)).Events[0].Kv.Value.ToString());

            await RefusedAsync(good with { Tls = EtcdTls.FromFiles(ca, "", "") });
            await RefusedAsync(good with { Tls = EtcdTls.FromFiles("", cert, key) });
            await RefusedAsync(good with { Tls = good.Tls! with { ServerName = "another.name" } });
            await RefusedAsync(good with { Endpoints = ["http://" + etcd.Endpoint] });
        }
        finally
        {
            Directory.Delete(directory, recursive: true);
        }
    }

    private static async Task RefusedAsync(EtcdClientOptions options)
    {
        await using EtcdClient client = await EtcdClient.ConnectAsync(options);
        using var time = new CancellationTokenSource(TimeSpan.FromMilliseconds(600));
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => client.Kv.GetAsync("k", null, time.Token));
    }

    /// <summary>A root, and a certificate signed by it for 127.0.0.1 that serves both sides.</summary>
    private static void WriteCertificates(string directory)
    {
        DateTimeOffset from = DateTimeOffset.UtcNow.AddHours(-1);
        DateTimeOffset until = from.AddDays(2);
        using ECDsa rootKey = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        var rootRequest = new CertificateRequest("CN=perf test root", rootKey, HashAlgorithmName.SHA256);
        rootRequest.CertificateExtensions.Add(new X509BasicConstraintsExtension(true, false, 0, true));
        using X509Certificate2 root = rootRequest.CreateSelfSigned(from, until);
        using ECDsa key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        var request = new CertificateRequest("CN=perf", key, HashAlgorithmName.SHA256);
        var names = new SubjectAlternativeNameBuilder();
        names.AddIpAddress(IPAddress.Loopback);
        request.CertificateExtensions.Add(names.Build());
        request.CertificateExtensions.Add(new X509EnhancedKeyUsageExtension(
            [new Oid("1.3.6.1.5.5.7.3.1"), new Oid("1.3.6.1.5.5.7.3.2")], false));
        using X509Certificate2 certificate = request.Create(root, from, until, [1, 2, 3, 4]);
        File.WriteAllText(Path.Combine(directory, "ca.pem"), root.ExportCertificatePem());
        File.WriteAllText(Path.Combine(directory, "cert.pem"), certificate.ExportCertificatePem());
        File.WriteAllText(Path.Combine(directory, "key.pem"), key.ExportPkcs8PrivateKeyPem());
    }
}
