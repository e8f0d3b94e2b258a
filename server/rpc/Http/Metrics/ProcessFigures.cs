using System.Diagnostics;
using System.Globalization;

namespace Perf.Rpc.Http.Metrics;

/// <summary>What the system says of this process.</summary>
internal readonly record struct ProcessFigures(
    double CpuSeconds,
    long FilesOpen,
    long FilesMax,
    long ResidentBytes,
    long VirtualBytes,
    long VirtualBytesMax,
    double StartedUnixSeconds)
{
    private static readonly double Started = Start();

    public static ProcessFigures Read()
    {
        using var process = Process.GetCurrentProcess();
        return new ProcessFigures(
            process.TotalProcessorTime.TotalSeconds,
            Directory.Exists("/proc/self/fd") ? Directory.GetFileSystemEntries("/proc/self/fd").Length : 0,
            Limit("Max open files"),
            process.WorkingSet64,
            process.VirtualMemorySize64,
            Limit("Max address space"),
            Started);
    }

    private static double Start()
    {
        using var process = Process.GetCurrentProcess();
        return new DateTimeOffset(process.StartTime).ToUnixTimeMilliseconds() / 1000.0;
    }

    /// <summary>A soft limit; -1 where there is none.</summary>
    private static long Limit(string name)
    {
        if (!File.Exists("/proc/self/limits"))
        {
            return -1;
        }

        string? line = File.ReadLines("/proc/self/limits").FirstOrDefault(l => l.StartsWith(name, StringComparison.Ordinal));
        string? soft = line?[name.Length..].Split(' ', StringSplitOptions.RemoveEmptyEntries).FirstOrDefault();
        return long.TryParse(soft, NumberStyles.None, CultureInfo.InvariantCulture, out long limit) ? limit : -1;
    }
}
