using System.Text.RegularExpressions;
using Xunit;

namespace Perf.House.Tests;

/// <summary>The rules of the house that the compiler does not know.</summary>
public sealed partial class HouseTests
{
    private static readonly string Root = FindRoot();

    public static TheoryData<string> ProductRooms => new("engine", "raft", "server");

    [Theory]
    [MemberData(nameof(ProductRooms))]
    public void No_managed_flush_in_product_source(string room)
    {
        // On this runtime the managed flush hides a failed fsync; storage has its own P/Invoke.
        foreach (string file in Sources(room))
        {
            string text = File.ReadAllText(file);
            Assert.False(ManagedFlush().IsMatch(text), $"{file} uses a managed flush for durability.");
        }
    }

    [Theory]
    [InlineData("engine")]
    [InlineData("raft")]
    [InlineData("server/store")]
    public void Deterministic_rooms_take_clock_and_chance_from_outside(string room)
    {
        foreach (string file in Sources(room))
        {
            string text = Comments().Replace(File.ReadAllText(file), "");
            Match found = HiddenWorld().Match(text);
            Assert.False(found.Success, $"{file} uses {found.Value}: engine, raft and store have no hidden world.");
        }
    }

    [Fact]
    public void No_unfinished_business_in_product_source()
    {
        foreach (string file in Sources("engine").Concat(Sources("raft")).Concat(Sources("server")))
        {
            Match found = Unfinished().Match(File.ReadAllText(file));
            Assert.False(found.Success, $"{file} says {found.Value}.");
        }
    }

    [Fact]
    public void No_room_is_called_utils_common_or_manager()
    {
        foreach (string file in Sources("engine").Concat(Sources("raft")).Concat(Sources("server")))
        {
            string name = Path.GetFileNameWithoutExtension(file);
            Assert.False(name is "Utils" or "Common" or "Helpers" || name.EndsWith("Manager", StringComparison.Ordinal), file);
        }
    }

    [Fact]
    public void Old_bugs_are_known_to_the_configuration_Mutants_alone()
    {
        foreach (string file in Sources("engine").Concat(Sources("raft")).Concat(Sources("server")))
        {
            bool isInside = false;
            foreach (string line in File.ReadLines(file))
            {
                isInside = line.StartsWith("#if MUTANTS", StringComparison.Ordinal)
                    || (isInside && !line.StartsWith("#e", StringComparison.Ordinal));
                Assert.True(isInside || !line.Contains("Mutant.Is(", StringComparison.Ordinal), $"{file}: {line}");
            }
        }

        foreach (string file in Directory.EnumerateFiles(Root, "*.*proj", SearchOption.AllDirectories)
            .Concat(Directory.EnumerateFiles(Root, "Directory.Build.*")))
        {
            int at = 0;
            foreach (string line in File.ReadLines(file))
            {
                at = line.Contains("'$(Configuration)' == 'Mutants'", StringComparison.Ordinal) ? 6 : at - 1;
                Assert.True(at > 0 || !line.Contains("MUTANTS", StringComparison.Ordinal), $"{file}: {line}");
            }
        }
    }

    [Fact]
    public void Every_project_is_in_the_solution()
    {
        string solution = File.ReadAllText(Path.Combine(Root, "Perf.sln")).Replace('\\', '/');
        foreach (string project in Directory.EnumerateFiles(Root, "*.csproj", SearchOption.AllDirectories))
        {
            string relative = Path.GetRelativePath(Root, project).Replace('\\', '/');
            Assert.Contains(relative, solution, StringComparison.Ordinal);
        }
    }

    [Fact]
    public void Every_class_of_bad_input_and_every_trap_names_tests_that_exist()
    {
        string[] tests =
        [
            .. Sources("tests").SelectMany(file => TestMethod().Matches(File.ReadAllText(file))
                .Select(m => $"{Path.GetFileNameWithoutExtension(file)}.{m.Groups[1].Value}")),
        ];
        string[][] rows =
        [
            .. File.ReadLines(Path.Combine(Root, "docs", "BAD-INPUT.md"))
                .Where(line => line.StartsWith("| ", StringComparison.Ordinal) && !line.StartsWith("| ---", StringComparison.Ordinal))
                .Select(line => line.Trim('|', ' ').Split(" | "))
                .Where(cells => cells[0] is not ("class" or "trap")),
        ];
        Assert.Equal(24 + 4, rows.Length);
        foreach (string[] cells in rows)
        {
            string[] named = [.. TestName().Matches(cells[^1]).Select(m => m.Groups[1].Value)];
            Assert.True(named.Length > 0, $"\"{cells[0]}\" names no test.");
            Assert.All(named, name => Assert.True(tests.Contains(name), $"\"{cells[0]}\" names {name}, which is not there."));
        }
    }

    private static IEnumerable<string> Sources(string room) =>
        Directory.EnumerateFiles(Path.Combine(Root, room), "*.cs", SearchOption.AllDirectories)
            .Where(f => !f.Contains("/obj/", StringComparison.Ordinal) && !f.Contains("/bin/", StringComparison.Ordinal));

    private static string FindRoot()
    {
        string? directory = AppContext.BaseDirectory;
        while (directory is not null && !File.Exists(Path.Combine(directory, "Perf.sln")))
        {
            directory = Path.GetDirectoryName(directory);
        }

        return directory ?? throw new InvalidOperationException("The tests run outside the source tree.");
    }

    [GeneratedRegex(@"FlushToDisk|\.Flush\((flushToDisk: *)?true\)")]
    private static partial Regex ManagedFlush();

    [GeneratedRegex(@"\b(DateTime(Offset)?\.(Utc)?Now|Stopwatch\.|Random\.Shared|Task\.Run|Guid\.NewGuid|new Thread\(|new Timer\(|ThreadPool\.|Parallel\.)")]
    private static partial Regex HiddenWorld();

    [GeneratedRegex(@"NotImplementedException|\bTODO\b|\bFIXME\b|\bHACK\b")]
    private static partial Regex Unfinished();

    [GeneratedRegex(@"public (?:async )?(?:Task|void) (\w+)\(")]
    private static partial Regex TestMethod();

    [GeneratedRegex(@"`(\w+\.\w+)`")]
    private static partial Regex TestName();

    [GeneratedRegex(@"//[^\n]*")]
    private static partial Regex Comments();
}
