using Perf.Client;
using Perf.Grpc;

namespace Perf.Proxy.V2;

/// <summary>What `etcd --proxy on|readonly` is told.</summary>
public sealed record V2ProxyOptions
{
    public required IReadOnlyList<ListenEndpoint> Listen { get; init; }

    /// <summary>Peer URLs to begin with; the members tell of the others.</summary>
    public required IReadOnlyList<string> PeerUrls { get; init; }

    /// <summary>TLS towards peers and clients' ports; null: by the system's roots.</summary>
    public EtcdTls? Tls { get; init; }

    /// <summary>Where the peer URLs are remembered.</summary>
    public required string ClusterFile { get; init; }

    public bool IsReadOnly { get; init; }

    public TimeSpan FailureWait { get; init; } = TimeSpan.FromSeconds(5);

    public TimeSpan RefreshInterval { get; init; } = TimeSpan.FromSeconds(30);

    public TimeSpan DialTimeout { get; init; } = TimeSpan.FromSeconds(1);

    /// <summary>How long sending a request may take.</summary>
    public TimeSpan WriteTimeout { get; init; } = TimeSpan.FromSeconds(5);

    /// <summary>How long an answer may be silent; zero: any time, as waits need it.</summary>
    public TimeSpan ReadTimeout { get; init; }
}
