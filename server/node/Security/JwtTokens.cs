using System.Collections.Concurrent;
using System.Text.Json;
using Microsoft.IdentityModel.JsonWebTokens;
using Microsoft.IdentityModel.Tokens;
using Perf.Node.Logging;
using Perf.Store.Auth;

namespace Perf.Node.Security;

/// <summary>
/// Signed tokens: who asks, as of which auth revision, until when. They need no memory on any member; they end by
/// their time, or when the auth revision moves.
/// </summary>
/// <remarks>
/// The algorithm is the configured one, whatever a token's header says, and the key is made for it: neither "none" nor
/// an HMAC over our public key gets through.
/// </remarks>
internal sealed class JwtTokens : ITokenProvider
{
    /// <summary>Tokens whose signature need not be checked again; a check takes tens of microseconds.</summary>
    private const int VerifiedCountMax = 4096;

    private readonly JsonWebTokenHandler _handler = new() { SetDefaultTimesOnTokenCreation = false };
    private readonly ConcurrentDictionary<string, Claims> _verified = new(StringComparer.Ordinal);
    private readonly JwtOptions _options;
    private readonly Log _log;
    private readonly TimeProvider _clock;
    private readonly TokenValidationParameters _parameters;
    private readonly SigningCredentials? _signing;

    public JwtTokens(JwtOptions options, Log log, TimeProvider clock)
    {
        _options = options;
        _log = log;
        _clock = clock;
        _signing = options.SigningKey is null ? null : new SigningCredentials(options.SigningKey, options.Algorithm);
        _parameters = new TokenValidationParameters
        {
            ValidAlgorithms = [options.Algorithm],
            IssuerSigningKeyResolver = (_, _, kid, _) => [KeyFor(kid)],
            RequireSignedTokens = true,
            ValidateIssuerSigningKey = false,
            ValidateIssuer = false,
            ValidateAudience = false,

            // By ReadClaims, with our clock.
            ValidateLifetime = false,
        };
        ProveKeys();
    }

    /// <inheritdoc/>
    public bool IsReplicated => false;

    /// <inheritdoc/>
    public void Enable()
    {
    }

    /// <inheritdoc/>
    public void Disable()
    {
    }

    /// <inheritdoc/>
    public void InvalidateUser(string username)
    {
        // The auth revision has moved: all tokens are old.
    }

    /// <inheritdoc/>
    public string NewPrefix() => "";

    /// <inheritdoc/>
    public string? Assign(string username, ulong authRevision, string prefix, ulong index)
    {
        if (_signing is null)
        {
            _log.Warn("auth: token signing attempted with verify-only key", ("user-name", username));
            return null;
        }

        return Sign(username, authRevision, (_clock.GetUtcNow() + _options.Ttl).ToUnixTimeSeconds());
    }

    /// <inheritdoc/>
    public TokenOutcome Resolve(
        string token, ulong authRevision, ulong appliedIndex, out AuthInfo info, out ulong awaitIndex)
    {
        info = default;
        awaitIndex = 0;
        if (!_verified.TryGetValue(token, out Claims claims))
        {
            if (!TryVerify(token, out claims))
            {
                return TokenOutcome.Invalid;
            }

            if (_verified.Count >= VerifiedCountMax)
            {
                _verified.Clear();
            }

            _verified[token] = claims;
        }

        double now = (_clock.GetUtcNow() - DateTimeOffset.UnixEpoch).TotalSeconds;
        if (now >= claims.ExpiresAt || now < claims.NotBefore)
        {
            _log.Debug("token is expired or not valid yet", ("user-name", claims.Username));
            return TokenOutcome.Invalid;
        }

        info = new AuthInfo(claims.Username, claims.Revision);
        return TokenOutcome.Valid;
    }

    private string Sign(string username, ulong authRevision, long expiresAt)
    {
        // Sorted, as encoding/json writes maps.
        string payload = JsonSerializer.Serialize(new SortedDictionary<string, object>(StringComparer.Ordinal)
        {
            ["exp"] = expiresAt,
            ["revision"] = authRevision,
            ["username"] = username,
        });
        return _handler.CreateToken(payload, _signing);
    }

    /// <summary>At the start rather than at the first login: a key too short for its algorithm, say.</summary>
    private void ProveKeys()
    {
        if (_signing is null)
        {
            return;
        }

        try
        {
            if (!TryVerify(Sign("root", 1, 1), out _))
            {
                throw new Cluster.StartRefusedException("auth: tokens signed with the private key are not valid");
            }
        }
        catch (Exception e) when (e is ArgumentException or InvalidOperationException or NotSupportedException)
        {
            throw new Cluster.StartRefusedException($"auth: {e.Message}", e);
        }
    }

    private SecurityKey KeyFor(string? kid) =>
        kid is not null && _options.KeysById.TryGetValue(kid, out SecurityKey? key) ? key : _options.VerificationKey;

    private bool TryVerify(string token, out Claims claims)
    {
        claims = default;
        try
        {
            // Three parts. Five would be an encrypted token, whose inflation nobody wants.
            if (token.AsSpan().Count('.') != 2)
            {
                return false;
            }

            TokenValidationResult result = _handler.ValidateToken(token, _parameters);
            if (!result.IsValid)
            {
                _log.Warn("failed to parse a JWT token", ("error", result.Exception?.GetType().Name));
                return false;
            }

            string payload = ((JsonWebToken)result.SecurityToken).EncodedPayload;
            if (!TryReadClaims(Base64UrlEncoder.DecodeBytes(payload), out claims))
            {
                _log.Warn("failed to obtain claims from a JWT token");
                return false;
            }

            return true;
        }
        catch (Exception e) when (
            e is ArgumentException or JsonException or FormatException or SecurityTokenException or InvalidOperationException)
        {
            _log.Warn("failed to parse a JWT token", ("error", e.GetType().Name));
            return false;
        }
    }

    /// <summary>Username and revision must be there; times must be numbers where they are.</summary>
    private static bool TryReadClaims(byte[] payload, out Claims claims)
    {
        claims = default;
        using JsonDocument document = JsonDocument.Parse(payload);
        JsonElement root = document.RootElement;
        if (root.ValueKind != JsonValueKind.Object
            || !root.TryGetProperty("username", out JsonElement username)
            || username.ValueKind != JsonValueKind.String
            || !root.TryGetProperty("revision", out JsonElement revision)
            || revision.ValueKind != JsonValueKind.Number
            || !TryReadTime(root, "exp", double.PositiveInfinity, out double expiresAt)
            || !TryReadTime(root, "nbf", double.NegativeInfinity, out double notBefore))
        {
            return false;
        }

        // Go reads numbers as floats: 3.0 is a revision too.
        if (!revision.TryGetUInt64(out ulong number))
        {
            double value = revision.GetDouble();
            if (value is not (>= 0 and < ulong.MaxValue))
            {
                return false;
            }

            number = (ulong)value;
        }

        claims = new Claims(username.GetString()!, number, expiresAt, notBefore);
        return true;
    }

    private static bool TryReadTime(JsonElement root, string name, double absent, out double seconds)
    {
        seconds = absent;
        return !root.TryGetProperty(name, out JsonElement time)
            || (time.ValueKind == JsonValueKind.Number && time.TryGetDouble(out seconds));
    }

    private readonly record struct Claims(string Username, ulong Revision, double ExpiresAt, double NotBefore);
}
