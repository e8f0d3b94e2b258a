namespace Perf.Etcdutl.CommandLine;

/// <summary>Finds the command that a command line means, reads its flags, runs it.</summary>
internal static class Runner
{
    public static int Run(Command root, IReadOnlyList<string> words, TextWriter output, TextWriter error, bool errorIsScreen)
    {
        Command command = root;
        try
        {
            var arguments = new List<string>();
            bool wantsHelp = Read(root, words, ref command, arguments);
            if (arguments.Count > 0 && command == root)
            {
                throw Unknown(root, arguments[0]);
            }

            if (wantsHelp || command.Run is null)
            {
                output.Write(Help.Usage(command));
                return ExitCode.Success;
            }

            RequireFlags(command);
            command.Run(new Invocation(command, arguments, output, error, errorIsScreen));
            return ExitCode.Success;
        }
        catch (UsageException e)
        {
            error.Write($"Error: {e.Message}\n{(command == root ? "" : Help.Usage(command) + "\n")}");
            throw new ExitException(ExitCode.Error, e.Message);
        }
    }

    /// <summary>Sets the flags, collects the arguments, goes down the tree; true when help is asked for.</summary>
    private static bool Read(Command root, IReadOnlyList<string> words, ref Command command, List<string> arguments)
    {
        bool wantsHelp = false;
        for (int i = 0; i < words.Count; i++)
        {
            string word = words[i];
            if (word == "--")
            {
                arguments.AddRange(words.Skip(i + 1));
                break;
            }

            if (word.Length < 2 || word[0] != '-')
            {
                Command? child = arguments.Count > 0 ? null : command.Find(word);
                if (child is not null)
                {
                    command = child;
                }
                else if (word == "help" && command == root && arguments.Count == 0)
                {
                    wantsHelp = true;
                }
                else
                {
                    arguments.Add(word);
                }

                continue;
            }

            if (word is "-h" or "--help")
            {
                wantsHelp = true;
                continue;
            }

            (Flag flag, string? value) = FindFlag(command, word);
            if (value is null && flag.Kind == FlagKind.Switch)
            {
                value = "true";
            }
            else if (value is null)
            {
                value = ++i < words.Count ? words[i] : throw new UsageException(NeedsArgument(word, flag));
            }

            flag.Set(value);
        }

        return wantsHelp;
    }

    private static (Flag Flag, string? Value) FindFlag(Command command, string word)
    {
        if (word.StartsWith("--", StringComparison.Ordinal))
        {
            int equals = word.IndexOf('=', StringComparison.Ordinal);
            string name = equals < 0 ? word[2..] : word[2..equals];
            Flag flag = command.AllFlags.FirstOrDefault(f => f.Name == name)
                ?? throw new UsageException("unknown flag: --" + name);
            return (flag, equals < 0 ? null : word[(equals + 1)..]);
        }

        Flag byLetter = command.AllFlags.FirstOrDefault(f => f.Shorthand == word[1])
            ?? throw new UsageException($"unknown shorthand flag: '{word[1]}' in {word}");
        string rest = word[2..];
        return (byLetter, rest.Length == 0 ? null : rest[0] == '=' ? rest[1..] : rest);
    }

    private static string NeedsArgument(string word, Flag flag) =>
        word.StartsWith("--", StringComparison.Ordinal)
            ? "flag needs an argument: --" + flag.Name
            : $"flag needs an argument: '{flag.Shorthand}' in {word}";

    private static void RequireFlags(Command command)
    {
        List<string> missing = [.. command.Flags.Where(f => f.IsRequired && !f.IsSet).Select(f => $"\"{f.Name}\"")];
        if (missing.Count > 0)
        {
            throw new UsageException($"required flag(s) {string.Join(", ", missing)} not set");
        }
    }

    private static UsageException Unknown(Command root, string word) =>
        new($"unknown command \"{word}\" for \"{root.Path}\"\nRun '{root.Path} --help' for usage.");
}
