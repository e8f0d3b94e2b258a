namespace Perf;

/// <summary>
/// Old bugs of others, put back in on purpose (tests/mutants): exists in the configuration "Mutants" alone, where one
/// of them can be switched on by its name.
/// </summary>
internal static class Mutant
{
    private static readonly string? s_active = Environment.GetEnvironmentVariable("PERF_MUTANT");

    public static bool Is(string name) => s_active == name;
}
