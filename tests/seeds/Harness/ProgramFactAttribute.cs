using Xunit;

namespace Perf.Seeds.Tests.Harness;

/// <summary>Needs programs or files of other packages. Skipped where one is absent, unless PERF_REQUIRE_INTEROP=1.</summary>
public sealed class ProgramFactAttribute : FactAttribute
{
    public const string PythonEtcd = "/usr/lib/python3/dist-packages/etcd/__init__.py";
    public const string EtcdDiscovery = "/usr/bin/etcd-discovery";
    public const string Etcd = "/usr/bin/etcd";
    public const string Etcdctl = "/usr/bin/etcdctl";

    public ProgramFactAttribute(params string[] files)
    {
        string? missing = files.FirstOrDefault(file => !File.Exists(file));
        if (missing is not null && Environment.GetEnvironmentVariable("PERF_REQUIRE_INTEROP") != "1")
        {
            Skip = $"{missing} is not installed";
        }
    }
}
