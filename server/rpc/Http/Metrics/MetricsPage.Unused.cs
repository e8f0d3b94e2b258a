namespace Perf.Rpc.Http.Metrics;

/// <summary>
/// Families that etcd 3.5 has at start and whose figure this server does not keep, or that count parts it does not
/// have. They are there, at zero: an alert on one of them must not fail for want of the series.
/// </summary>
internal sealed partial class MetricsPage
{
    private static readonly string[] Counters =
    [
        "etcd_debugging_mvcc_db_compaction_keys_total", "etcd_debugging_store_expires_total",
        "etcd_debugging_store_watch_requests_total", "etcd_grpc_proxy_events_coalescing_total",
        "etcd_network_snapshot_receive_failures", "etcd_server_heartbeat_send_failures_total",
        "etcd_server_learner_promote_successes", "etcd_server_proposals_failed_total", "etcd_server_slow_apply_total",
    ];

    private static readonly string[] LabelledCounters =
    [
        "etcd_debugging_store_reads_total", "etcd_debugging_store_writes_total", "etcd_http_failed_total",
        "etcd_http_received_total",
    ];

    private static readonly string[] Gauges =
    [
        "etcd_debugging_mvcc_total_put_size_in_bytes", "etcd_debugging_store_watchers", "etcd_disk_defrag_inflight",
        "etcd_disk_wal_write_bytes_total", "etcd_grpc_proxy_cache_hits_total", "etcd_grpc_proxy_cache_keys_total",
        "etcd_grpc_proxy_cache_misses_total", "etcd_grpc_proxy_watchers_coalescing_total",
        "etcd_server_snapshot_apply_in_progress_total",
    ];

    private static readonly string[] Histograms =
    [
        "etcd_debugging_disk_backend_commit_rebalance_duration_seconds",
        "etcd_debugging_disk_backend_commit_spill_duration_seconds",
        "etcd_debugging_disk_backend_commit_write_duration_seconds", "etcd_debugging_lease_ttl_total",
        "etcd_debugging_mvcc_db_compaction_pause_duration_milliseconds",
        "etcd_debugging_mvcc_db_compaction_total_duration_milliseconds",
        "etcd_debugging_mvcc_index_compaction_pause_duration_milliseconds",
        "etcd_debugging_snap_save_marshalling_duration_seconds", "etcd_debugging_snap_save_total_duration_seconds",
        "etcd_disk_backend_defrag_duration_seconds", "etcd_disk_backend_snapshot_duration_seconds",
        "etcd_disk_wal_write_duration_seconds", "etcd_http_successful_duration_seconds",
        "etcd_mvcc_hash_duration_seconds", "etcd_mvcc_hash_rev_duration_seconds",
        "etcd_server_apply_duration_seconds", "etcd_snap_db_fsync_duration_seconds",
        "etcd_snap_db_save_total_duration_seconds", "etcd_snap_fsync_duration_seconds",
    ];

    private static void WriteUnused(PrometheusText page)
    {
        const string Help = "Not kept by this server.";
        foreach (string name in Counters)
        {
            page.Counter(name, Help, 0);
        }

        foreach (string name in LabelledCounters)
        {
            page.Family(name, "counter", Help);
        }

        foreach (string name in Gauges)
        {
            page.Gauge(name, Help, 0);
        }

        foreach (string name in Histograms)
        {
            page.Histogram(name, Help, null);
        }
    }
}
