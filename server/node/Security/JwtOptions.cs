using System.Security.Cryptography;
using Microsoft.IdentityModel.Tokens;
using Perf.Node.Cluster;
using Perf.Node.Config;
using Perf.Node.Logging;

namespace Perf.Node.Security;

/// <summary>What `--auth-token jwt,...` says, its key files read.</summary>
internal sealed class JwtOptions
{
    public const string InvalidOptions = "auth: invalid auth options";
    private const string MissingKey = "auth: missing key data";
    private const string KeyMismatch = "auth: public and private keys don't match";
    private static readonly TimeSpan TtlDefault = TimeSpan.FromMinutes(5);
    private static readonly string[] Known = ["sign-method", "pub-key", "priv-key", "ttl", "pub-key-dir"];

    /// <summary>The one algorithm that tokens are signed with and accepted in.</summary>
    public required string Algorithm { get; init; }

    public required TimeSpan Ttl { get; init; }

    /// <summary>Null: this member only verifies.</summary>
    public required SecurityKey? SigningKey { get; init; }

    /// <summary>Verifies tokens that name no key, or none that we know.</summary>
    public required SecurityKey VerificationKey { get; init; }

    /// <summary>More keys, by the kid of the tokens they verify: those of --auth-token's pub-key-dir.</summary>
    public IReadOnlyDictionary<string, SecurityKey> KeysById { get; init; } = new Dictionary<string, SecurityKey>();

    public static JwtOptions Parse(IReadOnlyDictionary<string, string> options, bool isStrict, Log log)
    {
        try
        {
            return Read(options, isStrict, log);
        }
        catch (Exception e) when (e is FormatException || TlsFiles.IsTrouble(e))
        {
            log.Error("problem loading JWT options", ("error", e.Message));
            throw new StartRefusedException(e is FormatException ? InvalidOptions : $"auth: {e.Message}", e);
        }
    }

    private static JwtOptions Read(IReadOnlyDictionary<string, string> options, bool isStrict, Log log)
    {
        string[] unknown = [.. options.Keys.Except(Known).Order(StringComparer.Ordinal)];
        if (unknown.Length > 0)
        {
            throw new FormatException($"unknown options: {string.Join(", ", unknown)}");
        }

        string algorithm = options.GetValueOrDefault("sign-method", "");
        if (algorithm is not ("RS256" or "RS384" or "RS512" or "PS256" or "PS384" or "PS512"
            or "ES256" or "ES384" or "ES512" or "HS256" or "HS384" or "HS512"))
        {
            throw new FormatException($"unknown sign-method {GoText.Quote(algorithm)}");
        }

        TimeSpan ttl = options.GetValueOrDefault("ttl", "") is { Length: > 0 } text ? GoText.ParseDuration(text) : TtlDefault;
        if (ttl <= TimeSpan.Zero)
        {
            throw new FormatException("ttl must be positive");
        }

        string privateFile = options.GetValueOrDefault("priv-key", "");
        string publicFile = options.GetValueOrDefault("pub-key", "");
        if (privateFile.Length > 0)
        {
            TlsFiles.CheckMode(privateFile, isStrict, log);
        }

        SecurityKey? privateKey = privateFile.Length > 0 ? ReadKey(privateFile, algorithm) : null;
        SecurityKey? publicKey = null;
        if (publicFile.Length > 0 && algorithm[0] != 'H')
        {
            publicKey = ReadKey(publicFile, algorithm);
            if (privateKey is not null && !IsSame(privateKey, publicKey))
            {
                throw new StartRefusedException(KeyMismatch);
            }
        }

        var byId = new Dictionary<string, SecurityKey>(StringComparer.Ordinal);
        if (options.GetValueOrDefault("pub-key-dir", "") is { Length: > 0 } directory)
        {
            foreach (string file in Directory.EnumerateFiles(directory, "*.pem"))
            {
                byId.Add(Path.GetFileNameWithoutExtension(file), ReadKey(file, algorithm));
            }
        }

        return new JwtOptions
        {
            Algorithm = algorithm,
            Ttl = ttl,
            SigningKey = privateKey,
            VerificationKey = privateKey ?? publicKey ?? throw new StartRefusedException(MissingKey),
            KeysById = byId,
        };
    }

    /// <summary>A key of the kind that the algorithm wants: PEM, private or public, certificates too; any bytes for HS.</summary>
    private static SecurityKey ReadKey(string file, string algorithm)
    {
        switch (algorithm[0])
        {
            case 'H':
                byte[] secret = File.ReadAllBytes(file);
                return secret.Length > 0 ? new SymmetricSecurityKey(secret) : throw new StartRefusedException(MissingKey);
            case 'E':
                ECDsa curve = ECDsa.Create();
                curve.ImportFromPem(KeyText(file));
                int bits = algorithm switch
                {
                    "ES256" => 256,
                    "ES384" => 384,
                    _ => 521,
                };
                return curve.KeySize == bits
                    ? new ECDsaSecurityKey(curve)
                    : throw new InvalidDataException($"{file}: {algorithm} wants a curve of {bits} bits, not {curve.KeySize}");
            default:
                RSA rsa = RSA.Create();
                rsa.ImportFromPem(KeyText(file));
                return new RsaSecurityKey(rsa);
        }
    }

    /// <summary>The file's text; for a certificate that of its public key.</summary>
    private static string KeyText(string file)
    {
        string text = File.ReadAllText(file);
        if (!text.Contains("-----BEGIN CERTIFICATE", StringComparison.Ordinal))
        {
            return text;
        }

        using var certificate = System.Security.Cryptography.X509Certificates.X509Certificate2.CreateFromPem(text);
        return PemEncoding.WriteString("PUBLIC KEY", certificate.PublicKey.ExportSubjectPublicKeyInfo());
    }

    private static bool IsSame(SecurityKey left, SecurityKey right) => (left, right) switch
    {
        (RsaSecurityKey l, RsaSecurityKey r) =>
            l.Rsa.ExportSubjectPublicKeyInfo().AsSpan().SequenceEqual(r.Rsa.ExportSubjectPublicKeyInfo()),
        (ECDsaSecurityKey l, ECDsaSecurityKey r) =>
            l.ECDsa.ExportSubjectPublicKeyInfo().AsSpan().SequenceEqual(r.ECDsa.ExportSubjectPublicKeyInfo()),
        _ => false,
    };
}
