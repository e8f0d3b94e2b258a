namespace Perf.Rpc.Http.Metrics;

/// <summary>
/// Families that etcd 3.5 has at start and that count what this server does not have, each with the reason. They are
/// there, at zero: an alert on one of them must not fail for want of the series.
/// </summary>
internal sealed partial class MetricsPage
{
    private const string NoV2 = "Requests of the v2 API are not counted.";
    private const string NoProxy = "This process is no grpc-proxy.";
    private const string OneWrite = "The data file's pages are merged and written in one pass: etcd_disk_backend_commit_duration_seconds.";
    private const string SavedBeside = "Snapshots of raft are small here and saved beside the log, without waiting.";

    private static readonly (string Name, string Type, string Reason)[] Unused =
    [
        ("etcd_debugging_store_expires_total", "counter", NoV2),
        ("etcd_debugging_store_watch_requests_total", "counter", NoV2),
        ("etcd_debugging_store_watchers", "gauge", NoV2),
        ("etcd_debugging_store_reads_total", "labelled counter", NoV2),
        ("etcd_debugging_store_writes_total", "labelled counter", NoV2),
        ("etcd_http_failed_total", "labelled counter", NoV2),
        ("etcd_http_received_total", "labelled counter", NoV2),
        ("etcd_http_successful_duration_seconds", "labelled histogram", NoV2),
        ("etcd_grpc_proxy_events_coalescing_total", "counter", NoProxy),
        ("etcd_grpc_proxy_cache_hits_total", "gauge", NoProxy),
        ("etcd_grpc_proxy_cache_keys_total", "gauge", NoProxy),
        ("etcd_grpc_proxy_cache_misses_total", "gauge", NoProxy),
        ("etcd_grpc_proxy_watchers_coalescing_total", "gauge", NoProxy),
        ("etcd_network_snapshot_receive_failures", "counter", "A snapshot that does not come whole is sent again and told of in the log."),
        ("etcd_server_heartbeat_send_failures_total", "counter", "Heartbeats have a stream of their own and never wait for the disk."),
        ("etcd_server_learner_promote_successes", "counter", "Told of in the log."),
        ("etcd_debugging_mvcc_total_put_size_in_bytes", "gauge", "See etcd_network_client_grpc_received_bytes_total."),
        ("etcd_debugging_lease_ttl_total", "histogram", "TTLs of leases are not kept apart."),
        ("etcd_debugging_disk_backend_commit_rebalance_duration_seconds", "histogram", OneWrite),
        ("etcd_debugging_disk_backend_commit_spill_duration_seconds", "histogram", OneWrite),
        ("etcd_debugging_disk_backend_commit_write_duration_seconds", "histogram", OneWrite),
        ("etcd_debugging_mvcc_db_compaction_pause_duration_milliseconds", "histogram", "Steps of a compaction are bounded by --experimental-compaction-batch-limit."),
        ("etcd_debugging_mvcc_index_compaction_pause_duration_milliseconds", "histogram", "The index is compacted key by key with the data."),
        ("etcd_debugging_snap_save_marshalling_duration_seconds", "histogram", SavedBeside),
        ("etcd_debugging_snap_save_total_duration_seconds", "histogram", SavedBeside),
        ("etcd_snap_fsync_duration_seconds", "histogram", SavedBeside),
        ("etcd_snap_db_fsync_duration_seconds", "histogram", SavedBeside),
        ("etcd_snap_db_save_total_duration_seconds", "histogram", SavedBeside),
        ("etcd_disk_wal_write_duration_seconds", "histogram", "Writing and syncing the log are one step: etcd_disk_wal_fsync_duration_seconds."),
    ];

    private static void WriteUnused(PrometheusText page)
    {
        foreach ((string name, string type, string reason) in Unused)
        {
            string help = "Always zero here. " + reason;
            switch (type)
            {
                case "counter":
                    page.Counter(name, help, 0);
                    break;
                case "gauge":
                    page.Gauge(name, help, 0);
                    break;
                case "histogram":
                    page.Histogram(name, help, null);
                    break;
                default:
                    // Without a label there is no series to show.
                    page.Family(name, type.Split(' ')[1], help);
                    break;
            }
        }
    }
}
