using System.Diagnostics;

namespace Perf.Cluster.Tests.Harness;

/// <summary>
/// Watches whether the machine stands still: a thread that wants to run every few milliseconds and notes when it could
/// not. Where it has been kept waiting for long, servers have been too, and an election more is nobody's fault.
/// </summary>
internal sealed class Stalls : IDisposable
{
    private readonly Thread _thread;
    private volatile bool _isOver;
    private long _longestMs;

    public Stalls()
    {
        _thread = new Thread(Run) { IsBackground = true, Name = "stalls" };
        _thread.Start();
    }

    /// <summary>Calls the assertion unless the machine stood still for a good part of an election timeout.</summary>
    public void UnlessStalled(int electionMs, Action assertion)
    {
        if (Volatile.Read(ref _longestMs) < electionMs / 4)
        {
            assertion();
        }
    }

    public void Dispose()
    {
        _isOver = true;
        _thread.Join();
    }

    private void Run()
    {
        var watch = Stopwatch.StartNew();
        for (long before = 0; !_isOver;)
        {
            Thread.Sleep(5);
            long now = watch.ElapsedMilliseconds;
            Volatile.Write(ref _longestMs, Math.Max(_longestMs, now - before));
            before = now;
        }
    }
}
