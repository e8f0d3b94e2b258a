namespace Perf.Etcdctl.CommandLine;

/// <summary>A command of the tree, found and run as Go's cobra does with prefix matching on.</summary>
internal sealed class Command
{
    private readonly List<Command> _children = [];

    public Command(string use, string brief, string description = "")
    {
        Use = use;
        Brief = brief;
        Description = description;
    }

    /// <summary>The usage line without the commands above: "put [options] &lt;key&gt; ..".</summary>
    public string Use { get; }

    public string Brief { get; }

    public string Description { get; }

    public string Name => Use.Split(' ')[0];

    public Command? Parent { get; private set; }

    /// <summary>Null for a command that only groups others.</summary>
    public Func<Invocation, Task>? Run { get; init; }

    /// <summary>True when it makes one request and has nothing to do meanwhile: then nothing is awaited, which starts quicker.</summary>
    public bool IsOneRequest { get; init; }

    /// <summary>Left out of lists; still runs.</summary>
    public bool Hidden { get; init; }

    /// <summary>Its own flags, those it hands down included.</summary>
    public FlagSet Flags { get; } = new();

    /// <summary>Flags it hands down to its children.</summary>
    public FlagSet PersistentFlags { get; } = new();

    public IEnumerable<Command> Children => _children.OrderBy(c => c.Name, StringComparer.Ordinal);

    public Command Root => Parent?.Root ?? this;

    public string Path => Parent is null ? Name : Parent.Path + " " + Name;

    public Command Add(params ReadOnlySpan<Command> children)
    {
        foreach (Command child in children)
        {
            child.Parent = this;
            _children.Add(child);
        }

        return this;
    }

    public Command With(Action<FlagSet> flags)
    {
        flags(Flags);
        return this;
    }

    public Command WithPersistent(Action<FlagSet> flags)
    {
        flags(PersistentFlags);
        return this;
    }

    /// <summary>Flags shown under OPTIONS: its own, those it hands down, and help.</summary>
    public FlagSet LocalFlags()
    {
        var all = new FlagSet();
        foreach (Flag flag in Flags.All.Concat(PersistentFlags.All))
        {
            all.Add(flag);
        }

        return all;
    }

    /// <summary>Flags handed down from above.</summary>
    public FlagSet InheritedFlags()
    {
        var all = new FlagSet();
        for (Command? above = Parent; above is not null; above = above.Parent)
        {
            foreach (Flag flag in above.PersistentFlags.All)
            {
                if (!all.Has(flag.Name) && !Flags.Has(flag.Name))
                {
                    all.Add(flag);
                }
            }
        }

        return all;
    }

    /// <summary>Every flag the command line may set.</summary>
    public FlagSet AllFlags()
    {
        var all = LocalFlags();
        foreach (Flag flag in InheritedFlags().All)
        {
            all.Add(flag);
        }

        return all;
    }

    /// <summary>The child of that name, or the only one whose name starts so.</summary>
    public Command? Child(string name)
    {
        Command? exact = _children.Find(c => c.Name == name);
        if (exact is not null)
        {
            return exact;
        }

        List<Command> starting = _children.FindAll(c => c.Name.StartsWith(name, StringComparison.Ordinal));
        return starting.Count == 1 ? starting[0] : null;
    }

    /// <summary>Walks down the tree by the arguments that are no flags; returns the command and what is left.</summary>
    public (Command Found, List<string> Left) Find(List<string> arguments)
    {
        List<string> words = WithoutFlags(arguments);
        if (words.Count == 0 || Child(words[0]) is not { } child)
        {
            return (this, arguments);
        }

        return child.Find(WithoutFirst(arguments, words[0]));
    }

    public void EnsureHelpFlag()
    {
        if (!Flags.Has("help"))
        {
            Flags.Bool("help", false, "help for " + Name, 'h');
        }
    }

    /// <summary>The names that could have been meant: two edits away, or with this beginning.</summary>
    public IEnumerable<string> Suggestions(string typed) => Children
        .Where(c => !c.Hidden && c.IsAvailable())
        .Select(c => c.Name)
        .Where(n => Distance(typed.ToLowerInvariant(), n.ToLowerInvariant()) <= 2
            || n.StartsWith(typed, StringComparison.OrdinalIgnoreCase));

    internal List<string> WithoutFlags(IReadOnlyList<string> arguments)
    {
        FlagSet flags = AllFlags();
        var words = new List<string>();
        for (int at = 0; at < arguments.Count; at++)
        {
            string argument = arguments[at];
            if (argument == "--")
            {
                break;
            }

            if (TakesNext(flags, argument))
            {
                if (arguments.Count - at - 1 <= 1)
                {
                    break;
                }

                at++;
            }
            else if (argument.Length > 0 && argument[0] != '-')
            {
                words.Add(argument);
            }
        }

        return words;
    }

    private static bool TakesNext(FlagSet flags, string argument)
    {
        if (argument.Contains('=', StringComparison.Ordinal))
        {
            return false;
        }

        return argument.StartsWith("--", StringComparison.Ordinal)
            ? flags.Find(argument[2..]) is not { IsSwitch: true }
            : argument.Length == 2 && argument[0] == '-' && flags.FindShort(argument[1]) is not { IsSwitch: true };
    }

    private static int Distance(string a, string b)
    {
        int[] row = Enumerable.Range(0, b.Length + 1).ToArray();
        for (int i = 1; i <= a.Length; i++)
        {
            int diagonal = row[0];
            row[0] = i;
            for (int j = 1; j <= b.Length; j++)
            {
                int above = row[j];
                row[j] = Math.Min(Math.Min(row[j], row[j - 1]) + 1, diagonal + (a[i - 1] == b[j - 1] ? 0 : 1));
                diagonal = above;
            }
        }

        return row[b.Length];
    }

    private bool IsAvailable() => Run is not null || _children.Any(c => !c.Hidden && c.IsAvailable());

    /// <summary>The arguments without the word that named the command; a flag's value that looks the same stays.</summary>
    private List<string> WithoutFirst(List<string> arguments, string word)
    {
        FlagSet flags = AllFlags();
        for (int at = 0; at < arguments.Count; at++)
        {
            if (arguments[at] == "--")
            {
                break;
            }

            if (TakesNext(flags, arguments[at]))
            {
                at++;
            }
            else if (arguments[at] == word)
            {
                var rest = new List<string>(arguments);
                rest.RemoveAt(at);
                return rest;
            }
        }

        return arguments;
    }
}

/// <summary>A command being run: its arguments, its flags and the terminal.</summary>
internal sealed class Invocation
{
    public required Command Command { get; init; }

    public required FlagSet Flags { get; init; }

    public required IReadOnlyList<string> Args { get; init; }

    /// <summary>The whole command line, for commands that read "--" themselves.</summary>
    public required IReadOnlyList<string> RawArgs { get; init; }

    public required Terminal Terminal { get; init; }

    public bool On(string flag) => Flags[flag].Bool;

    public string Text(string flag) => Flags[flag].Text;

    public static ExitException BadArguments(string message) => new(ExitCode.BadArguments, message);
}
