using System.Text.RegularExpressions;

namespace Perf.Docs.Tests;

/// <summary>
/// A fenced block of a document that starts with <c>```sh</c>: commands as a reader would type them. <c># -&gt; text</c>
/// behind a command says what is printed by then. A word behind <c>sh</c> names what the block needs.
/// </summary>
internal sealed partial record CodeBlock(string Heading, string Kind, string Text)
{
    /// <summary>What the block says it prints, in order.</summary>
    public IEnumerable<string> Printed => Arrow().Matches(Text).Select(m => m.Groups[1].Value.Trim());

    /// <summary>The commands without anything said about them: equal in every language.</summary>
    public string Commands => Remark().Replace(Text, "");

    public static List<CodeBlock> Of(string document)
    {
        var blocks = new List<CodeBlock>();
        string heading = "";
        using var lines = new StringReader(Repository.Read(document));
        while (lines.ReadLine() is { } line)
        {
            if (line.StartsWith("## ", StringComparison.Ordinal))
            {
                heading = line[3..];
            }
            else if (line.StartsWith("```sh", StringComparison.Ordinal))
            {
                var text = new List<string>();
                while (lines.ReadLine() is { } command && command != "```")
                {
                    text.Add(command);
                }

                blocks.Add(new CodeBlock(heading, line["```sh".Length..].Trim(), string.Join('\n', text) + "\n"));
            }
        }

        return blocks;
    }

    [GeneratedRegex(@"# -> (.*)$", RegexOptions.Multiline)]
    private static partial Regex Arrow();

    [GeneratedRegex(@" +# (?!-> ).*$", RegexOptions.Multiline)]
    private static partial Regex Remark();
}
