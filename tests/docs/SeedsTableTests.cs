using System.Text.RegularExpressions;
using Xunit;

namespace Perf.Docs.Tests;

/// <summary>docs/seeds.md: a row for everything that was asked for, and a test for every row.</summary>
public sealed partial class SeedsTableTests
{
    private static readonly string Table = Repository.Read("docs/seeds.md");

    [Fact]
    public void Every_row_names_tests_that_exist()
    {
        HashSet<string> tests = AllTests();
        string[] rows = [.. Table.Split('\n').Where(l => l.StartsWith("| ", StringComparison.Ordinal))
            .Where(l => !l.StartsWith("| what |", StringComparison.Ordinal) && !l.StartsWith("| --- |", StringComparison.Ordinal))];
        Assert.NotEmpty(rows);
        foreach (string row in rows)
        {
            string[] named = [.. Quoted().Matches(row.Split(" | ")[^1]).Select(m => m.Groups[1].Value)];
            Assert.True(named.Length > 0, $"no test: {row}");
            Assert.All(named, t => Assert.True(tests.Contains(t), $"{t} is no test: {row}"));
        }
    }

    [SeedsFact]
    public void Every_flag_and_command_of_the_documents_has_a_row()
    {
        string guide = Seed("004");
        int client = guide.IndexOf("### 2、", StringComparison.Ordinal);
        int file = guide.IndexOf("### 配置文件", StringComparison.Ordinal);
        int server = guide.IndexOf("### 1、服务端", StringComparison.Ordinal);
        string[] serverFlags = [.. DefinedFlag().Matches(guide[server..file]).Select(m => m.Groups[1].Value)];
        Assert.True(serverFlags.Length > 80);
        Assert.All(serverFlags, f => Assert.Contains($"`etcd --{f}`", Table, StringComparison.Ordinal));

        string[] clientFlags = [.. DefinedFlag().Matches(guide[client..]).Select(m => m.Groups[1].Value)];
        Assert.True(clientFlags.Length > 40);
        Assert.All(clientFlags, f => Assert.Contains($"--{f}`", Table, StringComparison.Ordinal));

        string[] commands = [.. Command().Matches(Seed("000") + guide)
            .Select(m => OfTwoWords().Match(m.Groups[1].Value) is { Success: true } two ? two.Value : m.Groups[1].Value.Split(' ')[0])
            .Distinct()];
        Assert.True(commands.Length > 25);
        Assert.All(commands, c => Assert.Contains($"`etcdctl {c}", Table, StringComparison.Ordinal));
    }

    /// <summary>Test methods of every project, as Class.Method.</summary>
    private static HashSet<string> AllTests()
    {
        var tests = new HashSet<string>();
        foreach (string file in Directory.EnumerateFiles(Path.Combine(Repository.Root, "tests"), "*.cs", SearchOption.AllDirectories))
        {
            string text = File.ReadAllText(file);
            foreach (Match type in Class().Matches(text))
            {
                tests.UnionWith(Method().Matches(text).Select(m => $"{type.Groups[1].Value}.{m.Groups[1].Value}"));
            }
        }

        return tests;
    }

    private static string Seed(string number) =>
        File.ReadAllText(Directory.EnumerateFiles(SeedsFactAttribute.Folder, number + "_*").Single());

    [GeneratedRegex("`([^`]+)`")]
    private static partial Regex Quoted();

    [GeneratedRegex(@"\bclass (\w+)")]
    private static partial Regex Class();

    [GeneratedRegex(@"(?:Fact|Theory)[^\]]*\]\s*(?:\[[^\n]*\]\s*)*public (?:async )?(?:Task|void) (\w+)\(")]
    private static partial Regex Method();

    /// <summary>A line that begins with a flag, or with its short form, explains it.</summary>
    [GeneratedRegex(@"^\s+(?:-\w, )?--([a-z][a-z0-9-]+)", RegexOptions.Multiline)]
    private static partial Regex DefinedFlag();

    /// <summary>etcdctl and what follows behind its global flags.</summary>
    [GeneratedRegex(@"(?:^|[$>#] |[^\w`])etcdctl (?:--(?:endpoints=\S+|user \S+) )*([a-z][a-z -]*)", RegexOptions.Multiline)]
    private static partial Regex Command();

    [GeneratedRegex(@"^(?:lease|user|role|auth|endpoint) [a-z-]+")]
    private static partial Regex OfTwoWords();
}
