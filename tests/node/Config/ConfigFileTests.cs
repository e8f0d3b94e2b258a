using Perf.Node.Config;
using Xunit;

namespace Perf.Node.Tests;

/// <summary>FLG-03, SEED-10, SEED-12.</summary>
public class ConfigFileTests
{
    [Fact]
    public void ThePublishedSampleLoadsUnchanged()
    {
        ConfigReading reading = Reading.Line("--config-file", Path.Combine(AppContext.BaseDirectory, "Config", "etcd.conf.yml"));
        ServerConfig config = Reading.Accepted(reading);
        Assert.Equal("default", config.Name);
        Assert.Equal("default.etcd", config.DataDir);
        Assert.Equal(10_000UL, config.SnapshotCount);
        Assert.Equal("default=http://localhost:2380", config.InitialCluster);
        Assert.Equal("etcd-cluster", config.InitialClusterToken);
        Assert.True(config.NewCluster);
        Assert.False(config.StrictReconfigCheck);
        Assert.True(config.EnablePprof);
        Assert.Equal("off", config.Proxy.Mode);
        Assert.Equal(30_000, config.Proxy.RefreshIntervalMs);
        Assert.Equal("debug", config.Log.Level);
        Assert.Equal(["stderr"], config.Log.Outputs);
        Assert.Equal("1", config.AutoCompactionRetention);
        Assert.Equal(
            ["TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384"], config.CipherSuites);
        Assert.Equal(["*"], config.Cors);
        Assert.Equal(["http://localhost:2379"], config.AdvertiseClientUrls);
        Assert.DoesNotContain(Reading.Lines(reading), l => l.Contains("deprecated", StringComparison.Ordinal));
        Assert.Contains(
            Reading.Lines(reading),
            l => l.Contains("loaded server configuration, other configuration command line flags and environment variables will be ignored", StringComparison.Ordinal));
    }

    [Fact]
    public void AFileStandsAlone()
    {
        ServerConfig config = Reading.Accepted(Reading.File("name: a\n", "--max-txn-ops=7", "--name=b"));
        Assert.Equal("a", config.Name);
        Assert.Equal(128, config.MaxTxnOps);
    }

    [Fact]
    public void TheEnvironmentMayNameTheFile()
    {
        string path = Path.GetTempFileName();
        File.WriteAllText(path, "name: a");
        ServerConfig config = Reading.Accepted(Reading.Environment(("ETCD_CONFIG_FILE", path), ("ETCD_NAME", "b")));
        File.Delete(path);
        Assert.Equal("a", config.Name);
    }

    [Fact]
    public void SectionsDurationsAndLists()
    {
        ServerConfig config = Reading.Accepted(Reading.File(
            """
            client-transport-security:
              cert-file: /c
              key-file: /k
              client-cert-auth: true
              trusted-ca-file: /ca
              allowed-hostname: [a, b]
            peer-transport-security:
              cert-file: /pc
              key-file: /pk
              allowed-cn: [x]
            socket-options:
              reuse-port: true
              reuse-address: yes
            grpc-keepalive-interval: 3600000000000
            backend-batch-interval: 5000000
            experimental-snapshot-catch-up-entries: 9
            host-whitelist: "b,a"
            cors: "http://a:1"
            log-outputs: [stderr, stdout]
            unknown-key: 1
            unknown-section:
              name: b
            discovery-config:
              token: ""
            """));
        Assert.Equal(("/c", "/k", "/ca"), (config.ClientTls.CertFile, config.ClientTls.KeyFile, config.ClientTls.TrustedCaFile));
        Assert.True(config.ClientTls.ClientCertAuth);
        Assert.Equal(["a", "b"], config.ClientTls.AllowedHostnames);
        Assert.Equal(["x"], config.PeerTls.AllowedCommonNames);
        Assert.True(config.SocketReusePort);
        Assert.True(config.SocketReuseAddress);
        Assert.Equal(TimeSpan.FromHours(1), config.GrpcKeepAliveInterval);
        Assert.Equal(TimeSpan.FromMilliseconds(5), config.BackendBatchInterval);
        Assert.Equal(9UL, config.SnapshotCatchUpEntries);
        Assert.Equal(["a", "b"], config.HostWhitelist);
        Assert.Equal(["http://a:1"], config.Cors);
        Assert.Equal("default", config.Name);
    }

    [Fact]
    public void JsonIsAFileToo()
    {
        ServerConfig config = Reading.Accepted(Reading.File(
            """{"name": "a", "max-wals": 3, "log-outputs": ["stdout"], "peer-transport-security": {"auto-tls": true}}"""));
        Assert.Equal(("a", 3, true), (config.Name, config.MaxWals, config.PeerTls.AutoTls));
    }

    [Theory]
    [InlineData("heartbeat-interval: ten", "invalid", "heartbeat-interval")]
    [InlineData("heartbeat-interval: \"100\"", "must be a number", "heartbeat-interval")]
    [InlineData("grpc-keepalive-timeout: 5s", "must be a duration in nanoseconds", "grpc-keepalive-timeout")]
    [InlineData("pre-vote: maybe", "must be a bool", "pre-vote")]
    [InlineData("log-outputs: stderr", "must be a list", "log-outputs")]
    [InlineData("name: [a]", "must be a string", "name")]
    [InlineData("listen-peer-urls: ftp://a:1", "URL scheme must be http, https, unix, or unixs", "listen-peer-urls")]
    [InlineData("proxy: sometimes", "invalid value", "proxy")]
    [InlineData("a: [", "yaml: line", "error converting")]
    [InlineData("- a", "not a list of settings", "")]
    public void WhatIsWrongIsRefusedByName(string text, string reason, string key)
    {
        string refusal = Reading.Refused(Reading.File(text));
        if (reason != "invalid")
        {
            Assert.Contains(reason, refusal, StringComparison.Ordinal);
        }

        Assert.Contains(key, refusal, StringComparison.Ordinal);
    }

    [Fact]
    public void AFileThatIsNotThereIsRefused() =>
        Assert.Equal("open /no/such/file: no such file or directory", Reading.Refused(Reading.Line("--config-file=/no/such/file")));

    [Fact]
    public void AnEmptyFileIsTheDefaults() =>
        Assert.Equal("default", Reading.Accepted(Reading.File("")).Name);
}
