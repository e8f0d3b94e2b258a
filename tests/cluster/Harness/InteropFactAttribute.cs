using Xunit;

namespace Perf.Cluster.Tests.Harness;

/// <summary>Needs the real etcd and etcdctl. Skipped where they are absent, unless PERF_REQUIRE_INTEROP=1.</summary>
public sealed class InteropFactAttribute : FactAttribute
{
    public InteropFactAttribute()
    {
        string? missing = new[] { RealEtcd.Program, Etcdctl.Program }.FirstOrDefault(p => !File.Exists(p));
        if (missing is not null && !IsRequired)
        {
            Skip = $"{missing} is not installed";
        }
    }

    /// <summary>True when a test that cannot run is a failure.</summary>
    internal static bool IsRequired => Environment.GetEnvironmentVariable("PERF_REQUIRE_INTEROP") == "1";
}
