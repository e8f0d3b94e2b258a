using System.Globalization;
using Perf.Node.Logging;

namespace Perf.Node.Config;

/// <summary>What settings may not be, worded as etcd words it.</summary>
internal static class ConfigRules
{
    private const int ElectionMsMax = 50_000;
    private const int RecommendedRequestBytes = 10 << 20;
    private const long RecommendedQuotaBytes = 8L << 30;
    private const int TracingSamplesMax = 1_000_000;
    private const int BcryptCostMin = 4;
    private const int BcryptCostMax = 31;
    private const int BcryptCostDefault = 10;

    private static readonly string[] CipherSuites =
    [
        "TLS_RSA_WITH_RC4_128_SHA", "TLS_RSA_WITH_3DES_EDE_CBC_SHA", "TLS_RSA_WITH_AES_128_CBC_SHA",
        "TLS_RSA_WITH_AES_256_CBC_SHA", "TLS_RSA_WITH_AES_128_CBC_SHA256", "TLS_RSA_WITH_AES_128_GCM_SHA256",
        "TLS_RSA_WITH_AES_256_GCM_SHA384", "TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384",
        "TLS_CHACHA20_POLY1305_SHA256", "TLS_ECDHE_ECDSA_WITH_RC4_128_SHA", "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA",
        "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA", "TLS_ECDHE_RSA_WITH_RC4_128_SHA",
        "TLS_ECDHE_RSA_WITH_3DES_EDE_CBC_SHA", "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA",
        "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA", "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256",
        "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256", "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
        "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
        "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384", "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
        "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256", "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305",
        "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305",
    ];

    /// <summary>
    /// Throws <see cref="ConfigException"/> for the first thing that cannot be; notes what is merely unwise and mends
    /// what etcd mends.
    /// </summary>
    public static void Verify(ServerConfig config, IReadOnlyDictionary<string, string> given, List<ConfigNote> notes)
    {
        RequireOneSpelling(given);
        RequireUrls(config, notes);
        RequireOneBootstrap(config);
        RequireTimes(config);
        RequireAdvertised(config);
        _ = Compaction.AutoCompactor.ParseRetention(config.AutoCompactionMode, config.AutoCompactionRetention);
        RequireChecks(config, notes);
        RequireTls(config, notes);
        RequireLimits(config, notes);
    }

    private static void RequireOneSpelling(IReadOnlyDictionary<string, string> given)
    {
        foreach (Flag twin in FlagTable.All)
        {
            if (twin.TwinOf is not null && given.ContainsKey(twin.Name) && given.ContainsKey(twin.TwinOf))
            {
                bool isOlder = twin.Name.StartsWith("experimental-", StringComparison.Ordinal);
                (string older, string newer) = isOlder ? (twin.Name, twin.TwinOf) : (twin.TwinOf, twin.Name);
                throw new ConfigException($"both --{older} and --{newer} flags are set. Use only --{newer}");
            }
        }

        if (given.TryGetValue("feature-gates", out string? gates))
        {
            FeatureGates.RequireOneSpelling(gates, given);
        }
    }

    private static void RequireUrls(ServerConfig config, List<ConfigNote> notes)
    {
        try
        {
            EtcdUrls.RequireBindable(config.ListenPeerUrls);
            EtcdUrls.RequireBindable(config.ListenClientUrls);
            EtcdUrls.RequireBindable(config.ListenClientHttpUrls);
            EtcdUrls.RequireBindable(config.ListenMetricsUrls);
        }
        catch (FormatException e)
        {
            throw new ConfigException(e.Message);
        }

        if (config.ListenClientHttpUrls.Count == 0)
        {
            notes.Add(new ConfigNote(
                LogLevel.Warn, "Running http and grpc server on single port. This is not recommended for production."));
        }

        EtcdUrls.RequireHosts("initial-advertise-peer-urls", config.AdvertisePeerUrls);
        EtcdUrls.RequireHosts("advertise-client-urls", config.AdvertiseClientUrls);
        foreach (Uri url in config.ListenClientHttpUrls)
        {
            if (config.ListenClientUrls.Any(other => other.Authority == url.Authority))
            {
                throw new ConfigException(
                    $"cannot bind both --client-listen-urls and --client-listen-http-urls on the same url {url.OriginalString}");
            }
        }
    }

    private static void RequireOneBootstrap(ServerConfig config)
    {
        DiscoverySettings discovery = config.Discovery;
        bool byService = discovery.Endpoints.Count > 0 || discovery.Token.Length > 0;
        int ways = (discovery.Url.Length > 0 ? 1 : 0) + (config.InitialCluster.Length > 0 ? 1 : 0)
            + (discovery.SrvDomain.Length > 0 ? 1 : 0) + (byService ? 1 : 0);
        if (ways > 1)
        {
            throw new ConfigException(
                "multiple discovery or bootstrap flags are set. Choose one of \"initial-cluster\", \"discovery\" or \"discovery-srv\"");
        }

        if (byService && (discovery.Endpoints.Count == 0 || discovery.Token.Length == 0))
        {
            throw new ConfigException("both --discovery-token and --discovery-endpoints must be set");
        }

        if (config.EnableV2 && config.V2Deprecation != "not-yet")
        {
            throw new ConfigException($"--enable-v2 and --v2-deprecation={config.V2Deprecation} are mutually exclusive");
        }
    }

    private static void RequireTimes(ServerConfig config)
    {
        if (config.HeartbeatMs == 0)
        {
            throw new ConfigException($"--heartbeat-interval must be >0 (set to {config.HeartbeatMs}ms)");
        }

        if (config.ElectionMs == 0)
        {
            throw new ConfigException($"--election-timeout must be >0 (set to {config.ElectionMs}ms)");
        }

        if (5L * config.HeartbeatMs > config.ElectionMs)
        {
            throw new ConfigException(
                $"--election-timeout[{config.ElectionMs}ms] should be at least as 5 times as --heartbeat-interval[{config.HeartbeatMs}ms]");
        }

        if (config.ElectionMs > ElectionMsMax)
        {
            throw new ConfigException(
                $"--election-timeout[{config.ElectionMs}ms] is too long, and should be set less than {ElectionMsMax}ms");
        }
    }

    private static void RequireAdvertised(ServerConfig config)
    {
        if (config.AdvertiseClientUrls.Count == 0)
        {
            throw new ConfigException(
                "--advertise-client-urls is required when --listen-client-urls is set explicitly");
        }

        if (config.ListenClientUrls.Count == 0 || config.ListenPeerUrls.Count == 0 || config.AdvertisePeerUrls.Count == 0)
        {
            throw new ConfigException(
                "--listen-client-urls, --listen-peer-urls and --initial-advertise-peer-urls need one URL at least");
        }
    }

    private static void RequireChecks(ServerConfig config, List<ConfigNote> notes)
    {
        if (config.LeaseCheckpointPersist && !config.LeaseCheckpoint)
        {
            throw new ConfigException(
                "setting experimental-enable-lease-checkpoint-persist requires experimental-enable-lease-checkpoint");
        }

        if (config.LeaseCheckpoint && !config.LeaseCheckpointPersist)
        {
            notes.Add(new ConfigNote(
                LogLevel.Warn,
                "Detected that checkpointing is enabled without persistence. Consider enabling experimental-enable-lease-checkpoint-persist"));
        }

        if (config.CompactHashCheckTime <= TimeSpan.Zero)
        {
            throw new ConfigException(
                $"--experimental-compact-hash-check-time must be >0 (set to {GoDuration.Format(config.CompactHashCheckTime)})");
        }

        if (config.Tracing.Enabled && config.Tracing.SamplesPerMillion is < 0 or > TracingSamplesMax)
        {
            string trouble = config.Tracing.SamplesPerMillion < 0
                ? "tracing sampling rate must be positive"
                : $"tracing sampling rate must be less than {TracingSamplesMax}";
            throw new ConfigException($"distributed tracing configurition is not valid: ({trouble})");
        }

        if (config.MaxLearners < 1)
        {
            throw new ConfigException($"--max-learners must be greater than 0 (set to {config.MaxLearners})");
        }

        string tokenKind = config.AuthToken.Split(',')[0];
        if (tokenKind is not ("simple" or "jwt" or ""))
        {
            notes.Add(new ConfigNote(LogLevel.Warn, "unknown token type", ("type", tokenKind)));
            throw new ConfigException("auth: invalid auth options");
        }
    }

    private static void RequireTls(ServerConfig config, List<ConfigNote> notes)
    {
        int min = TlsVersion(config.TlsMinVersion);
        int max = TlsVersion(config.TlsMaxVersion);
        if (max != 0 && min > max)
        {
            throw new ConfigException(
                $"min version ({config.TlsMinVersion}) is greater than max version ({config.TlsMaxVersion})");
        }

        if (min == 13 && config.CipherSuites.Count > 0)
        {
            throw new ConfigException("cipher suites cannot be configured when only TLS1.3 is enabled");
        }

        foreach (string suite in config.CipherSuites)
        {
            if (!CipherSuites.Contains(suite, StringComparer.Ordinal))
            {
                throw new ConfigException($"unexpected TLS cipher suite {GoText.Quote(suite)}");
            }
        }

        RequirePairs(config.ClientTls);
        RequirePairs(config.PeerTls);
        foreach (Uri url in config.ListenClientUrls.Concat(config.ListenClientHttpUrls))
        {
            if (IsSecure(url))
            {
                if (config.ClientTls.IsEmpty && !config.ClientTls.AutoTls)
                {
                    throw new ConfigException(
                        $"TLS key/cert (--cert-file, --key-file) must be provided for client url {url.OriginalString} with HTTPS scheme");
                }

                continue;
            }

            WarnOfPlain(config.ClientTls, "http or unix", "--client-cert-auth", ("client-url", url.OriginalString), notes);
        }

        foreach (Uri url in config.ListenPeerUrls)
        {
            if (IsSecure(url))
            {
                if (config.PeerTls.IsEmpty && !config.PeerTls.AutoTls)
                {
                    throw new ConfigException(
                        $"cannot listen on TLS for {url.Authority}: KeyFile and CertFile are not presented");
                }

                continue;
            }

            WarnOfPlain(config.PeerTls, "HTTP", "--peer-client-cert-auth", ("peer-url", url.OriginalString), notes);
        }
    }

    private static void RequirePairs(TlsSettings tls)
    {
        if ((tls.CertFile.Length == 0) != (tls.KeyFile.Length == 0))
        {
            throw new ConfigException($"KeyFile and CertFile must both be present[key: {tls.KeyFile}, cert: {tls.CertFile}]");
        }

        if ((tls.ClientCertFile.Length == 0) != (tls.ClientKeyFile.Length == 0))
        {
            throw new ConfigException(
                $"ClientKeyFile and ClientCertFile must both be present or both absent: key: {tls.ClientKeyFile}, cert: {tls.ClientCertFile}]");
        }

        if (tls.AllowedCommonNames.Count > 0 && tls.AllowedHostnames.Count > 0)
        {
            throw new ConfigException(
                $"AllowedCNs and AllowedHostnames are mutually exclusive (cns={GoText.Quote(tls.AllowedCommonNames)}, hostnames={GoText.Quote(tls.AllowedHostnames)})");
        }
    }

    private static void WarnOfPlain(
        TlsSettings tls, string scheme, string authFlag, (string Key, object? Value) url, List<ConfigNote> notes)
    {
        if (!tls.IsEmpty)
        {
            notes.Add(new ConfigNote(
                LogLevel.Warn,
                $"scheme is {scheme} while key and cert files are present; ignoring key and cert files",
                url));
        }

        if (tls.ClientCertAuth)
        {
            notes.Add(new ConfigNote(
                LogLevel.Warn,
                $"scheme is {scheme} while {authFlag} is enabled; ignoring client cert auth for this URL",
                url));
        }
    }

    private static void RequireLimits(ServerConfig config, List<ConfigNote> notes)
    {
        if (config.BcryptCost is < BcryptCostMin or > BcryptCostMax)
        {
            notes.Add(new ConfigNote(
                LogLevel.Warn,
                "use default bcrypt cost instead of the invalid given cost",
                ("min-cost", BcryptCostMin),
                ("max-cost", BcryptCostMax),
                ("default-cost", BcryptCostDefault),
                ("given-cost", config.BcryptCost)));
            config.BcryptCost = BcryptCostDefault;
        }

        if (config.MaxRequestBytes > RecommendedRequestBytes)
        {
            notes.Add(new ConfigNote(
                LogLevel.Warn,
                "exceeded recommended request limit",
                ("max-request-bytes", config.MaxRequestBytes),
                ("max-request-size", Size(config.MaxRequestBytes)),
                ("recommended-request-bytes", RecommendedRequestBytes),
                ("recommended-request-size", Size(RecommendedRequestBytes))));
        }

        if (config.QuotaBackendBytes > RecommendedQuotaBytes)
        {
            notes.Add(new ConfigNote(
                LogLevel.Warn,
                "quota exceeds the maximum value",
                ("quota-size-bytes", config.QuotaBackendBytes),
                ("quota-size", Size(config.QuotaBackendBytes)),
                ("quota-maximum-size-bytes", RecommendedQuotaBytes),
                ("quota-maximum-size", Size(RecommendedQuotaBytes))));
        }
    }

    private static bool IsSecure(Uri url) => url.Scheme is "https" or "unixs";

    private static int TlsVersion(string text) => text switch
    {
        "" => 0,
        "TLS1.2" => 12,
        "TLS1.3" => 13,
        _ => throw new ConfigException($"unexpected TLS version {GoText.Quote(text)} (must be one of: TLS1.2, TLS1.3)"),
    };

    /// <summary>A size for people, in powers of ten: "8.6 GB".</summary>
    private static string Size(long bytes)
    {
        string[] units = ["B", "kB", "MB", "GB", "TB", "PB", "EB"];
        double value = bytes;
        int unit = 0;
        while (value >= 1000 && unit < units.Length - 1)
        {
            value /= 1000;
            unit++;
        }

        return value.ToString(value < 10 && unit > 0 ? "0.0" : "0", CultureInfo.InvariantCulture) + " " + units[unit];
    }
}
