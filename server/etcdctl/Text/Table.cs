using System.Text;

namespace Perf.Etcdctl.Text;

/// <summary>
/// Tables as etcdctl draws them: a header in capitals, centred; cells to the right; cells wider than 30 columns are
/// wrapped at blanks with as little raggedness as possible.
/// </summary>
internal static class Table
{
    private const int WrapAt = 30;
    private const double TooLongPenalty = 1e5;

    public static string Render(IReadOnlyList<string> header, IReadOnlyList<IReadOnlyList<string>> rows)
    {
        string[][] head = header.Select(h => Wrap(h.Replace('_', ' ').ToUpperInvariant())).ToArray();
        string[][][] body = rows.Select(r => r.Select(Wrap).ToArray()).ToArray();
        int[] widths = head.Select((h, i) => Math.Max(
            h.Max(Width), body.Select(r => r[i].Max(Width)).DefaultIfEmpty(0).Max())).ToArray();
        string rule = "+" + string.Concat(widths.Select(w => new string('-', w + 2) + "+")) + "\n";
        var text = new StringBuilder(rule);
        AppendRow(text, head, widths, Centred);
        text.Append(rule);
        foreach (string[][] row in body)
        {
            AppendRow(text, row, widths, ToTheRight);
        }

        return text.Append(rule).ToString();
    }

    private static void AppendRow(
        StringBuilder text, string[][] cells, int[] widths, Func<string, int, string> align)
    {
        int height = cells.Max(c => c.Length);
        for (int line = 0; line < height; line++)
        {
            text.Append('|');
            for (int i = 0; i < cells.Length; i++)
            {
                string part = line < cells[i].Length ? cells[i][line] : "";
                text.Append(' ').Append(align(part, widths[i])).Append(" |");
            }

            text.Append('\n');
        }
    }

    private static string Centred(string text, int width)
    {
        int gap = Math.Max(0, width - Width(text));
        return new string(' ', gap / 2) + text + new string(' ', gap - (gap / 2));
    }

    private static string ToTheRight(string text, int width) =>
        new string(' ', Math.Max(0, width - Width(text))) + text;

    private static int Width(string text) => text.EnumerateRunes().Sum(r => IsWide(r.Value) ? 2 : 1);

    // East Asian wide and fullwidth blocks, roughly as terminals treat them.
    private static bool IsWide(int rune) =>
        rune is (>= 0x1100 and <= 0x115f) or (>= 0x2e80 and <= 0xa4cf) or (>= 0xac00 and <= 0xd7a3)
            or (>= 0xf900 and <= 0xfaff) or (>= 0xfe30 and <= 0xfe6f) or (>= 0xff00 and <= 0xff60)
            or (>= 0xffe0 and <= 0xffe6) or (>= 0x1f300 and <= 0x1faff) or (>= 0x20000 and <= 0x3fffd);

    private static string[] Wrap(string text)
    {
        string[] words = text.Replace('\n', ' ').Split(' ');
        int limit = Math.Min(WrapAt, Width(text));
        limit = Math.Max(limit, words.Max(Width));
        int count = words.Length;
        var cost = new double[count];
        var next = new int[count];
        for (int i = count - 1; i >= 0; i--)
        {
            if (Width(string.Join(' ', words[i..])) <= limit || i == count - 1)
            {
                next[i] = count;
                continue;
            }

            cost[i] = double.MaxValue;
            for (int j = i + 1; j < count; j++)
            {
                int length = Width(string.Join(' ', words[i..j]));
                double slack = limit - length;
                double all = (slack * slack) + cost[j] + (length > limit ? TooLongPenalty : 0);
                if (all < cost[i])
                {
                    cost[i] = all;
                    next[i] = j;
                }
            }
        }

        var lines = new List<string>();
        for (int i = 0; i < count; i = next[i])
        {
            lines.Add(string.Join(' ', words[i..next[i]]));
        }

        return [.. lines];
    }
}
