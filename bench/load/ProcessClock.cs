using System.ComponentModel;
using System.Runtime.InteropServices;

namespace Perf.Bench.Load;

/// <summary>
/// The processor time of another process, all threads, ended ones too, by its clock (POSIX clock_getcpuclockid): in nanoseconds,
/// where the figures of /proc come in hundredths of a second.
/// </summary>
internal static class ProcessClock
{
    /// <summary>Seconds used so far. Throws when there is no such process.</summary>
    public static double Seconds(int pid)
    {
        int failure = CpuClockOf(pid, out int clock);
        if (failure != 0)
        {
            throw new Win32Exception(failure);
        }

        return ReadClock(clock, out Instant used) == 0
            ? used.Seconds + (used.Nanoseconds / 1e9)
            : throw new Win32Exception(Marshal.GetLastPInvokeError());
    }

    [DllImport("libc", EntryPoint = "clock_getcpuclockid")]
    [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
    private static extern int CpuClockOf(int pid, out int clock);

    [DllImport("libc", EntryPoint = "clock_gettime", SetLastError = true)]
    [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
    private static extern int ReadClock(int clock, out Instant instant);

    private struct Instant
    {
        public long Seconds;
        public long Nanoseconds;
    }
}
