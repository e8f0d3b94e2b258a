using System.Text.RegularExpressions;
using Perf.Surface.Tests.Stacks;
using Xunit;

namespace Perf.Surface.Tests.Table;

/// <summary>
/// surface.txt beside this file says for every rule of the surface which test shows it, or why none does. One line a test:
/// the rule's id, then the test's full name, or a dash and the reason. A rule without a line is a failure, and so is a name
/// that no test bears.
/// </summary>
public sealed partial class SurfaceTableTests
{
    /// <summary>The groups of rules and how many each has; zero for a table of flags, which is one rule.</summary>
    private static readonly (string Group, int Rules)[] _groups =
    [
        ("SEED", 13), ("RPC", 12), ("REQ", 15), ("RNG", 13), ("PUT", 8), ("TXN", 11), ("CMP", 5), ("WCH", 21), ("LSE", 12),
        ("MBR", 9), ("MNT", 9), ("AUT", 17), ("CON", 4), ("ERR", 2), ("GW", 11), ("HTTP", 12), ("V2", 7), ("PEER", 16),
        ("FLG", 9), ("FLM", 0), ("FLC", 0), ("FLS", 0), ("FLX", 0), ("SUB", 5), ("CTL", 14), ("CTK", 12), ("CTC", 11),
        ("CTA", 5), ("UTL", 5), ("OPS", 9), ("MET", 3), ("ME2", 5), ("REG", 12),
    ];

    [Fact]
    public void Every_rule_has_a_test_that_exists_or_a_reason()
    {
        HashSet<string> tests = FindTests();
        Assert.True(tests.Count > 500, $"only {tests.Count} tests were found");
        var ids = new HashSet<string>();
        var wrong = new List<string>();
        foreach (string line in File.ReadLines(Path.Combine(Sources.Root, "tests", "surface", "Table", "surface.txt")))
        {
            string[] words = line.Split(' ', 2);
            ids.Add(words[0]);
            bool isReason = words.Length == 2 && words[1].StartsWith("- ", StringComparison.Ordinal) && words[1].Length > 12;
            if (!isReason && (words.Length < 2 || !tests.Contains(words[1])))
            {
                wrong.Add("no such test: " + line);
            }
        }

        string[] expected = [.. _groups.SelectMany(g => g.Rules == 0
            ? [g.Group]
            : Enumerable.Range(1, g.Rules).Select(n => $"{g.Group}-{n:00}"))];
        wrong.AddRange(expected.Except(ids).Select(id => "no test and no reason: " + id));
        wrong.AddRange(ids.Except(expected).Select(id => "no such rule: " + id));
        Assert.True(wrong.Count == 0, string.Join('\n', wrong));
    }

    /// <summary>The tests of all projects, from their sources: namespace, class, method.</summary>
    private static HashSet<string> FindTests()
    {
        var tests = new HashSet<string>();
        char separator = Path.DirectorySeparatorChar;
        IEnumerable<string> files = Directory
            .EnumerateFiles(Path.Combine(Sources.Root, "tests"), "*.cs", SearchOption.AllDirectories)
            .Where(f => !f.Contains($"{separator}obj{separator}", StringComparison.Ordinal));
        foreach (string file in files)
        {
            string space = "";
            string type = "";
            bool isTest = false;
            foreach (string line in File.ReadLines(file))
            {
                if (Namespace().Match(line) is { Success: true } named)
                {
                    space = named.Groups[1].Value;
                }
                else if (Class().Match(line) is { Success: true } begun)
                {
                    type = begun.Groups[1].Value;
                }
                else if (Attribute().IsMatch(line))
                {
                    isTest = true;
                }
                else if (isTest && Method().Match(line) is { Success: true } method)
                {
                    tests.Add($"{space}.{type}.{method.Groups[1].Value}");
                    isTest = false;
                }
            }
        }

        return tests;
    }

    [GeneratedRegex(@"^namespace ([\w.]+);")]
    private static partial Regex Namespace();

    [GeneratedRegex(@"^public (?:sealed |static |abstract |partial )*class (\w+)")]
    private static partial Regex Class();

    [GeneratedRegex(@"^\s*\[\w*(?:Fact|Theory)\b")]
    private static partial Regex Attribute();

    [GeneratedRegex(@"^    public (?:async )?(?:void|Task) (\w+)\(")]
    private static partial Regex Method();
}
