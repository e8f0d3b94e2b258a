using System.Diagnostics;
using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;

namespace Perf.Bench.Load;

/// <summary>What one fdatasync costs on this disk now: below it no write that is alone can be answered.</summary>
internal static class SyncProbe
{
    private const int BlockBytes = 4096;
    private const int Blocks = 256;

    /// <summary>Rewrites blocks that are there already, as a log with prepared segments does; the median in microseconds.</summary>
    public static double MedianMicros(int rounds)
    {
        string path = Path.GetTempFileName();
        try
        {
            using SafeFileHandle file = File.OpenHandle(path, FileMode.Open, FileAccess.Write);
            RandomAccess.Write(file, new byte[BlockBytes * Blocks], 0);
            Sync(file);
            byte[] block = new byte[BlockBytes];
            double[] micros = new double[rounds];
            for (int i = 0; i < rounds; i++)
            {
                block[0]++;
                long start = Stopwatch.GetTimestamp();
                RandomAccess.Write(file, block, i % Blocks * (long)BlockBytes);
                Sync(file);
                micros[i] = Stopwatch.GetElapsedTime(start).TotalMicroseconds;
            }

            Array.Sort(micros);
            return micros[rounds / 2];
        }
        finally
        {
            File.Delete(path);
        }
    }

    private static void Sync(SafeFileHandle file)
    {
        if (Fdatasync(file) != 0)
        {
            throw new IOException("fdatasync failed");
        }
    }

    [DllImport("libc", EntryPoint = "fdatasync")]
    [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
    private static extern int Fdatasync(SafeFileHandle file);
}
