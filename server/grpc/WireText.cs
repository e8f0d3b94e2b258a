using System.Buffers;
using System.Globalization;
using System.Text;

namespace Perf.Grpc;

/// <summary>The small texts of gRPC over HTTP/2: percent-encoded messages, base64 metadata, timeouts.</summary>
internal static class WireText
{
    private const string HexDigits = "0123456789ABCDEF";

    // What may stand in grpc-message as it is: printable ASCII without the percent sign.
    private static readonly SearchValues<char> PlainMessage = SearchValues.Create(
        string.Concat(Enumerable.Range(0x20, 0x5F).Select(c => (char)c).Where(c => c != '%')));

    public static string EncodeMessage(string message)
    {
        if (!message.AsSpan().ContainsAnyExcept(PlainMessage))
        {
            return message;
        }

        var text = new StringBuilder(message.Length + 16);
        foreach (byte b in Encoding.UTF8.GetBytes(message))
        {
            if (b is >= 0x20 and <= 0x7E and not (byte)'%')
            {
                text.Append((char)b);
            }
            else
            {
                text.Append('%').Append(HexDigits[b >> 4]).Append(HexDigits[b & 15]);
            }
        }

        return text.ToString();
    }

    /// <summary>Never fails: what is not an escape stands for itself.</summary>
    public static string DecodeMessage(string message)
    {
        if (!message.Contains('%', StringComparison.Ordinal))
        {
            return message;
        }

        byte[] source = Encoding.UTF8.GetBytes(message);
        int length = 0;
        for (int i = 0; i < source.Length; i++)
        {
            if (source[i] == (byte)'%' && i + 2 < source.Length
                && byte.TryParse(source.AsSpan(i + 1, 2), NumberStyles.AllowHexSpecifier, null, out byte b))
            {
                source[length++] = b;
                i += 2;
            }
            else
            {
                source[length++] = source[i];
            }
        }

        return Encoding.UTF8.GetString(source, 0, length);
    }

    /// <summary>Base64 with or without padding.</summary>
    public static bool TryDecodeBinary(string text, out byte[] value)
    {
        string padded = (text.Length & 3) == 0 ? text : text + new string('=', 4 - (text.Length & 3));
        byte[] target = new byte[(padded.Length >> 2) * 3];
        if (!Convert.TryFromBase64String(padded, target, out int written))
        {
            value = [];
            return false;
        }

        value = target.AsSpan(0, written).ToArray();
        return true;
    }

    /// <summary>A grpc-timeout: one to eight digits and a unit.</summary>
    public static bool TryParseTimeout(string text, out TimeSpan timeout)
    {
        timeout = default;
        if (text.Length is < 2 or > 9)
        {
            return false;
        }

        long count = 0;
        foreach (char c in text.AsSpan(0, text.Length - 1))
        {
            if (!char.IsAsciiDigit(c))
            {
                return false;
            }

            count = (count * 10) + (c - '0');
        }

        long ticks = text[^1] switch
        {
            'H' => TimeSpan.TicksPerHour,
            'M' => TimeSpan.TicksPerMinute,
            'S' => TimeSpan.TicksPerSecond,
            'm' => TimeSpan.TicksPerMillisecond,
            'u' => TimeSpan.TicksPerMicrosecond,
            'n' => 0,
            _ => -1,
        };

        if (ticks < 0)
        {
            return false;
        }

        // A tick is 100 ns; a fraction of a tick is rounded up so that a positive timeout stays positive.
        timeout = ticks == 0 ? new TimeSpan((count + 99) / 100) : new TimeSpan(count * ticks);
        return true;
    }

    public static string FormatTimeout(TimeSpan timeout)
    {
        const long CountMax = 99_999_999;
        long nanos = Math.Max(timeout.Ticks, 0) > long.MaxValue / 100 ? long.MaxValue : Math.Max(timeout.Ticks, 0) * 100;
        (long Nanos, char Unit)[] units =
        [
            (1, 'n'), (1_000, 'u'), (1_000_000, 'm'), (1_000_000_000, 'S'), (60_000_000_000, 'M'), (3_600_000_000_000, 'H'),
        ];

        foreach ((long unitNanos, char unit) in units)
        {
            long count = (nanos / unitNanos) + (nanos % unitNanos == 0 ? 0 : 1);
            if (count <= CountMax)
            {
                return count.ToString(CultureInfo.InvariantCulture) + unit;
            }
        }

        return "99999999H";
    }
}
