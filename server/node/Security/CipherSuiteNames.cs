using System.Net.Security;

namespace Perf.Node.Security;

/// <summary>Cipher suites by Go's names.</summary>
internal static class CipherSuiteNames
{
    /// <summary>Go does not let anybody choose among these; TLS 1.3 has them all.</summary>
    private static readonly TlsCipherSuite[] Tls13 =
    [
        TlsCipherSuite.TLS_AES_128_GCM_SHA256,
        TlsCipherSuite.TLS_AES_256_GCM_SHA384,
        TlsCipherSuite.TLS_CHACHA20_POLY1305_SHA256,
    ];

    /// <summary>
    /// The suites named, and those of TLS 1.3; null for no names. The names have been checked by the settings' rules.
    /// </summary>
    public static IReadOnlyList<TlsCipherSuite>? Parse(IReadOnlyList<string> names) =>
        names.Count == 0 ? null : [.. names.Select(Parse).Concat(Tls13).Distinct()];

    /// <summary>IANA's names, but for two that Go once shortened.</summary>
    private static TlsCipherSuite Parse(string name) =>
        Enum.Parse<TlsCipherSuite>(name.EndsWith("_CHACHA20_POLY1305", StringComparison.Ordinal) ? name + "_SHA256" : name);
}
