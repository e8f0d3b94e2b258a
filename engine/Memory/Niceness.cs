namespace Perf.Engine.Memory;

/// <summary>The kernel's word for how little a thread minds waiting. The runtime's thread priorities do nothing on Linux.</summary>
public static class Niceness
{
    /// <summary>
    /// Has a thread of this process, by the kernel's number, stand back for others: 0 is usual, 19 the most. Best effort: it may
    /// have ended, and what was lowered may not be raised again.
    /// </summary>
    public static void Set(int thread, int nice) =>
        _ = NativeMethods.SetPriority(NativeMethods.PriorityOfThread, (uint)thread, nice);
}
