using System.Globalization;
using System.Text;
using Perf.Node.Config;

namespace Perf.Etcd.Proxies;

/// <summary>A mistake on the command line; the text is for the operator.</summary>
internal sealed class ProxyUsageException(string message) : Exception(message);

/// <summary>
/// The flags of a subcommand, by the rules of the library that etcd's subcommands use: `--x v`, `--x=v`, a switch
/// `--x` or `--x=false`, the last of several wins.
/// </summary>
internal sealed class ProxyFlags
{
    private readonly Dictionary<string, Row> _rows = new(StringComparer.Ordinal);
    private readonly List<string> _order = [];

    public ProxyFlags Text(string name, string initial, string help) => Add(name, "string", initial, help, _ => true);

    public ProxyFlags Texts(string name, string initial, string help) => Add(name, "strings", initial, help, _ => true);

    public ProxyFlags Switch(string name, bool initial, string help) =>
        Add(name, "", initial ? "true" : "false", help, v => v is "true" or "false" or "1" or "0" or "t" or "f");

    public ProxyFlags Number(string name, long initial, string help) => Add(
        name,
        "int",
        initial.ToString(CultureInfo.InvariantCulture),
        help,
        v => long.TryParse(v, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out _));

    public ProxyFlags Duration(string name, string initial, string help) =>
        Add(name, "duration", initial, help, v => GoDuration.TryParse(v, out _));

    public string this[string name] => _rows[name].Value;

    public bool IsOn(string name) => this[name] is "true" or "1" or "t";

    public long Count(string name) => long.Parse(this[name], CultureInfo.InvariantCulture);

    public int CountInt(string name) => (int)Math.Clamp(Count(name), int.MinValue, int.MaxValue);

    public IReadOnlyList<string> List(string name) =>
        this[name].Split(',', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries);

    public TimeSpan Time(string name) => GoDuration.TryParse(this[name], out TimeSpan time) ? time : default;

    /// <summary>False: help was asked for. Throws <see cref="ProxyUsageException"/>.</summary>
    public bool Read(IReadOnlyList<string> arguments)
    {
        for (int at = 0; at < arguments.Count; at++)
        {
            string argument = arguments[at];
            if (argument is "-h" or "--help")
            {
                return false;
            }

            if (!argument.StartsWith("--", StringComparison.Ordinal) || argument.Length == 2)
            {
                throw new ProxyUsageException(
                    argument.StartsWith('-') ? $"unknown shorthand flag: {argument}" : $"unknown argument \"{argument}\"");
            }

            int equals = argument.IndexOf('=', StringComparison.Ordinal);
            string name = equals < 0 ? argument[2..] : argument[2..equals];
            if (!_rows.TryGetValue(name, out Row? row))
            {
                throw new ProxyUsageException($"unknown flag: --{name}");
            }

            string? value = equals >= 0 ? argument[(equals + 1)..]
                : row.Kind.Length == 0 ? "true"
                : at + 1 < arguments.Count ? arguments[++at]
                : null;
            if (value is null)
            {
                throw new ProxyUsageException($"flag needs an argument: --{name}");
            }

            if (!row.IsSound(value))
            {
                throw new ProxyUsageException($"invalid argument \"{value}\" for \"--{name}\" flag");
            }

            row.Value = value;
        }

        return true;
    }

    /// <summary>The flags as help shows them.</summary>
    public string Describe()
    {
        var text = new StringBuilder();
        foreach (string name in _order)
        {
            Row row = _rows[name];
            string head = $"      --{name}{(row.Kind.Length > 0 ? " " + row.Kind : "")}";
            string initial = row.Initial is "" or "false" ? "" : $" (default {row.Initial})";
            text.Append(CultureInfo.InvariantCulture, $"{head,-48} {row.Help}{initial}\n");
        }

        return text.ToString();
    }

    private ProxyFlags Add(string name, string kind, string initial, string help, Func<string, bool> isSound)
    {
        _rows.Add(name, new Row(kind, initial, help, isSound));
        _order.Add(name);
        return this;
    }

    private sealed class Row(string kind, string initial, string help, Func<string, bool> isSound)
    {
        public string Kind { get; } = kind;

        public string Initial { get; } = initial;

        public string Help { get; } = help;

        public Func<string, bool> IsSound { get; } = isSound;

        public string Value { get; set; } = initial;
    }
}
