using System.Runtime.InteropServices;
using Perf.Node;
using Perf.Node.Cluster;
using Perf.Node.Config;
using Perf.Node.Logging;
using Perf.Store.Membership;

namespace Perf.Etcd;

/// <summary>The lines by which operators and their tools know that etcd starts, serves and stops.</summary>
internal static class StartLog
{
    public static void Write(ServerConfig config, bool isInitialized, Log log)
    {
        log.Info("configuring peer listeners", ("listen-peer-urls", Texts(config.ListenPeerUrls)));
        log.Info("configuring client listeners", ("listen-client-urls", Texts(config.ListenClientUrls)));
        if (config.EnablePprof)
        {
            log.Info("pprof is enabled", ("path", "/debug/pprof"));
        }

        log.Info(
            "starting an etcd server",
            ("etcd-version", Dialect.ServerVersion(config.SpeakAs)),
            ("git-sha", "Not provided"),
            ("go-version", "go1.25.0"),
            ("go-os", "linux"),
            ("go-arch", RuntimeInformation.ProcessArchitecture == Architecture.Arm64 ? "arm64" : "amd64"),
            ("max-cpu-set", Environment.ProcessorCount),
            ("max-cpu-available", Environment.ProcessorCount),
            ("member-initialized", isInitialized),
            ("name", config.Name),
            ("data-dir", config.DataDir),
            ("wal-dir", config.WalDir),
            ("wal-dir-dedicated", config.WalDir),
            ("member-dir", config.MemberDir),
            ("force-new-cluster", config.ForceNewCluster),
            ("heartbeat-interval", TimeSpan.FromMilliseconds(config.HeartbeatMs)),
            ("election-timeout", TimeSpan.FromMilliseconds(config.ElectionTicks * config.HeartbeatMs)),
            ("initial-election-tick-advance", config.InitialElectionTickAdvance),
            ("snapshot-count", config.SnapshotCount),
            ("max-wals", config.MaxWals),
            ("max-snapshots", config.MaxSnapshots),
            ("snapshot-catchup-entries", config.SnapshotCatchUpEntries),
            ("initial-advertise-peer-urls", config.AdvertisePeerUrls),
            ("listen-peer-urls", Texts(config.ListenPeerUrls)),
            ("advertise-client-urls", config.AdvertiseClientUrls),
            ("listen-client-urls", Texts(config.ListenClientUrls)),
            ("listen-metrics-urls", Texts(config.ListenMetricsUrls)),
            ("cors", config.Cors),
            ("host-whitelist", config.HostWhitelist),
            ("initial-cluster", isInitialized ? "" : config.InitialCluster),
            ("initial-cluster-state", config.NewCluster ? "new" : "existing"),
            ("initial-cluster-token", isInitialized ? "" : config.InitialClusterToken),
            ("quota-backend-bytes", config.QuotaBackendBytes == 0 ? config.EffectiveQuotaBytes : config.QuotaBackendBytes),
            ("max-request-bytes", config.MaxRequestBytes),
            ("max-concurrent-streams", config.MaxConcurrentStreams),
            ("pre-vote", config.PreVote),
            ("initial-corrupt-check", config.InitialCorruptCheck),
            ("corrupt-check-time-interval", config.CorruptCheckTime),
            ("compact-check-time-enabled", config.CompactHashCheck),
            ("compact-check-time-interval", config.CompactHashCheckTime),
            ("auto-compaction-mode", config.AutoCompactionMode),
            ("auto-compaction-retention", config.AutoCompactionRetention),
            ("discovery-url", config.Discovery.Url),
            ("discovery-proxy", config.Discovery.Proxy),
            ("downgrade-check-interval", config.DowngradeCheckTime));
    }

    public static void WriteServing(ServerConfig config, EtcdNode node, Log log) => log.Info(
        "now serving peer/client/metrics",
        ("local-member-id", MemberIds.Hex(node.MemberId)),
        ("initial-advertise-peer-urls", config.AdvertisePeerUrls),
        ("listen-peer-urls", Texts(config.ListenPeerUrls)),
        ("advertise-client-urls", config.AdvertiseClientUrls),
        ("listen-client-urls", Texts(config.ListenClientUrls)),
        ("listen-metrics-urls", Texts(config.ListenMetricsUrls)));

    public static void WriteClosing(ServerConfig config, Log log) => log.Info(
        "closing etcd server",
        ("name", config.Name),
        ("data-dir", config.DataDir),
        ("advertise-peer-urls", config.AdvertisePeerUrls),
        ("advertise-client-urls", config.AdvertiseClientUrls));

    private static IEnumerable<string> Texts(IEnumerable<Uri> urls) => urls.Select(url => url.OriginalString);
}
