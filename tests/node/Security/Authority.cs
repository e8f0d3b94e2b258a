using System.Formats.Asn1;
using System.Net;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;

namespace Perf.Tests.Security;

/// <summary>A certificate authority of a test, and the files it writes into a directory of its own.</summary>
internal sealed class Authority : IDisposable
{
    public const string ServerPurpose = "1.3.6.1.5.5.7.3.1";
    public const string ClientPurpose = "1.3.6.1.5.5.7.3.2";

    private readonly string _directory;
    private int _count;

    /// <param name="name">Its common name.</param>
    /// <param name="issuer">The authority above it; none: a root.</param>
    /// <param name="permitted">The one domain that it may issue for; null: all.</param>
    public Authority(string name, X509Certificate2? issuer = null, string? permitted = null)
    {
        _directory = Directory.CreateTempSubdirectory("perf-ca-").FullName;
        using ECDsa key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        var request = new CertificateRequest($"CN={name}", key, HashAlgorithmName.SHA256);
        request.CertificateExtensions.Add(new X509BasicConstraintsExtension(true, false, 0, true));
        request.CertificateExtensions.Add(new X509KeyUsageExtension(
            X509KeyUsageFlags.KeyCertSign | X509KeyUsageFlags.CrlSign, true));
        request.CertificateExtensions.Add(new X509SubjectKeyIdentifierExtension(request.PublicKey, false));
        if (permitted is not null)
        {
            request.CertificateExtensions.Add(NameConstraints(permitted));
        }

        DateTimeOffset now = DateTimeOffset.UtcNow;
        if (issuer is null)
        {
            Certificate = request.CreateSelfSigned(now.AddDays(-2), now.AddDays(20));
        }
        else
        {
            using X509Certificate2 signed = request.Create(issuer, now.AddDays(-2), now.AddDays(19), [7, 7, 7, 7]);
            Certificate = signed.CopyWithPrivateKey(key);
        }

        CaFile = Write("ca.pem", Certificate.ExportCertificatePem());
    }

    /// <summary>NameConstraints ::= { permittedSubtrees [0] { { dNSName [2] } } }.</summary>
    private static X509Extension NameConstraints(string permitted)
    {
        var writer = new AsnWriter(AsnEncodingRules.DER);
        using (writer.PushSequence())
        {
            using (writer.PushSequence(new Asn1Tag(TagClass.ContextSpecific, 0)))
            {
                using (writer.PushSequence())
                {
                    writer.WriteCharacterString(
                        UniversalTagNumber.IA5String, permitted, new Asn1Tag(TagClass.ContextSpecific, 2));
                }
            }
        }

        return new X509Extension("2.5.29.30", writer.Encode(), critical: true);
    }

    public X509Certificate2 Certificate { get; }

    public string CaFile { get; }

    public void Dispose() => Directory.Delete(_directory, recursive: true);

    /// <summary>A certificate for these hosts; for both purposes unless told.</summary>
    public X509Certificate2 Issue(
        string commonName, string[]? hosts = null, string[]? purposes = null, int validDays = 5, byte[]? serial = null)
    {
        using ECDsa key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        var request = new CertificateRequest(commonName.Length == 0 ? "O=perf" : $"CN={commonName}", key, HashAlgorithmName.SHA256);
        var usages = new OidCollection();
        foreach (string purpose in purposes ?? [ServerPurpose, ClientPurpose])
        {
            usages.Add(new Oid(purpose));
        }

        request.CertificateExtensions.Add(new X509EnhancedKeyUsageExtension(usages, false));
        var names = new SubjectAlternativeNameBuilder();
        foreach (string host in hosts ?? ["127.0.0.1"])
        {
            if (IPAddress.TryParse(host, out IPAddress? address))
            {
                names.AddIpAddress(address);
            }
            else
            {
                names.AddDnsName(host);
            }
        }

        if (hosts is not { Length: 0 })
        {
            request.CertificateExtensions.Add(names.Build());
        }

        DateTimeOffset now = DateTimeOffset.UtcNow;
        using X509Certificate2 signed = request.Create(
            Certificate, now.AddDays(-1), now.AddDays(validDays), serial ?? [1, .. RandomNumberGenerator.GetBytes(8)]);
        return signed.CopyWithPrivateKey(key);
    }

    /// <summary>Writes certificate and key; over older ones of that name.</summary>
    public (string CertFile, string KeyFile) Save(X509Certificate2 certificate, string? name = null, X509Certificate2? above = null)
    {
        name ??= $"c{_count++}";
        return (
            Write($"{name}.pem", certificate.ExportCertificatePem() + "\n" + above?.ExportCertificatePem()),
            Write($"{name}-key.pem", certificate.GetECDsaPrivateKey()!.ExportECPrivateKeyPem()));
    }

    /// <summary>The authority's revocation list.</summary>
    public byte[] Revoke(params X509Certificate2[] certificates)
    {
        var list = new CertificateRevocationListBuilder();
        foreach (X509Certificate2 certificate in certificates)
        {
            list.AddEntry(certificate);
        }

        return list.Build(Certificate, 1, DateTimeOffset.UtcNow.AddDays(1), HashAlgorithmName.SHA256);
    }

    public string PathOf(string name) => Path.Combine(_directory, name);

    public string Write(string name, string text) => Write(name, System.Text.Encoding.ASCII.GetBytes(text));

    /// <summary>Readable by us alone, in one step as far as readers can tell.</summary>
    public string Write(string name, byte[] bytes)
    {
        string path = PathOf(name);
        File.WriteAllBytes(path + ".new", bytes);
        if (!OperatingSystem.IsWindows())
        {
            File.SetUnixFileMode(path + ".new", UnixFileMode.UserRead | UnixFileMode.UserWrite);
        }

        File.Move(path + ".new", path, overwrite: true);
        return path;
    }
}
