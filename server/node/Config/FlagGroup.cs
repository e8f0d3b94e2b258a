namespace Perf.Node.Config;

/// <summary>Rows of one heading of the help, in its order.</summary>
internal sealed class FlagGroup(string title)
{
    /// <summary>Stands for every origin.</summary>
    private const string Any = "*";

    private readonly List<Flag> _flags = [];

    public string Title { get; } = title;

    public IReadOnlyList<Flag> Flags => _flags;

    public void Text(
        string name, string shown, string help, Action<ServerConfig, string> set, string? file = null) =>
        Add(name, FlagKind.Text, shown, help, set, file);

    public void Choice(
        string name, string shown, string help, string[] choices, Action<ServerConfig, string> set, bool quoteRefused = false) =>
        Add(
            name,
            FlagKind.Text,
            shown,
            help,
            (c, v) => set(
                c,
                choices.Contains(v, StringComparer.Ordinal)
                    ? v
                    : throw new FormatException(quoteRefused ? $"invalid value {GoText.Quote(v)}" : "invalid value")),
            emptyKeepsDefault: true);

    public void Switch(
        string name, bool shown, string help, Action<ServerConfig, bool> set, string? file = null) =>
        Add(name, FlagKind.Switch, shown ? "true" : "false", help, (c, v) => set(c, GoText.ParseBool(v)), file);

    public void Unsigned(
        string name, string shown, string help, Action<ServerConfig, ulong> set, ulong max = ulong.MaxValue, string? file = null) =>
        Add(name, FlagKind.Number, shown, help, (c, v) => set(c, GoText.ParseUnsigned(v, max)), file);

    public void Signed(
        string name, string shown, string help, Action<ServerConfig, long> set, string? file = null) =>
        Add(name, FlagKind.Number, shown, help, (c, v) => set(c, GoText.ParseSigned(v)), file);

    public void Duration(
        string name, string shown, string help, Action<ServerConfig, TimeSpan> set, string? file = null) =>
        Add(name, FlagKind.Duration, shown, help, (c, v) => set(c, GoText.ParseDuration(v)), file);

    public void List(
        string name, string shown, string help, Action<ServerConfig, IReadOnlyList<string>> set, string? file = null) =>
        Add(name, FlagKind.List, shown, help, (c, v) => set(c, Split(v)), file);

    /// <summary>Names, each once, sorted, which a file writes as one text.</summary>
    public void Names(string name, string shown, string help, Action<ServerConfig, IReadOnlyList<string>> set) =>
        Add(
            name,
            FlagKind.Text,
            shown,
            help,
            (c, v) => set(c, [.. Split(v).Distinct(StringComparer.Ordinal).Order(StringComparer.Ordinal)]),
            emptyKeepsDefault: true);

    /// <summary>URLs, sorted; an empty text leaves what is there.</summary>
    public void Urls(string name, string shown, string help, Action<ServerConfig, IReadOnlyList<string>> set) =>
        Add(
            name,
            FlagKind.Text,
            shown,
            help,
            (c, v) =>
            {
                if (v.Length > 0)
                {
                    set(c, v == Any && name == "cors" ? [Any] : EtcdUrls.Parse(v));
                }
            },
            emptyKeepsDefault: true);

    public void ListenUrls(string name, string shown, string help, Action<ServerConfig, IReadOnlyList<Uri>> set) =>
        Add(
            name,
            FlagKind.Text,
            shown,
            help,
            (c, v) =>
            {
                if (v.Length > 0)
                {
                    set(c, EtcdUrls.ParseListen(v));
                }
            },
            emptyKeepsDefault: true);

    /// <summary>Another name of a flag: etcd 3.6 dropped the prefix of experimental ones.</summary>
    public void Twin(string name, Flag flag) =>
        _flags.Add(new Flag
        {
            Name = name,
            Kind = flag.Kind,
            Default = flag.Default,
            Help = $"The same as --{flag.Name}.",
            Group = Title,
            FileKey = name,
            TwinOf = flag.Name,
            Set = flag.Set,
        });

    private static IReadOnlyList<string> Split(string value) => value.Length == 0 ? [] : value.Split(',');

    private void Add(
        string name,
        FlagKind kind,
        string shown,
        string help,
        Action<ServerConfig, string> set,
        string? file = null,
        bool emptyKeepsDefault = false) =>
        _flags.Add(new Flag
        {
            Name = name,
            Kind = kind,
            Default = shown,
            Help = help,
            Group = Title,
            FileKey = file ?? name,
            EmptyKeepsDefault = emptyKeepsDefault,
            Set = set,
        });
}
