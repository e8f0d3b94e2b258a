namespace Perf.Node.Config;

/// <summary>How a new member finds the others: by a discovery service of either protocol, or by DNS.</summary>
public sealed class DiscoverySettings
{
    /// <summary>URL of the v2 protocol, token included.</summary>
    public string Url { get; set; } = "";

    public string Proxy { get; set; } = "";

    /// <summary>False: `--discovery-fallback exit`.</summary>
    public bool FallbackToProxy { get; set; } = true;

    public string SrvDomain { get; set; } = "";

    public string SrvName { get; set; } = "";

    // The v3 protocol.
    public string Token { get; set; } = "";

    public IReadOnlyList<string> Endpoints { get; set; } = [];

    public TimeSpan DialTimeout { get; set; } = TimeSpan.FromSeconds(2);

    public TimeSpan RequestTimeout { get; set; } = TimeSpan.FromSeconds(5);

    public TimeSpan KeepAliveTime { get; set; } = TimeSpan.FromSeconds(2);

    public TimeSpan KeepAliveTimeout { get; set; } = TimeSpan.FromSeconds(6);

    public bool InsecureTransport { get; set; } = true;

    public bool InsecureSkipTlsVerify { get; set; }

    public string CertFile { get; set; } = "";

    public string KeyFile { get; set; } = "";

    public string CaFile { get; set; } = "";

    public string User { get; set; } = "";

    public string Password { get; set; } = "";
}
