using System.Runtime.InteropServices;
using Perf.Engine;

namespace Perf.Store.Backend;

/// <summary>
/// Tells a writer when every reader that might have seen something has left. A reader takes a slot before it loads
/// any shared reference and gives it back when it is done; a writer unlinks first, then takes a tag with
/// <see cref="Retire"/>, and may reuse what it unlinked once <see cref="OldestReader"/> is above the tag.
/// <para>
/// Why it holds: taking a slot is a full fence (compare-exchange), and so is Retire. If the writer's scan misses a
/// reader, that reader's exchange came after the scan, hence its loads come after the unlinking. If the scan finds
/// it, the epoch in the slot is at most the tag, and the writer waits.
/// </para>
/// </summary>
public sealed class ReaderEpochs
{
    private const int SlotCount = 256;

    private readonly Slot[] _slots = new Slot[SlotCount];
    private long _epoch = 1;

    /// <summary>Begins a read; returns the slot for <see cref="Leave"/>. Spins when 256 readers are inside.</summary>
    public int Enter()
    {
        var spin = default(SpinWait);
        int start = Environment.CurrentManagedThreadId * 7;
        while (true)
        {
            for (int i = 0; i < SlotCount; i++)
            {
                int slot = (start + i) & (SlotCount - 1);
                ref long value = ref _slots[slot].Epoch;
                if (Volatile.Read(ref value) == 0
                    && Interlocked.CompareExchange(ref value, Volatile.Read(ref _epoch), 0) == 0)
                {
                    return slot;
                }
            }
            spin.SpinOnce();
        }
    }

    /// <summary>Ends a read.</summary>
    public void Leave(int slot)
    {
        Check.That(_slots[slot].Epoch != 0);
        Volatile.Write(ref _slots[slot].Epoch, 0);
    }

    /// <summary>A tag for what has just been unlinked.</summary>
    public long Retire() => Interlocked.Increment(ref _epoch) - 1;

    /// <summary>
    /// Epoch of the oldest reader, or the largest number when there is none. What was retired with a lower tag can
    /// be reused.
    /// </summary>
    public long OldestReader()
    {
        long oldest = long.MaxValue;
        for (int i = 0; i < SlotCount; i++)
        {
            long value = Volatile.Read(ref _slots[i].Epoch);
            if (value != 0 && value < oldest)
            {
                oldest = value;
            }
        }
        return oldest;
    }

    /// <summary>One line of cache each, two for the prefetcher's sake.</summary>
    [StructLayout(LayoutKind.Explicit, Size = 128)]
    private struct Slot
    {
        [FieldOffset(0)]
        public long Epoch;
    }
}
