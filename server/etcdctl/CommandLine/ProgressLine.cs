namespace Perf.Etcdctl.CommandLine;

/// <summary>
/// One line on a person's screen that says how far a long work has come, and goes away at its end. In a pipe or file
/// nothing is written.
/// </summary>
internal sealed class ProgressLine(Terminal terminal) : IDisposable
{
    /// <summary>How often it is worth showing something new.</summary>
    public static readonly TimeSpan Every = TimeSpan.FromMilliseconds(200);

    private const string ClearLine = "\r\x1b[K";
    private bool _written;

    /// <summary>True when there is somebody to show it to.</summary>
    public bool IsShown => terminal.ErrorIsScreen;

    public void Show(string text)
    {
        if (IsShown)
        {
            terminal.Error(ClearLine + text);
            _written = true;
        }
    }

    public void Dispose()
    {
        if (_written)
        {
            terminal.Error(ClearLine);
        }
    }
}
