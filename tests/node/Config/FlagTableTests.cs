using System.Reflection;
using Perf.Node.Config;
using Xunit;

namespace Perf.Node.Tests;

/// <summary>FLG-09: every flag of etcd 3.5.33 by its name, and the table at one with itself.</summary>
public class FlagTableTests
{
    private const string Names3533 =
        """
        advertise-client-urls auth-token auth-token-ttl auto-compaction-mode auto-compaction-retention
        auto-tls backend-batch-interval backend-batch-limit backend-bbolt-freelist-type bcrypt-cost
        cert-file cipher-suites client-cert-allowed-hostname client-cert-auth client-cert-file
        client-crl-file client-key-file config-file cors data-dir discovery discovery-fallback
        discovery-proxy discovery-srv discovery-srv-name election-timeout enable-grpc-gateway
        enable-log-rotation enable-pprof enable-v2 experimental-bootstrap-defrag-threshold-megabytes
        experimental-compact-hash-check-enabled experimental-compact-hash-check-time
        experimental-compaction-batch-limit experimental-compaction-sleep-interval
        experimental-corrupt-check-time experimental-distributed-tracing-address
        experimental-distributed-tracing-instance-id experimental-distributed-tracing-sampling-rate
        experimental-distributed-tracing-service-name experimental-downgrade-check-time
        experimental-enable-distributed-tracing experimental-enable-lease-checkpoint
        experimental-enable-lease-checkpoint-persist experimental-enable-v2v3
        experimental-initial-corrupt-check experimental-memory-mlock
        experimental-peer-skip-client-san-verification experimental-snapshot-catchup-entries
        experimental-stop-grpc-service-on-defrag experimental-txn-mode-write-with-shared-buffer
        experimental-warning-apply-duration experimental-watch-progress-notify-interval force-new-cluster
        grpc-keepalive-interval grpc-keepalive-min-time grpc-keepalive-timeout heartbeat-interval
        host-whitelist initial-advertise-peer-urls initial-cluster initial-cluster-state
        initial-cluster-token initial-election-tick-advance key-file listen-client-http-urls
        listen-client-urls listen-metrics-urls listen-peer-urls log-level log-outputs
        log-rotation-config-json logger max-concurrent-streams max-request-bytes max-snapshots max-txn-ops
        max-wals metrics name peer-auto-tls peer-cert-allowed-cn peer-cert-allowed-hostname peer-cert-file
        peer-client-cert-auth peer-client-cert-file peer-client-key-file peer-crl-file peer-key-file
        peer-trusted-ca-file pre-vote proxy proxy-dial-timeout proxy-failure-wait proxy-read-timeout
        proxy-refresh-interval proxy-write-timeout quota-backend-bytes raft-read-timeout raft-write-timeout
        self-signed-cert-validity snapshot-count socket-reuse-address socket-reuse-port
        strict-reconfig-check tls-max-version tls-min-version trusted-ca-file unsafe-no-fsync v2-deprecation
        version wal-dir
        """;

    [Fact]
    public void EveryFlagOfEtcdIsThere()
    {
        string[] names = Names3533.Split([' ', '\n', '\r'], StringSplitOptions.RemoveEmptyEntries);
        Assert.Equal(112, names.Length);
        Assert.All(names, name => Assert.NotNull(FlagTable.Find(name)));
    }

    [Fact]
    public void HelpNamesEveryFlagWithItsDefault()
    {
        string help = HelpText.Flags();
        Assert.All(
            FlagTable.All,
            flag => Assert.Contains($"  --{flag.Name} '{flag.Default}'\n    {flag.Help}\n", help, StringComparison.Ordinal));
        foreach (string group in (string[])["Member", "Clustering", "Security", "Auth", "Profiling and Monitoring", "Logging", "Experimental distributed tracing", "Experimental feature"])
        {
            Assert.Contains($"\n{group}:\n", help, StringComparison.Ordinal);
        }
    }

    [Fact]
    public void EveryRowsDefaultIsWhatAConfigurationHas()
    {
        foreach (Flag flag in FlagTable.All.Where(f => f.Name is not ("data-dir" or "initial-cluster")))
        {
            var config = new ServerConfig();
            if (flag.Default.Length > 0)
            {
                flag.Set(config, flag.Default);
            }

            Assert.Equal(Describe(new ServerConfig()), Describe(config));
        }
    }

    [Fact]
    public void EveryRowChangesSomething()
    {
        foreach (Flag flag in FlagTable.All.Where(f => f.Name is not ("config-file" or "version")))
        {
            var config = new ServerConfig();
            flag.Set(config, Other(flag));
            Assert.True(Describe(new ServerConfig()) != Describe(config), flag.Name);
        }
    }

    [Fact]
    public void ListsOfNamesNameRows()
    {
        Assert.All(FlagTable.WithoutEffect, row => Assert.True(FlagTable.Find(row.Key) is not null && row.Value.Length > 0));
        Assert.All(FlagTable.Deprecated, name => Assert.NotNull(FlagTable.Find(name)));
        Assert.All(FlagTable.Ignored, name => Assert.Null(FlagTable.Find(name)));
        Assert.All(FlagTable.All.Where(f => f.TwinOf is not null), twin => Assert.Null(FlagTable.Find(twin.TwinOf!)!.TwinOf));
    }

    /// <summary>A value that is not the default.</summary>
    private static string Other(Flag flag) => flag.Name switch
    {
        "initial-cluster-state" => "existing",
        "discovery-fallback" => "exit",
        "v2-deprecation" => "gone",
        "proxy" => "on",
        "log-format" => "console",
        "speak-as" => "3.6",
        "feature-gates" => "InitialCorruptCheck=true",
        _ => flag.Kind switch
        {
            FlagKind.Switch => flag.Default == "true" ? "false" : "true",
            FlagKind.Number => "77",
            FlagKind.Duration => "77s",
            _ => flag.Name.EndsWith("-urls", StringComparison.Ordinal) || flag.Name == "cors" ? "http://127.0.0.1:7" : "other",
        },
    };

    private static string Describe(object settings) => string.Join(
        '\n',
        settings.GetType().GetProperties(BindingFlags.Public | BindingFlags.Instance)
            .Select(p => p.GetValue(settings) switch
            {
                null => "",
                string s => $"{p.Name}={s}",
                System.Collections.IEnumerable list => $"{p.Name}={string.Join(',', list.Cast<object>())}",
                var v when v.GetType().Namespace == typeof(ServerConfig).Namespace => $"{p.Name}:{Describe(v)}",
                var v => $"{p.Name}={v}",
            }));
}
