using System.Formats.Asn1;
using System.Net.Security;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using Perf.Node.Logging;

namespace Perf.Node.Security;

/// <summary>A certificate with its key, and the certificates above it that the file held.</summary>
internal sealed record Identity(SslStreamCertificateContext Context, X509Certificate2 Leaf);

/// <summary>Reads certificates, keys and authorities (PEM).</summary>
internal static class TlsFiles
{
    private const UnixFileMode OthersMay =
        UnixFileMode.GroupRead | UnixFileMode.GroupWrite | UnixFileMode.OtherRead | UnixFileMode.OtherWrite;

    /// <summary>What a file that is missing, forbidden or not what it should be makes the readers throw.</summary>
    public static bool IsTrouble(Exception e) =>
        e is IOException or UnauthorizedAccessException or CryptographicException or ArgumentException
            or InvalidDataException or AsnContentException;

    /// <summary>A certificate and its key; with strict permissions a key that others may read is refused.</summary>
    public static Identity ReadIdentity(string certFile, string keyFile, bool isStrict, Log log)
    {
        CheckMode(keyFile, isStrict, log);
        string certificates = File.ReadAllText(certFile);
        X509Certificate2 leaf = X509Certificate2.CreateFromPem(certificates, File.ReadAllText(keyFile));
        var above = new X509Certificate2Collection();
        above.ImportFromPem(certificates);
        above.RemoveAt(0);
        return new Identity(SslStreamCertificateContext.Create(leaf, above, offline: true), leaf);
    }

    /// <summary>All authorities in a file; none is an error, as nobody could be trusted.</summary>
    public static X509Certificate2Collection ReadAuthorities(string file)
    {
        var authorities = new X509Certificate2Collection();
        authorities.ImportFromPemFile(file);
        return authorities.Count > 0 ? authorities : throw new InvalidDataException($"{file}: holds no certificate");
    }

    /// <summary>Warns of a key file that others may read or write, or refuses it.</summary>
    public static void CheckMode(string keyFile, bool isStrict, Log log)
    {
        if (OperatingSystem.IsWindows() || (File.GetUnixFileMode(keyFile) & OthersMay) == 0)
        {
            return;
        }

        if (isStrict)
        {
            throw new InvalidDataException(
                $"{keyFile}: the key may be read or written by others than its owner, which --strict-permissions refuses");
        }

        log.Warn("key file may be read or written by others than its owner", ("key-file", keyFile));
    }
}
