using Perf.Store.Membership;

namespace Perf.Node.Config;

/// <summary>
/// Everything that a member is told at start, after flags, environment and file have been read and checked.
/// Names are those of etcd's flags; times in milliseconds where etcd's flag is, sizes in bytes.
/// </summary>
public sealed class ServerConfig
{
    // Member.
    public string Name { get; set; } = "default";

    public string DataDir { get; set; } = "default.etcd";

    public string WalDir { get; set; } = "";

    public ulong SnapshotCount { get; set; } = 100_000;

    public ulong SnapshotCatchUpEntries { get; set; } = 5_000;

    public int HeartbeatMs { get; set; } = 100;

    public int ElectionMs { get; set; } = 1_000;

    public bool InitialElectionTickAdvance { get; set; } = true;

    public IReadOnlyList<Uri> ListenPeerUrls { get; set; } = [new Uri("http://localhost:2380")];

    public IReadOnlyList<Uri> ListenClientUrls { get; set; } = [new Uri("http://localhost:2379")];

    public IReadOnlyList<Uri> ListenClientHttpUrls { get; set; } = [];

    public IReadOnlyList<Uri> ListenMetricsUrls { get; set; } = [];

    /// <summary>Peer URLs as given, in text: ids are made of the text (FORMATS A.12).</summary>
    public IReadOnlyList<string> AdvertisePeerUrls { get; set; } = ["http://localhost:2380"];

    public IReadOnlyList<string> AdvertiseClientUrls { get; set; } = ["http://localhost:2379"];

    public int MaxSnapshots { get; set; } = 5;

    public int MaxWals { get; set; } = 5;

    public long QuotaBackendBytes { get; set; }

    public int MaxTxnOps { get; set; } = 128;

    public int MaxRequestBytes { get; set; } = 1_572_864;

    public TimeSpan BackendBatchInterval { get; set; } = TimeSpan.FromMilliseconds(100);

    public int BackendBatchLimit { get; set; } = 10_000;

    /// <summary>array or map; this engine has neither, so it is only checked.</summary>
    public string BackendFreelistType { get; set; } = "map";

    public uint MaxConcurrentStreams { get; set; } = uint.MaxValue;

    /// <summary>Connections of clients at one time; zero for no limit.</summary>
    public int MaxClientConnections { get; set; }

    /// <summary>Calls under way at one time, of all clients together, streams included; zero for no limit.</summary>
    public int MaxClientCalls { get; set; }

    public bool EnableGrpcGateway { get; set; } = true;

    public TimeSpan GrpcKeepAliveMinTime { get; set; } = TimeSpan.FromSeconds(5);

    public TimeSpan GrpcKeepAliveInterval { get; set; } = TimeSpan.FromHours(2);

    public TimeSpan GrpcKeepAliveTimeout { get; set; } = TimeSpan.FromSeconds(20);

    public bool SocketReusePort { get; set; }

    public bool SocketReuseAddress { get; set; }

    public TimeSpan RaftReadTimeout { get; set; } = TimeSpan.FromSeconds(5);

    public TimeSpan RaftWriteTimeout { get; set; } = TimeSpan.FromSeconds(5);

    public bool MemoryLock { get; set; }

    public long BootstrapDefragThresholdMegabytes { get; set; }

    public bool StopServiceOnDefrag { get; set; }

    public bool TxnModeWriteWithSharedBuffer { get; set; } = true;

    // Clustering.
    public string InitialCluster { get; set; } = "default=http://localhost:2380";

    public string InitialClusterToken { get; set; } = "etcd-cluster";

    /// <summary>False: `--initial-cluster-state existing`.</summary>
    public bool NewCluster { get; set; } = true;

    public bool StrictReconfigCheck { get; set; } = true;

    public bool PreVote { get; set; } = true;

    public int MaxLearners { get; set; } = 1;

    public DiscoverySettings Discovery { get; } = new();

    public TimeSpan DowngradeCheckTime { get; set; } = TimeSpan.FromSeconds(5);

    public bool SetMemberLocalAddress { get; set; }

    // Version 2 of the API.
    public bool EnableV2 { get; set; }

    public string EnableV2V3 { get; set; } = "";

    public string V2Deprecation { get; set; } = "not-yet";

    public ProxySettings Proxy { get; } = new();

    // Security.
    public TlsSettings ClientTls { get; } = new();

    public TlsSettings PeerTls { get; } = new();

    public int SelfSignedCertValidityYears { get; set; } = 1;

    /// <summary>Names of suites as Go has them; empty for the platform's choice.</summary>
    public IReadOnlyList<string> CipherSuites { get; set; } = [];

    public string TlsMinVersion { get; set; } = "TLS1.2";

    public string TlsMaxVersion { get; set; } = "";

    public IReadOnlyList<string> Cors { get; set; } = ["*"];

    public IReadOnlyList<string> HostWhitelist { get; set; } = ["*"];

    // Watching it.
    public LogSettings Log { get; } = new();

    public bool EnablePprof { get; set; }

    /// <summary>basic or extensive.</summary>
    public string Metrics { get; set; } = "basic";

    public TracingSettings Tracing { get; } = new();

    // Corruption checks.
    public bool InitialCorruptCheck { get; set; }

    public TimeSpan CorruptCheckTime { get; set; }

    public bool CompactHashCheck { get; set; }

    public TimeSpan CompactHashCheckTime { get; set; } = TimeSpan.FromMinutes(1);

    // Compaction.
    public string AutoCompactionMode { get; set; } = "periodic";

    public string AutoCompactionRetention { get; set; } = "0";

    public int CompactionBatchLimit { get; set; } = 1_000;

    public TimeSpan CompactionSleepInterval { get; set; } = TimeSpan.FromMilliseconds(10);

    // Leases, watch.
    public bool LeaseCheckpoint { get; set; }

    public bool LeaseCheckpointPersist { get; set; }

    public TimeSpan WatchProgressNotifyInterval { get; set; } = TimeSpan.FromMinutes(10);

    public TimeSpan WarningApplyDuration { get; set; } = TimeSpan.FromMilliseconds(100);

    public TimeSpan WarningUnaryRequestDuration { get; set; } = TimeSpan.FromMilliseconds(300);

    // Auth.
    public string AuthToken { get; set; } = "simple";

    public int BcryptCost { get; set; } = 10;

    public int AuthTokenTtlSeconds { get; set; } = 300;

    // Unsafe.
    public bool ForceNewCluster { get; set; }

    public bool UnsafeNoFsync { get; set; }

    // Ours.

    /// <summary>Refuse key files that others than their owner may read or write, instead of a warning.</summary>
    public bool StrictPermissions { get; set; }

    public SpeakAs SpeakAs { get; set; } = SpeakAs.V35;

    /// <summary>Encoded entries kept in memory; older ones are read back from the log (tests make it small).</summary>
    internal long LogWindowBytesMax { get; set; } = 64L << 20;

    /// <summary>Election timeout in ticks, as etcd computes it.</summary>
    public int ElectionTicks => Math.Max(1, ElectionMs / HeartbeatMs);

    /// <summary>The quota in force: 2 GiB for 0, none (long.MaxValue) below.</summary>
    public long EffectiveQuotaBytes => QuotaBackendBytes switch
    {
        0 => 2L << 30,
        < 0 => long.MaxValue,
        _ => QuotaBackendBytes,
    };

    public string MemberDir => Path.Combine(DataDir, "member");

    public string SnapDir => Path.Combine(MemberDir, "snap");

    public string WalDirectory => WalDir.Length > 0 ? WalDir : Path.Combine(MemberDir, "wal");

    /// <summary>Our own sidecar files; etcd leaves unknown folders of the member directory alone.</summary>
    public string SidecarDir => Path.Combine(MemberDir, "perf");

    public string DatabasePath => Path.Combine(SnapDir, "db");
}
