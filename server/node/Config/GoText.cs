using System.Globalization;
using System.Numerics;
using System.Text;

namespace Perf.Node.Config;

/// <summary>Numbers and booleans as etcd's command line reads them, quotes as its messages write them.</summary>
internal static class GoText
{
    private const string ParseError = "parse error";
    private const string OutOfRange = "value out of range";

    /// <summary>The reason is what etcd prints behind "invalid value ... for flag ...: ".</summary>
    public static bool ParseBool(string text) => text switch
    {
        "1" or "t" or "T" or "true" or "TRUE" or "True" => true,
        "0" or "f" or "F" or "false" or "FALSE" or "False" => false,
        _ => throw new FormatException(ParseError),
    };

    public static ulong ParseUnsigned(string text, ulong max = ulong.MaxValue)
    {
        BigInteger value = ParseMagnitude(text);
        return value <= max ? (ulong)value : throw new FormatException(OutOfRange);
    }

    public static long ParseSigned(string text)
    {
        bool negative = text.StartsWith('-');
        BigInteger value = ParseMagnitude(negative || text.StartsWith('+') ? text[1..] : text);
        value = negative ? -value : value;
        return value >= long.MinValue && value <= long.MaxValue ? (long)value : throw new FormatException(OutOfRange);
    }

    public static TimeSpan ParseDuration(string text) =>
        GoDuration.TryParse(text, out TimeSpan duration) ? duration : throw new FormatException(ParseError);

    /// <summary>A text in quotes (%q).</summary>
    public static string Quote(string text)
    {
        var quoted = new StringBuilder("\"");
        foreach (char c in text)
        {
            _ = c switch
            {
                '"' => quoted.Append("\\\""),
                '\\' => quoted.Append("\\\\"),
                '\n' => quoted.Append("\\n"),
                '\r' => quoted.Append("\\r"),
                '\t' => quoted.Append("\\t"),
                < ' ' or '\x7f' => quoted.Append("\\x").Append(((int)c).ToString("x2", CultureInfo.InvariantCulture)),
                _ => quoted.Append(c),
            };
        }

        return quoted.Append('"').ToString();
    }

    /// <summary>A list of texts in quotes (%q): ["a" "b"].</summary>
    public static string Quote(IEnumerable<string> texts) => $"[{string.Join(' ', texts.Select(Quote))}]";

    /// <summary>Decimal, or hexadecimal, octal and binary by their prefix.</summary>
    private static BigInteger ParseMagnitude(string text)
    {
        (int radix, string digits) = text switch
        {
            ['0', 'x' or 'X', ..] => (16, text[2..]),
            ['0', 'b' or 'B', ..] => (2, text[2..]),
            ['0', 'o' or 'O', ..] => (8, text[2..]),
            ['0', _, ..] => (8, text[1..]),
            _ => (10, text),
        };
        if (digits.Length == 0)
        {
            throw new FormatException(ParseError);
        }

        BigInteger value = 0;
        foreach (char c in digits)
        {
            int digit = char.IsAsciiHexDigit(c) ? Convert.ToInt32(c.ToString(), 16) : radix;
            if (digit >= radix)
            {
                throw new FormatException(ParseError);
            }

            value = (value * radix) + digit;
        }

        return value;
    }
}
