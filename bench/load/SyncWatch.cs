namespace Perf.Bench.Load;

/// <summary>
/// Syncs a small file of its own every five milliseconds, beside a load, until it is disposed. A server cannot answer a write sooner
/// than its disk; this says how long the disk let anybody wait.
/// </summary>
internal sealed class SyncWatch : IDisposable
{
    private static readonly TimeSpan Rest = TimeSpan.FromMilliseconds(5);

    private readonly ManualResetEventSlim _ends = new();
    private readonly Thread _thread;
    private double _longestMicros;

    public SyncWatch()
    {
        _thread = new Thread(Watch) { IsBackground = true, Name = "sync watch" };
        _thread.Start();
    }

    /// <summary>The longest sync until now.</summary>
    public double LongestMillis => Volatile.Read(ref _longestMicros) / 1000;

    public void Dispose()
    {
        _ends.Set();
        _thread.Join();
        _ends.Dispose();
    }

    private void Watch()
    {
        using var probe = new SyncProbe();
        while (!_ends.Wait(Rest))
        {
            Volatile.Write(ref _longestMicros, Math.Max(_longestMicros, probe.Micros()));
        }
    }
}
