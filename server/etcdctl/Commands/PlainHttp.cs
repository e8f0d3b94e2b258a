using System.Net.Security;
using System.Security.Cryptography.X509Certificates;
using Perf.Client;

namespace Perf.Etcdctl.Commands;

/// <summary>HTTP/1.1 to servers, with the same trust as gRPC: for the v2 API and for metrics.</summary>
internal static class PlainHttp
{
    public static HttpClient Client(EtcdTls? tls, TimeSpan timeout)
    {
        var handler = new SocketsHttpHandler { UseProxy = false, AllowAutoRedirect = true, UseCookies = false };
        if (tls is not null)
        {
            handler.SslOptions = SslOptions(tls);
        }

        return new HttpClient(handler) { Timeout = timeout };
    }

    private static SslClientAuthenticationOptions SslOptions(EtcdTls tls)
    {
        var ssl = new SslClientAuthenticationOptions
        {
            CertificateRevocationCheckMode = X509RevocationMode.NoCheck,
            TargetHost = tls.ServerName,
        };
        if (tls.TrustedRoots is not null)
        {
            ssl.CertificateChainPolicy = new X509ChainPolicy
            {
                TrustMode = X509ChainTrustMode.CustomRootTrust,
                RevocationMode = X509RevocationMode.NoCheck,
                DisableCertificateDownloads = true,
            };
            ssl.CertificateChainPolicy.CustomTrustStore.AddRange(tls.TrustedRoots);
        }

        if (tls.SkipVerify)
        {
            ssl.RemoteCertificateValidationCallback = (_, _, _, _) => true;
        }

        if (tls.ClientCertificate is { } certificate)
        {
            ssl.LocalCertificateSelectionCallback = (_, _, _, _, _) => certificate()!;
        }

        return ssl;
    }
}
