using System.Globalization;
using Perf.Engine.Memory;

namespace Perf.Etcd;

/// <summary>
/// Looks for the runtime's thread that compiles methods anew and has it stand back for requests: it comes and goes, and what
/// it does may wait, but on few processors a burst of it keeps requests waiting for tens of milliseconds.
/// </summary>
internal sealed class BackgroundThreads : IDisposable
{
    /// <summary>Such a thread ends when it had nothing to do for four seconds.</summary>
    private const int LookMs = 250;

    private const int Nice = 10;

    /// <summary>As the kernel shows it, which keeps 15 bytes.</summary>
    private const string Compiler = ".NET Tiered Com";

    private readonly Timer _timer;
    private HashSet<int> _known = [];

    public BackgroundThreads() => _timer = new Timer(_ => Look(), null, LookMs, LookMs);

    public void Dispose() => _timer.Dispose();

    private void Look()
    {
        try
        {
            var present = new HashSet<int>();
            foreach (string path in Directory.EnumerateDirectories("/proc/self/task"))
            {
                int thread = int.Parse(Path.GetFileName(path.AsSpan()), CultureInfo.InvariantCulture);
                present.Add(thread);
                if (!_known.Contains(thread) && IsCompiler(path))
                {
                    Niceness.Set(thread, Nice);
                }
            }

            _known = present;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            // No /proc here: it goes on as it is.
        }
    }

    private static bool IsCompiler(string path)
    {
        try
        {
            return File.ReadAllText(Path.Combine(path, "comm")).StartsWith(Compiler, StringComparison.Ordinal);
        }
        catch (IOException)
        {
            // It has ended meanwhile.
            return false;
        }
    }
}
