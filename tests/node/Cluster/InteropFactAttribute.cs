using Xunit;

namespace Perf.Node.Tests.Cluster;

/// <summary>Needs the real etcd; skipped where it is absent, unless PERF_REQUIRE_INTEROP=1.</summary>
public sealed class InteropFactAttribute : FactAttribute
{
    public InteropFactAttribute()
    {
        if (!File.Exists(RealMember.Program) && Environment.GetEnvironmentVariable("PERF_REQUIRE_INTEROP") != "1")
        {
            Skip = $"{RealMember.Program} is not installed";
        }
    }
}
