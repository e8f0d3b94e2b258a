using System.Text;
using Perf.Node.Config;
using Xunit;

namespace Perf.Docs.Tests;

/// <summary>docs/configuration.md is the flag table, and nothing else is.</summary>
public sealed class ConfigurationReferenceTests
{
    private const string Document = "docs/configuration.md";

    [Fact]
    public void The_reference_is_the_flag_table()
    {
        string reference = Reference();
        if (Environment.GetEnvironmentVariable("PERF_UPDATE_DOCS") == "1")
        {
            File.WriteAllText(Path.Combine(Repository.Root, Document), reference);
        }

        Assert.True(
            Repository.Read(Document) == reference,
            $"{Document} is old: PERF_UPDATE_DOCS=1 dotnet test tests/docs writes it anew");
    }

    private static string Reference()
    {
        var text = new StringBuilder(
            """
            # Configuration

            Written from the flag table by `PERF_UPDATE_DOCS=1 dotnet test tests/docs`; a test keeps the two equal.

            Each setting is a flag (`--name value` or `--name=value`, with one dash or two), a variable, and a key of the YAML or
            JSON file that `--config-file` names. Flags go before variables; a file silences both. A flag that is unknown, a value
            that cannot be read, and a variable beside its flag with another value stop the start with a message. Durations are
            written as Go does (`300ms`, `1m30s`), in the file also as nanoseconds.

            """);
        string group = "";
        foreach (Flag flag in FlagTable.All)
        {
            if (flag.Group != group)
            {
                group = flag.Group;
                text.Append($"\n## {group}\n\n| flag | default | variable | file | |\n| --- | --- | --- | --- | --- |\n");
            }

            string shown = flag.Default.Length == 0 ? "" : $"`{flag.Default}`";
            string file = flag.FileKey.Length == 0 ? "" : $"`{flag.FileKey}`";
            text.Append($"| `--{flag.Name}` | {shown} | `{flag.Variable}` | {file} | {flag.Help}{Remark(flag)} |\n");
        }

        return text.ToString();
    }

    private static string Remark(Flag flag)
    {
        string remark = flag.TwinOf is { } twin && twin != flag.Name ? $" The same as `--{twin}`." : "";
        if (FlagTable.Deprecated.Contains(flag.Name))
        {
            remark += " Deprecated.";
        }

        return FlagTable.WithoutEffect.ContainsKey(flag.Name)
            ? remark + " Accepted for etcd's sake; without effect here, and the log says so."
            : remark;
    }
}
