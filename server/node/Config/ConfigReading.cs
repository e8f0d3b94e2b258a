using Perf.Node.Logging;

namespace Perf.Node.Config;

/// <summary>A line for the log, kept until there is one.</summary>
public sealed class ConfigNote(LogLevel level, string message, params (string Key, object? Value)[] fields)
{
    public LogLevel Level { get; } = level;

    public string Message { get; } = message;

    public void WriteTo(Log log) => log.Write(Level, Message, fields);
}

/// <summary>What came of reading the settings: a configuration to start, or a reason to end.</summary>
public sealed class ConfigReading
{
    public required ServerConfig Config { get; init; }

    /// <summary>The values given by command line, environment or file, by the names of their flags.</summary>
    public required IReadOnlyDictionary<string, string> Given { get; init; }

    /// <summary>Lines for the log, in their order.</summary>
    public required IReadOnlyList<ConfigNote> Notes { get; init; }

    /// <summary>The exit code where the process has nothing more to do; null where it shall start.</summary>
    public int? ExitCode { get; init; }

    /// <summary>Text for stdout.</summary>
    public string Output { get; init; } = "";

    /// <summary>Text for stderr.</summary>
    public string Complaint { get; init; } = "";
}
