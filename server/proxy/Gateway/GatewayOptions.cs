using System.Net;
using Perf.Client;

namespace Perf.Proxy.Gateway;

/// <summary>What `etcd gateway start` is told.</summary>
public sealed record GatewayOptions
{
    public required IPEndPoint Listen { get; init; }

    /// <summary>Where to, with priority and weight.</summary>
    public required IReadOnlyList<SrvRecord> Endpoints { get; init; }

    /// <summary>How long an endpoint that could not be reached is left alone.</summary>
    public TimeSpan RetryDelay { get; init; } = TimeSpan.FromMinutes(1);

    /// <summary>How long connecting may take before the next endpoint is tried.</summary>
    public TimeSpan DialTimeout { get; init; } = TimeSpan.FromSeconds(5);
}
