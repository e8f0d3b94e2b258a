using System.Globalization;

namespace Perf.Etcdctl.Text;

/// <summary>Byte counts as etcdctl shows them: powers of 1000, one decimal below ten.</summary>
internal static class Humanize
{
    private static readonly string[] Suffixes = ["B", "kB", "MB", "GB", "TB", "PB", "EB"];

    /// <summary>24576 gives "25 kB", 1500000 "1.5 MB".</summary>
    public static string Bytes(ulong bytes)
    {
        if (bytes < 10)
        {
            return $"{bytes} B";
        }

        int power = (int)Math.Floor(Math.Log(bytes) / Math.Log(1000));
        double value = Math.Floor((bytes / Math.Pow(1000, power) * 10) + 0.5) / 10;

        // Go's %.0f rounds a half to the even neighbour: 20480 bytes are "20 kB".
        string text = value < 10
            ? value.ToString("0.0", CultureInfo.InvariantCulture)
            : Math.Round(value, MidpointRounding.ToEven).ToString("0", CultureInfo.InvariantCulture);
        return text + " " + Suffixes[power];
    }
}
