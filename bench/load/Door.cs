using System.Net.Security;

namespace Perf.Bench.Load;

/// <summary>How a connection comes in: as whom, and under TLS or not.</summary>
internal sealed record Door(string? Token = null, SslClientAuthenticationOptions? Tls = null);
