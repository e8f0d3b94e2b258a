namespace Perf.Node.Config;

/// <summary>What a flag's value looks like; decides how a configuration file writes it.</summary>
public enum FlagKind
{
    Text,
    Switch,
    Number,
    Duration,

    /// <summary>Comma-separated on the command line, a list in the file.</summary>
    List,
}

/// <summary>One row of <see cref="FlagTable"/>: a setting as command line, environment, file and help know it.</summary>
public sealed class Flag
{
    public required string Name { get; init; }

    public required FlagKind Kind { get; init; }

    /// <summary>The default as help shows it.</summary>
    public required string Default { get; init; }

    public required string Help { get; init; }

    public required string Group { get; init; }

    /// <summary>Where a configuration file has it: "key" or "section.key"; empty where a file cannot say it.</summary>
    public required string FileKey { get; init; }

    /// <summary>The flag that this is another name of; null for the flag itself.</summary>
    public string? TwinOf { get; init; }

    /// <summary>True where an empty text in the file leaves the default.</summary>
    public bool EmptyKeepsDefault { get; init; }

    /// <summary>The environment variable.</summary>
    public string Variable => "ETCD_" + Name.ToUpperInvariant().Replace('-', '_');

    /// <summary>Puts a value in; throws <see cref="FormatException"/> with etcd's reason.</summary>
    public required Action<ServerConfig, string> Set { get; init; }
}
