using System.Globalization;
using Perf.Etcdutl.CommandLine;

namespace Perf.Etcdutl.Commands;

/// <summary>One value of a report: its column in a table, its names in fields and json.</summary>
internal readonly record struct ReportField(string Column, string Field, string Json, long Value, string Shown);

/// <summary>A row of numbers in the format of --write-out.</summary>
internal static class Report
{
    public static void Print(Invocation run, params ReportField[] fields)
    {
        string format = run["write-out"].Text;
        switch (format)
        {
            case "simple":
                run.Output.Write(string.Join(", ", fields.Select(f => f.Shown)) + "\n");
                break;
            case "json":
                run.Output.Write("{" + string.Join(',', fields.Select(f => $"\"{f.Json}\":{Text(f)}")) + "}\n");
                break;
            case "fields":
                run.Output.Write(string.Concat(fields.Select(f => $"\"{f.Field}\" : {Text(f)}\n")));
                break;
            case "table":
                run.Output.Write(Table(fields));
                break;
            case "protobuf":
                throw new ExitException(ExitCode.BadFeature, "protobuf not supported as output format");
            default:
                throw new ExitException(ExitCode.BadFeature, "unsupported output format");
        }
    }

    /// <summary>24576 gives "25 kB", 1500000 "1.5 MB".</summary>
    public static string Bytes(long bytes)
    {
        string[] suffixes = ["B", "kB", "MB", "GB", "TB", "PB", "EB"];
        if (bytes < 10)
        {
            return $"{bytes} B";
        }

        int power = (int)Math.Floor(Math.Log(bytes) / Math.Log(1000));
        double value = Math.Floor((bytes / Math.Pow(1000, power) * 10) + 0.5) / 10;
        string text = value < 10
            ? value.ToString("0.0", CultureInfo.InvariantCulture)
            : Math.Round(value, MidpointRounding.ToEven).ToString("0", CultureInfo.InvariantCulture);
        return text + " " + suffixes[power];
    }

    private static string Text(ReportField field) => field.Value.ToString(CultureInfo.InvariantCulture);

    private static string Table(ReportField[] fields)
    {
        int[] widths = [.. fields.Select(f => Math.Max(f.Column.Length, f.Shown.Length))];
        string rule = "+" + string.Concat(widths.Select(w => new string('-', w + 2) + "+")) + "\n";
        string head = "|" + string.Concat(fields.Select((f, i) => $" {Centred(f.Column.ToUpperInvariant(), widths[i])} |")) + "\n";
        string row = "|" + string.Concat(fields.Select((f, i) => $" {f.Shown.PadLeft(widths[i])} |")) + "\n";
        return rule + head + rule + row + rule;
    }

    private static string Centred(string text, int width)
    {
        int left = (width - text.Length) / 2;
        return new string(' ', left) + text + new string(' ', width - text.Length - left);
    }
}
