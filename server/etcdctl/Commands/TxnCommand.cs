using System.Text.RegularExpressions;
using Perf.Client;
using Perf.Etcdctl.CommandLine;
using Perf.Etcdctl.Printing;
using Perf.Etcdctl.Text;

namespace Perf.Etcdctl.Commands;

/// <summary>txn: comparisons and requests read from standard input, in three blocks each ended by an empty line.</summary>
internal static class TxnCommand
{
    public static Command New() => new Command(
        "txn [options]", "Txn processes all the requests in one transaction")
    {
        Run = RunAsync,
    }.With(flags => flags.Bool("interactive", false, "Input transaction in interactive mode", 'i'));

    /// <summary>Splits a line into words as etcdctl does: "..." with escapes, '...' as it is, or unquoted.</summary>
    public static List<string> Words(string line)
    {
        var words = new List<string>();
        foreach (Match match in Regex.Matches(
            line, """
            "(?:[^"\\]|\\.)*"|'[^']*'|[^'"\s]\S*[^'"\s]?
            """))
        {
            string word = match.Value;
            if (word.Length > 1 && word[0] == '\'')
            {
                word = word[1..^1];
            }
            else if (word[0] == '"')
            {
                word = GoText.TryUnquote(word, out string value, out _)
                    ? value
                    : throw new ExitException(ExitCode.InvalidInput, "invalid syntax");
            }

            words.Add(word);
        }

        return words;
    }

    /// <summary>A comparison such as <c>mod("key") &gt; "0"</c>.</summary>
    public static Compare ParseCompare(string line)
    {
        int paren = line.IndexOf('(', StringComparison.Ordinal);
        if (paren < 0)
        {
            throw Invalid("malformed comparison: " + line);
        }

        string target = line[..paren];
        string key = "";
        string op = "";
        string value = "";
        ReadOnlySpan<char> rest = line.AsSpan(paren + 1).TrimStart();
        bool whole = false;
        if (GoText.TryUnquote(rest, out key, out int used) && used < rest.Length && rest[used] == ')')
        {
            rest = rest[(used + 1)..].TrimStart();
            int blank = rest.IndexOfAny(' ', '\t');
            op = (blank < 0 ? rest : rest[..blank]).ToString();
            rest = blank < 0 ? [] : rest[blank..].TrimStart();
            whole = GoText.TryUnquote(rest, out value, out _);
        }

        if (!whole)
        {
            throw Invalid(
                $"malformed comparison: {line}; got {target}({GoText.Quote(key)}) {op} {GoText.Quote(value)}");
        }

        CompareResult result = op switch
        {
            "=" => CompareResult.Equal,
            "!=" => CompareResult.NotEqual,
            ">" => CompareResult.Greater,
            "<" => CompareResult.Less,
            _ => throw Invalid($"malformed comparison: {line} (unknown operator {op})"),
        };
        Bytes name = GoText.ToBytes(key);
        try
        {
            return target switch
            {
                "ver" or "version" => Compare.Version(name, result, GoText.ParseInt(value, 10)),
                "c" or "create" => Compare.CreateRevision(name, result, GoText.ParseInt(value, 10)),
                "m" or "mod" => Compare.ModRevision(name, result, GoText.ParseInt(value, 10)),
                "val" or "value" => Compare.Value(name, result, GoText.ToBytes(value)),
                "lease" => Compare.Lease(name, result, GoText.ParseInt(value, 16)),
                _ => throw Invalid($"malformed comparison: {line} (unknown target {target})"),
            };
        }
        catch (FormatException)
        {
            throw Invalid("invalid txn compare request: " + line);
        }
    }

    /// <summary>A request line: get, put or del with their flags.</summary>
    public static async Task<Op> ParseOpAsync(string line, Terminal terminal)
    {
        List<string> words = Words(line);
        if (words.Count < 2)
        {
            throw Invalid("invalid txn compare request: " + line);
        }

        var root = new Command("", "");
        root.Add(KeyCommands.Put(), KeyCommands.Get(), KeyCommands.Delete());
        (Command command, List<string> rest) = root.Find(words);
        List<string> args;
        FlagSet flags = command.AllFlags();
        try
        {
            args = command.Parent is null
                ? throw new FormatException("unknown command")
                : flags.Parse(rest);
        }
        catch (FormatException)
        {
            throw Invalid("invalid txn request: " + line);
        }

        switch (command.Name)
        {
            case "put":
                (Bytes key, Bytes value, PutOptions options) =
                    await KeyCommands.ParsePutAsync(flags, args, terminal).ConfigureAwait(false);
                return Op.Put(key, value, options);
            case "get":
                (Bytes first, GetOptions get) = KeyCommands.ParseGet(flags, args);
                return Op.Get(first, get);
            default:
                (Bytes start, DeleteOptions delete) = KeyCommands.ParseDelete(flags, args, terminal);
                return Op.Delete(start, delete);
        }
    }

    private static ExitException Invalid(string message) => new(ExitCode.InvalidInput, message);

    private static async Task RunAsync(Invocation run)
    {
        if (run.Args.Count != 0)
        {
            throw Invocation.BadArguments("txn command does not accept argument");
        }

        await using Session session = await Session.OpenAsync(run, Answer.Txn).ConfigureAwait(false);
        Terminal terminal = run.Terminal;
        bool prompts = run.On("interactive");
        Prompt("compares:");
        List<Compare> compares = Block(terminal).Select(ParseCompare).ToList();
        Prompt("success requests (get, put, del):");
        List<Op> success = await OpsAsync(terminal).ConfigureAwait(false);
        Prompt("failure requests (get, put, del):");
        List<Op> failure = await OpsAsync(terminal).ConfigureAwait(false);
        session.Printer.Txn(await session.WithinTimeoutAsync(
            c => session.Client.Kv.Txn().If(compares).Then(success).Else(failure).CommitAsync(c))
            .ConfigureAwait(false));

        void Prompt(string text)
        {
            if (prompts)
            {
                terminal.WriteLine(text);
                terminal.Flush();
            }
        }
    }

    private static async Task<List<Op>> OpsAsync(Terminal terminal)
    {
        var ops = new List<Op>();
        foreach (string line in Block(terminal))
        {
            ops.Add(await ParseOpAsync(line, terminal).ConfigureAwait(false));
        }

        return ops;
    }

    /// <summary>Lines up to an empty one, each handed on as soon as it is read.</summary>
    private static IEnumerable<string> Block(Terminal terminal)
    {
        while (true)
        {
            string line = (terminal.ReadLine() ?? throw Invalid("EOF")).Trim();
            if (line.Length == 0)
            {
                yield break;
            }

            yield return line;
        }
    }
}
