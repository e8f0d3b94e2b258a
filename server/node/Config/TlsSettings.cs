namespace Perf.Node.Config;

/// <summary>What the flags say about TLS of one side: towards clients, or among peers.</summary>
public sealed class TlsSettings
{
    public string CertFile { get; set; } = "";

    public string KeyFile { get; set; } = "";

    /// <summary>The certificate this member shows when it is itself the client; empty for <see cref="CertFile"/>.</summary>
    public string ClientCertFile { get; set; } = "";

    public string ClientKeyFile { get; set; } = "";

    public string TrustedCaFile { get; set; } = "";

    public string CrlFile { get; set; } = "";

    public bool ClientCertAuth { get; set; }

    public bool AutoTls { get; set; }

    public bool SkipClientSanVerification { get; set; }

    public IReadOnlyList<string> AllowedCommonNames { get; set; } = [];

    public IReadOnlyList<string> AllowedHostnames { get; set; } = [];

    /// <summary>True when no certificate was given.</summary>
    public bool IsEmpty => CertFile.Length == 0 && KeyFile.Length == 0;
}
