using Perf.Store.Membership;

namespace Perf.Node.Config;

/// <summary>The rows themselves: one setting, one line, however long.</summary>
public static partial class FlagTable
{
    private static int ToInt(ulong value) => (int)Math.Min(value, int.MaxValue);

    private static int ToInt(long value) => (int)Math.Clamp(value, int.MinValue, int.MaxValue);

    private static long ToLong(ulong value) => (long)Math.Min(value, long.MaxValue);

    private static FlagGroup Start()
    {
        var g = new FlagGroup("Start");
        g.Text("config-file", "", "Read all settings from this YAML or JSON file; other flags and ETCD_* variables are then ignored.", (_, _) => { }, file: "");
        g.Switch("version", false, "Print the version and exit.", (_, _) => { }, file: "");
        return g;
    }

    private static FlagGroup Member()
    {
        var g = new FlagGroup("Member");
        g.Text("name", "default", "The member's name, as --initial-cluster calls it.", (c, v) => c.Name = v);
        g.Text("data-dir", "${name}.etcd", "Where the member keeps its data.", (c, v) => c.DataDir = v);
        g.Text("wal-dir", "", "A directory of its own for the write-ahead log; empty keeps it in the data directory.", (c, v) => c.WalDir = v);
        g.Unsigned("snapshot-count", "100000", "Applied entries, or 32 MB of them, after which raft's log is cut by a snapshot.", (c, v) => c.SnapshotCount = v);
        g.Unsigned("heartbeat-interval", "100", "Milliseconds between a leader's heartbeats.", (c, v) => c.HeartbeatMs = ToInt(v));
        g.Unsigned("election-timeout", "1000", "Milliseconds without a leader after which a member stands for election.", (c, v) => c.ElectionMs = ToInt(v));
        g.Switch("initial-election-tick-advance", true, "Skip most of the first election timeout after a start.", (c, v) => c.InitialElectionTickAdvance = v);
        g.ListenUrls("listen-peer-urls", "http://localhost:2380", "Where to listen for other members, comma-separated.", (c, v) => c.ListenPeerUrls = v);
        g.ListenUrls("listen-client-urls", "http://localhost:2379", "Where to listen for clients: gRPC, and HTTP unless --listen-client-http-urls is given.", (c, v) => c.ListenClientUrls = v);
        g.ListenUrls("listen-client-http-urls", "", "Where to listen for clients that speak HTTP alone; takes HTTP off --listen-client-urls.", (c, v) => c.ListenClientHttpUrls = v);
        g.Unsigned("max-snapshots", "5", "Snapshot files to keep (0 keeps all).", (c, v) => c.MaxSnapshots = ToInt(v));
        g.Unsigned("max-wals", "5", "Write-ahead log files to keep (0 keeps all).", (c, v) => c.MaxWals = ToInt(v));
        g.Signed("quota-backend-bytes", "0", "Size of the data file above which writes are refused and an alarm is raised (0: 2 GiB; negative: none).", (c, v) => c.QuotaBackendBytes = v);
        g.Text("backend-bbolt-freelist-type", "map", "array or map; accepted for etcd's sake, this engine keeps its own list of free pages.", (c, v) => c.BackendFreelistType = v);
        g.Duration("backend-batch-interval", "", "Longest time before applied changes are committed to the data file (0: 100ms).", (c, v) => c.BackendBatchInterval = v > TimeSpan.Zero ? v : TimeSpan.FromMilliseconds(100));
        g.Signed("backend-batch-limit", "0", "Most changes before they are committed to the data file (0: 10000).", (c, v) => c.BackendBatchLimit = v > 0 ? ToInt(v) : 10_000);
        g.Unsigned("max-txn-ops", "128", "Most operations of one transaction.", (c, v) => c.MaxTxnOps = ToInt(v));
        g.Unsigned("max-request-bytes", "1572864", "Largest request that is accepted, in bytes.", (c, v) => c.MaxRequestBytes = ToInt(v));
        g.Unsigned("max-concurrent-streams", "4294967295", "Most streams that one client connection may have open.", (c, v) => c.MaxConcurrentStreams = (uint)v, max: uint.MaxValue);
        g.Switch("enable-grpc-gateway", true, "Serve the JSON form of the API under /v3.", (c, v) => c.EnableGrpcGateway = v);
        g.Duration("grpc-keepalive-min-time", "5s", "Clients that ping more often than this are sent away.", (c, v) => c.GrpcKeepAliveMinTime = v);
        g.Duration("grpc-keepalive-interval", "2h0m0s", "How often a silent client is pinged (0: never).", (c, v) => c.GrpcKeepAliveInterval = v);
        g.Duration("grpc-keepalive-timeout", "20s", "How long the answer to a ping may take before the connection is closed (0: forever).", (c, v) => c.GrpcKeepAliveTimeout = v);
        g.Switch("socket-reuse-port", false, "Listen with SO_REUSEPORT.", (c, v) => c.SocketReusePort = v, file: "socket-options.reuse-port");
        g.Switch("socket-reuse-address", false, "Listen with SO_REUSEADDR.", (c, v) => c.SocketReuseAddress = v, file: "socket-options.reuse-address");
        g.Duration("raft-read-timeout", "5s", "Silence after which a connection of a peer is closed (5s at least).", (c, v) => c.RaftReadTimeout = v, file: "");
        g.Duration("raft-write-timeout", "5s", "How long a write to a peer may take (5s at least).", (c, v) => c.RaftWriteTimeout = v, file: "");
        return g;
    }

    private static FlagGroup Clustering()
    {
        var g = new FlagGroup("Clustering");
        g.Urls("initial-advertise-peer-urls", "http://localhost:2380", "This member's peer URLs, as the other members are told them.", (c, v) => c.AdvertisePeerUrls = v);
        g.Text("initial-cluster", "default=http://localhost:2380", "The founding members: name=url, comma-separated, one entry for each URL.", (c, v) => c.InitialCluster = v);
        g.Choice("initial-cluster-state", "new", "'new' founds a cluster, 'existing' joins one; without meaning once there is a data directory.", ["new", "existing"], (c, v) => c.NewCluster = v == "new");
        g.Text("initial-cluster-token", "etcd-cluster", "A word that keeps clusters apart which are founded with the same URLs.", (c, v) => c.InitialClusterToken = v);
        g.Urls("advertise-client-urls", "http://localhost:2379", "This member's client URLs, as clients are told them.", (c, v) => c.AdvertiseClientUrls = v);
        g.Text("discovery", "", "URL of a discovery service (v2 protocol) that brings the founding members together.", (c, v) => c.Discovery.Url = v);
        g.Choice("discovery-fallback", "proxy", "What to do when the discovered cluster is full: 'exit' or 'proxy' (v2 API alone).", ["proxy", "exit"], (c, v) => c.Discovery.FallbackToProxy = v == "proxy");
        g.Text("discovery-proxy", "", "HTTP proxy on the way to the discovery service.", (c, v) => c.Discovery.Proxy = v);
        g.Text("discovery-srv", "", "DNS domain whose SRV records name the founding members.", (c, v) => c.Discovery.SrvDomain = v);
        g.Text("discovery-srv-name", "", "Suffix of the SRV service names asked for.", (c, v) => c.Discovery.SrvName = v);
        g.Switch("strict-reconfig-check", true, "Refuse membership changes that would lose the quorum.", (c, v) => c.StrictReconfigCheck = v);
        g.Switch("pre-vote", true, "Ask before standing for election, so that a returning member disturbs nobody.", (c, v) => c.PreVote = v);
        g.Text("auto-compaction-retention", "0", "How much history automatic compaction leaves (0: no automatic compaction).", (c, v) => c.AutoCompactionRetention = v);
        g.Text("auto-compaction-mode", "periodic", "What the retention counts: 'periodic' time (hours, or with a unit such as 5m), 'revision' revisions.", (c, v) => c.AutoCompactionMode = v);
        g.Switch("enable-v2", false, "Serve the v2 API. Deprecated, gone in 3.6.", (c, v) => c.EnableV2 = v);
        g.Choice(
            "v2-deprecation",
            "not-yet",
            "How far the v2 store is given up: 'not-yet', 'write-only', 'write-only-skip-check', 'write-only-drop-data' or 'gone'.",
            ["not-yet", "write-only", "write-only-skip-check", "write-only-drop-data", "gone"],
            (c, v) => c.V2Deprecation = v,
            quoteRefused: true);
        return g;
    }

    private static FlagGroup Security()
    {
        const string Client = "client-transport-security.";
        const string Peer = "peer-transport-security.";
        var g = new FlagGroup("Security");
        g.Text("cert-file", "", "Certificate shown to clients (PEM).", (c, v) => c.ClientTls.CertFile = v, Client + "cert-file");
        g.Text("key-file", "", "Its key (PEM).", (c, v) => c.ClientTls.KeyFile = v, Client + "key-file");
        g.Switch("client-cert-auth", false, "Require certificates of clients.", (c, v) => c.ClientTls.ClientCertAuth = v, Client + "client-cert-auth");
        g.Text("client-cert-file", "", "Certificate for this server's own calls to its client port; empty for --cert-file.", (c, v) => c.ClientTls.ClientCertFile = v, Client + "client-cert-file");
        g.Text("client-key-file", "", "Its key.", (c, v) => c.ClientTls.ClientKeyFile = v, Client + "client-key-file");
        g.Text("client-crl-file", "", "Revocation list for client certificates.", (c, v) => c.ClientTls.CrlFile = v);
        g.List("client-cert-allowed-hostname", "", "Host names that client certificates may carry, comma-separated.", (c, v) => c.ClientTls.AllowedHostnames = v, Client + "allowed-hostname");
        g.Text("trusted-ca-file", "", "Authorities that may have signed client certificates.", (c, v) => c.ClientTls.TrustedCaFile = v, Client + "trusted-ca-file");
        g.Switch("auto-tls", false, "Make a certificate for the client port.", (c, v) => c.ClientTls.AutoTls = v, Client + "auto-tls");
        g.Text("peer-cert-file", "", "Certificate shown to peers.", (c, v) => c.PeerTls.CertFile = v, Peer + "cert-file");
        g.Text("peer-key-file", "", "Its key.", (c, v) => c.PeerTls.KeyFile = v, Peer + "key-file");
        g.Switch("peer-client-cert-auth", false, "Require certificates of peers.", (c, v) => c.PeerTls.ClientCertAuth = v, Peer + "client-cert-auth");
        g.Text("peer-trusted-ca-file", "", "Authorities that may have signed certificates of peers.", (c, v) => c.PeerTls.TrustedCaFile = v, Peer + "trusted-ca-file");
        g.List("peer-cert-allowed-cn", "", "Common names that certificates of peers may carry, comma-separated.", (c, v) => c.PeerTls.AllowedCommonNames = v, Peer + "allowed-cn");
        g.List("peer-cert-allowed-hostname", "", "Host names that certificates of peers may carry, comma-separated.", (c, v) => c.PeerTls.AllowedHostnames = v, Peer + "allowed-hostname");
        g.Switch("peer-auto-tls", false, "Make a certificate for the peer port, where none is given.", (c, v) => c.PeerTls.AutoTls = v, Peer + "auto-tls");
        g.Text("peer-client-cert-file", "", "Certificate for calls to peers; empty for --peer-cert-file.", (c, v) => c.PeerTls.ClientCertFile = v, Peer + "client-cert-file");
        g.Text("peer-client-key-file", "", "Its key.", (c, v) => c.PeerTls.ClientKeyFile = v, Peer + "client-key-file");
        g.Unsigned("self-signed-cert-validity", "1", "Years that the certificates of --auto-tls and --peer-auto-tls are good for.", (c, v) => c.SelfSignedCertValidityYears = Math.Max(1, ToInt(v)));
        g.Text("peer-crl-file", "", "Revocation list for certificates of peers.", (c, v) => c.PeerTls.CrlFile = v);
        g.List("cipher-suites", "", "TLS cipher suites, comma-separated, by Go's names (empty: the platform's choice).", (c, v) => c.CipherSuites = v);
        g.Urls("cors", "*", "Origins that browsers may call from (empty or *: all).", (c, v) => c.Cors = v);
        g.Names("host-whitelist", "*", "Host names that plain HTTP requests may ask for (empty or *: all).", (c, v) => c.HostWhitelist = v);
        g.Text("tls-min-version", "TLS1.2", "Lowest TLS version: TLS1.2 or TLS1.3.", (c, v) => c.TlsMinVersion = v);
        g.Text("tls-max-version", "", "Highest TLS version: TLS1.2 or TLS1.3 (empty: the highest there is).", (c, v) => c.TlsMaxVersion = v);
        return g;
    }

    private static FlagGroup Auth()
    {
        var g = new FlagGroup("Auth");
        g.Text("auth-token", "simple", "Kind of token and its options: 'simple', or 'jwt,...'.", (c, v) => c.AuthToken = v);
        g.Unsigned("bcrypt-cost", "10", "Cost of hashing a password, 4 to 31.", (c, v) => c.BcryptCost = ToInt(v));
        g.Unsigned("auth-token-ttl", "300", "Seconds that a simple token lives.", (c, v) => c.AuthTokenTtlSeconds = ToInt(v));
        return g;
    }

    private static FlagGroup Profiling()
    {
        var g = new FlagGroup("Profiling and Monitoring");
        g.Switch("enable-pprof", false, "Serve the runtime's profiles under /debug/pprof/ of the client URLs.", (c, v) => c.EnablePprof = v);
        g.Text("metrics", "basic", "'extensive' adds histograms of the gRPC calls.", (c, v) => c.Metrics = v);
        g.ListenUrls("listen-metrics-urls", "", "Where to serve /metrics and /health besides; https uses the TLS of the client URLs.", (c, v) => c.ListenMetricsUrls = v);
        return g;
    }

    private static FlagGroup Logging()
    {
        var g = new FlagGroup("Logging");
        g.Text("logger", "zap", "Shape of the log; zap is the only one.", (c, v) => c.Log.Logger = v);
        g.List("log-outputs", "default", "Where the log goes, comma-separated: default, stderr, stdout, systemd/journal, or paths of files.", (c, v) => c.Log.Outputs = [.. v.Distinct(StringComparer.Ordinal).Order(StringComparer.Ordinal)]);
        g.Text("log-level", "info", "debug, info, warn, error, panic or fatal.", (c, v) => c.Log.Level = v);
        g.Switch("enable-log-rotation", false, "Rotate the log; needs a single file in --log-outputs.", (c, v) => c.Log.Rotate = v);
        g.Text("log-rotation-config-json", LogSettings.DefaultRotation, "When to rotate: maxsize (MB), maxage (days, 0: never), maxbackups (0: all), localtime, compress (gzip).", (c, v) => c.Log.RotationJson = v);
        return g;
    }

    private static FlagGroup Tracing()
    {
        var g = new FlagGroup("Experimental distributed tracing");
        g.Switch("experimental-enable-distributed-tracing", false, "Send traces by OpenTelemetry.", (c, v) => c.Tracing.Enabled = v);
        g.Text("experimental-distributed-tracing-address", "localhost:4317", "Address of the collector.", (c, v) => c.Tracing.Address = v);
        g.Text("experimental-distributed-tracing-service-name", "etcd", "Service name in traces, the same on all members.", (c, v) => c.Tracing.ServiceName = v);
        g.Text("experimental-distributed-tracing-instance-id", "", "Instance id in traces, another on each member.", (c, v) => c.Tracing.InstanceId = v);
        g.Signed("experimental-distributed-tracing-sampling-rate", "0", "Spans collected of each million (0: none).", (c, v) => c.Tracing.SamplesPerMillion = v);
        return g;
    }

    private static FlagGroup Proxy()
    {
        var g = new FlagGroup("v2 Proxy (deprecated, gone in 3.6)");
        g.Choice("proxy", "off", "'off', 'readonly' or 'on'.", ["off", "readonly", "on"], (c, v) => c.Proxy.Mode = v);
        g.Unsigned("proxy-failure-wait", "5000", "Milliseconds that a failed endpoint is left alone.", (c, v) => c.Proxy.FailureWaitMs = ToLong(v));
        g.Unsigned("proxy-refresh-interval", "30000", "Milliseconds between looks for new endpoints.", (c, v) => c.Proxy.RefreshIntervalMs = ToLong(v));
        g.Unsigned("proxy-dial-timeout", "1000", "Milliseconds that connecting may take.", (c, v) => c.Proxy.DialTimeoutMs = ToLong(v));
        g.Unsigned("proxy-write-timeout", "5000", "Milliseconds that a write may take.", (c, v) => c.Proxy.WriteTimeoutMs = ToLong(v));
        g.Unsigned("proxy-read-timeout", "0", "Milliseconds that a read may take (0: any time).", (c, v) => c.Proxy.ReadTimeoutMs = ToLong(v));
        return g;
    }

    private static FlagGroup Experimental()
    {
        var g = new FlagGroup("Experimental feature");
        g.Switch("experimental-initial-corrupt-check", false, "Compare the data with the peers' before serving anybody.", (c, v) => c.InitialCorruptCheck = v);
        g.Duration("experimental-corrupt-check-time", "0s", "Time between comparisons of all members' data (0s: none).", (c, v) => c.CorruptCheckTime = v);
        g.Switch("experimental-compact-hash-check-enabled", false, "Let the leader compare the hashes of compactions.", (c, v) => c.CompactHashCheck = v);
        g.Duration("experimental-compact-hash-check-time", "1m0s", "Time between those comparisons.", (c, v) => c.CompactHashCheckTime = v);
        g.Text("experimental-enable-v2v3", "", "Serve the v2 API on v3 keys under this prefix. Deprecated, gone in 3.6.", (c, v) => c.EnableV2V3 = v);
        g.Switch("experimental-enable-lease-checkpoint", false, "Replicate what remains of long leases, so that a new leader does not start them anew.", (c, v) => c.LeaseCheckpoint = v);
        g.Switch("experimental-enable-lease-checkpoint-persist", false, "Keep that in the data file too; needs --experimental-enable-lease-checkpoint.", (c, v) => c.LeaseCheckpointPersist = v);
        g.Signed("experimental-compaction-batch-limit", "1000", "Revisions deleted by one step of a compaction.", (c, v) => c.CompactionBatchLimit = v > 0 ? ToInt(v) : 1_000);
        g.Duration("experimental-compaction-sleep-interval", "10ms", "Pause between those steps.", (c, v) => c.CompactionSleepInterval = v > TimeSpan.Zero ? v : TimeSpan.FromMilliseconds(10));
        g.Switch("experimental-peer-skip-client-san-verification", false, "Do not compare the names in certificates of peers with their addresses.", (c, v) => c.PeerTls.SkipClientSanVerification = v);
        g.Duration("experimental-watch-progress-notify-interval", "10m0s", "Time between progress notifications of watches.", (c, v) => c.WatchProgressNotifyInterval = v > TimeSpan.Zero ? v : TimeSpan.FromMinutes(10));
        g.Duration("experimental-downgrade-check-time", "5s", "Time between looks whether a downgrade has ended.", (c, v) => c.DowngradeCheckTime = v);
        g.Switch("experimental-memory-mlock", false, "Keep the server's pages in memory.", (c, v) => c.MemoryLock = v);
        g.Duration("experimental-warning-apply-duration", "100ms", "Applying a request for longer than this is worth a warning.", (c, v) => c.WarningApplyDuration = v);
        g.Switch("experimental-txn-mode-write-with-shared-buffer", true, "Accepted for etcd's sake; reads of write transactions never copy here.", (c, v) => c.TxnModeWriteWithSharedBuffer = v);
        g.Unsigned("experimental-bootstrap-defrag-threshold-megabytes", "0", "Defragment at start when at least this much would be freed (0: never).", (c, v) => c.BootstrapDefragThresholdMegabytes = ToLong(v));
        g.Switch("experimental-stop-grpc-service-on-defrag", false, "Be unhealthy while defragmenting.", (c, v) => c.StopServiceOnDefrag = v);
        g.Unsigned("experimental-snapshot-catchup-entries", "5000", "Log entries kept behind a snapshot for slow followers.", (c, v) => c.SnapshotCatchUpEntries = v, file: "experimental-snapshot-catch-up-entries");
        return g;
    }

    private static FlagGroup Unsafe()
    {
        var g = new FlagGroup("Unsafe feature (these may break what consensus promises)");
        g.Switch("force-new-cluster", false, "Keep the data, forget the other members.", (c, v) => c.ForceNewCluster = v);
        g.Switch("unsafe-no-fsync", false, "Never sync to disk; a crash loses data.", (c, v) => c.UnsafeNoFsync = v);
        return g;
    }

    private static FlagGroup Discovery()
    {
        const string File = "discovery-config.";
        const string Client = File + "client.";
        var g = new FlagGroup("v3 discovery (etcd 3.6)");
        g.Text("discovery-token", "", "The cluster's token at the discovery etcd.", (c, v) => c.Discovery.Token = v, File + "token");
        g.List("discovery-endpoints", "", "gRPC endpoints of the discovery etcd, comma-separated.", (c, v) => c.Discovery.Endpoints = v, Client + "endpoints");
        g.Duration("discovery-dial-timeout", "2s", "How long connecting to it may take.", (c, v) => c.Discovery.DialTimeout = v, Client + "dial-timeout");
        g.Duration("discovery-request-timeout", "5s", "How long a request to it may take.", (c, v) => c.Discovery.RequestTimeout = v, Client + "request-timeout");
        g.Duration("discovery-keepalive-time", "2s", "How often it is pinged.", (c, v) => c.Discovery.KeepAliveTime = v, Client + "keepalive-time");
        g.Duration("discovery-keepalive-timeout", "6s", "How long its answer to a ping may take.", (c, v) => c.Discovery.KeepAliveTimeout = v, Client + "keepalive-timeout");
        g.Switch("discovery-insecure-transport", true, "Talk to it without TLS.", (c, v) => c.Discovery.InsecureTransport = v, Client + "secure.insecure-transport");
        g.Switch("discovery-insecure-skip-tls-verify", false, "Do not check its certificate.", (c, v) => c.Discovery.InsecureSkipTlsVerify = v, Client + "secure.insecure-skip-tls-verify");
        g.Text("discovery-cert", "", "Certificate shown to it.", (c, v) => c.Discovery.CertFile = v, Client + "secure.cert");
        g.Text("discovery-key", "", "Its key.", (c, v) => c.Discovery.KeyFile = v, Client + "secure.key");
        g.Text("discovery-cacert", "", "Authorities that may have signed its certificate.", (c, v) => c.Discovery.CaFile = v, Client + "secure.cacert");
        g.Text("discovery-user", "", "User there, as name or name:password.", (c, v) => c.Discovery.User = v, Client + "auth.username");
        g.Text("discovery-password", "", "The user's password.", (c, v) => c.Discovery.Password = v, Client + "auth.password");
        return g;
    }

    private static FlagGroup Newer(IReadOnlyList<Flag> older)
    {
        var g = new FlagGroup("Names of etcd 3.6");
        g.Text("feature-gates", "", "Features switched by name: A=true,B=false. " + FeatureGates.Known, (c, v) => FeatureGates.Apply(c, v));
        g.Unsigned("max-learners", "1", "Most learners that the cluster may have.", (c, v) => c.MaxLearners = ToInt(v));
        g.Choice("log-format", "json", "Form of the log's lines: json or console.", ["json", "console"], (c, v) => c.Log.Format = v);
        g.Duration("warning-unary-request-duration", "300ms", "A unary request that takes longer than this is worth a warning.", (c, v) => c.WarningUnaryRequestDuration = v > TimeSpan.Zero ? v : TimeSpan.FromMilliseconds(300));
        g.Twin("experimental-warning-unary-request-duration", g.Flags[^1]);
        foreach (string name in (ReadOnlySpan<string>)
        [
            "corrupt-check-time", "compact-hash-check-time", "compaction-batch-limit", "compaction-sleep-interval",
            "peer-skip-client-san-verification", "watch-progress-notify-interval", "warning-apply-duration",
            "bootstrap-defrag-threshold-megabytes", "downgrade-check-time", "memory-mlock", "snapshot-catchup-entries",
            "enable-distributed-tracing", "distributed-tracing-address", "distributed-tracing-service-name",
            "distributed-tracing-instance-id", "distributed-tracing-sampling-rate",
        ])
        {
            g.Twin(name, older.Single(f => f.Name == "experimental-" + name));
        }

        return g;
    }

    private static FlagGroup Ours()
    {
        var g = new FlagGroup("Perf");
        g.Text(
            "speak-as",
            "3.5",
            "The etcd release this member behaves as, among others of that release: 3.4, 3.5 or 3.6.",
            (c, v) => c.SpeakAs = v switch
            {
                "3.4" => SpeakAs.V34,
                "3.5" => SpeakAs.V35,
                "3.6" => SpeakAs.V36,
                _ => throw new FormatException("must be one of: 3.4, 3.5, 3.6"),
            });
        g.Unsigned("max-client-connections", "0", "Most connections of clients; more wait until one ends (0: no limit).", (c, v) => c.MaxClientConnections = ToInt(v));
        g.Unsigned("max-client-calls", "0", "Most calls of all clients at one time, streams included; more are refused (0: no limit).", (c, v) => c.MaxClientCalls = ToInt(v));
        g.Switch("strict-permissions", false, "Refuse data directories and key files that others than their owner may read or write.", (c, v) => c.StrictPermissions = v);
        return g;
    }
}
