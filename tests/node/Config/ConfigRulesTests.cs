using Perf.Node.Config;
using Xunit;

namespace Perf.Node.Tests;

/// <summary>FLG-04, FLG-05, FLX-01, FLM, FLS.</summary>
public class ConfigRulesTests
{
    [Theory]
    [InlineData("--advertise-client-urls is required when --listen-client-urls is set explicitly", "--listen-client-urls=http://127.0.0.1:1")]
    [InlineData("--election-timeout[1000ms] should be at least as 5 times as --heartbeat-interval[500ms]", "--heartbeat-interval=500")]
    [InlineData("--election-timeout[50001ms] is too long, and should be set less than 50000ms", "--election-timeout=50001")]
    [InlineData("--heartbeat-interval must be >0 (set to 0ms)", "--heartbeat-interval=0")]
    [InlineData("--election-timeout must be >0 (set to 0ms)", "--election-timeout=0")]
    [InlineData("multiple discovery or bootstrap flags are set. Choose one of \"initial-cluster\", \"discovery\" or \"discovery-srv\"", "--discovery=http://d/x", "--initial-cluster=a=http://b:1")]
    [InlineData("multiple discovery or bootstrap flags are set. Choose one of \"initial-cluster\", \"discovery\" or \"discovery-srv\"", "--discovery=http://d/x", "--discovery-srv=d")]
    [InlineData("both --discovery-token and --discovery-endpoints must be set", "--discovery-endpoints=d:1", "--initial-cluster=")]
    [InlineData("expected IP in URL for binding (http://example.com:1)", "--listen-peer-urls=http://example.com:1")]
    [InlineData("expected IP in URL for binding (http://:1)", "--listen-metrics-urls=http://:1")]
    [InlineData("--initial-advertise-peer-urls \"http://:1\" must be \"host:port\" (unexpected empty host (http://:1))", "--initial-advertise-peer-urls=http://:1")]
    [InlineData("unknown auto-compaction-mode \"yearly\"", "--auto-compaction-mode=yearly")]
    [InlineData("error parsing CompactionRetention: time: invalid duration \"x\"", "--auto-compaction-retention=x")]
    [InlineData("setting experimental-enable-lease-checkpoint-persist requires experimental-enable-lease-checkpoint", "--experimental-enable-lease-checkpoint-persist")]
    [InlineData("--experimental-compact-hash-check-time must be >0 (set to 0s)", "--experimental-compact-hash-check-time=0")]
    [InlineData("unexpected TLS version \"TLS1.1\" (must be one of: TLS1.2, TLS1.3)", "--tls-min-version=TLS1.1")]
    [InlineData("min version (TLS1.3) is greater than max version (TLS1.2)", "--tls-min-version=TLS1.3", "--tls-max-version=TLS1.2")]
    [InlineData("cipher suites cannot be configured when only TLS1.3 is enabled", "--tls-min-version=TLS1.3", "--cipher-suites=TLS_AES_128_GCM_SHA256")]
    [InlineData("unexpected TLS cipher suite \"X\"", "--cipher-suites=X")]
    [InlineData("AllowedCNs and AllowedHostnames are mutually exclusive (cns=[\"a\" \"b\"], hostnames=[\"c\"])", "--peer-cert-allowed-cn=a,b", "--peer-cert-allowed-hostname=c")]
    [InlineData("KeyFile and CertFile must both be present[key: , cert: c]", "--cert-file=c")]
    [InlineData("TLS key/cert (--cert-file, --key-file) must be provided for client url https://127.0.0.1:1 with HTTPS scheme", "--listen-client-urls=https://127.0.0.1:1", "--advertise-client-urls=https://127.0.0.1:1")]
    [InlineData("cannot listen on TLS for 127.0.0.1:1: KeyFile and CertFile are not presented", "--listen-peer-urls=https://127.0.0.1:1")]
    [InlineData("cannot bind both --client-listen-urls and --client-listen-http-urls on the same url http://localhost:2379", "--listen-client-http-urls=http://localhost:2379")]
    [InlineData("--max-learners must be greater than 0 (set to 0)", "--max-learners=0")]
    [InlineData("auth: invalid auth options", "--auth-token=other")]
    [InlineData("distributed tracing configurition is not valid: (tracing sampling rate must be less than 1000000)", "--enable-distributed-tracing", "--distributed-tracing-sampling-rate=1000001")]
    [InlineData("both --experimental-corrupt-check-time and --corrupt-check-time flags are set. Use only --corrupt-check-time", "--experimental-corrupt-check-time=1h", "--corrupt-check-time=1h")]
    [InlineData("both --experimental-warning-unary-request-duration and --warning-unary-request-duration flags are set. Use only --warning-unary-request-duration", "--experimental-warning-unary-request-duration=1s", "--warning-unary-request-duration=1s")]
    [InlineData("cannot specify both flags: --experimental-initial-corrupt-check=true and --feature-gates=InitialCorruptCheck=false at the same time, please just use --feature-gates=InitialCorruptCheck=false", "--experimental-initial-corrupt-check", "--feature-gates=InitialCorruptCheck=false")]
    public void Refused(string reason, params string[] arguments) =>
        Assert.Equal(reason, Reading.Refused(Reading.Line(arguments)));

    [Theory]
    [InlineData("--listen-peer-urls=http://[::1]:1")]
    [InlineData("--listen-peer-urls=http://0.0.0.0:1,http://localhost:2")]
    [InlineData("--listen-client-http-urls=unix:///tmp/perf-test-socket")]
    [InlineData("--auth-token=jwt,pub-key=a,priv-key=b,sign-method=RS256")]
    [InlineData("--backend-bbolt-freelist-type=array")]
    [InlineData("--max-wals=0", "--max-snapshots=0")]
    [InlineData("--auto-compaction-mode=revision", "--auto-compaction-retention=1000")]
    [InlineData("--advertise-client-urls=http://a:1")]
    public void Accepted(params string[] arguments) => Reading.Accepted(Reading.Line(arguments));

    [Theory]
    [InlineData("exceeded recommended request limit", "--max-request-bytes=20000000")]
    [InlineData("quota exceeds the maximum value", "--quota-backend-bytes=9000000000")]
    [InlineData("use default bcrypt cost instead of the invalid given cost", "--bcrypt-cost=40")]
    [InlineData("Detected that checkpointing is enabled without persistence", "--experimental-enable-lease-checkpoint")]
    [InlineData("scheme is http or unix while key and cert files are present; ignoring key and cert files", "--cert-file=c", "--key-file=k")]
    [InlineData("scheme is HTTP while --peer-client-cert-auth is enabled; ignoring client cert auth for this URL", "--peer-client-cert-auth")]
    [InlineData("raft-read-timeout increased to minimum value: 5s", "--raft-read-timeout=1s")]
    [InlineData("'data-dir' was empty; using default")]
    public void Noted(string message, params string[] arguments)
    {
        ConfigReading reading = Reading.Line(arguments);
        Reading.Accepted(reading);
        Assert.Contains(Reading.Lines(reading), l => l.Contains(message, StringComparison.Ordinal));
    }

    [Fact]
    public void WhatEtcdMendsIsMended()
    {
        ServerConfig config = Reading.Accepted(Reading.Line(
            "--bcrypt-cost=2", "--raft-write-timeout=1s", "--backend-batch-interval=0", "--backend-batch-limit=0", "--self-signed-cert-validity=0"));
        Assert.Equal(10, config.BcryptCost);
        Assert.Equal(TimeSpan.FromSeconds(5), config.RaftWriteTimeout);
        Assert.Equal(TimeSpan.FromMilliseconds(100), config.BackendBatchInterval);
        Assert.Equal(10_000, config.BackendBatchLimit);
        Assert.Equal(1, config.SelfSignedCertValidityYears);
    }

    [Fact]
    public void DiscoveryTakesThePlaceOfTheDefaultCluster() =>
        Assert.Empty(Reading.Accepted(Reading.Line("--discovery=http://d/x", "--name=a")).InitialCluster);

    [Fact]
    public void FeatureGatesSwitch()
    {
        ServerConfig config = Reading.Accepted(Reading.Line("--feature-gates=CompactHashCheck=true,TxnModeWriteWithSharedBuffer=false"));
        Assert.True(config.CompactHashCheck);
        Assert.False(config.TxnModeWriteWithSharedBuffer);
        Assert.Contains(
            "unrecognized feature gate: Other", Reading.Line("--feature-gates=Other=true").Complaint, StringComparison.Ordinal);
    }
}
