using System.Globalization;
using System.Text;
using Perf.Grpc;

namespace Perf.Proxy.Grpc;

/// <summary>What the proxy counts, for /proxy/metrics.</summary>
internal sealed class ProxyFigures
{
    private long _cacheHits;
    private long _cacheMisses;
    private long _eventsCoalesced;
    private long _watchersCoalesced;

    public long CacheHits => Volatile.Read(ref _cacheHits);

    public long WatchersCoalesced => Volatile.Read(ref _watchersCoalesced);

    public Func<int> CacheKeys { private get; set; } = () => 0;

    public void Hit() => Interlocked.Increment(ref _cacheHits);

    public void Miss() => Interlocked.Increment(ref _cacheMisses);

    /// <summary>So many events came once and were passed on to one watcher more.</summary>
    public void EventsShared(int count) => Interlocked.Add(ref _eventsCoalesced, count);

    /// <summary>A watcher joined (+1) or left (-1) a watch that others share.</summary>
    public void WatchersShared(int change) => Interlocked.Add(ref _watchersCoalesced, change);

    /// <summary>The page in Prometheus' text form.</summary>
    public string Page(GrpcRouter router)
    {
        var text = new StringBuilder();
        Row("etcd_grpc_proxy_cache_hits_total", "gauge", "Total number of cache hits", CacheHits);
        Row("etcd_grpc_proxy_cache_misses_total", "gauge", "Total number of cache misses", Volatile.Read(ref _cacheMisses));
        Row("etcd_grpc_proxy_cache_keys_total", "gauge", "Total number of keys/ranges cached", CacheKeys());
        Row(
            "etcd_grpc_proxy_events_coalescing_total",
            "counter",
            "Total number of events coalescing",
            Volatile.Read(ref _eventsCoalesced));
        Row(
            "etcd_grpc_proxy_watchers_coalescing_total",
            "gauge",
            "Total number of current watchers coalescing",
            WatchersCoalesced);
        text.Append("# TYPE grpc_server_started_total counter\n");
        foreach (GrpcMethod method in router.Methods)
        {
            text.Append(
                CultureInfo.InvariantCulture,
                $"grpc_server_started_total{{grpc_method=\"{method.Name}\",grpc_service=\"{method.Service}\"}} {method.Started}\n");
        }

        Row("process_resident_memory_bytes", "gauge", "Resident memory size in bytes.", Environment.WorkingSet);
        return text.ToString();

        void Row(string name, string kind, string help, long value) => text.Append(
            CultureInfo.InvariantCulture, $"# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}\n");
    }
}
