namespace Perf.Progress;

/// <summary>
/// One line on a person's screen that says how far a long work has come, and goes away at its end. In a pipe or file
/// nothing is written. Compiled into etcdctl and etcdutl.
/// </summary>
/// <param name="write">Writes to the screen at once; null where there is none.</param>
internal sealed class ProgressLine(Action<string>? write) : IDisposable
{
    /// <summary>How often it is worth showing something new.</summary>
    public static readonly TimeSpan Every = TimeSpan.FromMilliseconds(200);

    private const string ClearLine = "\r\x1b[K";
    private long _nextShown = long.MinValue;

    /// <summary>True when there is somebody to show it to.</summary>
    public bool IsShown => write is not null;

    public void Show(string text)
    {
        write?.Invoke(ClearLine + text);
        _nextShown = Environment.TickCount64 + (long)Every.TotalMilliseconds;
    }

    /// <summary>Shows it unless something was shown a moment ago: for work that comes by here at every step.</summary>
    public void ShowNowAndThen<T>(Func<T, string> text, T facts)
    {
        if (IsShown && Environment.TickCount64 >= _nextShown)
        {
            Show(text(facts));
        }
    }

    public void Dispose()
    {
        if (_nextShown != long.MinValue)
        {
            write?.Invoke(ClearLine);
        }
    }
}
