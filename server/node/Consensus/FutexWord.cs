using System.ComponentModel;
using System.Runtime.InteropServices;

namespace Perf.Node.Consensus;

/// <summary>A word that threads may sleep on (futex(2)). It stays where it is, in a cache line of its own.</summary>
internal sealed class FutexWord
{
    private const int LineBytes = 64;
    private const int PrivateWait = 128;
    private const int PrivateWake = 129;
    private const int Interrupted = 4;
    private const int WouldBlock = 11;

    private static readonly long FutexCall = RuntimeInformation.ProcessArchitecture == Architecture.Arm64 ? 98 : 202;

    // Pinned, so that the kernel always finds it where it was; a line of room on either side of the word.
    private readonly int[] _room = GC.AllocateArray<int>(2 * LineBytes / sizeof(int), pinned: true);

    public int Value => Volatile.Read(ref Word);

    private ref int Word => ref _room[LineBytes / sizeof(int)];

    /// <summary>Changes the word if it is <paramref name="from"/>; a full fence.</summary>
    public bool TryChange(int from, int to) => Interlocked.CompareExchange(ref Word, to, from) == from;

    /// <summary>Sleeps if the word is <paramref name="value"/>, until woken; may also return for no reason.</summary>
    public void WaitWhile(int value)
    {
        if (syscall(FutexCall, ref Word, PrivateWait, value, 0, 0, 0) < 0
            && Marshal.GetLastPInvokeError() is int error and not (Interrupted or WouldBlock))
        {
            throw new Win32Exception(error);
        }
    }

    /// <summary>Wakes one that sleeps.</summary>
    public void Wake() => _ = syscall(FutexCall, ref Word, PrivateWake, 1, 0, 0, 0);

    [DllImport("libc", SetLastError = true)]
    [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
    private static extern long syscall(long number, ref int word, int operation, int value, nint timeout, nint other, int third);
}
