namespace Perf.Node.Config;

/// <summary>The v2 proxy that etcd 3.5 still knows.</summary>
public sealed class ProxySettings
{
    /// <summary>off, readonly or on.</summary>
    public string Mode { get; set; } = "off";

    public long FailureWaitMs { get; set; } = 5_000;

    public long RefreshIntervalMs { get; set; } = 30_000;

    public long DialTimeoutMs { get; set; } = 1_000;

    public long WriteTimeoutMs { get; set; } = 5_000;

    public long ReadTimeoutMs { get; set; }
}
