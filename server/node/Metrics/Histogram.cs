using System.Diagnostics;

namespace Perf.Node.Metrics;

/// <summary>
/// How often something took how long, in etcd's buckets: 1 ms times powers of two, fourteen of them (SURFACE ME2-05),
/// and one for what took longer. Any thread, no locks; a reader sees figures that are each current.
/// </summary>
public sealed class Histogram
{
    private readonly long[] _counts = new long[BoundsSeconds.Count + 1];
    private long _ticks;

    /// <summary>Upper bounds of the buckets.</summary>
    public static IReadOnlyList<double> BoundsSeconds { get; } =
        [.. Enumerable.Range(0, 14).Select(k => 0.001 * (1 << k))];

    /// <summary>Seconds in all.</summary>
    public double SumSeconds => Volatile.Read(ref _ticks) / (double)Stopwatch.Frequency;

    /// <summary>Observations in a bucket, those of lower buckets not counted in; the last one has no bound.</summary>
    public long CountIn(int bucket) => Volatile.Read(ref _counts[bucket]);

    /// <summary>Counts what began at that <see cref="Stopwatch"/> timestamp and ends now.</summary>
    public void ObserveSince(long startTimestamp)
    {
        long ticks = Stopwatch.GetTimestamp() - startTimestamp;
        double millis = ticks * 1000.0 / Stopwatch.Frequency;
        int bucket = 0;
        for (double bound = 1; bucket < BoundsSeconds.Count && millis > bound; bound *= 2)
        {
            bucket++;
        }

        Interlocked.Increment(ref _counts[bucket]);
        Interlocked.Add(ref _ticks, ticks);
    }
}
