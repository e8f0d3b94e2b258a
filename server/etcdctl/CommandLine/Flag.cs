using System.Globalization;
using Perf.Etcdctl.Text;

namespace Perf.Etcdctl.CommandLine;

/// <summary>What a flag's value may be; the names are pflag's.</summary>
internal enum FlagKind
{
    String,
    Bool,
    Int,
    Int64,
    Uint64,
    Duration,
    StringSlice,
}

/// <summary>A flag of a command: its description, and its value in the run at hand.</summary>
internal sealed class Flag
{
    private string _value;

    public Flag(FlagKind kind, string name, char shorthand, string defaultValue, string usage)
    {
        Kind = kind;
        Name = name;
        Shorthand = shorthand;
        Default = defaultValue;
        Usage = usage;
        _value = defaultValue;
    }

    public FlagKind Kind { get; }

    public string Name { get; }

    /// <summary>The letter for the short form, or 0.</summary>
    public char Shorthand { get; }

    public string Default { get; }

    public string Usage { get; }

    /// <summary>True for flags that stand alone (--prefix) and take a value only with '='.</summary>
    public bool IsSwitch => Kind == FlagKind.Bool;

    /// <summary>True once the command line or the environment has set it.</summary>
    public bool Changed { get; private set; }

    public string Text => _value;

    public bool Bool => GoText.ParseBool(_value);

    public long Long => GoText.ParseInt(_value, 0);

    public TimeSpan Duration => GoDuration.Parse(_value);

    public IReadOnlyList<string> Slice { get; private set; } = [];

    /// <summary>The default as usage texts show it.</summary>
    public string DefaultShown => Kind switch
    {
        FlagKind.String => GoText.Quote(Default),
        FlagKind.StringSlice => "[" + Default + "]",
        _ => Default,
    };

    /// <summary>The value as --debug shows it.</summary>
    public string Shown => Kind == FlagKind.StringSlice ? "[" + string.Join(',', Slice) + "]" : _value;

    /// <summary>Takes a value, or throws <see cref="FormatException"/> with Go's message.</summary>
    public void Set(string text)
    {
        switch (Kind)
        {
            case FlagKind.Bool:
                text = GoText.ParseBool(text) ? "true" : "false";
                break;
            case FlagKind.Int:
            case FlagKind.Int64:
                text = GoText.ParseInt(text, 0).ToString(CultureInfo.InvariantCulture);
                break;
            case FlagKind.Uint64:
                _ = GoText.ParseUint(text, 10);
                break;
            case FlagKind.Duration:
                text = GoDuration.Format(GoDuration.Parse(text));
                break;
            case FlagKind.StringSlice:
                IEnumerable<string> parts = text.Length == 0 ? [] : text.Split(',');
                Slice = Changed ? [.. Slice, .. parts] : [.. parts];
                break;
        }

        _value = text;
        Changed = true;
    }

    internal Flag WithDefaultSlice()
    {
        Slice = [Default];
        return this;
    }
}

/// <summary>Flags by name, in name order; parses as Go's pflag does.</summary>
internal sealed class FlagSet
{
    // In name order. A sorted dictionary would be compiled at start-up.
    private readonly List<Flag> _flags = [];

    public IReadOnlyList<Flag> All => _flags;

    public bool Any => _flags.Count > 0;

    public Flag this[string name] => Find(name) ?? throw new KeyNotFoundException(name);

    public bool Has(string name) => IndexOf(name) >= 0;

    public Flag? Find(string name) => IndexOf(name) is var at and >= 0 ? _flags[at] : null;

    public Flag? FindShort(char letter) => _flags.Find(f => f.Shorthand == letter && letter != 0);

    /// <summary>Adds a flag, in the place of one with the same name.</summary>
    public void Add(Flag flag)
    {
        int at = IndexOf(flag.Name);
        if (at >= 0)
        {
            _flags[at] = flag;
        }
        else
        {
            _flags.Insert(~at, flag);
        }
    }

    public void Bool(string name, bool value, string usage, char shorthand = '\0') =>
        Add(new Flag(FlagKind.Bool, name, shorthand, value ? "true" : "false", usage));

    public void String(string name, string value, string usage, char shorthand = '\0') =>
        Add(new Flag(FlagKind.String, name, shorthand, value, usage));

    public void Int64(string name, long value, string usage) =>
        Add(new Flag(FlagKind.Int64, name, '\0', value.ToString(CultureInfo.InvariantCulture), usage));

    public void Int(string name, int value, string usage) =>
        Add(new Flag(FlagKind.Int, name, '\0', value.ToString(CultureInfo.InvariantCulture), usage));

    public void Uint64(string name, ulong value, string usage) =>
        Add(new Flag(FlagKind.Uint64, name, '\0', value.ToString(CultureInfo.InvariantCulture), usage));

    public void Duration(string name, TimeSpan value, string usage) =>
        Add(new Flag(FlagKind.Duration, name, '\0', GoDuration.Format(value), usage));

    public void StringSlice(string name, string value, string usage) =>
        Add(new Flag(FlagKind.StringSlice, name, '\0', value, usage).WithDefaultSlice());

    /// <summary>
    /// Takes flags out of the arguments, wherever they stand, up to "--"; returns what is left. Throws
    /// <see cref="FormatException"/> with pflag's message.
    /// </summary>
    public List<string> Parse(IReadOnlyList<string> arguments)
    {
        var rest = new List<string>();
        var queue = new Queue<string>(arguments);
        while (queue.TryDequeue(out string? argument))
        {
            if (argument == "--")
            {
                rest.AddRange(queue);
                break;
            }

            if (argument.StartsWith("--", StringComparison.Ordinal))
            {
                ParseLong(argument, queue);
            }
            else if (argument.Length > 1 && argument[0] == '-')
            {
                ParseShort(argument[1..], queue);
            }
            else
            {
                rest.Add(argument);
            }
        }

        return rest;
    }

    /// <summary>The place of a name; the complement of where it would stand when it is not there.</summary>
    private int IndexOf(string name)
    {
        int low = 0;
        int high = _flags.Count;
        while (low < high)
        {
            int middle = (low + high) / 2;
            int order = string.CompareOrdinal(_flags[middle].Name, name);
            if (order == 0)
            {
                return middle;
            }

            (low, high) = order < 0 ? (middle + 1, high) : (low, middle);
        }

        return ~low;
    }

    private static void Set(Flag flag, string value)
    {
        try
        {
            flag.Set(value);
        }
        catch (FormatException e)
        {
            string name = flag.Shorthand != 0 ? $"-{flag.Shorthand}, --{flag.Name}" : "--" + flag.Name;
            throw new FormatException($"invalid argument {GoText.Quote(value)} for \"{name}\" flag: {e.Message}");
        }
    }

    private void ParseLong(string argument, Queue<string> queue)
    {
        string name = argument[2..];
        if (name.Length == 0 || name[0] is '-' or '=')
        {
            throw new FormatException("bad flag syntax: " + argument);
        }

        int equals = name.IndexOf('=', StringComparison.Ordinal);
        string? value = equals < 0 ? null : name[(equals + 1)..];
        name = equals < 0 ? name : name[..equals];
        Flag flag = Find(name) ?? throw new FormatException("unknown flag: --" + name);
        if (value is null && flag.IsSwitch)
        {
            value = "true";
        }
        else if (value is null && !queue.TryDequeue(out value))
        {
            throw new FormatException("flag needs an argument: " + argument);
        }

        Set(flag, value!);
    }

    private void ParseShort(string letters, Queue<string> queue)
    {
        for (string rest = letters; rest.Length > 0;)
        {
            Flag flag = FindShort(rest[0])
                ?? throw new FormatException($"unknown shorthand flag: '{rest[0]}' in -{rest}");
            if (rest.Length > 2 && rest[1] == '=')
            {
                Set(flag, rest[2..]);
                return;
            }

            if (flag.IsSwitch)
            {
                Set(flag, "true");
                rest = rest[1..];
                continue;
            }

            if (rest.Length > 1)
            {
                Set(flag, rest[1..]);
            }
            else if (queue.TryDequeue(out string? value))
            {
                Set(flag, value);
            }
            else
            {
                throw new FormatException($"flag needs an argument: '{rest[0]}' in -{rest}");
            }

            return;
        }
    }
}
