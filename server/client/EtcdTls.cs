using System.Security.Cryptography.X509Certificates;
using Perf.Grpc;

namespace Perf.Client;

/// <summary>How the client proves who it is and which servers it trusts.</summary>
public sealed record EtcdTls
{
    /// <summary>Roots that may have signed the servers' certificates; null for the system's.</summary>
    public X509Certificate2Collection? TrustedRoots { get; init; }

    /// <summary>Asked at each handshake for the client's certificate with its key, so that a renewed one is used.</summary>
    public Func<X509Certificate2?>? ClientCertificate { get; init; }

    /// <summary>The name the servers' certificates must carry; null for the host of the endpoint.</summary>
    public string? ServerName { get; init; }

    /// <summary>True accepts any certificate. For tests only.</summary>
    public bool SkipVerify { get; init; }

    /// <summary>
    /// Reads PEM files the way etcdctl's --cacert, --cert and --key name them; empty paths are skipped. The files are
    /// checked now; certificate and key are read again at each handshake.
    /// </summary>
    public static EtcdTls FromFiles(string caFile, string certFile, string keyFile)
    {
        X509Certificate2Collection? roots = null;
        if (caFile.Length > 0)
        {
            roots = [];
            roots.ImportFromPemFile(caFile);
            if (roots.Count == 0)
            {
                throw new InvalidDataException($"{caFile}: no certificate in it");
            }
        }

        if (certFile.Length == 0)
        {
            return new EtcdTls { TrustedRoots = roots };
        }

        X509Certificate2.CreateFromPemFile(certFile, keyFile).Dispose();
        return new EtcdTls
        {
            TrustedRoots = roots,
            ClientCertificate = () => X509Certificate2.CreateFromPemFile(certFile, keyFile),
        };
    }

    internal ClientTlsOptions ToOptions() => new()
    {
        TrustedRoots = TrustedRoots,
        ClientCertificate = ClientCertificate,
        ServerName = ServerName,
        SkipVerify = SkipVerify,
    };
}
