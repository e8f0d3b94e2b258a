using System.Collections.Frozen;
using System.Formats.Asn1;
using System.Numerics;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;

namespace Perf.Node.Security;

/// <summary>
/// The serial numbers of a CRL, DER or PEM. As etcd does, serials alone are compared: neither the list's issuer nor its
/// signature or dates are looked at, since who may write the file may write the key file as well.
/// </summary>
internal sealed class RevocationList
{
    private readonly FrozenSet<BigInteger> _serials;

    private RevocationList(IEnumerable<BigInteger> serials)
    {
        _serials = serials.ToFrozenSet();
    }

    public static RevocationList ReadFile(string file) => Read(File.ReadAllBytes(file));

    /// <summary>Throws <see cref="AsnContentException"/> or <see cref="ArgumentException"/> for what is no CRL.</summary>
    public static RevocationList Read(ReadOnlyMemory<byte> source)
    {
        if (source.Span.StartsWith("-----BEGIN"u8))
        {
            string text = System.Text.Encoding.ASCII.GetString(source.Span);
            PemFields fields = PemEncoding.Find(text);
            source = Convert.FromBase64String(text[fields.Base64Data]);
        }

        // RFC 5280, 5.1: version, signature, issuer, thisUpdate, nextUpdate, then what we are after.
        AsnReader list = new AsnReader(source, AsnEncodingRules.DER).ReadSequence().ReadSequence();
        if (list.PeekTag() == Asn1Tag.Integer)
        {
            list.ReadInteger();
        }

        list.ReadSequence();
        list.ReadSequence();
        list.ReadEncodedValue();
        if (list.HasData && list.PeekTag().TagValue is (int)UniversalTagNumber.UtcTime or (int)UniversalTagNumber.GeneralizedTime)
        {
            list.ReadEncodedValue();
        }

        var serials = new List<BigInteger>();
        if (list.HasData && list.PeekTag() == Asn1Tag.Sequence)
        {
            AsnReader revoked = list.ReadSequence();
            while (revoked.HasData)
            {
                serials.Add(revoked.ReadSequence().ReadInteger());
            }
        }

        return new RevocationList(serials);
    }

    public bool Contains(X509Certificate2 certificate) =>
        _serials.Contains(new BigInteger(certificate.SerialNumberBytes.Span, isBigEndian: true));
}
