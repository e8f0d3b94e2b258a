using Xunit;

namespace Perf.Engine.Tests;

public class SourceRules
{
    /// <summary>The managed flush returns normally when fsync fails, so it must not appear anywhere.</summary>
    [Fact]
    public void No_source_uses_a_managed_flush_to_disk()
    {
        string root = FindRoot();
        var found = new List<string>();
        foreach (string room in (string[])["engine", "raft", "server"])
        {
            foreach (string path in Directory.EnumerateFiles(Path.Combine(root, room), "*.cs", SearchOption.AllDirectories))
            {
                if (path.Contains("/obj/", StringComparison.Ordinal))
                {
                    continue;
                }

                string text = File.ReadAllText(path);
                foreach (string banned in (string[])["FlushToDisk", ".Flush(true)", "Flush(flushToDisk"])
                {
                    if (text.Contains(banned, StringComparison.OrdinalIgnoreCase))
                    {
                        found.Add($"{path}: {banned}");
                    }
                }
            }
        }

        Assert.Empty(found);
    }

    private static string FindRoot()
    {
        DirectoryInfo? at = new(AppContext.BaseDirectory);
        while (at is not null && !File.Exists(Path.Combine(at.FullName, "Perf.sln")))
        {
            at = at.Parent;
        }

        return at?.FullName ?? throw new InvalidOperationException("no Perf.sln above the tests");
    }
}
