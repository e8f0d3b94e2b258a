using Microsoft.AspNetCore.Http;
using Perf.Grpc;
using Perf.Node;
using Perf.Node.Metrics;
using Perf.Rpc.Http.Health;
using Perf.Store.Lease;
using Perf.Store.Maintenance;
using Perf.Store.Membership;
using Perf.Store.Watch;

namespace Perf.Rpc.Http.Metrics;

/// <summary>
/// /metrics: every family of etcd 3.5 by its name and type, so that dashboards and alerts find what they look for
/// (SURFACE 10). Figures that have no meaning in this server stay at zero.
/// </summary>
internal sealed partial class MetricsPage(
    EtcdNode node, GrpcRouter router, HealthChecks health, ClientVersions clients, CallStats calls)
{
    private static readonly StatusCode[] Codes = Enum.GetValues<StatusCode>();

    private long _served;
    private int _inFlight;

    public async Task ServeAsync(HttpContext context)
    {
        Interlocked.Increment(ref _inFlight);
        try
        {
            string text = Write();
            Interlocked.Increment(ref _served);
            await PlainText.WriteAsync(context, 200, text, "text/plain; version=0.0.4; charset=utf-8").ConfigureAwait(false);
        }
        finally
        {
            Interlocked.Decrement(ref _inFlight);
        }
    }

    /// <summary>The page.</summary>
    public string Write()
    {
        var page = new PrometheusText();
        WriteServer(page);
        WriteRaft(page);
        WriteStore(page);
        WriteDisk(page);
        WriteNetwork(page);
        WriteGrpc(page);
        WriteSecurity(page);
        WriteProcess(page);
        WriteRuntime(page);
        WriteUnused(page);
        return page.ToString();
    }

    private static string TypeOf(MethodKind kind) => kind switch
    {
        MethodKind.Unary => "unary",
        MethodKind.ServerStream => "server_stream",
        MethodKind.ClientStream => "client_stream",
        _ => "bidi_stream",
    };

    private void WriteServer(PrometheusText page)
    {
        page.Family("etcd_cluster_version", "gauge", "Which version is running. 1 for 'cluster_version' label with current cluster version");
        if (node.ClusterVersion is { } version)
        {
            page.Sample("etcd_cluster_version", 1, $"cluster_version=\"{version.Major}.{version.Minor}\"");
        }

        page.Family("etcd_server_version", "gauge", "Which version is running. 1 for 'server_version' label with current version.")
            .Sample("etcd_server_version", 1, $"server_version=\"{node.ServerVersion}\"");
        page.Family("etcd_server_go_version", "gauge", "What this server runs on, in place of a version of Go.")
            .Sample("etcd_server_go_version", 1, $"server_go_version={PrometheusText.Quote(".NET " + Environment.Version)}");
        page.Family("etcd_server_id", "gauge", "Server or member ID in hexadecimal format. 1 for 'server_id' label with current ID.")
            .Sample("etcd_server_id", 1, $"server_id=\"{MemberIds.Hex(node.MemberId)}\"");
        page.Gauge("etcd_server_quota_backend_bytes", "Current backend storage quota size in bytes.", node.Config.EffectiveQuotaBytes);

        (long succeeded, long failed) = health.Answered;
        page.Counter("etcd_server_health_success", "The total number of successful health checks", succeeded);
        page.Counter("etcd_server_health_failures", "The total number of failed health checks", failed);
        page.Family("etcd_server_healthcheck", "gauge", "The result of each kind of healthcheck.");
        foreach (((string type, string name), bool isWell) in health.Last)
        {
            page.Sample("etcd_server_healthcheck", isWell ? 1 : 0, $"name=\"{name}\",type=\"{type}\"");
        }

        page.Family("etcd_server_healthchecks_total", "counter", "The total number of each kind of healthcheck.");
        foreach (((string type, string name, string status), long count) in health.Counts)
        {
            page.Sample("etcd_server_healthchecks_total", count, $"name=\"{name}\",status=\"{status}\",type=\"{type}\"");
        }

        if (node.Config.SpeakAs >= SpeakAs.V36)
        {
            page.Family("etcd_debugging_server_alarms", "gauge", "Alarms for every member in cluster.");
            foreach (AlarmMember alarm in node.State.Machine.Alarms.Active)
            {
                page.Sample(
                    "etcd_debugging_server_alarms",
                    1,
                    $"alarm_type=\"{alarm.Kind.ToString().ToUpperInvariant()}\",server_id=\"{MemberIds.Hex(alarm.MemberId)}\"");
            }

            page.Gauge("etcd_network_known_peers", "The current number of known peers.", node.PeerRoundTrips.Count);
        }
    }

    private void WriteRaft(PrometheusText page)
    {
        page.Gauge("etcd_server_has_leader", "Whether or not a leader exists. 1 is existence, 0 is not.", node.Raft.Leader != 0 ? 1 : 0);
        page.Gauge("etcd_server_is_leader", "Whether or not this member is a leader. 1 if is, 0 otherwise.", node.IsLeader ? 1 : 0);
        page.Gauge("etcd_server_is_learner", "Whether or not this member is a learner. 1 if is, 0 otherwise.", node.IsLearner ? 1 : 0);
        page.Counter("etcd_server_leader_changes_seen_total", "The number of leader changes seen.", node.Raft.LeaderChanges);
        page.Gauge("etcd_server_proposals_committed_total", "The total number of consensus proposals committed.", node.Raft.Commit);
        page.Gauge("etcd_server_proposals_applied_total", "The total number of consensus proposals applied.", node.Pipeline.AppliedIndex);
        page.Gauge("etcd_server_proposals_pending", "The current number of pending proposals to commit.", node.Pipeline.Pending.Count);
        page.Counter("etcd_server_proposals_failed_total", "The total number of failed proposals seen.", node.Pipeline.FailedProposals);
        page.Gauge("etcd_server_snapshot_apply_in_progress_total", "1 if the server is applying the incoming snapshot. 0 if none.", node.Pipeline.IsInstalling ? 1 : 0);
        page.Counter("etcd_server_slow_apply_total", "The total number of slow apply requests (likely overloaded from slow disk).", node.SlowApplies);
        page.Family("etcd_server_apply_duration_seconds", "histogram", "The latency distributions of v2 apply called by backend.");
        foreach ((string operation, bool success, Histogram times) in node.ApplyTimes.All)
        {
            page.Histogram(
                "etcd_server_apply_duration_seconds",
                times,
                $"op=\"{operation}\",success=\"{(success ? "true" : "false")}\",version=\"v3\"");
        }

        page.Counter("etcd_server_slow_read_indexes_total", "The total number of pending read indexes not in sync with leader's or timed out read index requests.", node.SlowReadRounds);
        page.Counter("etcd_server_read_indexes_failed_total", "The total number of failed read indexes seen.", node.FailedReads);
    }

    private void WriteStore(PrometheusText page)
    {
        Store.Mvcc.MvccStore kv = node.State.Machine.Kv;
        page.Gauge("etcd_debugging_mvcc_current_revision", "The current revision of store.", kv.PublishedRevision);
        page.Gauge("etcd_debugging_mvcc_compact_revision", "The revision of the last compaction in store.", kv.PublishedCompactRevision);
        page.Gauge("etcd_debugging_mvcc_db_compaction_last", "The unix time of the last db compaction. Resets to 0 on start.", node.CompactedAt);
        page.Counter("etcd_debugging_mvcc_db_compaction_keys_total", "Total number of db keys compacted.", kv.CompactedRecords);
        page.Histogram("etcd_debugging_mvcc_db_compaction_total_duration_milliseconds", "Bucketed histogram of db compaction total duration.", node.CompactionTimes, 1000);
        page.Gauge("etcd_debugging_mvcc_keys_total", "Total number of keys.", kv.KeyCount);
        page.Gauge("etcd_debugging_auth_revision", "The current revision of auth store.", node.State.Machine.Auth.Revision);

        page.Counter("etcd_mvcc_put_total", "Total number of puts seen by this member.", Answered("KV", "Put"));
        page.Counter("etcd_mvcc_delete_total", "Total number of deletes seen by this member.", Answered("KV", "DeleteRange"));
        page.Counter("etcd_mvcc_range_total", "Total number of ranges seen by this member.", Answered("KV", "Range"));
        page.Counter("etcd_debugging_mvcc_range_total", "Total number of ranges seen by this member.", Answered("KV", "Range"));
        page.Counter("etcd_mvcc_txn_total", "Total number of txns seen by this member.", Answered("KV", "Txn"));

        WatchCounters watches = node.State.Watches.Counters;
        page.Gauge("etcd_debugging_mvcc_watcher_total", "Total number of watchers.", watches.Watchers);
        page.Gauge("etcd_debugging_mvcc_watch_stream_total", "Total number of watch streams.", watches.Streams);
        page.Gauge("etcd_debugging_mvcc_slow_watcher_total", "Total number of unsynced slow watchers.", watches.SlowWatchers);
        page.Gauge("etcd_debugging_mvcc_pending_events_total", "Total number of pending events to be sent.", watches.PendingEvents);
        page.Counter("etcd_debugging_mvcc_events_total", "Total number of events sent by this member.", watches.EventsTotal);

        LessorCounters leases = node.State.Machine.Leases.Counters;
        page.Counter("etcd_debugging_lease_granted_total", "The total number of granted leases.", leases.Granted);
        page.Counter("etcd_debugging_lease_revoked_total", "The total number of revoked leases.", leases.Revoked);
        page.Counter("etcd_debugging_lease_renewed_total", "The number of renewed leases seen by the leader.", leases.Renewed);
        page.Counter("etcd_debugging_server_lease_expired_total", "The total number of expired leases.", leases.Expired);
    }

    private void WriteDisk(PrometheusText page)
    {
        Store.Backend.BackendStore backend = node.State.Backend;
        page.Gauge("etcd_mvcc_db_total_size_in_bytes", "Total size of the underlying database physically allocated in bytes.", backend.SizeBytes);
        page.Gauge("etcd_mvcc_db_total_size_in_use_in_bytes", "Total size of the underlying database logically in use in bytes.", backend.SizeInUseBytes);
        page.Gauge("etcd_mvcc_db_open_read_transactions", "The number of currently open read transactions", node.OpenDataReaders);
        page.Histogram("etcd_disk_wal_fsync_duration_seconds", "The latency distributions of fsync called by WAL.", node.WalSyncs);
        page.Gauge("etcd_disk_wal_write_bytes_total", "Total number of bytes written in WAL.", node.WalBytes);
        page.Gauge("etcd_disk_defrag_inflight", "Whether or not defrag is active on the member. 1 means active, 0 means not.", node.DefragmentsInFlight);
        page.Histogram("etcd_disk_backend_defrag_duration_seconds", "The latency distribution of backend defragmentation.", node.DefragmentTimes);
        page.Histogram("etcd_disk_backend_snapshot_duration_seconds", "The latency distribution of backend snapshots.", node.SnapshotTimes);
        page.Histogram("etcd_mvcc_hash_duration_seconds", "The latency distribution of storage hash operation.", node.HashTimes);
        page.Histogram("etcd_mvcc_hash_rev_duration_seconds", "The latency distribution of storage hash by revision operation.", node.HashRevisionTimes);
        page.Histogram("etcd_disk_backend_commit_duration_seconds", "The latency distributions of commit called by backend.", node.BackendCommits);
    }

    private void WriteNetwork(PrometheusText page)
    {
        string local = MemberIds.Hex(node.MemberId);
        IReadOnlyList<(ulong Id, TimeSpan RoundTrip)> peers = node.PeerRoundTrips;
        page.Family("etcd_network_active_peers", "gauge", "The current number of active peer connections.");
        foreach ((ulong id, TimeSpan _) in peers)
        {
            page.Sample("etcd_network_active_peers", 1, $"Local=\"{local}\",Remote=\"{MemberIds.Hex(id)}\"");
        }

        page.Family("etcd_network_peer_sent_bytes_total", "counter", "The total number of bytes sent to peers.");
        page.Family("etcd_network_peer_received_bytes_total", "counter", "The total number of bytes received from peers.");
        page.Family("etcd_network_peer_round_trip_time_seconds", "histogram", "Round-Trip-Time histogram between peers");
        page.Counter("etcd_network_client_grpc_received_bytes_total", "The total number of bytes received from grpc clients.", router.Methods.Sum(method => method.BytesReceived));
        page.Counter("etcd_network_client_grpc_sent_bytes_total", "The total number of bytes sent to grpc clients.", router.Methods.Sum(method => method.BytesSent));
        page.Family("etcd_server_client_requests_total", "counter", "The total number of client requests per client version.");
        foreach ((MethodKind kind, string version, long count) in clients.All)
        {
            page.Sample(
                "etcd_server_client_requests_total",
                count,
                $"client_api_version={PrometheusText.Quote(version)},type=\"{TypeOf(kind)}\"");
        }
    }

    private void WriteGrpc(PrometheusText page)
    {
        Each("grpc_server_started_total", "Total number of RPCs started on the server.", method => method.Started);
        Each("grpc_server_msg_received_total", "Total number of RPC stream messages received on the server.", method => method.MessagesReceived);
        Each("grpc_server_msg_sent_total", "Total number of gRPC stream messages sent by the server.", method => method.MessagesSent);
        page.Family("grpc_server_handled_total", "counter", "Total number of RPCs completed on the server, regardless of success or failure.");
        foreach (GrpcMethod method in router.Methods)
        {
            foreach (StatusCode code in Codes)
            {
                string name = code == StatusCode.Cancelled ? "Canceled" : code.ToString();
                page.Sample("grpc_server_handled_total", method.Handled(code), $"grpc_code=\"{name}\",{Labels(method)}");
            }
        }

        if (calls.Times is { } times)
        {
            page.Family("grpc_server_handling_seconds", "histogram", "Histogram of response latency (seconds) of gRPC that had been application-level handled by the server.");
            foreach (GrpcMethod method in router.Methods)
            {
                page.Histogram("grpc_server_handling_seconds", times[method.Path], Labels(method));
            }
        }

        void Each(string name, string help, Func<GrpcMethod, long> figure)
        {
            page.Family(name, "counter", help);
            foreach (GrpcMethod method in router.Methods)
            {
                page.Sample(name, figure(method), Labels(method));
            }
        }

        static string Labels(GrpcMethod method) =>
            $"grpc_method=\"{method.Name}\",grpc_service=\"{method.Service}\",grpc_type=\"{TypeOf(method.Kind)}\"";
    }

    private void WriteProcess(PrometheusText page)
    {
        ProcessFigures process = ProcessFigures.Read();
        page.Gauge("os_fd_limit", "The file descriptor limit.", process.FilesMax);
        page.Gauge("os_fd_used", "The number of used file descriptors.", process.FilesOpen);
        page.Counter("process_cpu_seconds_total", "Total user and system CPU time spent in seconds.", process.CpuSeconds);
        page.Gauge("process_max_fds", "Maximum number of open file descriptors.", process.FilesMax);
        page.Gauge("process_open_fds", "Number of open file descriptors.", process.FilesOpen);
        page.Gauge("process_resident_memory_bytes", "Resident memory size in bytes.", process.ResidentBytes);
        page.Gauge("process_start_time_seconds", "Start time of the process since unix epoch in seconds.", process.StartedUnixSeconds);
        page.Gauge("process_virtual_memory_bytes", "Virtual memory size in bytes.", process.VirtualBytes);
        page.Gauge("process_virtual_memory_max_bytes", "Maximum amount of virtual memory available in bytes.", process.VirtualBytesMax);
        page.Gauge("promhttp_metric_handler_requests_in_flight", "Current number of scrapes being served.", Volatile.Read(ref _inFlight));
        page.Family("promhttp_metric_handler_requests_total", "counter", "Total number of scrapes by HTTP status code.");
        page.Sample("promhttp_metric_handler_requests_total", Volatile.Read(ref _served), "code=\"200\"");
        page.Sample("promhttp_metric_handler_requests_total", 0, "code=\"500\"");
        page.Sample("promhttp_metric_handler_requests_total", 0, "code=\"503\"");
    }

    /// <summary>What .NET says of itself, by the names that Prometheus' users know for it.</summary>
    private static void WriteRuntime(PrometheusText page)
    {
        GCMemoryInfo memory = GC.GetGCMemoryInfo();
        page.Family("dotnet_collection_count_total", "counter", "GC collection count");
        for (int generation = 0; generation <= GC.MaxGeneration; generation++)
        {
            page.Sample("dotnet_collection_count_total", GC.CollectionCount(generation), $"generation=\"{generation}\"");
        }

        page.Gauge("dotnet_total_memory_bytes", "Total known allocated memory", GC.GetTotalMemory(forceFullCollection: false));
        page.Gauge("dotnet_gc_heap_size_bytes", "Size of the managed heap after the last collection.", memory.HeapSizeBytes);
        page.Gauge("dotnet_gc_committed_bytes", "Memory that the collector holds.", memory.TotalCommittedBytes);
        page.Counter("dotnet_gc_allocated_bytes_total", "Bytes allocated on the managed heap.", GC.GetTotalAllocatedBytes());
        page.Counter("dotnet_gc_pause_seconds_total", "Time that all threads have waited for the collector.", GC.GetTotalPauseDuration().TotalSeconds);
        page.Gauge("dotnet_threadpool_num_threads", "Threads of the pool.", ThreadPool.ThreadCount);
        page.Gauge("dotnet_threadpool_queue_length", "Work that waits for a thread of the pool.", ThreadPool.PendingWorkItemCount);
        page.Counter("dotnet_threadpool_completed_items_total", "Work that the pool has done.", ThreadPool.CompletedWorkItemCount);
        page.Counter("dotnet_monitor_lock_contention_total", "How often a thread had to wait for a lock.", Monitor.LockContentionCount);
    }

    /// <summary>Calls of a method of etcdserverpb that ended well.</summary>
    private double Answered(string service, string method) =>
        router.TryFind($"/etcdserverpb.{service}/{method}", out GrpcMethod? found) ? found.Handled(StatusCode.OK) : 0;
}
