using System.Diagnostics;

namespace Perf.Node.Metrics;

/// <summary>
/// How often something took how long, in buckets with upper bounds, and one for what took longer. Any thread, no locks;
/// a reader sees figures that are each current.
/// </summary>
public sealed class Histogram(IReadOnlyList<double> boundsSeconds)
{
    private readonly long[] _counts = new long[boundsSeconds.Count + 1];
    private readonly double[] _bounds = [.. boundsSeconds];
    private long _ticks;

    /// <summary>In the buckets of etcd's disk latencies.</summary>
    public Histogram()
        : this(DiskBounds)
    {
    }

    /// <summary>1 ms times powers of two, fourteen of them: dashboards rely on these (SURFACE ME2-05).</summary>
    public static IReadOnlyList<double> DiskBounds { get; } = Powers(0.001, 14);

    /// <summary>Upper bounds of the buckets, in seconds.</summary>
    public IReadOnlyList<double> BoundsSeconds => _bounds;

    /// <summary>Seconds in all.</summary>
    public double SumSeconds => Volatile.Read(ref _ticks) / (double)Stopwatch.Frequency;

    /// <summary>Bounds that double from one to the next.</summary>
    public static IReadOnlyList<double> Powers(double first, int count) =>
        [.. Enumerable.Range(0, count).Select(k => first * (1L << k))];

    /// <summary>Observations in a bucket, those of lower buckets not counted in; the last one has no bound.</summary>
    public long CountIn(int bucket) => Volatile.Read(ref _counts[bucket]);

    /// <summary>Counts what began at that <see cref="Stopwatch"/> timestamp and ends now.</summary>
    public void ObserveSince(long startTimestamp) => Observe(Stopwatch.GetTimestamp() - startTimestamp);

    /// <summary>Counts what took so many ticks of <see cref="Stopwatch"/>.</summary>
    public void Observe(long ticks)
    {
        double seconds = ticks / (double)Stopwatch.Frequency;
        int bucket = 0;
        while (bucket < _bounds.Length && seconds > _bounds[bucket])
        {
            bucket++;
        }

        Interlocked.Increment(ref _counts[bucket]);
        Interlocked.Add(ref _ticks, ticks);
    }
}
