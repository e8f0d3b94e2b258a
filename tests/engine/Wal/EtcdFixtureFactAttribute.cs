using Xunit;

namespace Perf.Engine.Tests.Wal;

/// <summary>
/// A fact about directories that real etcds wrote; they lie in shared/fixtures beside the working copy and are not part
/// of it. Skipped where they are absent, unless PERF_REQUIRE_INTEROP=1.
/// </summary>
internal sealed class EtcdFixtureFactAttribute : FactAttribute
{
    public EtcdFixtureFactAttribute()
    {
        if (Directory is null && Environment.GetEnvironmentVariable("PERF_REQUIRE_INTEROP") != "1")
        {
            Skip = "shared/fixtures is not there";
        }
    }

    /// <summary>Where the archives are; null when they are nowhere.</summary>
    public static string? Directory
    {
        get
        {
            for (DirectoryInfo? at = new(AppContext.BaseDirectory); at is not null; at = at.Parent)
            {
                string path = Path.Combine(at.FullName, "shared", "fixtures");
                if (System.IO.Directory.Exists(path))
                {
                    return path;
                }
            }

            return null;
        }
    }
}
