using System.Net.Security;
using System.Security.Authentication;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using Perf.Cluster.Tests.Harness;
using Perf.Tests.Security;
using Xunit;

namespace Perf.Cluster.Tests.Security;

/// <summary>A server under TLS as its clients see it: the real etcdctl with every kind of certificate.</summary>
[Collection(SingleMembers.Name)]
public sealed class TlsTests : IDisposable
{
    private const int Port = 31830;
    private const string Url = "https://127.0.0.1:31830";
    private const string HttpUrl = "https://127.0.0.1:31832";
    private const string MonitorUrl = "http://127.0.0.1:31833";

    /// <summary>etcdctl tries again until its time is over, whatever the server says.</summary>
    private const string Impatient = "--command-timeout=1s";

    private readonly TempDirectory _scratch = new();
    private readonly Authority _ca = new("authority");
    private readonly Authority _other = new("other");

    public void Dispose()
    {
        _other.Dispose();
        _ca.Dispose();
        _scratch.Dispose();
    }

    [InteropFact]
    public async Task Who_comes_in_and_as_whom_is_what_the_certificate_says()
    {
        X509Certificate2 revoked = _ca.Issue("root");
        string crl = _ca.Write("crl", _ca.Revoke());
        using PerfProcess server = Start(
            "--client-crl-file", crl, "--bcrypt-cost", "4", "--listen-client-http-urls", HttpUrl,
            "--experimental-peer-skip-client-san-verification");
        Etcdctl root = With(server, _ca.Issue("root"));
        Etcdctl bob = With(server, _ca.Issue("bob", purposes: [Authority.ClientPurpose]));
        root.Succeed("put a 1");
        root.Succeed("put b 1");
        root.Succeed("user add root:pw");
        root.Succeed("user grant-role root root");
        root.Succeed("user add bob --no-password");
        root.Succeed("user add alice:alicepw");
        root.Succeed("role add reader");
        root.Succeed("role grant-permission reader read a");
        root.Succeed("user grant-role bob reader");
        root.Succeed("role add writer");
        root.Succeed("role grant-permission writer readwrite b");
        root.Succeed("user grant-role alice writer");
        root.Succeed("auth enable");

        // The name in the certificate is the user, and only that one.
        Assert.Equal("a\n1\n", bob.Succeed("get a"));
        Denied(bob.Run("get b"));
        Denied(bob.Run("put a 2"));
        Denied(bob.Run("user list"));
        Assert.Equal("b\n1\n", With(server, _ca.Issue("alice")).Succeed("get b"));
        Denied(With(server, _ca.Issue("alice")).Run("get a"));
        Denied(With(server, _ca.Issue("nobody")).Run("get a"));
        Denied(With(server, _ca.Issue("")).Run("get a"));

        // A password is louder than a certificate; the root in bob's certificate is bob.
        Assert.Equal("b\n1\n", bob.Succeed("--user alice:alicepw get b"));
        Assert.Contains("authentication failed", bob.Run("--user root:wrong get a").Error, StringComparison.Ordinal);
        Assert.Equal("OK\n", bob.Succeed("--user root:pw put b 2"));

        // Locks are taken in the name of the certificate as well.
        Denied(bob.Run("lock b echo taken"));
        root.Succeed("role grant-permission reader readwrite locks/ --prefix=true");
        Assert.Equal("taken\n", bob.Succeed("lock locks/x echo taken"));

        _ca.Write("crl", _ca.Revoke(revoked));
        (string Why, X509Certificate2? Own)[] strangers =
        [
            ("no certificate", null),
            ("expired", _ca.Issue("root", validDays: 0)),
            ("made for servers", _ca.Issue("root", purposes: [Authority.ServerPurpose])),
            ("revoked", revoked),
            ("self-signed", SelfSigned("root")),
            ("of another authority", _other.Issue("root")),
        ];
        foreach ((string why, X509Certificate2? own) in strangers)
        {
            Assert.True(With(server, own, Impatient).Run("get a").Code != 0, why);

            // No other door is open to them either.
            Assert.False(await AnswersAsync(HttpUrl + "/version", own), why);
            Assert.False(await AnswersAsync(Url + "/version", own), why);
        }

        Assert.True(await AnswersAsync(HttpUrl + "/version", _ca.Issue("root")));
        Assert.Equal("a\n1\n", bob.Succeed("get a"));
        Assert.Contains("revoked", server.Log, StringComparison.Ordinal);
        Assert.Contains("rejected connection", server.Log, StringComparison.Ordinal);
    }

    [InteropFact]
    public void Allowed_host_names_and_common_names_are_asked_for()
    {
        using PerfProcess server = Start("--client-cert-allowed-hostname", "client.example");
        Assert.Equal("OK\n", With(server, _ca.Issue("x", ["client.example"])).Succeed("put a 1"));
        Assert.NotEqual(0, With(server, _ca.Issue("client.example", ["other.example"]), Impatient).Run("get a").Code);
        Assert.Contains("client certificate authentication failed", server.Log, StringComparison.Ordinal);
    }

    [InteropFact]
    public async Task Certificates_of_the_server_and_authorities_change_without_a_restart()
    {
        using PerfProcess server = Start();
        X509Certificate2 own = _ca.Issue("client");
        Etcdctl etcdctl = With(server, own);
        Etcdctl refusing = With(server, own, Impatient);
        etcdctl.Succeed("put a 1");

        // What the client refuses in a server.
        foreach (X509Certificate2 bad in (X509Certificate2[])
            [
                _ca.Issue("server", validDays: 0), _ca.Issue("server", ["elsewhere.example"]),
                _ca.Issue("server", purposes: [Authority.ClientPurpose]), _other.Issue("server"),
            ])
        {
            _ca.Save(bad, "server");
            Outcome outcome = refusing.Run("get a");
            Assert.True(outcome.Code != 0, outcome.Output);
        }

        X509Certificate2 newest = _ca.Issue("server");
        _ca.Save(newest, "server");
        Assert.Equal("a\n1\n", etcdctl.Succeed("get a"));
        using var http = new HttpClient();
        string metrics = await http.GetStringAsync(new Uri(MonitorUrl + "/metrics"));
        long ends = new DateTimeOffset(newest.NotAfter.ToUniversalTime()).ToUnixTimeSeconds();
        Assert.Contains($"{{kind=\"certificate\",side=\"client\"}} {ends}", metrics, StringComparison.Ordinal);
        Assert.Contains("kind=\"authority\",side=\"client\"", metrics, StringComparison.Ordinal);

        // And whom the server trusts: the other authority from now on, and no longer the first.
        (string cert, string key) = _ca.Save(_other.Issue("client"));
        string[] second = ["--cacert", _ca.CaFile, "--cert", cert, "--key", key];
        Assert.NotEqual(0, new Etcdctl(server, [.. second, Impatient]).Run("get a").Code);
        _ca.Write("trusted", _other.Certificate.ExportCertificatePem());
        Assert.Equal("a\n1\n", new Etcdctl(server, second).Succeed("get a"));
        Assert.NotEqual(0, refusing.Run("get a").Code);
        Assert.Contains("reloaded certificate", server.Log, StringComparison.Ordinal);
        Assert.Contains("reloaded trusted authorities", server.Log, StringComparison.Ordinal);
    }

    [InteropFact]
    public void Loose_modes_are_told_of_and_refused_when_asked()
    {
        (string certFile, string keyFile) = _ca.Save(_ca.Issue("server"), "loose");
        string data = _scratch["loose"];
        Directory.CreateDirectory(data);
        File.SetUnixFileMode(data, (UnixFileMode)0x1ED);
        File.SetUnixFileMode(keyFile, (UnixFileMode)0x1A4);
        string[] flags =
        [
            "--listen-client-urls", Url, "--advertise-client-urls", Url, "--listen-metrics-urls", MonitorUrl,
            "--cert-file", certFile, "--key-file", keyFile,
        ];
        using (PerfProcess server = PerfProcess.Start(data, Port, flags))
        {
            server.Stop();
            Assert.Contains("check file permission", server.Log, StringComparison.Ordinal);
            Assert.Contains("drwxr-xr-x", server.Log, StringComparison.Ordinal);
            Assert.Contains("key file may be read or written by others", server.Log, StringComparison.Ordinal);
        }

        // The directory first; then the key.
        string[] strict = [.. flags, "--strict-permissions"];
        Assert.Contains("drwxr-xr-x", Refused(data, strict), StringComparison.Ordinal);
        File.SetUnixFileMode(data, (UnixFileMode)0x1C0);
        Assert.Contains("loose-key.pem", Refused(data, strict), StringComparison.Ordinal);
        File.SetUnixFileMode(keyFile, (UnixFileMode)0x180);
        using PerfProcess tight = PerfProcess.Start(data, Port, strict);
        Assert.Equal(0, tight.Stop());
    }

    private static string Refused(string data, string[] flags)
    {
        using PerfProcess server = PerfProcess.Launch(data, Port, flags);
        Assert.NotEqual(0, server.WaitForExit());
        return server.Log;
    }

    private static void Denied(Outcome outcome)
    {
        Assert.NotEqual(0, outcome.Code);
        Assert.Contains("permission denied", outcome.Error, StringComparison.Ordinal);
    }

    private static X509Certificate2 SelfSigned(string name)
    {
        using ECDsa key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        var request = new CertificateRequest($"CN={name}", key, HashAlgorithmName.SHA256);
        return request.CreateSelfSigned(DateTimeOffset.UtcNow.AddDays(-1), DateTimeOffset.UtcNow.AddDays(1));
    }

    private static async Task<bool> AnswersAsync(string url, X509Certificate2? own)
    {
        using var handler = new SocketsHttpHandler();
        handler.SslOptions.RemoteCertificateValidationCallback = (_, _, _, _) => true;
        if (own is not null)
        {
            handler.SslOptions.ClientCertificateContext = SslStreamCertificateContext.Create(own, [], offline: true);
        }

        using var client = new HttpClient(handler) { Timeout = TimeSpan.FromSeconds(30) };
        try
        {
            // Any answer will do: what matters is that there is none.
            using HttpResponseMessage answer = await client.GetAsync(new Uri(url));
            return true;
        }
        catch (HttpRequestException e) when (e.InnerException is IOException or AuthenticationException)
        {
            return false;
        }
    }

    /// <summary>With a certificate of its own ("server"), authorities in "trusted", and clients that must show theirs.</summary>
    private PerfProcess Start(params string[] more)
    {
        (string certFile, string keyFile) = _ca.Save(_ca.Issue("server"), "server");
        string trusted = _ca.Write("trusted", _ca.Certificate.ExportCertificatePem());
        return PerfProcess.Start(
            _scratch["data"],
            Port,
            [
                "--listen-client-urls", Url, "--advertise-client-urls", Url, "--listen-metrics-urls", MonitorUrl,
                "--cert-file", certFile, "--key-file", keyFile, "--trusted-ca-file", trusted, "--client-cert-auth", .. more,
            ]);
    }

    private Etcdctl With(PerfProcess server, X509Certificate2? own, params string[] flags)
    {
        if (own is null)
        {
            return new Etcdctl(server, ["--cacert", _ca.CaFile, .. flags]);
        }

        (string cert, string key) = _ca.Save(own);
        return new Etcdctl(server, ["--cacert", _ca.CaFile, "--cert", cert, "--key", key, .. flags]);
    }
}
