namespace Perf.Etcdutl.CommandLine;

/// <summary>A command or a group of commands. Made anew for each run: flags remember what they were set to.</summary>
internal sealed class Command(string use, string brief, string description = "")
{
    private readonly List<Command> _children = [];

    /// <summary>Name and arguments, as in the usage line.</summary>
    public string Use { get; } = use;

    public string Brief { get; } = brief;

    /// <summary>Shown before the usage where help is asked for; empty for none.</summary>
    public string Description { get; } = description;

    public string Name => Use.Split(' ')[0];

    public bool IsHidden { get; init; }

    public Action<Invocation>? Run { get; init; }

    public Command? Parent { get; private set; }

    public IReadOnlyList<Command> Children => _children;

    /// <summary>Flags of this command alone.</summary>
    public List<Flag> Flags { get; init; } = [];

    /// <summary>Flags that the commands below have too.</summary>
    public List<Flag> SharedFlags { get; init; } = [];

    public string Path => Parent is null ? Name : Parent.Path + " " + Name;

    /// <summary>Every flag that may be given here.</summary>
    public IEnumerable<Flag> AllFlags => Flags.Concat(SharedFlags).Concat(InheritedFlags);

    public IEnumerable<Flag> InheritedFlags =>
        Parent is null ? [] : Parent.SharedFlags.Concat(Parent.InheritedFlags);

    public Command Add(params Command[] children)
    {
        foreach (Command child in children)
        {
            child.Parent = this;
            _children.Add(child);
        }

        return this;
    }

    /// <summary>The child of that name, or the only one that begins so; null when there is none.</summary>
    public Command? Find(string name)
    {
        if (_children.Find(c => c.Name == name) is { } exact)
        {
            return exact;
        }

        List<Command> begins = name.Length == 0
            ? []
            : _children.FindAll(c => c.Name.StartsWith(name, StringComparison.Ordinal));
        return begins.Count == 1 ? begins[0] : null;
    }
}

/// <summary>One run of a command.</summary>
internal sealed class Invocation(
    Command command, IReadOnlyList<string> arguments, TextWriter output, TextWriter error, bool errorIsScreen)
{
    public Command Command { get; } = command;

    public IReadOnlyList<string> Arguments { get; } = arguments;

    public TextWriter Output { get; } = output;

    public TextWriter Error { get; } = error;

    /// <summary>Where progress is shown: on a person's screen only.</summary>
    public Action<string>? Screen => errorIsScreen ? Error.Write : null;

    public Flag this[string name] => Command.AllFlags.First(f => f.Name == name);

    /// <summary>The one argument; more or fewer are refused.</summary>
    public string OnlyArgument(string command) => Arguments.Count == 1
        ? Arguments[0]
        : throw new ExitException(ExitCode.BadArguments, $"{command} requires exactly one argument");

    /// <summary>A line of the log, on the error stream, as etcdutl writes it.</summary>
    public void Log(string level, string message, params (string Name, object Value)[] fields)
    {
        string time = DateTime.UtcNow.ToString("yyyy-MM-dd'T'HH:mm:ss'Z'", System.Globalization.CultureInfo.InvariantCulture);
        string shown = string.Join(", ", fields.Select(f => $"\"{f.Name}\": {Show(f.Value)}"));
        Error.Write($"{time}\t{level}\t{message}" + (fields.Length == 0 ? "\n" : $"\t{{{shown}}}\n"));
    }

    private static string Show(object value) => value is string text
        ? $"\"{System.Text.Json.JsonEncodedText.Encode(text)}\""
        : Convert.ToString(value, System.Globalization.CultureInfo.InvariantCulture)!;
}

/// <summary>The command line is wrong: the text and the usage are shown.</summary>
internal sealed class UsageException(string message) : Exception(message);
