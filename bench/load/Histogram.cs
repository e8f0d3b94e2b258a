using System.Diagnostics;
using System.Numerics;

namespace Perf.Bench.Load;

/// <summary>Latencies in microseconds, 32 buckets to each power of two: under 3 % error, no allocation to record.</summary>
internal sealed class Histogram
{
    private const int SubBits = 5;
    private readonly long[] _counts = new long[64 << SubBits];

    public long Count { get; private set; }

    public void Record(long stopwatchTicks)
    {
        long micros = Math.Max(1, stopwatchTicks * 1_000_000 / Stopwatch.Frequency);
        _counts[Index(micros)]++;
        Count++;
    }

    public void Add(Histogram other)
    {
        for (int i = 0; i < _counts.Length; i++)
        {
            _counts[i] += other._counts[i];
        }

        Count += other.Count;
    }

    /// <summary>The value below which this share of the records lies, in microseconds.</summary>
    public long Percentile(double share)
    {
        long wanted = (long)Math.Ceiling(Count * share);
        long seen = 0;
        for (int i = 0; i < _counts.Length; i++)
        {
            seen += _counts[i];
            if (seen >= wanted && _counts[i] > 0)
            {
                return Value(i);
            }
        }

        return 0;
    }

    /// <summary>All filled buckets: lower bound in microseconds and count, for the report.</summary>
    public IEnumerable<(long Micros, long Count)> Buckets() =>
        _counts.Select((count, i) => (Value(i), count)).Where(b => b.count > 0);

    private static int Index(long value)
    {
        int log = BitOperations.Log2((ulong)value);
        return log <= SubBits
            ? (int)value
            : ((log - SubBits) << SubBits) + (int)(value >> (log - SubBits));
    }

    private static long Value(int index)
    {
        int block = index >> SubBits;
        return block <= 1 ? index : (long)((index & ((1 << SubBits) - 1)) + (1 << SubBits)) << (block - 1);
    }
}
