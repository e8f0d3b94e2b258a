using System.Buffers;
using System.Text.Json;

namespace Perf.Node.Logging;

/// <summary>Severity, zap's names.</summary>
public enum LogLevel
{
    Debug,
    Info,
    Warn,
    Error,
    Panic,
    Fatal,
}

/// <summary>Where finished lines go. Any thread; a line ends with a newline.</summary>
public interface ILogOutput
{
    /// <summary>Writes one whole line.</summary>
    void Write(LogLevel level, ReadOnlySpan<byte> line);
}

/// <summary>How a line looks.</summary>
public enum LogFormat
{
    Json,
    Console,
}

/// <summary>
/// The server's log: lines in the shape of zap's production encoder (level, ts, caller, msg, then the fields), so
/// that tools made for etcd's log read ours. Not for hot paths. Any thread.
/// </summary>
public sealed class Log
{
    private readonly ILogOutput _output;
    private readonly TimeProvider _time;
    private readonly LogFormat _format;

    public Log(ILogOutput output, LogLevel level, TimeProvider time, LogFormat format = LogFormat.Json)
    {
        _output = output;
        _time = time;
        _format = format;
        Level = level;
    }

    /// <summary>A log that drops everything.</summary>
    public static Log None { get; } = new(new NullOutput(), LogLevel.Fatal, TimeProvider.System);

    /// <summary>Lines below this severity are dropped. May change at run time.</summary>
    public LogLevel Level { get; set; }

    public void Debug(string message, params ReadOnlySpan<(string Key, object? Value)> fields) =>
        Write(LogLevel.Debug, message, fields);

    public void Info(string message, params ReadOnlySpan<(string Key, object? Value)> fields) =>
        Write(LogLevel.Info, message, fields);

    public void Warn(string message, params ReadOnlySpan<(string Key, object? Value)> fields) =>
        Write(LogLevel.Warn, message, fields);

    public void Error(string message, params ReadOnlySpan<(string Key, object? Value)> fields) =>
        Write(LogLevel.Error, message, fields);

    public void Fatal(string message, params ReadOnlySpan<(string Key, object? Value)> fields) =>
        Write(LogLevel.Fatal, message, fields);

    /// <summary>Writes one line of a severity chosen at run time.</summary>
    public void Write(LogLevel level, string message, ReadOnlySpan<(string Key, object? Value)> fields)
    {
        if (level < Level)
        {
            return;
        }

        var buffer = new ArrayBufferWriter<byte>(256);
        if (_format == LogFormat.Json)
        {
            WriteJson(buffer, level, message, fields);
        }
        else
        {
            WriteConsole(buffer, level, message, fields);
        }

        buffer.Write("\n"u8);
        _output.Write(level, buffer.WrittenSpan);
    }

    private static string Name(LogLevel level) => level switch
    {
        LogLevel.Debug => "debug",
        LogLevel.Info => "info",
        LogLevel.Warn => "warn",
        LogLevel.Error => "error",
        LogLevel.Panic => "panic",
        _ => "fatal",
    };

    private static void WriteValue(Utf8JsonWriter writer, object? value)
    {
        switch (value)
        {
            case null: writer.WriteNullValue(); break;
            case string s: writer.WriteStringValue(s); break;
            case bool b: writer.WriteBooleanValue(b); break;
            case int i: writer.WriteNumberValue(i); break;
            case uint u: writer.WriteNumberValue(u); break;
            case long l: writer.WriteNumberValue(l); break;
            case ulong ul: writer.WriteNumberValue(ul); break;
            case double d: writer.WriteNumberValue(d); break;
            case TimeSpan t: writer.WriteStringValue(Duration(t)); break;
            case Exception e: writer.WriteStringValue(e.Message); break;
            case IEnumerable<string> list:
                writer.WriteStartArray();
                foreach (string item in list)
                {
                    writer.WriteStringValue(item);
                }

                writer.WriteEndArray();
                break;
            default: writer.WriteStringValue(value.ToString()); break;
        }
    }

    /// <summary>A duration as Go prints it, to the precision that logs need.</summary>
    private static string Duration(TimeSpan t)
    {
        double ms = t.TotalMilliseconds;
        return ms switch
        {
            0 => "0s",
            < 1 => FormattableString.Invariant($"{ms * 1000:0.###}us"),
            < 1000 => FormattableString.Invariant($"{ms:0.######}ms"),
            < 60_000 => FormattableString.Invariant($"{t.TotalSeconds:0.#########}s"),
            < 3_600_000 => FormattableString.Invariant($"{(int)t.TotalMinutes}m{t.TotalSeconds % 60:0.###}s"),
            _ => FormattableString.Invariant($"{(int)t.TotalHours}h{t.Minutes}m{t.Seconds}s"),
        };
    }

    private string Timestamp() =>
        _time.GetUtcNow().UtcDateTime.ToString("yyyy-MM-ddTHH:mm:ss.ffffffZ", System.Globalization.CultureInfo.InvariantCulture);

    private void WriteJson(
        ArrayBufferWriter<byte> buffer, LogLevel level, string message, ReadOnlySpan<(string Key, object? Value)> fields)
    {
        using var writer = new Utf8JsonWriter(buffer, new JsonWriterOptions
        {
            // The log is read by people and tools, not by browsers: keep quotes and angle brackets readable.
            Encoder = System.Text.Encodings.Web.JavaScriptEncoder.UnsafeRelaxedJsonEscaping,
        });
        writer.WriteStartObject();
        writer.WriteString("level", Name(level));
        writer.WriteString("ts", Timestamp());
        writer.WriteString("caller", "perf");
        writer.WriteString("msg", message);
        foreach ((string key, object? value) in fields)
        {
            writer.WritePropertyName(key);
            WriteValue(writer, value);
        }

        writer.WriteEndObject();
        writer.Flush();
    }

    private void WriteConsole(
        ArrayBufferWriter<byte> buffer, LogLevel level, string message, ReadOnlySpan<(string Key, object? Value)> fields)
    {
        buffer.Write(System.Text.Encoding.UTF8.GetBytes($"{Timestamp()}\t{Name(level)}\tperf\t{message}"));
        if (fields.Length == 0)
        {
            return;
        }

        buffer.Write("\t"u8);
        using var writer = new Utf8JsonWriter(buffer);
        writer.WriteStartObject();
        foreach ((string key, object? value) in fields)
        {
            writer.WritePropertyName(key);
            WriteValue(writer, value);
        }

        writer.WriteEndObject();
        writer.Flush();
    }

    private sealed class NullOutput : ILogOutput
    {
        public void Write(LogLevel level, ReadOnlySpan<byte> line)
        {
        }
    }
}

/// <summary>Lines to the process's stderr (or stdout), one write each.</summary>
public sealed class StreamOutput(Stream stream) : ILogOutput
{
    private readonly object _gate = new();

    /// <inheritdoc/>
    public void Write(LogLevel level, ReadOnlySpan<byte> line)
    {
        lock (_gate)
        {
            stream.Write(line);
        }
    }
}
