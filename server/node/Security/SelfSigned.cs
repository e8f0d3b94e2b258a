using System.Net;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using Perf.Node.Logging;

namespace Perf.Node.Security;

/// <summary>The certificates of --auto-tls and --peer-auto-tls: made once, in etcd's files, and used again.</summary>
internal static class SelfSigned
{
    private const UnixFileMode OwnerOnly = UnixFileMode.UserRead | UnixFileMode.UserWrite;
    private const int SerialBytes = 16;
    private const string ServerAuthOid = "1.3.6.1.5.5.7.3.1";
    private const string ClientAuthOid = "1.3.6.1.5.5.7.3.2";

    /// <summary>Gives the paths of certificate and key in <paramref name="directory"/>, after making them if they are not there.</summary>
    public static (string CertFile, string KeyFile) Ensure(
        string directory, IEnumerable<string> hosts, int years, bool isPeer, Log log, TimeProvider clock)
    {
        string certFile = Path.GetFullPath(Path.Combine(directory, "cert.pem"));
        string keyFile = Path.GetFullPath(Path.Combine(directory, "key.pem"));
        if (File.Exists(certFile) && File.Exists(keyFile))
        {
            return (certFile, keyFile);
        }

        DateTimeOffset from = clock.GetUtcNow();
        DateTimeOffset until = from.AddDays(365.0 * years);
        log.Warn("automatically generate certificates", ("certificate-validity-bound-not-after", until));
        using ECDsa key = ECDsa.Create(ECCurve.NamedCurves.nistP521);
        using X509Certificate2 certificate = Make(key, hosts, from, until, isPeer);
        if (OperatingSystem.IsWindows())
        {
            Directory.CreateDirectory(directory);
        }
        else
        {
            Directory.CreateDirectory(directory, OwnerOnly | UnixFileMode.UserExecute);
        }

        // The key last: without it both are made anew.
        File.WriteAllText(certFile, certificate.ExportCertificatePem() + "\n");
        log.Info("created cert file", ("path", certFile));
        File.Delete(keyFile);
        var options = new FileStreamOptions { Mode = FileMode.CreateNew, Access = FileAccess.Write };
        if (!OperatingSystem.IsWindows())
        {
            options.UnixCreateMode = OwnerOnly;
        }

        using (var writer = new StreamWriter(keyFile, options))
        {
            writer.Write(key.ExportECPrivateKeyPem() + "\n");
        }

        log.Info("created key file", ("path", keyFile));
        return (certFile, keyFile);
    }

    private static X509Certificate2 Make(
        ECDsa key, IEnumerable<string> hosts, DateTimeOffset from, DateTimeOffset until, bool isPeer)
    {
        var request = new CertificateRequest("O=etcd", key, HashAlgorithmName.SHA512);
        request.CertificateExtensions.Add(new X509KeyUsageExtension(
            X509KeyUsageFlags.KeyEncipherment | X509KeyUsageFlags.DigitalSignature, critical: true));
        var purposes = new OidCollection { new(ServerAuthOid) };
        if (isPeer)
        {
            purposes.Add(new Oid(ClientAuthOid));
        }

        request.CertificateExtensions.Add(new X509EnhancedKeyUsageExtension(purposes, critical: false));
        request.CertificateExtensions.Add(new X509BasicConstraintsExtension(false, false, 0, critical: true));
        var names = new SubjectAlternativeNameBuilder();
        bool hasNames = false;
        foreach (string host in hosts.Where(h => h.Length > 0).Distinct(StringComparer.Ordinal))
        {
            hasNames = true;
            if (IPAddress.TryParse(host, out IPAddress? address))
            {
                names.AddIpAddress(address);
            }
            else
            {
                names.AddDnsName(host);
            }
        }

        if (hasNames)
        {
            request.CertificateExtensions.Add(names.Build());
        }

        byte[] serial = RandomNumberGenerator.GetBytes(SerialBytes);
        serial[0] &= 0x7f;
        return request.Create(
            request.SubjectName, X509SignatureGenerator.CreateForECDsa(key), from, until, serial);
    }
}
