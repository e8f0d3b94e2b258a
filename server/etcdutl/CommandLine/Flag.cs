using System.Globalization;

namespace Perf.Etcdutl.CommandLine;

/// <summary>What a flag's value is, as help names it.</summary>
internal enum FlagKind
{
    Text,
    Switch,
    Unsigned,
}

/// <summary>A flag of a command.</summary>
internal sealed class Flag(string name, FlagKind kind, string initial, string usage)
{
    private readonly string _initial = initial;

    public string Name { get; } = name;

    public FlagKind Kind { get; } = kind;

    public string Usage { get; } = usage;

    public char Shorthand { get; init; }

    public bool IsRequired { get; init; }

    public string Text { get; private set; } = initial;

    public bool IsSet { get; private set; }

    public bool On => Text is "true";

    public ulong Number => ulong.Parse(Text, CultureInfo.InvariantCulture);

    /// <summary>The left column in help.</summary>
    public string Column =>
        (Shorthand == 0 ? "      --" : $"  -{Shorthand}, --") + Name + Kind switch
        {
            FlagKind.Text => " string",
            FlagKind.Unsigned => " uint",
            _ => "",
        };

    /// <summary>What help says behind the usage: the default, when it is not the empty one.</summary>
    public string Default => (Kind, _initial) switch
    {
        (FlagKind.Text, "") or (FlagKind.Switch, "false") or (FlagKind.Unsigned, "0") => "",
        (FlagKind.Text, _) => $" (default \"{_initial}\")",
        _ => $" (default {_initial})",
    };

    /// <summary>Takes a value; throws with the parser's text when it is none.</summary>
    public void Set(string text)
    {
        string shown = Shorthand == 0 ? "--" + Name : $"-{Shorthand}, --{Name}";
        IsSet = true;
        switch (Kind)
        {
            case FlagKind.Switch:
                Text = text switch
                {
                    "1" or "t" or "T" or "true" or "TRUE" or "True" => "true",
                    "0" or "f" or "F" or "false" or "FALSE" or "False" => "false",
                    _ => throw Invalid("strconv.ParseBool", "invalid syntax"),
                };
                break;
            case FlagKind.Unsigned:
                if (text.Length == 0 || !text.All(char.IsAsciiDigit))
                {
                    throw Invalid("strconv.ParseUint", "invalid syntax");
                }

                Text = ulong.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out ulong value)
                    ? value.ToString(CultureInfo.InvariantCulture)
                    : throw Invalid("strconv.ParseUint", "value out of range");
                break;
            default:
                Text = text;
                break;
        }

        UsageException Invalid(string function, string reason) =>
            new($"invalid argument \"{text}\" for \"{shown}\" flag: {function}: parsing \"{text}\": {reason}");
    }
}
