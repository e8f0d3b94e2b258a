using System.Runtime.CompilerServices;

namespace Perf.Simulation;

/// <summary>Everything that happened, as one number; as lines too when somebody wants to read them.</summary>
internal sealed class Chronicle(VirtualTime time, bool isTracing)
{
    private const int LinesKept = 400;
    private readonly Queue<string> _lines = new();

    /// <summary>Called with each line; null: the last ones are kept.</summary>
    public Action<string>? Output { get; set; }

    public ulong Hash { get; private set; } = 14695981039346656037;

    public IEnumerable<string> Tail => _lines;

    public void Note(int kind, ulong a, ulong b)
    {
        Mix((ulong)time.Now);
        Mix((ulong)kind);
        Mix(a);
        Mix(b);
    }

    public void Line([InterpolatedStringHandlerArgument("")] ref TraceText text)
    {
        if (!isTracing)
        {
            return;
        }

        string line = $"{time.Now / 1e6,12:F6} {text.Text}";
        if (Output is not null)
        {
            Output(line);
            return;
        }

        _lines.Enqueue(line);
        if (_lines.Count > LinesKept)
        {
            _lines.Dequeue();
        }
    }

    private void Mix(ulong value)
    {
        Hash = (Hash ^ value) * 1099511628211;
        Hash ^= Hash >> 29;
    }

    /// <summary>Text that is only put together when it is read.</summary>
    [InterpolatedStringHandler]
    internal ref struct TraceText
    {
        private DefaultInterpolatedStringHandler _text;

        public TraceText(int literalLength, int formattedCount, Chronicle chronicle, out bool isWanted)
        {
            isWanted = chronicle.IsTracing;
            _text = isWanted ? new DefaultInterpolatedStringHandler(literalLength, formattedCount) : default;
        }

        public string Text => _text.ToStringAndClear();

        public void AppendLiteral(string text) => _text.AppendLiteral(text);

        public void AppendFormatted<T>(T value) => _text.AppendFormatted(value);

        public void AppendFormatted<T>(T value, string format) => _text.AppendFormatted(value, format);
    }

    private bool IsTracing => isTracing;
}
