using Perf.Grpc;
using Perf.Node.Cluster;
using Perf.Node.Security;

namespace Perf.Rpc;

/// <summary>The member's TLS towards clients, as the transport wants it.</summary>
public static class ListenTls
{
    public static bool IsSecure(Uri url) => url.Scheme is "https" or "unixs";

    /// <summary>Null for addresses without TLS. Throws <see cref="StartRefusedException"/> where there is no certificate.</summary>
    public static TlsOptions? For(Uri url, TlsSide side)
    {
        if (!IsSecure(url))
        {
            return null;
        }

        if (!side.HasCertificate)
        {
            throw new StartRefusedException(
                $"cannot listen on TLS for {url.Authority}: KeyFile and CertFile are not presented");
        }

        return new TlsOptions
        {
            Certificate = _ => side.Certificate,
            ClientCertificateRequired = side.RequiresCertificate,
            ClientRoots = () => side.Authorities,
            ClientCertificateCheck = side.RequiresCertificate
                ? c => side.Accepts(c.Certificate, c.Chain, c.Errors, c.Remote)
                : null,
            Protocols = side.Protocols,
            CipherSuites = side.CipherSuites,
        };
    }
}
