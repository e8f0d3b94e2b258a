using Perf.Node.Config;

namespace Perf.Node.Logging;

/// <summary>Opens the log that the flags ask for.</summary>
public static class LogOutputs
{
    private const string Default = "default";
    private const string Stderr = "stderr";
    private const string Stdout = "stdout";
    private const string Journal = "systemd/journal";
    private const string Nowhere = "/dev/null";

    /// <summary>The log of a process that knows no settings yet: JSON lines on stderr.</summary>
    public static Log OpenDefault(TimeProvider time) =>
        new(new StreamOutput(Console.OpenStandardError()), LogLevel.Info, time);

    /// <summary>Throws <see cref="ConfigException"/> for what cannot be opened, worded as etcd words it.</summary>
    public static Log Open(LogSettings settings, TimeProvider time)
    {
        if (settings.Logger == "capnslog")
        {
            throw new ConfigException("--logger=capnslog is removed in v3.5");
        }

        if (settings.Logger != "zap")
        {
            throw new ConfigException($"unknown logger option {GoText.Quote(settings.Logger)}");
        }

        if (!Log.TryParseLevel(settings.Level, out LogLevel level))
        {
            throw new ConfigException($"unrecognized level: {GoText.Quote(settings.Level)}");
        }

        LogFormat format = settings.Format == "console" ? LogFormat.Console : LogFormat.Json;
        return new Log(OpenOutput(settings, time), level, time, format);
    }

    private static ILogOutput OpenOutput(LogSettings settings, TimeProvider time)
    {
        IReadOnlyList<string> names = settings.Outputs.Count > 0 ? settings.Outputs : [Default];
        if (names.Count > 1 && names.Contains(Default))
        {
            throw new ConfigException($"multi logoutput for \"{Default}\" is not supported yet");
        }

        LogRotation? rotation = settings.Rotate ? Rotation(names, settings.RotationJson) : null;
        if (names.Contains(Journal))
        {
            return names.Count == 1
                ? JournalOutput.Open(new StreamOutput(Console.OpenStandardError()))
                : throw new ConfigException(
                    $"running with systemd/journal but other '--log-outputs' values ({GoText.Quote(names)}) are configured with"
                    + " 'default'; override 'default' value with something else");
        }

        if (names.Contains(Nowhere))
        {
            return new StreamOutput(Stream.Null);
        }

        List<ILogOutput> outputs = [.. names.Distinct(StringComparer.Ordinal).Select(name => OpenOne(name, rotation, time))];
        return outputs.Count == 1 ? outputs[0] : new ManyOutputs(outputs);
    }

    private static LogRotation Rotation(IReadOnlyList<string> names, string json) =>
        names.Count(name => name is not (Default or Stderr or Stdout)) == 1
            ? LogRotation.Parse(json)
            : throw new ConfigException(
                "--log-outputs requires a single file path when --log-rotate-config-json is defined");

    private static ILogOutput OpenOne(string name, LogRotation? rotation, TimeProvider time)
    {
        switch (name)
        {
            case Default or Stderr:
                return new StreamOutput(Console.OpenStandardError());
            case Stdout:
                return new StreamOutput(Console.OpenStandardOutput());
            default:
                break;
        }

        try
        {
            return rotation is not null
                ? new RotatingFile(name, rotation, time)
                : new StreamOutput(
                    new FileStream(name, FileMode.Append, FileAccess.Write, FileShare.ReadWrite | FileShare.Delete));
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new ConfigException($"couldn't open sink {GoText.Quote(name)}: {e.Message}");
        }
    }
}
