namespace Perf.Node.Config;

/// <summary>The command line, by the rules of Go's flag package.</summary>
internal static class CommandLine
{
    /// <summary>How reading ended.</summary>
    public enum Outcome
    {
        Done,
        HelpWanted,
        Misspelt,
    }

    public readonly record struct Result(Outcome Outcome, string Complaint, string? Positional);

    /// <summary>
    /// Sets what the arguments say, the last of several winning. Ends at the first argument that is no flag and gives
    /// that one back; what is wrong with a flag is worded as Go words it.
    /// </summary>
    public static Result Read(
        IReadOnlyList<string> arguments, ServerConfig config, Dictionary<string, string> given, List<ConfigNote> notes)
    {
        int at = 0;
        while (at < arguments.Count)
        {
            string argument = arguments[at];
            if (argument.Length < 2 || argument[0] != '-')
            {
                return new Result(Outcome.Done, "", argument);
            }

            at++;
            int dashes = argument[1] == '-' ? 2 : 1;
            if (dashes == 2 && argument.Length == 2)
            {
                return new Result(Outcome.Done, "", at < arguments.Count ? arguments[at] : null);
            }

            string name = argument[dashes..];
            if (name.Length == 0 || name[0] is '-' or '=')
            {
                return Misspelt($"bad flag syntax: {argument}");
            }

            string? value = null;
            int equals = name.IndexOf('=', StringComparison.Ordinal);
            if (equals > 0)
            {
                (name, value) = (name[..equals], name[(equals + 1)..]);
            }

            if (FlagTable.Ignored.Contains(name))
            {
                notes.Add(new ConfigNote(Logging.LogLevel.Warn, "flag is no longer supported - ignoring", ("flag-name", name)));
                continue;
            }

            if (FlagTable.Find(name) is not { } flag)
            {
                return name is "h" or "help"
                    ? new Result(Outcome.HelpWanted, "", null)
                    : Misspelt($"flag provided but not defined: -{name}");
            }

            if (value is null)
            {
                if (flag.Kind == FlagKind.Switch)
                {
                    value = "true";
                }
                else if (at < arguments.Count)
                {
                    value = arguments[at++];
                }
                else
                {
                    return Misspelt($"flag needs an argument: -{name}");
                }
            }

            try
            {
                flag.Set(config, value);
            }
            catch (FormatException e)
            {
                return Misspelt(
                    flag.Kind == FlagKind.Switch
                        ? $"invalid boolean value {GoText.Quote(value)} for -{name}: {e.Message}"
                        : $"invalid value {GoText.Quote(value)} for flag -{name}: {e.Message}");
            }

            given[name] = value;
        }

        return new Result(Outcome.Done, "", null);
    }

    private static Result Misspelt(string complaint) => new(Outcome.Misspelt, complaint, null);
}
