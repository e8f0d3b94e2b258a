using System.Globalization;
using System.Text;
using Perf.Node.Metrics;

namespace Perf.Rpc.Http.Metrics;

/// <summary>Writes Prometheus' text format, version 0.0.4.</summary>
internal sealed class PrometheusText
{
    private readonly StringBuilder _text = new(64 * 1024);

    /// <summary>Begins a family; its samples follow.</summary>
    public PrometheusText Family(string name, string type, string help)
    {
        _text.Append("# HELP ").Append(name).Append(' ').Append(help).Append('\n');
        _text.Append("# TYPE ").Append(name).Append(' ').Append(type).Append('\n');
        return this;
    }

    /// <summary>A sample; labels as they stand between the braces.</summary>
    public void Sample(string name, double value, string labels = "")
    {
        _text.Append(name);
        if (labels.Length > 0)
        {
            _text.Append('{').Append(labels).Append('}');
        }

        _text.Append(' ').Append(Number(value)).Append('\n');
    }

    public void Counter(string name, string help, double value) => Family(name, "counter", help).Sample(name, value);

    public void Gauge(string name, string help, double value) => Family(name, "gauge", help).Sample(name, value);

    /// <summary>A family with one histogram; null for one that has counted nothing.</summary>
    public void Histogram(string name, string help, Histogram? histogram, double unitsPerSecond = 1) =>
        Family(name, "histogram", help).Histogram(name, histogram, "", unitsPerSecond);

    /// <summary>One histogram of a family; labels as they stand between the braces.</summary>
    public void Histogram(string name, Histogram? histogram, string labels, double unitsPerSecond = 1)
    {
        IReadOnlyList<double> bounds = histogram?.BoundsSeconds ?? Node.Metrics.Histogram.DiskBounds;
        string more = labels.Length == 0 ? "" : labels + ",";
        long count = 0;
        for (int bucket = 0; bucket < bounds.Count; bucket++)
        {
            count += histogram?.CountIn(bucket) ?? 0;
            Sample(name + "_bucket", count, $"{more}le=\"{Number(bounds[bucket] * unitsPerSecond)}\"");
        }

        count += histogram?.CountIn(bounds.Count) ?? 0;
        Sample(name + "_bucket", count, more + "le=\"+Inf\"");
        Sample(name + "_sum", (histogram?.SumSeconds ?? 0) * unitsPerSecond, labels);
        Sample(name + "_count", count, labels);
    }

    /// <summary>The value of a label, quoted.</summary>
    public static string Quote(string value) =>
        "\"" + value.Replace("\\", "\\\\").Replace("\"", "\\\"").Replace("\n", "\\n") + "\"";

    public override string ToString() => _text.ToString();

    private static string Number(double value) => value.ToString("R", CultureInfo.InvariantCulture);
}
