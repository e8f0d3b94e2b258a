using System.Net;
using System.Net.Security;
using System.Net.Sockets;
using System.Runtime.Versioning;
using System.Security.Authentication;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using Perf.Node.Cluster;
using Perf.Node.Config;
using Perf.Node.Logging;
using Perf.Node.Security;
using Perf.Tests.Security;
using Xunit;

namespace Perf.Node.Tests.Security;

/// <summary>Whom a side lets in, and whom it goes to: real handshakes over loopback.</summary>
[UnsupportedOSPlatform("windows")]
public sealed class TlsSideTests : IDisposable
{
    private readonly Authority _ca = new("root");
    private readonly Authority _other = new("other");
    private readonly KeptLines _lines = new();
    private readonly string _dataDir = Directory.CreateTempSubdirectory("perf-tls-").FullName;

    public void Dispose()
    {
        _ca.Dispose();
        _other.Dispose();
        Directory.Delete(_dataDir, recursive: true);
    }

    [Fact]
    public async Task Only_who_shows_a_valid_certificate_of_our_authority_comes_in()
    {
        TlsSide side = Open();
        Assert.True(await ComesInAsync(side, _ca.Issue("a")));
        Assert.True(await ComesInAsync(side, _ca.Issue("a", purposes: [Authority.ClientPurpose])));
        Assert.False(await ComesInAsync(side, Client(null)));
        Assert.False(await ComesInAsync(side, _ca.Issue("expired", validDays: 0)));
        Assert.False(await ComesInAsync(side, _ca.Issue("a", purposes: [Authority.ServerPurpose])));
        Assert.False(await ComesInAsync(side, _other.Issue("a")));
        Assert.False(await ComesInAsync(side, SelfSignedCertificate("a")));
    }

    [Fact]
    public async Task Authorities_alone_ask_for_certificates()
    {
        TlsSide side = Open(t => t.ClientCertAuth = false);
        Assert.True(side.RequiresCertificate);
        Assert.False(side.NamesUsers);
        Assert.False(await ComesInAsync(side, Client(null)));
        TlsSide open = Open(t => (t.ClientCertAuth, t.TrustedCaFile) = (false, ""));
        Assert.True(await ComesInAsync(open, Client(null)));
    }

    [Fact]
    public async Task An_intermediate_in_the_file_is_trusted_and_no_look_alike_of_it()
    {
        using var middle = new Authority("middle", _ca.Certificate);
        TlsSide side = Open(t => t.TrustedCaFile = middle.CaFile);
        Assert.True(await ComesInAsync(side, middle.Issue("a")));

        // Same names and serial number, another key.
        using var impostor = new Authority("root");
        using var lookAlike = new Authority("middle", impostor.Certificate);
        Assert.Equal(middle.Certificate, lookAlike.Certificate);
        Assert.False(await ComesInAsync(side, lookAlike.Issue("a"), lookAlike.Certificate));
    }

    [Fact]
    public async Task A_name_beyond_the_constraints_of_its_authority_is_refused()
    {
        using var narrow = new Authority("narrow", permitted: "example");
        TlsSide side = Open(t => t.TrustedCaFile = narrow.CaFile);
        Assert.True(await ComesInAsync(side, narrow.Issue("a", ["one.example"])));
        Assert.False(await ComesInAsync(side, narrow.Issue("a", ["one.elsewhere"])));
    }

    [Fact]
    public void A_zero_byte_in_a_name_does_not_make_it_another()
    {
        var name = new X500DistinguishedNameBuilder();
        name.AddCommonName("root\0.stranger");
        using ECDsa key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        using X509Certificate2 certificate = new CertificateRequest(name.Build(), key, HashAlgorithmName.SHA256)
            .CreateSelfSigned(DateTimeOffset.UtcNow.AddDays(-1), DateTimeOffset.UtcNow.AddDays(1));
        Assert.Equal("root\0.stranger", CertificateNames.CommonName(certificate));
    }

    [Fact]
    public async Task Allowed_names_are_compared()
    {
        TlsSide byName = Open(t => t.AllowedCommonNames = ["one", "two"]);
        Assert.True(await ComesInAsync(byName, _ca.Issue("two")));
        Assert.False(await ComesInAsync(byName, _ca.Issue("Two")));
        Assert.False(await ComesInAsync(byName, _ca.Issue("")));
        TlsSide byHost = Open(t => t.AllowedHostnames = ["one.example", "10.0.0.1"]);
        Assert.True(await ComesInAsync(byHost, _ca.Issue("x", ["one.example"])));
        Assert.True(await ComesInAsync(byHost, _ca.Issue("x", ["*.example"])));
        Assert.True(await ComesInAsync(byHost, _ca.Issue("x", ["10.0.0.1"])));
        Assert.False(await ComesInAsync(byHost, _ca.Issue("one.example", ["other.example"])));
        Assert.False(await ComesInAsync(byHost, _ca.Issue("one.example", [])));
    }

    [Fact]
    public async Task A_revoked_certificate_is_refused_as_soon_as_the_list_says_so()
    {
        X509Certificate2 good = _ca.Issue("good");
        X509Certificate2 bad = _ca.Issue("bad");
        string crl = _ca.Write("crl", _ca.Revoke());
        TlsSide side = Open(t => t.CrlFile = crl);
        Assert.True(await ComesInAsync(side, bad));

        _ca.Write("crl", _ca.Revoke(bad));
        Assert.False(await ComesInAsync(side, bad));
        Assert.True(await ComesInAsync(side, good));
        Assert.Contains("revoked", string.Concat(_lines.Lines), StringComparison.Ordinal);

        // PEM will do as well; what cannot be read lets nobody in.
        _ca.Write("crl", PemEncoding.WriteString("X509 CRL", _ca.Revoke(bad, _ca.Issue("third"))));
        Assert.False(await ComesInAsync(side, bad));
        Assert.True(await ComesInAsync(side, good));
        _ca.Write("crl", "not a list");
        Assert.False(await ComesInAsync(side, good));
        File.Delete(crl);
        Assert.False(await ComesInAsync(side, good));
        _ca.Write("crl", _ca.Revoke(bad));
        Assert.True(await ComesInAsync(side, good));
    }

    [Fact]
    public async Task A_certificate_revoked_meanwhile_does_not_come_back_by_resuming()
    {
        X509Certificate2 own = _ca.Issue("a");
        string crl = _ca.Write("crl", _ca.Revoke());
        TlsSide side = Open(t => t.CrlFile = crl);
        SslClientAuthenticationOptions client = Client(own);
        Assert.True(await ComesInAsync(side, client));
        Assert.True(await ComesInAsync(side, client));
        _ca.Write("crl", _ca.Revoke(own));
        Assert.False(await ComesInAsync(side, client));
    }

    [Fact]
    public async Task New_certificates_are_shown_without_a_restart_and_broken_ones_are_not()
    {
        X509Certificate2 first = _ca.Issue("first");
        (string certFile, string keyFile) = _ca.Save(first, "server");
        TlsSide side = Open(t => (t.CertFile, t.KeyFile) = (certFile, keyFile));
        Assert.Equal(first.Thumbprint, await ShownAsync(side));
        Assert.Equal(first.NotAfter.ToUniversalTime(), side.CertificateExpiry);

        // Between the two writes certificate and key do not fit: the old pair serves on.
        X509Certificate2 second = _ca.Issue("second", validDays: 9);
        _ca.Write("server.pem", second.ExportCertificatePem());
        Assert.Equal(first.Thumbprint, await ShownAsync(side));
        Assert.Contains("failed to reload certificate", string.Concat(_lines.Lines), StringComparison.Ordinal);
        _ca.Save(second, "server");
        Assert.Equal(second.Thumbprint, await ShownAsync(side));
        Assert.Equal(second.NotAfter.ToUniversalTime(), side.CertificateExpiry);
        Assert.Contains("reloaded certificate", string.Concat(_lines.Lines), StringComparison.Ordinal);

        File.Delete(certFile);
        Assert.Equal(second.Thumbprint, await ShownAsync(side));
    }

    [Fact]
    public async Task Files_swapped_behind_a_link_are_seen()
    {
        X509Certificate2 first = _ca.Issue("first");
        X509Certificate2 second = _ca.Issue("second");
        _ca.Save(first, "one");
        _ca.Save(second, "two");
        File.CreateSymbolicLink(_ca.PathOf("link.pem"), _ca.PathOf("one.pem"));
        File.CreateSymbolicLink(_ca.PathOf("link-key.pem"), _ca.PathOf("one-key.pem"));
        TlsSide side = Open(t => (t.CertFile, t.KeyFile) = (_ca.PathOf("link.pem"), _ca.PathOf("link-key.pem")));
        Assert.Equal(first.Thumbprint, await ShownAsync(side));
        foreach (string suffix in (string[])[".pem", "-key.pem"])
        {
            File.CreateSymbolicLink(_ca.PathOf("new"), _ca.PathOf("two" + suffix));
            File.Move(_ca.PathOf("new"), _ca.PathOf("link" + suffix), overwrite: true);
        }

        Assert.Equal(second.Thumbprint, await ShownAsync(side));
    }

    [Fact]
    public async Task Another_authority_is_trusted_without_a_restart()
    {
        string file = _ca.Write("trusted.pem", _ca.Certificate.ExportCertificatePem());
        TlsSide side = Open(t => t.TrustedCaFile = file);
        Assert.False(await ComesInAsync(side, _other.Issue("a")));
        _ca.Write("trusted.pem", _ca.Certificate.ExportCertificatePem() + "\n" + _other.Certificate.ExportCertificatePem());
        Assert.True(await ComesInAsync(side, _other.Issue("a")));
        Assert.True(await ComesInAsync(side, _ca.Issue("a")));
        _ca.Write("trusted.pem", _other.Certificate.ExportCertificatePem());
        Assert.False(await ComesInAsync(side, _ca.Issue("a")));
        Assert.Equal(_other.Certificate.NotAfter.ToUniversalTime(), side.AuthorityExpiry);
    }

    [Fact]
    public async Task Who_is_dialed_must_be_who_was_meant()
    {
        TlsSide dialer = Open();
        Assert.True(await ReachesAsync(dialer, Open(Shows(_ca.Issue("s")))));
        Assert.False(await ReachesAsync(dialer, Open(Shows(_ca.Issue("s", ["10.9.8.7"])))));
        Assert.False(await ReachesAsync(dialer, Open(Shows(_ca.Issue("127.0.0.1", [])))));
        Assert.False(await ReachesAsync(dialer, Open(Shows(_other.Issue("s")))));
        Assert.False(await ReachesAsync(dialer, Open(Shows(_ca.Issue("s", purposes: [Authority.ClientPurpose])))));
        Assert.False(await ReachesAsync(dialer, Open(Shows(_ca.Issue("s", validDays: 0)))));
    }

    [Fact]
    public async Task The_client_certificate_of_its_own_is_shown_when_dialing()
    {
        (string certFile, string keyFile) = _ca.Save(_ca.Issue("as-client", purposes: [Authority.ClientPurpose]));
        TlsSide serverOnly = Open(Shows(_ca.Issue("s", purposes: [Authority.ServerPurpose])));
        TlsSide both = Open(t =>
        {
            Shows(_ca.Issue("s", purposes: [Authority.ServerPurpose]))(t);
            (t.ClientCertFile, t.ClientKeyFile) = (certFile, keyFile);
        });
        Assert.False(await ReachesAsync(serverOnly, Open()));
        Assert.True(await ReachesAsync(both, Open(t => t.AllowedCommonNames = ["as-client"]), ignoreName: true));
    }

    [Fact]
    public void Made_certificates_are_made_once()
    {
        var config = new ServerConfig { DataDir = _dataDir, SelfSignedCertValidityYears = 3 };
        config.PeerTls.AutoTls = true;
        config.ListenPeerUrls = [new Uri("https://127.0.0.1:2380"), new Uri("https://one.example:2380")];
        TlsSide side = TlsSide.OpenForPeers(config, Log.None, TimeProvider.System);
        string certFile = Path.Combine(_dataDir, "fixtures", "peer", "cert.pem");
        string keyFile = Path.Combine(_dataDir, "fixtures", "peer", "key.pem");
        byte[] cert = File.ReadAllBytes(certFile);
        Assert.StartsWith("-----BEGIN EC PRIVATE KEY-----", File.ReadAllText(keyFile), StringComparison.Ordinal);
        Assert.Equal(UnixFileMode.UserRead | UnixFileMode.UserWrite, File.GetUnixFileMode(keyFile));
        using X509Certificate2 made = X509CertificateLoader.LoadCertificateFromFile(certFile);
        Assert.Equal("O=etcd", made.Subject);
        Assert.Equal(521, made.GetECDsaPublicKey()!.KeySize);
        Assert.Equal(3 * 365, (int)Math.Round((made.NotAfter - made.NotBefore).TotalDays));
        (string[] names, IPAddress[] addresses) = CertificateNames.Alternatives(made);
        Assert.Equal(["one.example"], names);
        Assert.Equal([IPAddress.Loopback], addresses);
        Assert.False(side.RequiresCertificate);

        TlsSide again = TlsSide.OpenForPeers(config, Log.None, TimeProvider.System);
        Assert.Equal(cert, File.ReadAllBytes(certFile));
        Assert.Equal(side.CertificateExpiry, again.CertificateExpiry);
    }

    [Fact]
    public async Task Members_with_made_certificates_reach_each_other()
    {
        var one = new ServerConfig { DataDir = Path.Combine(_dataDir, "1") };
        var two = new ServerConfig { DataDir = Path.Combine(_dataDir, "2") };
        one.PeerTls.AutoTls = true;
        two.PeerTls.AutoTls = true;
        Assert.True(await ReachesAsync(
            TlsSide.OpenForPeers(one, Log.None, TimeProvider.System), TlsSide.OpenForPeers(two, Log.None, TimeProvider.System)));
    }

    [Fact]
    public void Given_certificates_win_over_made_ones()
    {
        TlsSide side = Open(t => t.AutoTls = true);
        Assert.True(side.RequiresCertificate);
        Assert.False(Directory.Exists(Path.Combine(_dataDir, "fixtures")));
        Assert.Contains("ignoring peer auto TLS since certs given", string.Concat(_lines.Lines), StringComparison.Ordinal);
    }

    [Fact]
    public void Loose_key_files_are_told_of_and_refused_when_asked()
    {
        (string certFile, string keyFile) = _ca.Save(_ca.Issue("a"));
        File.SetUnixFileMode(keyFile, UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.OtherRead);
        Open(t => (t.CertFile, t.KeyFile) = (certFile, keyFile));
        Assert.Contains("key file may be read or written by others", string.Concat(_lines.Lines), StringComparison.Ordinal);
        Assert.Throws<StartRefusedException>(() => Open(t => (t.CertFile, t.KeyFile) = (certFile, keyFile), isStrict: true));
    }

    [Theory]
    [InlineData("cert")]
    [InlineData("key")]
    [InlineData("ca")]
    [InlineData("crl")]
    public void Files_that_cannot_be_used_refuse_the_start(string which)
    {
        string bad = _ca.Write("bad", "-----BEGIN NONSENSE-----\nAAAA\n-----END NONSENSE-----\n");
        foreach (string file in (string[])[bad, "/nowhere/at/all"])
        {
            Assert.Throws<StartRefusedException>(() => Open(t =>
            {
                t.CertFile = which == "cert" ? file : t.CertFile;
                t.KeyFile = which == "key" ? file : t.KeyFile;
                t.TrustedCaFile = which == "ca" ? file : t.TrustedCaFile;
                t.CrlFile = which == "crl" ? file : t.CrlFile;
            }));
        }
    }

    [Fact]
    public async Task Tls_1_1_is_refused_with_an_alert()
    {
        TlsSide side = Open();
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        Task accepted = AcceptAsync(listener, side);
        using var client = new TcpClient();
        await client.ConnectAsync((IPEndPoint)listener.LocalEndpoint);

        // Record: handshake, 3.1; client hello of 3.2 with one suite and no extensions.
        byte[] hello = [22, 3, 1, 0, 45, 1, 0, 0, 41, 3, 2, .. new byte[32], 0, 0, 2, 0xc0, 0x13, 1, 0];
        await client.GetStream().WriteAsync(hello);
        byte[] answer = new byte[7];
        await client.GetStream().ReadExactlyAsync(answer).AsTask().WaitAsync(TimeSpan.FromSeconds(20));
        Assert.Equal((21, 2, 70), (answer[0], answer[5], answer[6]));
        await Assert.ThrowsAnyAsync<Exception>(() => accepted);
    }

    [Theory]
    [InlineData("TLS1.2", "", SslProtocols.Tls12 | SslProtocols.Tls13)]
    [InlineData("", "", SslProtocols.Tls12 | SslProtocols.Tls13)]
    [InlineData("TLS1.3", "", SslProtocols.Tls13)]
    [InlineData("TLS1.2", "TLS1.2", SslProtocols.Tls12)]
    [InlineData("TLS1.3", "TLS1.3", SslProtocols.Tls13)]
    public async Task Versions_are_those_between_min_and_max(string min, string max, SslProtocols expected)
    {
        TlsSide side = Open(change: c => (c.TlsMinVersion, c.TlsMaxVersion) = (min, max));
        Assert.Equal(expected, side.Protocols);
        foreach (SslProtocols version in (SslProtocols[])[SslProtocols.Tls12, SslProtocols.Tls13])
        {
            SslClientAuthenticationOptions client = Client(_ca.Issue("a"));
            client.EnabledSslProtocols = version;
            Assert.Equal((expected & version) != 0, await ComesInAsync(side, client));
        }
    }

    [Fact]
    public async Task The_chosen_suite_is_the_one_spoken()
    {
        TlsSide side = Open(change: c => c.CipherSuites = ["TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"]);
        SslClientAuthenticationOptions client = Client(_ca.Issue("a"));
        client.EnabledSslProtocols = SslProtocols.Tls12;
        Assert.True(await ComesInAsync(
            side, client, tls => Assert.Equal(
                TlsCipherSuite.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.NegotiatedCipherSuite)));
        client.EnabledSslProtocols = SslProtocols.Tls13;
        Assert.True(await ComesInAsync(side, client));
    }

    [Fact]
    public void Every_name_that_settings_let_pass_is_a_suite()
    {
        string[] names =
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

        // Three are TLS 1.3's own, two are said twice.
        Assert.Equal(names.Length - 2, CipherSuiteNames.Parse(names)!.Count);
        Assert.Null(CipherSuiteNames.Parse([]));
    }

    private TlsSide Open(Action<TlsSettings>? adjust = null, bool isStrict = false, Action<ServerConfig>? change = null)
    {
        var config = new ServerConfig { DataDir = _dataDir, StrictPermissions = isStrict };
        TlsSettings settings = config.PeerTls;
        Shows(_ca.Issue("server"))(settings);
        settings.TrustedCaFile = _ca.CaFile;
        settings.ClientCertAuth = true;
        adjust?.Invoke(settings);
        change?.Invoke(config);
        return TlsSide.OpenForPeers(config, new Log(_lines, LogLevel.Info, TimeProvider.System), TimeProvider.System);
    }

    private Action<TlsSettings> Shows(X509Certificate2 certificate)
    {
        (string certFile, string keyFile) = _ca.Save(certificate);
        return settings => (settings.CertFile, settings.KeyFile) = (certFile, keyFile);
    }

    private static X509Certificate2 SelfSignedCertificate(string commonName)
    {
        using ECDsa key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        return new CertificateRequest($"CN={commonName}", key, HashAlgorithmName.SHA256)
            .CreateSelfSigned(DateTimeOffset.UtcNow.AddDays(-1), DateTimeOffset.UtcNow.AddDays(1));
    }

    private static SslClientAuthenticationOptions Client(X509Certificate2? own, X509Certificate2? above = null) => new()
    {
        TargetHost = "127.0.0.1",
        RemoteCertificateValidationCallback = (_, _, _, _) => true,
        ClientCertificateContext = own is null
            ? null
            : SslStreamCertificateContext.Create(own, above is null ? [] : [above], offline: true),
    };

    private static Task<bool> ComesInAsync(TlsSide side, X509Certificate2? own, X509Certificate2? above = null) =>
        ComesInAsync(side, Client(own, above));

    /// <summary>The thumbprint of what the side shows.</summary>
    private async Task<string?> ShownAsync(TlsSide side)
    {
        string? shown = null;
        Assert.True(await ComesInAsync(
            side, Client(_ca.Issue("a")), tls => shown = tls.RemoteCertificate!.GetCertHashString()));
        return shown;
    }

    private static Task<bool> ReachesAsync(TlsSide dialer, TlsSide side, bool ignoreName = false)
    {
        SslClientAuthenticationOptions options = dialer.ForDialing("127.0.0.1");
        if (ignoreName)
        {
            options.RemoteCertificateValidationCallback = (_, _, _, _) => true;
        }

        return ComesInAsync(side, options);
    }

    /// <summary>True when a byte came back, which takes both to be content.</summary>
    private static async Task<bool> ComesInAsync(
        TlsSide side, SslClientAuthenticationOptions options, Action<SslStream>? look = null)
    {
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        Task accepted = AcceptAsync(listener, side);
        bool isIn = false;
        using (var client = new TcpClient())
        {
            await client.ConnectAsync((IPEndPoint)listener.LocalEndpoint);
            using var tls = new SslStream(client.GetStream());
            try
            {
                using var limit = new CancellationTokenSource(TimeSpan.FromSeconds(20));
                await tls.AuthenticateAsClientAsync(options, limit.Token);
                isIn = await tls.ReadAsync(new byte[1], limit.Token) == 1;
            }
            catch (Exception e) when (e is IOException or AuthenticationException)
            {
                // Refused.
            }

            if (isIn)
            {
                look?.Invoke(tls);
            }
        }

        try
        {
            await accepted;
        }
        catch (Exception e) when (e is IOException or AuthenticationException)
        {
            // So did they see it.
        }

        return isIn;
    }

    private static async Task AcceptAsync(TcpListener listener, TlsSide side)
    {
        using TcpClient accepted = await listener.AcceptTcpClientAsync();
        using var tls = new SslStream(accepted.GetStream());
        using var limit = new CancellationTokenSource(TimeSpan.FromSeconds(20));
        await tls.AuthenticateAsServerAsync(side.ForAccepting(accepted.Client.RemoteEndPoint), limit.Token);
        await tls.WriteAsync(new byte[1], limit.Token);
        await tls.ReadAtLeastAsync(new byte[1], 1, throwOnEndOfStream: false, limit.Token);
    }
}
