using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using Microsoft.IdentityModel.Tokens;
using Perf.Node.Cluster;
using Perf.Node.Config;
using Perf.Node.Logging;
using Perf.Node.Security;
using Perf.Store.Auth;
using Xunit;

namespace Perf.Node.Tests.Security;

public sealed class JwtTokensTests : IDisposable
{
    private const string Good = """{"username":"bob","revision":7,"exp":99999999999}""";

    private readonly string _directory = Directory.CreateTempSubdirectory("perf-jwt-").FullName;
    private readonly RSA _rsa = RSA.Create(2048);

    public void Dispose()
    {
        _rsa.Dispose();
        Directory.Delete(_directory, recursive: true);
    }

    [Theory]
    [InlineData("RS256")]
    [InlineData("RS384")]
    [InlineData("RS512")]
    [InlineData("PS256")]
    [InlineData("PS384")]
    [InlineData("PS512")]
    [InlineData("ES256")]
    [InlineData("ES384")]
    [InlineData("ES512")]
    [InlineData("HS256")]
    [InlineData("HS384")]
    [InlineData("HS512")]
    public void What_one_member_signs_the_others_know(string algorithm)
    {
        string priv = Write("priv", PrivateKey(algorithm));
        ITokenProvider one = Open($"jwt,sign-method={algorithm},priv-key={priv},ttl=10m");
        string token = one.Assign("bob", 7, "", 100)!;
        Assert.False(one.IsReplicated);
        foreach (ITokenProvider member in (ITokenProvider[])[one, Open($"jwt,sign-method={algorithm},priv-key={priv}")])
        {
            for (int times = 0; times < 2; times++)
            {
                Assert.Equal(TokenOutcome.Valid, member.Resolve(token, 9, 1, out AuthInfo info, out _));
                Assert.Equal(new AuthInfo("bob", 7), info);
            }
        }

        using JsonDocument payload = JsonDocument.Parse(Base64UrlEncoder.Decode(token.Split('.')[1]));
        Assert.Equal(["exp", "revision", "username"], payload.RootElement.EnumerateObject().Select(p => p.Name));
    }

    [Fact]
    public void A_public_key_verifies_and_signs_nothing()
    {
        string priv = Write("priv", _rsa.ExportRSAPrivateKeyPem());
        string pub = Write("pub", _rsa.ExportSubjectPublicKeyInfoPem());
        string token = Open($"jwt,sign-method=RS256,priv-key={priv},pub-key={pub}").Assign("bob", 7, "", 1)!;
        ITokenProvider verifier = Open($"jwt,sign-method=RS256,pub-key={pub}");
        Assert.Null(verifier.Assign("bob", 7, "", 1));
        Assert.Equal(TokenOutcome.Valid, verifier.Resolve(token, 7, 1, out _, out _));
    }

    [Fact]
    public void Tokens_end_by_their_time()
    {
        string priv = Write("priv", _rsa.ExportRSAPrivateKeyPem());
        var clock = new Clock();
        ITokenProvider tokens = TokenProviders.Open(
            new ServerConfig { AuthToken = $"jwt,sign-method=RS256,priv-key={priv},ttl=30s" }, Log.None, clock);
        string token = tokens.Assign("bob", 7, "", 1)!;
        Assert.Equal(TokenOutcome.Valid, tokens.Resolve(token, 7, 1, out _, out _));
        clock.Now += TimeSpan.FromSeconds(29);
        Assert.Equal(TokenOutcome.Valid, tokens.Resolve(token, 7, 1, out _, out _));
        clock.Now += TimeSpan.FromSeconds(2);
        Assert.Equal(TokenOutcome.Invalid, tokens.Resolve(token, 7, 1, out AuthInfo info, out _));
        Assert.Null(info.Username);
    }

    [Theory]
    [InlineData(Good, true)]
    [InlineData("""{"username":"bob","revision":7}""", true)]
    [InlineData("""{"username":"bob","revision":7.0,"exp":99999999999}""", true)]
    [InlineData("""{"username":"bob","revision":7,"exp":1}""", false)]
    [InlineData("""{"username":"bob","revision":7,"exp":"never"}""", false)]
    [InlineData("""{"username":"bob","revision":7,"exp":null}""", false)]
    [InlineData("""{"username":"bob","revision":7,"nbf":99999999999}""", false)]
    [InlineData("""{"username":"bob","exp":99999999999}""", false)]
    [InlineData("""{"revision":7,"exp":99999999999}""", false)]
    [InlineData("""{"username":7,"revision":7,"exp":99999999999}""", false)]
    [InlineData("""{"username":"bob","revision":"7","exp":99999999999}""", false)]
    [InlineData("""{"username":"bob","revision":-1,"exp":99999999999}""", false)]
    [InlineData("""{"username":"bob","revision":1e300,"exp":99999999999}""", false)]
    [InlineData("""{"username":null,"revision":null}""", false)]
    [InlineData("[]", false)]
    [InlineData("nonsense", false)]
    public void Claims_must_be_there_and_of_their_kind(string payload, bool isValid)
    {
        ITokenProvider tokens = OpenRs256();
        Assert.Equal(isValid, IsValid(tokens, Rs256("""{"alg":"RS256","typ":"JWT"}""", payload)));
    }

    [Fact]
    public void The_algorithm_is_not_the_tokens_to_choose()
    {
        ITokenProvider tokens = OpenRs256();
        Assert.True(IsValid(tokens, Rs256("""{"alg":"RS256"}""", Good)));
        foreach (string alg in (string[])["none", "None", "", "HS256", "RS384", "PS256", "ES256"])
        {
            Assert.False(IsValid(tokens, Rs256($$"""{"alg":"{{alg}}"}""", Good)));
            Assert.False(IsValid(tokens, Part($$"""{"alg":"{{alg}}"}""") + "." + Part(Good) + "."));
        }

        // The public key is no secret: an HMAC over it proves nothing.
        foreach (string text in (string[])[_rsa.ExportSubjectPublicKeyInfoPem(), _rsa.ExportRSAPublicKeyPem()])
        {
            string input = Part("""{"alg":"HS256","typ":"JWT"}""") + "." + Part(Good);
            byte[] mac = HMACSHA256.HashData(Encoding.ASCII.GetBytes(text), Encoding.ASCII.GetBytes(input));
            Assert.False(IsValid(tokens, input + "." + Base64UrlEncoder.Encode(mac)));
        }
    }

    [Fact]
    public void Forged_and_broken_tokens_are_invalid_and_nothing_worse()
    {
        ITokenProvider tokens = OpenRs256();
        string good = Rs256("""{"alg":"RS256"}""", Good);
        string[] parts = good.Split('.');
        using RSA other = RSA.Create(2048);
        string[] bad =
        [
            "", ".", "..", "...", "....", "a.b.c", good + ".", good + ".x.y", parts[0] + "." + parts[1], "é.ü.ß",
            parts[0] + "." + Part("""{"username":"root","revision":7}""") + "." + parts[2],
            parts[0] + "." + parts[1] + "." + parts[2][..^2],
            Part("{") + "." + parts[1] + "." + parts[2],
            Part("{}") + "." + parts[1] + "." + parts[2],
            Rs256("""{"alg":"RS256"}""", Good, other),
            new string('a', 300_000) + ".b.c",
        ];
        foreach (string token in bad)
        {
            Assert.False(IsValid(tokens, token), token[..Math.Min(40, token.Length)]);
        }
    }

    [Fact]
    public void More_keys_verify_the_tokens_that_name_them()
    {
        using RSA next = RSA.Create(2048);
        string keys = Directory.CreateDirectory(Path.Combine(_directory, "keys")).FullName;
        File.WriteAllText(Path.Combine(keys, "next.pem"), next.ExportSubjectPublicKeyInfoPem());
        string pub = Write("pub", _rsa.ExportSubjectPublicKeyInfoPem());
        ITokenProvider tokens = Open($"jwt,sign-method=RS256,pub-key={pub},pub-key-dir={keys}");
        Assert.True(IsValid(tokens, Rs256("""{"alg":"RS256"}""", Good)));
        Assert.True(IsValid(tokens, Rs256("""{"alg":"RS256","kid":"next"}""", Good, next)));
        Assert.True(IsValid(tokens, Rs256("""{"alg":"RS256","kid":"unknown"}""", Good)));
        Assert.False(IsValid(tokens, Rs256("""{"alg":"RS256","kid":"next"}""", Good)));
        Assert.False(IsValid(tokens, Rs256("""{"alg":"RS256","kid":"../next"}""", Good, next)));
        Assert.False(IsValid(tokens, Rs256("""{"alg":"RS256"}""", Good, next)));
    }

    [Theory]
    [InlineData("jwt", "auth: invalid auth options")]
    [InlineData("jwt,sign-method=RS256", "auth: missing key data")]
    [InlineData("jwt,sign-method=none,priv-key=PRIV", "auth: invalid auth options")]
    [InlineData("jwt,sign-method=EdDSA,priv-key=PRIV", "auth: invalid auth options")]
    [InlineData("jwt,sign-method=RS256,priv-key=PRIV,color=blue", "auth: invalid auth options")]
    [InlineData("jwt,sign-method=RS256,sign-method=RS256,priv-key=PRIV", "auth: invalid auth options")]
    [InlineData("jwt,sign-method=RS256,priv-key", "auth: invalid auth options")]
    [InlineData("jwt,sign-method=RS256,priv-key=PRIV=x", "auth: invalid auth options")]
    [InlineData("jwt,sign-method=RS256,priv-key=PRIV,ttl=soon", "auth: invalid auth options")]
    [InlineData("jwt,sign-method=RS256,priv-key=PRIV,ttl=-1s", "auth: invalid auth options")]
    [InlineData("jwt,sign-method=RS256,priv-key=/nowhere", "auth: ")]
    [InlineData("jwt,sign-method=RS256,priv-key=PRIV,pub-key=OTHER", "auth: public and private keys don't match")]
    [InlineData("jwt,sign-method=ES256,priv-key=PRIV", "auth: ")]
    [InlineData("jwt,sign-method=HS256,priv-key=SHORT", "auth: ")]
    [InlineData("bearer", "auth: invalid auth options")]
    [InlineData("simple,x", "auth: invalid auth options")]
    public void Options_that_cannot_be_refuse_the_start(string text, string reason)
    {
        using RSA other = RSA.Create(2048);
        text = text.Replace("PRIV", Write("priv", _rsa.ExportRSAPrivateKeyPem()), StringComparison.Ordinal)
            .Replace("OTHER", Write("other", other.ExportSubjectPublicKeyInfoPem()), StringComparison.Ordinal)
            .Replace("SHORT", Write("short", "abc"), StringComparison.Ordinal);
        StartRefusedException e = Assert.Throws<StartRefusedException>(() => Open(text));
        Assert.StartsWith(reason, e.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Simple_is_simple_and_nothing_is_nothing()
    {
        Assert.IsType<SimpleTokens>(Open("simple"));
        ITokenProvider none = Open("");
        Assert.Null(none.Assign("bob", 1, "", 1));
        Assert.Equal(TokenOutcome.Invalid, none.Resolve("x.1", 1, 1, out _, out _));
    }

    private static ITokenProvider Open(string text) =>
        TokenProviders.Open(new ServerConfig { AuthToken = text }, Log.None, TimeProvider.System);

    private static bool IsValid(ITokenProvider tokens, string token) =>
        tokens.Resolve(token, 7, 1, out _, out _) == TokenOutcome.Valid;

    private static string Part(string json) => Base64UrlEncoder.Encode(json);

    private static string PrivateKey(string algorithm)
    {
        switch (algorithm)
        {
            case "ES256":
                return Curve(ECCurve.NamedCurves.nistP256);
            case "ES384":
                return Curve(ECCurve.NamedCurves.nistP384);
            case "ES512":
                return Curve(ECCurve.NamedCurves.nistP521);
            case ['H', ..]:
                return "a secret of more than sixty-four bytes, which is enough for each of them here";
            default:
                using (RSA key = RSA.Create(2048))
                {
                    return key.ExportPkcs8PrivateKeyPem();
                }
        }

        static string Curve(ECCurve curve)
        {
            using ECDsa key = ECDsa.Create(curve);
            return key.ExportECPrivateKeyPem();
        }
    }

    private ITokenProvider OpenRs256() =>
        Open($"jwt,sign-method=RS256,priv-key={Write("priv", _rsa.ExportRSAPrivateKeyPem())}");

    private string Rs256(string header, string payload, RSA? key = null)
    {
        string input = Part(header) + "." + Part(payload);
        byte[] signature = (key ?? _rsa).SignData(
            Encoding.ASCII.GetBytes(input), HashAlgorithmName.SHA256, RSASignaturePadding.Pkcs1);
        return input + "." + Base64UrlEncoder.Encode(signature);
    }

    private string Write(string name, string text)
    {
        string path = Path.Combine(_directory, name);
        File.WriteAllText(path, text);
        return path;
    }

    private sealed class Clock : TimeProvider
    {
        public DateTimeOffset Now { get; set; } = DateTimeOffset.UnixEpoch.AddDays(20_000);

        public override DateTimeOffset GetUtcNow() => Now;
    }
}
