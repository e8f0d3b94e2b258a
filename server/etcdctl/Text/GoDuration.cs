using System.Globalization;

namespace Perf.Etcdctl.Text;

/// <summary>Go's time.Duration, read and written its way: 1h2m3.5s, 150ms, 1.27027ms.</summary>
internal static class GoDuration
{
    private static readonly (string Unit, decimal Nanos)[] Units =
    [
        ("ns", 1m), ("us", 1_000m), ("\u00b5s", 1_000m), ("\u03bcs", 1_000m), ("ms", 1_000_000m),
        ("s", 1_000_000_000m), ("m", 60_000_000_000m), ("h", 3_600_000_000_000m),
    ];

    /// <summary>time.ParseDuration; the message of the exception is Go's.</summary>
    public static TimeSpan Parse(string text)
    {
        string rest = text;
        bool negative = false;
        if (rest.Length > 0 && rest[0] is '+' or '-')
        {
            negative = rest[0] == '-';
            rest = rest[1..];
        }

        if (rest == "0")
        {
            return TimeSpan.Zero;
        }

        if (rest.Length == 0)
        {
            throw new FormatException($"time: invalid duration {GoText.Quote(text)}");
        }

        decimal nanos = 0;
        while (rest.Length > 0)
        {
            int digits = 0;
            while (digits < rest.Length && (char.IsAsciiDigit(rest[digits]) || rest[digits] == '.'))
            {
                digits++;
            }

            if (!decimal.TryParse(
                rest[..digits], NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture, out decimal number))
            {
                throw new FormatException($"time: invalid duration {GoText.Quote(text)}");
            }

            rest = rest[digits..];
            int letters = 0;
            while (letters < rest.Length && rest[letters] != '.' && !char.IsAsciiDigit(rest[letters]))
            {
                letters++;
            }

            if (letters == 0)
            {
                throw new FormatException($"time: missing unit in duration {GoText.Quote(text)}");
            }

            string unit = rest[..letters];
            decimal factor = Array.Find(Units, u => u.Unit == unit).Nanos;
            if (factor == 0)
            {
                throw new FormatException(
                    $"time: unknown unit {GoText.Quote(unit)} in duration {GoText.Quote(text)}");
            }

            nanos += number * factor;
            if (nanos > long.MaxValue)
            {
                throw new FormatException($"time: invalid duration {GoText.Quote(text)}");
            }

            rest = rest[letters..];
        }

        return TimeSpan.FromTicks((long)((negative ? -nanos : nanos) / 100));
    }

    /// <summary>time.Duration.String.</summary>
    public static string Format(TimeSpan duration)
    {
        if (duration == TimeSpan.Zero)
        {
            return "0s";
        }

        string sign = duration < TimeSpan.Zero ? "-" : "";
        decimal nanos = Math.Abs((decimal)duration.Ticks) * 100;
        if (nanos < 1_000)
        {
            return $"{sign}{nanos:0}ns";
        }

        if (nanos < 1_000_000)
        {
            return sign + Number(nanos / 1_000) + "\u00b5s";
        }

        if (nanos < 1_000_000_000)
        {
            return sign + Number(nanos / 1_000_000) + "ms";
        }

        decimal seconds = nanos / 1_000_000_000;
        long minutes = (long)(seconds / 60);
        string text = Number(seconds - (minutes * 60)) + "s";
        if (minutes > 0)
        {
            text = (minutes % 60).ToString(CultureInfo.InvariantCulture) + "m" + text;
            if (minutes >= 60)
            {
                text = (minutes / 60).ToString(CultureInfo.InvariantCulture) + "h" + text;
            }
        }

        return sign + text;
    }

    private static string Number(decimal value) => value.ToString("0.#########", CultureInfo.InvariantCulture);
}
