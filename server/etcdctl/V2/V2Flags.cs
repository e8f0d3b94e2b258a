using Perf.Etcdctl.CommandLine;
using Perf.Etcdctl.Text;

namespace Perf.Etcdctl.V2;

/// <summary>Flags of the v2 command line: -name and --name alike, with a value behind '=' or in the next word.</summary>
internal sealed class V2Flags(Terminal terminal)
{
    private readonly Dictionary<string, string> _set = new(StringComparer.Ordinal);

    public bool On(string name) => _set.GetValueOrDefault(name) == "true";

    /// <summary>The flag, or without it the variable ETCDCTL_ + name.</summary>
    public string Text(string name, string variable) => _set.TryGetValue(name, out string? value)
        ? value
        : variable.Length > 0 ? terminal.Variable("ETCDCTL_" + variable) : "";

    public long Number(string name)
    {
        string text = _set.GetValueOrDefault(name, "0");
        try
        {
            return GoText.ParseInt(text, 0);
        }
        catch (FormatException e)
        {
            throw new ExitException(
                ExitCode.Error, $"invalid value {GoText.Quote(text)} for flag -{name}: {e.Message}");
        }
    }

    public CancellationTokenSource TotalTimeout()
    {
        var limit = CancellationTokenSource.CreateLinkedTokenSource(terminal.Interrupted);
        try
        {
            limit.CancelAfter(GoDuration.Parse(_set.GetValueOrDefault("total-timeout", "5s")));
            return limit;
        }
        catch (FormatException e)
        {
            limit.Dispose();
            throw new ExitException(ExitCode.Error, $"invalid value for flag -total-timeout: {e.Message}");
        }
    }

    /// <summary>
    /// Takes the flags out of the arguments; returns the words, from the first on when it stops there, else all. A name
    /// maps to its letter or to nothing.
    /// </summary>
    public List<string> Parse(
        IReadOnlyList<string> arguments,
        IReadOnlyDictionary<string, string> switches,
        IReadOnlyDictionary<string, string> values,
        bool stopAtWord)
    {
        var words = new List<string>();
        for (int at = 0; at < arguments.Count; at++)
        {
            string argument = arguments[at];
            if (argument == "--")
            {
                words.AddRange(arguments.Skip(at + 1));
                break;
            }

            if (argument.Length < 2 || argument[0] != '-')
            {
                if (stopAtWord)
                {
                    words.AddRange(arguments.Skip(at));
                    break;
                }

                words.Add(argument);
                continue;
            }

            string[] halves = argument.TrimStart('-').Split('=', 2);
            string? name = Named(switches, halves[0]);
            if (name is not null)
            {
                _set[name] = halves.Length < 2 || GoText.ParseBool(halves[1]) ? "true" : "false";
                continue;
            }

            name = Named(values, halves[0]) ?? throw new ExitException(
                ExitCode.Error, $"Incorrect Usage: flag provided but not defined: -{halves[0]}");
            if (halves.Length < 2 && at + 1 == arguments.Count)
            {
                throw new ExitException(ExitCode.Error, $"Incorrect Usage: flag needs an argument: -{halves[0]}");
            }

            _set[name] = halves.Length == 2 ? halves[1] : arguments[++at];
        }

        return words;
    }

    private static string? Named(IReadOnlyDictionary<string, string> flags, string given)
    {
        foreach ((string name, string letter) in flags)
        {
            if (name == given || (letter.Length > 0 && letter == given))
            {
                return name;
            }
        }

        return null;
    }
}
