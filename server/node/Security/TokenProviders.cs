using Perf.Node.Cluster;
using Perf.Node.Config;
using Perf.Node.Logging;
using Perf.Store.Auth;

namespace Perf.Node.Security;

/// <summary>Which tokens --auth-token asks for.</summary>
internal static class TokenProviders
{
    /// <summary>Throws <see cref="StartRefusedException"/> for options and keys that cannot be used.</summary>
    public static ITokenProvider Open(ServerConfig config, Log log, TimeProvider clock)
    {
        string[] parts = config.AuthToken.Split(',');
        var options = new Dictionary<string, string>(StringComparer.Ordinal);
        foreach (string part in parts.AsSpan(1))
        {
            string[] pair = part.Split('=');
            if (pair.Length != 2 || !options.TryAdd(pair[0], pair[1]))
            {
                log.Error("invalid token option", ("option", config.AuthToken));
                throw new StartRefusedException(JwtOptions.InvalidOptions);
            }
        }

        switch (parts[0])
        {
            case "simple":
                log.Warn("simple token is not cryptographically signed");
                return new SimpleTokens(clock, MemberState.FillRandom, TimeSpan.FromSeconds(config.AuthTokenTtlSeconds));
            case "jwt":
                return new JwtTokens(JwtOptions.Parse(options, config.StrictPermissions, log), log, clock);
            case "":
                return new NoTokens();
            default:
                log.Warn("unknown token type", ("type", parts[0]));
                throw new StartRefusedException(JwtOptions.InvalidOptions);
        }
    }

    /// <summary>No kind of token: certificates alone tell who asks.</summary>
    private sealed class NoTokens : ITokenProvider
    {
        public bool IsReplicated => false;

        public void Enable()
        {
        }

        public void Disable()
        {
        }

        public void InvalidateUser(string username)
        {
        }

        public string NewPrefix() => "";

        public string? Assign(string username, ulong authRevision, string prefix, ulong index) => null;

        public TokenOutcome Resolve(
            string token, ulong authRevision, ulong appliedIndex, out AuthInfo info, out ulong awaitIndex)
        {
            info = default;
            awaitIndex = 0;
            return TokenOutcome.Invalid;
        }
    }
}
