using System.Formats.Asn1;
using System.Net;
using System.Runtime.CompilerServices;
using System.Security.Cryptography.X509Certificates;

namespace Perf.Node.Security;

/// <summary>Whom a certificate names.</summary>
public static class CertificateNames
{
    private const string CommonNameOid = "2.5.4.3";

    // Asked for at each request of a connection.
    private static readonly ConditionalWeakTable<X509Certificate2, string> CommonNames = [];

    /// <summary>The subject's common name, exactly as written, the last of several; empty when there is none.</summary>
    public static string CommonName(X509Certificate2 certificate) => CommonNames.GetValue(certificate, ReadCommonName);

    /// <summary>True for the name (or the address in text) that the certificate was made for. CNs do not count.</summary>
    internal static bool IsFor(X509Certificate2 certificate, string host) =>
        Uri.CheckHostName(host.Trim('[', ']')) != UriHostNameType.Unknown
        && certificate.MatchesHostname(host.Trim('[', ']'), allowWildcards: true, allowCommonName: false);

    /// <summary>The alternative names: DNS names and addresses.</summary>
    internal static (string[] DnsNames, IPAddress[] Addresses) Alternatives(X509Certificate2 certificate)
    {
        X509SubjectAlternativeNameExtension? names =
            certificate.Extensions.OfType<X509SubjectAlternativeNameExtension>().FirstOrDefault();
        return names is null ? ([], []) : ([.. names.EnumerateDnsNames()], [.. names.EnumerateIPAddresses()]);
    }

    private static string ReadCommonName(X509Certificate2 certificate)
    {
        string name = "";
        AsnReader parts = new AsnReader(certificate.SubjectName.RawData, AsnEncodingRules.BER).ReadSequence();
        while (parts.HasData)
        {
            AsnReader part = parts.ReadSetOf();
            while (part.HasData)
            {
                AsnReader attribute = part.ReadSequence();
                if (attribute.ReadObjectIdentifier() == CommonNameOid)
                {
                    name = attribute.ReadCharacterString((UniversalTagNumber)attribute.PeekTag().TagValue);
                }
            }
        }

        return name;
    }
}
