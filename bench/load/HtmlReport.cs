using System.Globalization;
using System.Net;
using System.Text;

namespace Perf.Bench.Load;

/// <summary>One self-contained page: a table, a bar and a latency curve for each scenario, and the raw histograms.</summary>
internal static class HtmlReport
{
    private const int Width = 640;
    private const int Height = 180;
    private static readonly string[] Colors = ["#1f6feb", "#d29922"];

    public static void Write(string path, string headline, List<Result> results, List<Gates.Gate> gates)
    {
        var page = new StringBuilder();
        page.Append("<!doctype html><meta charset=utf-8><title>Perf bench</title><style>body{font:15px sans-serif;margin:2em;max-width:60em}"
            + "table{border-collapse:collapse}td,th{padding:.2em .8em;text-align:right}td:first-child{text-align:left}</style>");
        Add($"<h1>{WebUtility.HtmlEncode(headline)}</h1>");
        page.Append("<table><tr><th>scenario<th>server<th>figure<th>p50 ms<th>p99 ms<th>p99.9 ms<th>max ms<th>server CPU us each<th>PSS MiB after</tr>");
        foreach (Result r in results)
        {
            Add($"<tr><td>{r.What}<td>{r.Server}<td>{Program.Figure(r)}");
            if (r.Latency.Count > 0)
            {
                Add($"<td>{r.Latency.Percentile(0.5) / 1000.0:0.00}<td>{r.P99Millis:0.00}<td>{r.Latency.Percentile(0.999) / 1000.0:0.00}<td>{r.MaxMillis:0.0}<td>{r.CpuMicros:0.00}<td>{r.PssMiB:0}");
            }

            page.Append("</tr>");
        }

        page.Append("</table>");
        if (gates.Count > 0)
        {
            page.Append("<h2>Gates</h2><table><tr><th>gate<th>figure<th>bound<th>holds</tr>");
            foreach (Gates.Gate gate in gates)
            {
                Add($"<tr><td>{gate.What}<td>{gate.Value:0.##}<td>{WebUtility.HtmlEncode(gate.Bound)}<td>{(gate.Holds ? "yes" : "no")}</tr>");
            }

            page.Append("</table>");
        }

        foreach (IGrouping<string, Result> scenario in results.Where(r => r.Latency.Count > 0).GroupBy(r => r.Scenario))
        {
            Add($"<h2>{WebUtility.HtmlEncode(scenario.First().What)}</h2><p>latency by percentile, log scale</p>");
            Curve([.. scenario]);
        }

        page.Append("<h2>Raw histograms</h2><script type=application/json id=raw>[");
        page.AppendJoin(',', results.Where(r => r.Latency.Count > 0).Select(r => string.Create(
            CultureInfo.InvariantCulture,
            $"{{\"scenario\":\"{r.Scenario}\",\"server\":\"{r.Server}\",\"micros\":[{string.Join(',', r.Latency.Buckets().Select(b => $"[{b.Micros},{b.Count}]"))}]}}")));
        page.Append("]</script><p>In the element <code>raw</code> of this page: lower bound in microseconds and count.</p>");
        File.WriteAllText(path, page.ToString());

        void Add(FormattableString text) => page.Append(text.ToString(CultureInfo.InvariantCulture));

        void Curve(Result[] of)
        {
            double top = Math.Log10(Math.Max(10, of.Max(r => r.Latency.Percentile(0.9999))));
            Add($"<svg width={Width} height={Height} viewBox='0 0 {Width} {Height}' style='background:#f6f8fa'>");
            for (int s = 0; s < of.Length; s++)
            {
                page.Append("<polyline fill=none stroke-width=2 stroke='").Append(Colors[s % Colors.Length]).Append("' points='");
                for (int x = 0; x <= 100; x++)
                {
                    double share = 1 - Math.Pow(10, -x / 25.0);
                    double y = Math.Log10(Math.Max(1, of[s].Latency.Percentile(Math.Max(share, 0.0001)))) / top;
                    Add($"{x * Width / 100.0:0.#},{Height - (y * (Height - 20)):0.#} ");
                }

                Add($"'/><text x=8 y={18 + (s * 18)} fill='{Colors[s % Colors.Length]}'>{of[s].Server}: {Program.Figure(of[s])}</text>");
            }

            page.Append("</svg>");
        }
    }
}
