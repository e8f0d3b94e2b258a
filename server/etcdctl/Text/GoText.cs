using System.Globalization;
using System.Text;

namespace Perf.Etcdctl.Text;

/// <summary>
/// Texts as Go's fmt and strconv write them, so that output and messages read like etcd's. A string here may stand for
/// bytes that are not UTF-8: such a byte 0xNN is kept as the lone surrogate U+DCNN and comes out as that byte again.
/// </summary>
internal static class GoText
{
    private const char EscapeBase = '\uDC00';

    /// <summary>Bytes to text, keeping what is not UTF-8 as lone surrogates.</summary>
    public static string FromBytes(ReadOnlySpan<byte> bytes)
    {
        var text = new StringBuilder(bytes.Length);
        while (!bytes.IsEmpty)
        {
            if (Rune.DecodeFromUtf8(bytes, out Rune rune, out int used) == System.Buffers.OperationStatus.Done)
            {
                text.Append(rune.ToString());
                bytes = bytes[used..];
            }
            else
            {
                text.Append((char)(EscapeBase + bytes[0]));
                bytes = bytes[1..];
            }
        }

        return text.ToString();
    }

    /// <summary>The reverse of <see cref="FromBytes"/>.</summary>
    public static byte[] ToBytes(string text)
    {
        if (!text.AsSpan().ContainsAnyInRange((char)(EscapeBase + 0x80), (char)(EscapeBase + 0xff)))
        {
            return Encoding.UTF8.GetBytes(text);
        }

        var bytes = new List<byte>(text.Length);
        Span<byte> utf8 = stackalloc byte[4];
        for (int at = 0; at < text.Length; at++)
        {
            char c = text[at];
            if (c is >= (char)(EscapeBase + 0x80) and <= (char)(EscapeBase + 0xff)
                && (at == 0 || !char.IsHighSurrogate(text[at - 1])))
            {
                bytes.Add((byte)(c - EscapeBase));
                continue;
            }

            Rune rune = Rune.TryGetRuneAt(text, at, out Rune found) ? found : Rune.ReplacementChar;
            at += rune.Utf16SequenceLength - 1;
            bytes.AddRange(utf8[..rune.EncodeToUtf8(utf8)].ToArray());
        }

        return [.. bytes];
    }

    /// <summary>Go's %q of bytes: a double-quoted Go literal.</summary>
    public static string Quote(ReadOnlySpan<byte> bytes)
    {
        var text = new StringBuilder(bytes.Length + 2).Append('"');
        while (!bytes.IsEmpty)
        {
            if (Rune.DecodeFromUtf8(bytes, out Rune rune, out int used) != System.Buffers.OperationStatus.Done)
            {
                text.Append("\\x").Append(bytes[0].ToString("x2", CultureInfo.InvariantCulture));
                bytes = bytes[1..];
                continue;
            }

            bytes = bytes[used..];
            AppendQuoted(text, rune);
        }

        return text.Append('"').ToString();
    }

    /// <summary>Go's %q of a string.</summary>
    public static string Quote(string text) => Quote(ToBytes(text));

    /// <summary>
    /// Reads a Go string literal ("..." with escapes, or `...`) at the start of the text. False when there is none.
    /// </summary>
    public static bool TryUnquote(ReadOnlySpan<char> text, out string value, out int used)
    {
        value = "";
        used = 0;
        if (text.IsEmpty)
        {
            return false;
        }

        if (text[0] == '`')
        {
            int end = text[1..].IndexOf('`');
            if (end < 0)
            {
                return false;
            }

            value = text.Slice(1, end).ToString();
            used = end + 2;
            return true;
        }

        if (text[0] != '"')
        {
            return false;
        }

        var bytes = new List<byte>();
        int at = 1;
        while (at < text.Length)
        {
            char c = text[at];
            if (c == '"')
            {
                value = FromBytes(bytes.ToArray());
                used = at + 1;
                return true;
            }

            if (c != '\\')
            {
                int length = char.IsHighSurrogate(c) && at + 1 < text.Length ? 2 : 1;
                bytes.AddRange(ToBytes(text.Slice(at, length).ToString()));
                at += length;
                continue;
            }

            if (!TryEscape(text, ref at, bytes))
            {
                return false;
            }
        }

        return false;
    }

    /// <summary>strconv.ParseInt; the message of the exception is Go's.</summary>
    public static long ParseInt(string text, int radix)
    {
        string digits = text;
        bool negative = false;
        if (digits.Length > 0 && digits[0] is '+' or '-')
        {
            negative = digits[0] == '-';
            digits = digits[1..];
        }

        ulong limit = (ulong)long.MaxValue + (negative ? 1u : 0u);
        ulong magnitude = Magnitude("ParseInt", text, digits, radix, limit);
        return negative ? unchecked(-(long)magnitude) : (long)magnitude;
    }

    /// <summary>strconv.ParseUint; the message of the exception is Go's.</summary>
    public static ulong ParseUint(string text, int radix)
    {
        return Magnitude("ParseUint", text, text, radix, ulong.MaxValue);
    }

    /// <summary>strconv.ParseBool; the message of the exception is Go's.</summary>
    public static bool ParseBool(string text) => text switch
    {
        "1" or "t" or "T" or "TRUE" or "true" or "True" => true,
        "0" or "f" or "F" or "FALSE" or "false" or "False" => false,
        _ => throw new FormatException($"strconv.ParseBool: parsing {Quote(text)}: invalid syntax"),
    };

    /// <summary>Go's %x of a number as ids are written: no leading zeros.</summary>
    public static string Hex(ulong value) => value.ToString("x", CultureInfo.InvariantCulture);

    /// <summary>Go's %016x of a lease id.</summary>
    public static string Hex16(long value) => value < 0
        ? "-" + ((ulong)-(Int128)value).ToString("x15", CultureInfo.InvariantCulture)
        : value.ToString("x16", CultureInfo.InvariantCulture);

    private static void AppendQuoted(StringBuilder text, Rune rune)
    {
        switch (rune.Value)
        {
            case '"':
                text.Append("\\\"");
                return;
            case '\\':
                text.Append("\\\\");
                return;
            case '\a':
                text.Append("\\a");
                return;
            case '\b':
                text.Append("\\b");
                return;
            case '\f':
                text.Append("\\f");
                return;
            case '\n':
                text.Append("\\n");
                return;
            case '\r':
                text.Append("\\r");
                return;
            case '\t':
                text.Append("\\t");
                return;
            case '\v':
                text.Append("\\v");
                return;
        }

        if (IsPrintable(rune))
        {
            text.Append(rune.ToString());
        }
        else if (rune.Value < ' ' || rune.Value == 0x7f)
        {
            text.Append("\\x").Append(rune.Value.ToString("x2", CultureInfo.InvariantCulture));
        }
        else if (rune.IsBmp)
        {
            text.Append("\\u").Append(rune.Value.ToString("x4", CultureInfo.InvariantCulture));
        }
        else
        {
            text.Append("\\U").Append(rune.Value.ToString("x8", CultureInfo.InvariantCulture));
        }
    }

    // Go's strconv.IsPrint: letters, marks, numbers, punctuation, symbols, and of the spaces only U+0020.
    private static bool IsPrintable(Rune rune) => rune.Value == ' ' || Rune.GetUnicodeCategory(rune) is not (
        UnicodeCategory.Control or UnicodeCategory.Format or UnicodeCategory.Surrogate or UnicodeCategory.PrivateUse
        or UnicodeCategory.OtherNotAssigned or UnicodeCategory.SpaceSeparator or UnicodeCategory.LineSeparator
        or UnicodeCategory.ParagraphSeparator);

    private static bool TryEscape(ReadOnlySpan<char> text, ref int at, List<byte> bytes)
    {
        if (at + 1 >= text.Length)
        {
            return false;
        }

        char kind = text[at + 1];
        int simple = "abfnrtv\\\"".IndexOf(kind, StringComparison.Ordinal);
        if (simple >= 0)
        {
            bytes.Add((byte)"\a\b\f\n\r\t\v\\\""[simple]);
            at += 2;
            return true;
        }

        (int digits, int radix) = kind switch
        {
            'x' => (2, 16),
            'u' => (4, 16),
            'U' => (8, 16),
            >= '0' and <= '7' => (3, 8),
            _ => (0, 0),
        };
        int start = radix == 8 ? at + 1 : at + 2;
        if (digits == 0 || start + digits > text.Length)
        {
            return false;
        }

        uint value = 0;
        foreach (char c in text.Slice(start, digits))
        {
            int digit = char.IsAsciiHexDigit(c) ? Convert.ToInt32(c.ToString(), 16) : 99;
            if (digit >= radix)
            {
                return false;
            }

            value = (value * (uint)radix) + (uint)digit;
        }

        at = start + digits;
        if (kind is 'u' or 'U')
        {
            if (!Rune.IsValid(value))
            {
                return false;
            }

            bytes.AddRange(Encoding.UTF8.GetBytes(new Rune(value).ToString()));
            return true;
        }

        if (value > 0xff)
        {
            return false;
        }

        bytes.Add((byte)value);
        return true;
    }

    private static ulong Magnitude(string function, string text, string digits, int radix, ulong limit)
    {
        if (radix == 0)
        {
            (digits, radix) = digits switch
            {
                _ when digits.StartsWith("0x", StringComparison.OrdinalIgnoreCase) => (digits[2..], 16),
                _ when digits.StartsWith("0b", StringComparison.OrdinalIgnoreCase) => (digits[2..], 2),
                _ when digits.StartsWith("0o", StringComparison.OrdinalIgnoreCase) => (digits[2..], 8),
                _ when digits.Length > 1 && digits[0] == '0' => (digits[1..], 8),
                _ => (digits, 10),
            };
        }

        if (digits.Length == 0)
        {
            throw new FormatException($"strconv.{function}: parsing {Quote(text)}: invalid syntax");
        }

        // 128-bit numbers would do without the flag, but are compiled at start-up.
        ulong magnitude = 0;
        bool tooLarge = false;
        foreach (char c in digits)
        {
            int digit = char.IsAsciiDigit(c) ? c - '0' : char.IsAsciiLetter(c) ? (c | 0x20) - 'a' + 10 : 99;
            if (digit >= radix)
            {
                throw new FormatException($"strconv.{function}: parsing {Quote(text)}: invalid syntax");
            }

            tooLarge |= magnitude > (ulong.MaxValue - (uint)digit) / (uint)radix;
            magnitude = unchecked((magnitude * (uint)radix) + (uint)digit);
        }

        return !tooLarge && magnitude <= limit ? magnitude : throw OutOfRange(function, text);
    }

    private static FormatException OutOfRange(string function, string text) =>
        new($"strconv.{function}: parsing {Quote(text)}: value out of range");
}
