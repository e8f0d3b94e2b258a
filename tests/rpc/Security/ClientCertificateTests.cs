using System.Diagnostics;
using System.Security.Cryptography.X509Certificates;
using Perf.Node;
using Perf.Node.Config;
using Perf.Node.Logging;
using Perf.Tests.Security;
using Xunit;

namespace Perf.Rpc.Tests.Security;

/// <summary>Clients with certificates at a served port: Debian's etcdctl, the gateway, and our own channel.</summary>
public sealed class ClientCertificateTests : IAsyncLifetime
{
    private const string Program = "/usr/bin/etcdctl";
    private const string Endpoint = "https://127.0.0.1:31990";

    private readonly Authority _ca = new("authority");
    private readonly string _directory = Directory.CreateTempSubdirectory("perf-mtls-").FullName;
    private string _patience = "30s";
    private EtcdNode _node = null!;
    private ClientListener _listener = null!;

    public async Task InitializeAsync()
    {
        (string certFile, string keyFile) = _ca.Save(_ca.Issue("server"));
        var config = new ServerConfig
        {
            DataDir = Path.Combine(_directory, "data"),
            HeartbeatMs = 10,
            ElectionMs = 100,
            ListenPeerUrls = [new Uri("http://127.0.0.1:0")],
            ListenClientUrls = [new Uri(Endpoint)],
            AdvertiseClientUrls = [Endpoint],
            BcryptCost = 4,
            UnsafeNoFsync = true,
        };
        config.ClientTls.CertFile = certFile;
        config.ClientTls.KeyFile = keyFile;
        config.ClientTls.TrustedCaFile = _ca.CaFile;
        config.ClientTls.ClientCertAuth = true;
        config.ClientTls.CrlFile = _ca.Write("crl", _ca.Revoke());
        _node = EtcdNode.Start(config, Log.None, TimeProvider.System);
        await _node.Ready.WaitAsync(TimeSpan.FromSeconds(30));
        _listener = new ClientListener(_node);
        await _listener.StartAsync();
    }

    public async Task DisposeAsync()
    {
        await _listener.DisposeAsync();
        await _node.DisposeAsync();
        _ca.Dispose();
        Directory.Delete(_directory, recursive: true);
    }

    [EtcdctlFact]
    public async Task AUT15_ThatACertificateNamesIsTheUser()
    {
        X509Certificate2 root = _ca.Issue("root");
        X509Certificate2 bob = _ca.Issue("bob");
        Assert.Equal("OK\n", (await RunAsync(root, "put", "a", "1")).Output);
        await SucceedAsync(root, "user", "add", "root:pw");
        await SucceedAsync(root, "user", "grant-role", "root", "root");
        await SucceedAsync(root, "user", "add", "bob", "--no-password");
        await SucceedAsync(root, "role", "add", "reader");
        await SucceedAsync(root, "role", "grant-permission", "reader", "read", "a");
        await SucceedAsync(root, "user", "grant-role", "bob", "reader");
        await SucceedAsync(root, "auth", "enable");

        Assert.Equal("a\n1\n", (await RunAsync(bob, "get", "a")).Output);
        Assert.Contains("permission denied", (await RunAsync(bob, "put", "a", "2")).Error, StringComparison.Ordinal);
        Assert.Contains("permission denied", (await RunAsync(_ca.Issue("nobody"), "get", "a")).Error, StringComparison.Ordinal);
        Assert.NotEqual(0, (await RunAsync(_ca.Issue(""), "get", "a")).Code);
        Assert.Equal("OK\n", (await RunAsync(root, "put", "a", "2")).Output);

        // A token is louder than a certificate.
        Assert.Equal("OK\n", (await RunAsync(bob, "--user", "root:pw", "put", "a", "3")).Output);

        using HttpResponseMessage answer = await PostAsync(bob);
        Assert.Equal(400, (int)answer.StatusCode);
        Assert.Equal(
            "CommonName of client sending a request against gateway will be ignored and not used as expected\n",
            await answer.Content.ReadAsStringAsync());
    }

    [EtcdctlFact]
    public async Task OnlyWithACertificateThatIsNotRevoked()
    {
        X509Certificate2 bob = _ca.Issue("bob");
        Assert.Equal("OK\n", (await RunAsync(bob, "put", "a", "1")).Output);
        using var other = new Authority("other");

        // It tries again for as long as it may.
        _patience = "2s";
        Assert.NotEqual(0, (await RunAsync(null, "get", "a")).Code);
        Assert.NotEqual(0, (await RunAsync(other.Issue("bob"), "get", "a")).Code);
        _ca.Write("crl", _ca.Revoke(bob));
        Assert.NotEqual(0, (await RunAsync(bob, "get", "a")).Code);
        _patience = "30s";
        Assert.Equal(0, (await RunAsync(_ca.Issue("bob"), "get", "a")).Code);
    }

    private static async Task<HttpResponseMessage> PostAsync(X509Certificate2 own)
    {
        using var handler = new SocketsHttpHandler();
        handler.SslOptions.RemoteCertificateValidationCallback = (_, _, _, _) => true;
        handler.SslOptions.ClientCertificateContext =
            System.Net.Security.SslStreamCertificateContext.Create(own, [], offline: true);
        using var client = new HttpClient(handler) { Timeout = TimeSpan.FromSeconds(20) };
        using var body = new StringContent("{\"key\":\"YQ==\"}");
        return await client.PostAsync(Endpoint + "/v3/kv/range", body);
    }

    private async Task SucceedAsync(X509Certificate2 own, params string[] arguments)
    {
        (int code, _, string error) = await RunAsync(own, arguments);
        Assert.True(code == 0, error);
    }

    private async Task<(int Code, string Output, string Error)> RunAsync(X509Certificate2? own, params string[] arguments)
    {
        var start = new ProcessStartInfo(Program) { RedirectStandardOutput = true, RedirectStandardError = true };
        start.Environment["ETCDCTL_API"] = "3";
        start.ArgumentList.Add("--endpoints=" + Endpoint);
        start.ArgumentList.Add("--cacert=" + _ca.CaFile);
        start.ArgumentList.Add("--command-timeout=" + _patience);
        start.ArgumentList.Add("--dial-timeout=" + _patience);
        if (own is not null)
        {
            (string certFile, string keyFile) = _ca.Save(own);
            start.ArgumentList.Add("--cert=" + certFile);
            start.ArgumentList.Add("--key=" + keyFile);
        }

        foreach (string argument in arguments)
        {
            start.ArgumentList.Add(argument);
        }

        using Process process = Process.Start(start)!;
        Task<string> error = process.StandardError.ReadToEndAsync();
        string output = await process.StandardOutput.ReadToEndAsync();
        await process.WaitForExitAsync();
        return (process.ExitCode, output, await error);
    }

    /// <summary>Needs the real etcdctl; skipped where it is absent, unless PERF_REQUIRE_INTEROP=1.</summary>
    private sealed class EtcdctlFactAttribute : FactAttribute
    {
        public EtcdctlFactAttribute()
        {
            if (!File.Exists(Program) && Environment.GetEnvironmentVariable("PERF_REQUIRE_INTEROP") != "1")
            {
                Skip = $"{Program} is not installed";
            }
        }
    }
}
