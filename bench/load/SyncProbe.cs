using System.Diagnostics;
using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;

namespace Perf.Bench.Load;

/// <summary>
/// A small file whose blocks are rewritten and synced, as a log with prepared segments does: what the disk asks for by itself. One
/// thread at a time.
/// </summary>
internal sealed class SyncProbe : IDisposable
{
    private const int BlockBytes = 4096;
    private const int Blocks = 256;

    private readonly string _path = Path.GetTempFileName();
    private readonly SafeFileHandle _file;
    private readonly byte[] _block = new byte[BlockBytes];
    private int _next;

    public SyncProbe()
    {
        _file = File.OpenHandle(_path, FileMode.Open, FileAccess.Write);
        RandomAccess.Write(_file, new byte[BlockBytes * Blocks], 0);
        Sync();
    }

    /// <summary>What one fdatasync costs now: below it no write that is alone can be answered. The median in microseconds.</summary>
    public static double MedianMicros(int rounds)
    {
        using var probe = new SyncProbe();
        double[] micros = new double[rounds];
        for (int i = 0; i < rounds; i++)
        {
            micros[i] = probe.Micros();
        }

        Array.Sort(micros);
        return micros[rounds / 2];
    }

    /// <summary>One block and its sync, in microseconds.</summary>
    public double Micros()
    {
        _block[0]++;
        long start = Stopwatch.GetTimestamp();
        RandomAccess.Write(_file, _block, _next++ % Blocks * (long)BlockBytes);
        Sync();
        return Stopwatch.GetElapsedTime(start).TotalMicroseconds;
    }

    public void Dispose()
    {
        _file.Dispose();
        File.Delete(_path);
    }

    private void Sync()
    {
        if (Fdatasync(_file) != 0)
        {
            throw new IOException("fdatasync failed");
        }
    }

    [DllImport("libc", EntryPoint = "fdatasync")]
    [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
    private static extern int Fdatasync(SafeFileHandle file);
}
