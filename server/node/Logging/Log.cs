using System.Buffers;
using System.Globalization;
using System.Text;
using System.Text.Encodings.Web;
using System.Text.Json;
using Perf.Node.Config;

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
    /// <summary>Stands where zap names a source line.</summary>
    private const string Caller = "perf";

    /// <summary>The log is read by people and tools, not by browsers: keep quotes and angle brackets readable.</summary>
    private static readonly JsonWriterOptions Readable = new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

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

    /// <summary>Reads zap's name of a severity.</summary>
    public static bool TryParseLevel(string text, out LogLevel level)
    {
        foreach (LogLevel known in Enum.GetValues<LogLevel>())
        {
            if (Name(known).Equals(text, StringComparison.OrdinalIgnoreCase))
            {
                level = known;
                return true;
            }
        }

        level = LogLevel.Info;
        return false;
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
            case TimeSpan t: writer.WriteStringValue(GoDuration.Format(t)); break;
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

    /// <summary>Local time to the microsecond with its offset, "Z" for none.</summary>
    private string Timestamp()
    {
        DateTimeOffset now = _time.GetLocalNow();
        string text = now.ToString("yyyy-MM-ddTHH:mm:ss.ffffff", CultureInfo.InvariantCulture);
        return now.Offset == TimeSpan.Zero
            ? text + "Z"
            : text + now.ToString("zzz", CultureInfo.InvariantCulture).Replace(":", "", StringComparison.Ordinal);
    }

    private void WriteJson(
        ArrayBufferWriter<byte> buffer, LogLevel level, string message, ReadOnlySpan<(string Key, object? Value)> fields)
    {
        using var writer = new Utf8JsonWriter(buffer, Readable);
        writer.WriteStartObject();
        writer.WriteString("level", Name(level));
        writer.WriteString("ts", Timestamp());
        writer.WriteString("caller", Caller);
        writer.WriteString("msg", message);
        WriteFields(writer, fields);
    }

    private void WriteConsole(
        ArrayBufferWriter<byte> buffer, LogLevel level, string message, ReadOnlySpan<(string Key, object? Value)> fields)
    {
        buffer.Write(Encoding.UTF8.GetBytes($"{Timestamp()}\t{Name(level)}\t{Caller}\t{message}"));
        if (fields.Length == 0)
        {
            return;
        }

        buffer.Write("\t"u8);
        using var writer = new Utf8JsonWriter(buffer, Readable);
        writer.WriteStartObject();
        WriteFields(writer, fields);
    }

    private static void WriteFields(Utf8JsonWriter writer, ReadOnlySpan<(string Key, object? Value)> fields)
    {
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
