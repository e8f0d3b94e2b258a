using System.Text;

namespace Perf.Etcdctl.Text;

/// <summary>
/// Aligns tab-separated cells as Go's text/tabwriter does with a tab width of 8 and tabs as padding. A cell counts as
/// part of a column only when a tab ends it; a column is a run of lines that all have such a cell there.
/// </summary>
internal sealed class TabWriter
{
    private const int TabWidth = 8;
    private const int Padding = 1;

    private readonly string[][] _lines;
    private readonly StringBuilder _result = new();
    private readonly List<int> _widths = [];

    private TabWriter(string text) => _lines = text.Split('\n').Select(l => l.Split('\t')).ToArray();

    public static string Align(string text)
    {
        var writer = new TabWriter(text);
        writer.Format(0, writer._lines.Length);
        return writer._result.ToString();
    }

    private void Format(int from, int to)
    {
        int column = _widths.Count;
        for (int line = from; line < to; line++)
        {
            if (column >= _lines[line].Length - 1)
            {
                continue;
            }

            Write(from, line);
            from = line;
            int width = 0;
            for (; line < to && column < _lines[line].Length - 1; line++)
            {
                width = Math.Max(width, _lines[line][column].Length + Padding);
            }

            _widths.Add(width);
            Format(from, line);
            _widths.RemoveAt(_widths.Count - 1);
            from = line;
        }

        Write(from, to);
    }

    private void Write(int from, int to)
    {
        for (int line = from; line < to; line++)
        {
            string[] cells = _lines[line];
            for (int at = 0; at < cells.Length; at++)
            {
                _result.Append(cells[at]);
                if (at < _widths.Count && at < cells.Length - 1)
                {
                    int width = (_widths[at] + TabWidth - 1) / TabWidth * TabWidth;
                    _result.Append('\t', (width - cells[at].Length + TabWidth - 1) / TabWidth);
                }
            }

            if (line + 1 < _lines.Length)
            {
                _result.Append('\n');
            }
        }
    }
}
