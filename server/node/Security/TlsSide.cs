using System.Net;
using System.Net.Security;
using System.Security.Authentication;
using System.Security.Cryptography.X509Certificates;
using Perf.Node.Cluster;
using Perf.Node.Config;
using Perf.Node.Logging;

namespace Perf.Node.Security;

/// <summary>
/// TLS of one side, towards clients or among peers: what this member shows, whom it trusts, whom it refuses. Files are
/// looked at again at each handshake, so everything here may change while serving. Any thread.
/// </summary>
public sealed class TlsSide
{
    private readonly Log _log;
    private readonly TlsSettings _settings;
    private readonly Reloaded<Identity>? _server;
    private readonly Reloaded<Identity>? _client;
    private readonly Reloaded<X509Certificate2Collection>? _authorities;
    private readonly Reloaded<RevocationList>? _revoked;
    private readonly CipherSuitesPolicy? _cipherSuites;

    /// <summary>Certificates that each member makes for itself: nobody can verify them.</summary>
    private readonly bool _isSelfSigned;

    private TlsSide(ServerConfig config, TlsSettings settings, bool isSelfSigned, Log log)
    {
        _log = log;
        _settings = settings;
        _isSelfSigned = isSelfSigned;
        _server = OpenIdentity(settings.CertFile, settings.KeyFile, config.StrictPermissions);
        _client = OpenIdentity(settings.ClientCertFile, settings.ClientKeyFile, config.StrictPermissions) ?? _server;
        if (settings.TrustedCaFile.Length > 0)
        {
            string file = settings.TrustedCaFile;
            _authorities = new("trusted authorities", [file], () => TlsFiles.ReadAuthorities(file), log);
        }

        if (settings.CrlFile.Length > 0)
        {
            string file = settings.CrlFile;
            _revoked = new("revocation list", [file], () => RevocationList.ReadFile(file), log);
        }

        Protocols = ProtocolsOf(config);
        CipherSuites = CipherSuiteNames.Parse(config.CipherSuites);
        if (CipherSuites is not null && !OperatingSystem.IsWindows())
        {
            _cipherSuites = new CipherSuitesPolicy(CipherSuites);
        }
    }

    /// <summary>True when there is something to show, so that this side can listen on https.</summary>
    public bool HasCertificate => _server is not null;

    /// <summary>Whoever connects has to show a certificate (trusted authorities alone ask for it, as in etcd).</summary>
    public bool RequiresCertificate => _settings.ClientCertAuth || _settings.TrustedCaFile.Length > 0;

    /// <summary>The common name of a client's certificate is a user's name.</summary>
    public bool NamesUsers => _settings.ClientCertAuth;

    /// <summary>The alternative names of who connects are compared with its address.</summary>
    internal bool ChecksAddress => !_settings.SkipClientSanVerification;

    public SslProtocols Protocols { get; }

    /// <summary>Null for the platform's choice.</summary>
    public IReadOnlyList<TlsCipherSuite>? CipherSuites { get; }

    /// <summary>The certificate as the files have it now. Only where <see cref="HasCertificate"/>.</summary>
    public SslStreamCertificateContext Certificate => _server!.Current.Context;

    /// <summary>The trusted authorities as the file has them now; null for the system's.</summary>
    public X509Certificate2Collection? Authorities => _authorities?.Current;

    /// <summary>When the certificate we show expires; null without one. For metrics.</summary>
    public DateTime? CertificateExpiry => _server?.Current.Leaf.NotAfter.ToUniversalTime();

    /// <summary>When the certificate we show as a client expires; null without one. For metrics.</summary>
    public DateTime? ClientCertificateExpiry => _client?.Current.Leaf.NotAfter.ToUniversalTime();

    /// <summary>When the first of the trusted authorities expires; null without any. For metrics.</summary>
    public DateTime? AuthorityExpiry => _authorities?.Current.Min(a => a.NotAfter).ToUniversalTime();

    /// <summary>Towards clients. Throws <see cref="StartRefusedException"/> for files that cannot be used.</summary>
    public static TlsSide OpenForClients(ServerConfig config, Log log, TimeProvider clock) =>
        Open(config, config.ClientTls, "client", config.ListenClientUrls.Concat(config.ListenClientHttpUrls), log, clock);

    /// <summary>Among peers. Throws <see cref="StartRefusedException"/> for files that cannot be used.</summary>
    public static TlsSide OpenForPeers(ServerConfig config, Log log, TimeProvider clock) =>
        Open(config, config.PeerTls, "peer", config.ListenPeerUrls, log, clock);

    /// <summary>Decides about the certificate of who connects, after its chain was built against <see cref="Authorities"/>.</summary>
    public bool Accepts(X509Certificate2? certificate, X509Chain? chain, SslPolicyErrors errors, EndPoint? remote)
    {
        string? refusal = Refusal(certificate, chain, errors);
        if (refusal is not null)
        {
            _log.Warn("rejected connection", ("remote-addr", remote?.ToString()), ("error", refusal));
        }

        return refusal is null;
    }

    /// <summary>The handshake of an accepted connection.</summary>
    internal SslServerAuthenticationOptions ForAccepting(EndPoint? remote)
    {
        var options = new SslServerAuthenticationOptions
        {
            ServerCertificateContext = Certificate,
            EnabledSslProtocols = Protocols,
            CipherSuitesPolicy = _cipherSuites,
            AllowRenegotiation = false,
            ApplicationProtocols = [SslApplicationProtocol.Http11],
        };
        if (RequiresCertificate)
        {
            options.ClientCertificateRequired = true;

            // A resumed session would bring along a certificate that may have been revoked since.
            options.AllowTlsResume = false;
            options.CertificateChainPolicy = ChainPolicy();
            options.RemoteCertificateValidationCallback = (_, certificate, chain, errors) =>
                Accepts(certificate as X509Certificate2, chain, errors, remote);
        }

        return options;
    }

    /// <summary>The handshake of a connection that we make.</summary>
    internal SslClientAuthenticationOptions ForDialing(string host) => new()
    {
        TargetHost = host,
        EnabledSslProtocols = Protocols,
        CipherSuitesPolicy = _cipherSuites,
        AllowTlsResume = false,
        ClientCertificateContext = _client?.Current.Context,
        CertificateChainPolicy = ChainPolicy(),
        RemoteCertificateValidationCallback = (_, certificate, chain, errors) =>
        {
            string? refusal = DialRefusal(certificate as X509Certificate2, chain, errors, host);
            if (refusal is not null)
            {
                _log.Warn("rejected certificate of peer", ("server-name", host), ("error", refusal));
            }

            return refusal is null;
        },
    };

    private static TlsSide Open(
        ServerConfig config, TlsSettings settings, string name, IEnumerable<Uri> urls, Log log, TimeProvider clock)
    {
        try
        {
            bool isSelfSigned = settings.AutoTls && settings.IsEmpty;
            if (settings.AutoTls && !isSelfSigned)
            {
                log.Warn($"ignoring {name} auto TLS since certs given");
            }

            if (isSelfSigned)
            {
                if (settings.ClientCertAuth || settings.TrustedCaFile.Length > 0)
                {
                    log.Warn($"{name} auto TLS: certificates of those who connect are not asked for");
                }

                (string cert, string key) = SelfSigned.Ensure(
                    Path.Combine(config.DataDir, "fixtures", name),
                    urls.Select(u => u.IdnHost.Trim('[', ']')),
                    config.SelfSignedCertValidityYears,
                    isPeer: ReferenceEquals(settings, config.PeerTls),
                    log,
                    clock);

                // As etcd: whatever else was said about this side's TLS does not count.
                settings = new TlsSettings { CertFile = cert, KeyFile = key, SkipClientSanVerification = true };
            }

            return new TlsSide(config, settings, isSelfSigned, log);
        }
        catch (Exception e) when (TlsFiles.IsTrouble(e))
        {
            throw new StartRefusedException($"{name} TLS: {e.Message}", e);
        }
    }

    private static SslProtocols ProtocolsOf(ServerConfig config)
    {
        const string Tls13 = "TLS1.3";
        SslProtocols protocols = SslProtocols.None;
        if (config.TlsMinVersion != Tls13)
        {
            protocols |= SslProtocols.Tls12;
        }

        if (config.TlsMaxVersion is "" or Tls13)
        {
            protocols |= SslProtocols.Tls13;
        }

        return protocols;
    }

    private Reloaded<Identity>? OpenIdentity(string certFile, string keyFile, bool isStrict) => certFile.Length == 0
        ? null
        : new("certificate", [certFile, keyFile], () => TlsFiles.ReadIdentity(certFile, keyFile, isStrict, _log), _log);

    private X509ChainPolicy ChainPolicy()
    {
        var policy = new X509ChainPolicy
        {
            RevocationMode = X509RevocationMode.NoCheck,
            DisableCertificateDownloads = true,
        };
        if (Authorities is { } authorities)
        {
            policy.TrustMode = X509ChainTrustMode.CustomRootTrust;
            policy.CustomTrustStore.AddRange(authorities);
        }

        return policy;
    }

    private string? DialRefusal(X509Certificate2? certificate, X509Chain? chain, SslPolicyErrors errors, string host)
    {
        if (_isSelfSigned)
        {
            return null;
        }

        // The name is ours to check: Go looks at alternative names alone.
        string? refusal = Refusal(certificate, chain, errors & ~SslPolicyErrors.RemoteCertificateNameMismatch);
        return refusal ?? (CertificateNames.IsFor(certificate!, host)
            ? null
            : $"x509: certificate is not valid for {host}");
    }

    private string? Refusal(X509Certificate2? certificate, X509Chain? chain, SslPolicyErrors errors)
    {
        if (certificate is null || chain is null)
        {
            return "tls: client didn't provide a certificate";
        }

        if (errors != SslPolicyErrors.None && !EndsAtAuthority(chain))
        {
            string details = string.Join(", ", chain.ChainStatus.Select(s => s.Status).Distinct());
            return $"tls: failed to verify certificate: {(details.Length > 0 ? details : errors)}";
        }

        if (!IsAllowed(certificate))
        {
            return "client certificate authentication failed";
        }

        return RevocationRefusal(chain);
    }

    /// <summary>
    /// Go trusts whatever stands in the file of authorities; for .NET a chain is complete only at a self-signed one.
    /// </summary>
    private bool EndsAtAuthority(X509Chain chain) =>
        Authorities is { } authorities
        && chain.ChainStatus.All(s => s.Status == X509ChainStatusFlags.PartialChain)
        && chain.ChainElements.Count > 1
        && authorities.Any(a => IsSame(a, chain.ChainElements[^1].Certificate));

    // Equals would be content with the same issuer and serial number, which anybody can write into a certificate.
    private static bool IsSame(X509Certificate2 left, X509Certificate2 right) =>
        left.RawDataMemory.Span.SequenceEqual(right.RawDataMemory.Span);

    private bool IsAllowed(X509Certificate2 certificate)
    {
        if (_settings.AllowedCommonNames.Count > 0)
        {
            return _settings.AllowedCommonNames.Contains(CertificateNames.CommonName(certificate), StringComparer.Ordinal);
        }

        return _settings.AllowedHostnames.Count == 0
            || _settings.AllowedHostnames.Any(h => CertificateNames.IsFor(certificate, h));
    }

    private string? RevocationRefusal(X509Chain chain)
    {
        if (_revoked is null)
        {
            return null;
        }

        try
        {
            RevocationList list = _revoked.CurrentOrThrow();
            foreach (X509ChainElement element in chain.ChainElements)
            {
                if (list.Contains(element.Certificate))
                {
                    return $"transport: certificate serial {element.Certificate.SerialNumber.ToLowerInvariant()} revoked";
                }
            }

            return null;
        }
        catch (InvalidDataException e)
        {
            // Who was revoked is not known now: nobody is let in, as etcd does.
            return e.Message;
        }
    }
}
