using Perf.Client;
using Perf.Grpc;

namespace Perf.Proxy.Grpc;

/// <summary>What `etcd grpc-proxy start` is told.</summary>
public sealed record GrpcProxyOptions
{
    /// <summary>"host:port" to listen on.</summary>
    public required string Listen { get; init; }

    /// <summary>The cluster behind.</summary>
    public required EtcdClientOptions Cluster { get; init; }

    /// <summary>TLS towards the proxy's clients; null for none.</summary>
    public TlsOptions? Tls { get; init; }

    /// <summary>A further URL for metrics and health; empty for none.</summary>
    public string MetricsUrl { get; init; } = "";

    /// <summary>Put before every key; empty for none.</summary>
    public string Namespace { get; init; } = "";

    /// <summary>Where proxies register themselves; empty: they do not.</summary>
    public string ResolverPrefix { get; init; } = "";

    public int ResolverTtlSeconds { get; init; }

    /// <summary>This proxy's address as clients know it; empty: the members are told as they are.</summary>
    public string AdvertiseClientUrl { get; init; } = "";

    /// <summary>No serializable read is older than one before it, whichever member answers.</summary>
    public bool SerializableOrdering { get; init; }

    /// <summary>How often the endpoints are replaced by those the members tell; zero: never.</summary>
    public TimeSpan AutoSyncInterval { get; init; }

    public uint StreamsPerConnectionMax { get; init; } = uint.MaxValue;

    public TimeSpan KeepAliveMinTime { get; init; } = TimeSpan.FromSeconds(5);

    public TimeSpan KeepAliveInterval { get; init; } = TimeSpan.FromHours(2);

    public TimeSpan KeepAliveTimeout { get; init; } = TimeSpan.FromSeconds(20);
}
