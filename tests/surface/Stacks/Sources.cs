namespace Perf.Surface.Tests.Stacks;

/// <summary>Where this repository is.</summary>
internal static class Sources
{
    /// <summary>The folder that holds the solution.</summary>
    public static string Root { get; } = FindRoot();

    /// <summary>A program of another language among these tests.</summary>
    public static string Script(string name) => Path.Combine(Root, "tests", "surface", "Stacks", name);

    private static string FindRoot()
    {
        var at = new DirectoryInfo(AppContext.BaseDirectory);
        while (!File.Exists(Path.Combine(at.FullName, "Perf.sln")))
        {
            at = at.Parent ?? throw new DirectoryNotFoundException("no Perf.sln above " + AppContext.BaseDirectory);
        }

        return at.FullName;
    }
}
