using System.Buffers;
using System.Globalization;
using System.Text;
using System.Text.Json;

namespace Perf.Store.V2;

/// <summary>
/// JSON as Go's encoding/json writes and reads it, because etcd's records are compared and read by it: the
/// escapes of strings (html characters too), RFC 3339 times with as many fraction digits as needed, property
/// names matched without regard to case, and integers up to 2^64-1.
/// </summary>
internal static class GoJson
{
    private const long NanosPerSecond = 1_000_000_000;
    private static readonly SearchValues<char> MustEscape = SearchValues.Create(
        "\"\\<>&\u2028\u2029\0\u0001\u0002\u0003\u0004\u0005\u0006\u0007\u0008\u0009\u000a\u000b\u000c\u000d\u000e"
        + "\u000f\u0010\u0011\u0012\u0013\u0014\u0015\u0016\u0017\u0018\u0019\u001a\u001b\u001c\u001d\u001e\u001f");

    /// <summary>Appends a quoted string.</summary>
    public static void AppendString(StringBuilder target, string text)
    {
        target.Append('"');
        ReadOnlySpan<char> rest = text;
        while (true)
        {
            int at = rest.IndexOfAny(MustEscape);
            if (at < 0)
            {
                target.Append(rest);
                break;
            }

            target.Append(rest[..at]);
            char c = rest[at];
            _ = c switch
            {
                '"' => target.Append("\\\""),
                '\\' => target.Append("\\\\"),
                '\n' => target.Append("\\n"),
                '\r' => target.Append("\\r"),
                '\t' => target.Append("\\t"),
                _ => target.Append("\\u").Append(((int)c).ToString("x4", CultureInfo.InvariantCulture)),
            };
            rest = rest[(at + 1)..];
        }

        target.Append('"');
    }

    /// <summary>Appends an array of strings.</summary>
    public static void AppendStrings(StringBuilder target, IReadOnlyList<string> texts)
    {
        target.Append('[');
        for (int i = 0; i < texts.Count; i++)
        {
            if (i > 0)
            {
                target.Append(',');
            }

            AppendString(target, texts[i]);
        }

        target.Append(']');
    }

    /// <summary>A time as RFC 3339 in UTC; 0 stands for Go's zero time (year 1), which v2 nodes use for "never".</summary>
    public static string Time(long unixNanos)
    {
        if (unixNanos == 0)
        {
            return "0001-01-01T00:00:00Z";
        }

        long seconds = Math.DivRem(unixNanos, NanosPerSecond, out long nanos);
        if (nanos < 0)
        {
            nanos += NanosPerSecond;
            seconds--;
        }

        string text = DateTimeOffset.FromUnixTimeSeconds(seconds).UtcDateTime.ToString(
            "yyyy-MM-dd'T'HH:mm:ss", CultureInfo.InvariantCulture);
        if (nanos != 0)
        {
            text += "." + nanos.ToString("D9", CultureInfo.InvariantCulture).TrimEnd('0');
        }

        return text + "Z";
    }

    /// <summary>Reads what <see cref="Time"/> or Go wrote; throws <see cref="InvalidDataException"/> otherwise.</summary>
    public static long ParseTime(string text)
    {
        // The fraction is cut out by hand: .NET's times end at 100 ns, Go's at 1 ns.
        int dot = text.IndexOf('.');
        int fractionEnd = dot + 1;
        long nanos = 0;
        string whole = text;
        if (dot >= 0)
        {
            for (int digits = 0; fractionEnd < text.Length && char.IsAsciiDigit(text[fractionEnd]); fractionEnd++)
            {
                if (digits++ < 9)
                {
                    nanos = (nanos * 10) + (text[fractionEnd] - '0');
                }
            }

            for (int digits = fractionEnd - dot - 1; digits < 9; digits++)
            {
                nanos *= 10;
            }

            whole = string.Concat(text.AsSpan(0, dot), text.AsSpan(fractionEnd));
        }

        if (!DateTimeOffset.TryParseExact(
            whole, "yyyy-MM-dd'T'HH:mm:ssK", CultureInfo.InvariantCulture, DateTimeStyles.None, out var time))
        {
            throw new InvalidDataException($"json: \"{text}\" is not a time");
        }

        // Go's zero time, and anything that nanoseconds since 1970 cannot hold, reads as "never".
        long seconds = time.ToUnixTimeSeconds();
        return Math.Abs(seconds) > long.MaxValue / NanosPerSecond - 1 ? 0 : (seconds * NanosPerSecond) + nanos;
    }

    /// <summary>A property of an object by name; an exact match wins over one that differs in case.</summary>
    public static bool TryGet(JsonElement source, string name, out JsonElement value)
    {
        if (source.ValueKind != JsonValueKind.Object)
        {
            throw new InvalidDataException($"json: expected an object that may hold \"{name}\", found {source.ValueKind}");
        }

        if (source.TryGetProperty(name, out value))
        {
            return value.ValueKind != JsonValueKind.Null;
        }

        foreach (var property in source.EnumerateObject())
        {
            if (string.Equals(Name(property), name, StringComparison.OrdinalIgnoreCase))
            {
                value = property.Value;
                return value.ValueKind != JsonValueKind.Null;
            }
        }

        return false;
    }

    /// <summary>A string property; empty when absent.</summary>
    public static string String(JsonElement source, string name)
    {
        if (!TryGet(source, name, out var value))
        {
            return "";
        }

        return value.ValueKind == JsonValueKind.String
            ? Text(value)
            : throw new InvalidDataException($"json: \"{name}\" is {value.ValueKind}, expected a string");
    }

    /// <summary>An unsigned 64-bit property; 0 when absent.</summary>
    public static ulong UInt64(JsonElement source, string name)
    {
        if (!TryGet(source, name, out var value))
        {
            return 0;
        }

        return value.ValueKind == JsonValueKind.Number && value.TryGetUInt64(out ulong number)
            ? number
            : throw new InvalidDataException($"json: \"{name}\" is not an unsigned 64-bit number");
    }

    /// <summary>A boolean property; false when absent.</summary>
    public static bool Bool(JsonElement source, string name)
    {
        if (!TryGet(source, name, out var value))
        {
            return false;
        }

        return value.ValueKind switch
        {
            JsonValueKind.True => true,
            JsonValueKind.False => false,
            _ => throw new InvalidDataException($"json: \"{name}\" is {value.ValueKind}, expected a boolean"),
        };
    }

    /// <summary>An array of strings; empty when absent.</summary>
    public static string[] Strings(JsonElement source, string name)
    {
        if (!TryGet(source, name, out var value))
        {
            return [];
        }

        if (value.ValueKind != JsonValueKind.Array)
        {
            throw new InvalidDataException($"json: \"{name}\" is {value.ValueKind}, expected an array");
        }

        var texts = new string[value.GetArrayLength()];
        int i = 0;
        foreach (var item in value.EnumerateArray())
        {
            texts[i++] = item.ValueKind == JsonValueKind.String
                ? Text(item)
                : throw new InvalidDataException($"json: \"{name}\" holds {item.ValueKind}, expected strings");
        }

        return texts;
    }

    /// <summary>A property's name. Throws <see cref="InvalidDataException"/> for half a surrogate pair.</summary>
    public static string Name(JsonProperty property)
    {
        try
        {
            return property.Name;
        }
        catch (InvalidOperationException failure)
        {
            throw new InvalidDataException("json: a name is not Unicode", failure);
        }
    }

    private static string Text(JsonElement value)
    {
        try
        {
            return value.GetString()!;
        }
        catch (InvalidOperationException failure)
        {
            throw new InvalidDataException("json: a string is not Unicode", failure);
        }
    }

    /// <summary>
    /// Parses a document; throws <see cref="InvalidDataException"/> when it is not JSON. As in Go, bytes that are no
    /// UTF-8 read as U+FFFD.
    /// </summary>
    public static JsonDocument Parse(ReadOnlySpan<byte> source, int depthMax = 64)
    {
        byte[] text = System.Text.Unicode.Utf8.IsValid(source)
            ? source.ToArray()
            : Encoding.UTF8.GetBytes(Encoding.UTF8.GetString(source));
        try
        {
            return JsonDocument.Parse(text, new JsonDocumentOptions { MaxDepth = depthMax });
        }
        catch (JsonException failure)
        {
            throw new InvalidDataException($"json: {failure.Message}", failure);
        }
    }
}
