using Xunit;

namespace Perf.Surface.Tests.Stacks;

/// <summary>
/// Needs other programs: files by their paths, programs by name where the PATH finds them. Skipped where they are absent, unless PERF_REQUIRE_INTEROP=1; and even then where
/// PERF_CANNOT_INSTALL names the group, which says that apt has been asked in vain.
/// </summary>
public sealed class ProgramsFactAttribute : FactAttribute
{
    public ProgramsFactAttribute(string group, params string[] files)
    {
        string? missing = files.FirstOrDefault(f => !IsThere(f));
        bool isRequired = Environment.GetEnvironmentVariable("PERF_REQUIRE_INTEROP") == "1";
        bool cannot = (Environment.GetEnvironmentVariable("PERF_CANNOT_INSTALL") ?? "").Split(' ').Contains(group);
        if (missing is not null && (!isRequired || cannot))
        {
            Skip = $"{missing} is not installed";
        }
    }

    private static bool IsThere(string file) => file.StartsWith('/')
        ? File.Exists(file) || Directory.Exists(file)
        : (Environment.GetEnvironmentVariable("PATH") ?? "").Split(':').Any(p => File.Exists(Path.Combine(p, file)));
}
