using System.Globalization;
using System.Numerics;
using System.Text;

namespace Perf.Node.Config;

/// <summary>Durations as etcd's flags, files and logs write them: "1h2m3.5s", "300ms", "0s".</summary>
public static class GoDuration
{
    private const long NanosPerTick = 100;
    private const long MicroNanos = 1_000;
    private const long MilliNanos = 1_000_000;
    private const long SecondNanos = 1_000_000_000;
    private const long MinuteNanos = 60 * SecondNanos;
    private const long HourNanos = 60 * MinuteNanos;

    /// <summary>Reads a duration; false where etcd would not. Below 100 ns is cut off.</summary>
    public static bool TryParse(string text, out TimeSpan duration)
    {
        duration = default;
        ReadOnlySpan<char> rest = text;
        bool negative = rest.StartsWith("-");
        if (negative || rest.StartsWith("+"))
        {
            rest = rest[1..];
        }

        if (rest is "0")
        {
            return true;
        }

        if (rest.IsEmpty)
        {
            return false;
        }

        BigInteger nanos = 0;
        while (!rest.IsEmpty)
        {
            if (!TryReadPart(ref rest, out BigInteger part))
            {
                return false;
            }

            nanos += part;
        }

        if (nanos > long.MaxValue)
        {
            return false;
        }

        long ticks = (long)nanos / NanosPerTick;
        duration = TimeSpan.FromTicks(negative ? -ticks : ticks);
        return true;
    }

    /// <summary>Writes a duration: the largest unit first, no more of them than needed.</summary>
    public static string Format(TimeSpan duration)
    {
        // In 128 bits, for TimeSpan reaches a hundred times further than etcd's nanoseconds.
        Int128 nanos = (Int128)duration.Ticks * NanosPerTick;
        if (nanos == 0)
        {
            return "0s";
        }

        string sign = nanos < 0 ? "-" : "";
        nanos = Int128.Abs(nanos);
        if (nanos < SecondNanos)
        {
            return sign + (nanos >= MilliNanos
                ? Fraction(nanos, MilliNanos) + "ms"
                : nanos >= MicroNanos ? Fraction(nanos, MicroNanos) + "\u00b5s" : nanos + "ns");
        }

        var text = new StringBuilder(sign);
        if (nanos >= HourNanos)
        {
            text.Append(CultureInfo.InvariantCulture, $"{nanos / HourNanos}h");
        }

        if (nanos >= MinuteNanos)
        {
            text.Append(CultureInfo.InvariantCulture, $"{nanos % HourNanos / MinuteNanos}m");
        }

        return text.Append(Fraction(nanos % MinuteNanos, SecondNanos)).Append('s').ToString();
    }

    private static string Fraction(Int128 nanos, long unit)
    {
        Int128 below = nanos % unit;
        string whole = (nanos / unit).ToString(CultureInfo.InvariantCulture);
        if (below == 0)
        {
            return whole;
        }

        int digits = unit.ToString(CultureInfo.InvariantCulture).Length - 1;
        return whole + "." + below.ToString(CultureInfo.InvariantCulture).PadLeft(digits, '0').TrimEnd('0');
    }

    /// <summary>One number with its unit, in nanoseconds.</summary>
    private static bool TryReadPart(ref ReadOnlySpan<char> rest, out BigInteger nanos)
    {
        nanos = 0;
        int whole = Digits(rest);
        ReadOnlySpan<char> wholeDigits = rest[..whole];
        rest = rest[whole..];
        ReadOnlySpan<char> fractionDigits = default;
        if (rest.StartsWith("."))
        {
            int fraction = Digits(rest[1..]);
            fractionDigits = rest.Slice(1, fraction);
            rest = rest[(1 + fraction)..];
        }

        if (wholeDigits.IsEmpty && fractionDigits.IsEmpty)
        {
            return false;
        }

        int unitLength = rest.IndexOfAny("0123456789.");
        ReadOnlySpan<char> unitText = unitLength < 0 ? rest : rest[..unitLength];
        rest = rest[unitText.Length..];
        long unit = unitText switch
        {
            "ns" => 1,
            "us" or "\u00b5s" or "\u03bcs" => MicroNanos,
            "ms" => MilliNanos,
            "s" => SecondNanos,
            "m" => MinuteNanos,
            "h" => HourNanos,
            _ => 0,
        };
        if (unit == 0)
        {
            return false;
        }

        nanos = (wholeDigits.IsEmpty ? 0 : BigInteger.Parse(wholeDigits, NumberStyles.None, CultureInfo.InvariantCulture)) * unit;
        if (!fractionDigits.IsEmpty)
        {
            BigInteger fraction = BigInteger.Parse(fractionDigits, NumberStyles.None, CultureInfo.InvariantCulture);
            nanos += fraction * unit / BigInteger.Pow(10, fractionDigits.Length);
        }

        return true;
    }

    private static int Digits(ReadOnlySpan<char> text)
    {
        int end = text.IndexOfAnyExceptInRange('0', '9');
        return end < 0 ? text.Length : end;
    }
}
