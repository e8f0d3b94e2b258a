namespace Perf.Rpc.Http.Health;

/// <summary>One check of /livez or /readyz: null when all is well, else what is not.</summary>
internal sealed record HealthCheck(string Name, Func<Task<string?>> RunAsync);
