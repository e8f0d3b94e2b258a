using Perf.Engine.Transactions;

namespace Perf.Engine.Space;

/// <summary>
/// Which commits are being read. A reader publishes its txid in a slot of its own; the committer reads all slots
/// before it reuses pages. Entering and leaving allocate nothing.
/// </summary>
internal sealed class ReaderEpochs
{
    private const int SlotsPerBlock = 128;

    /// <summary>One slot per cache line.</summary>
    private const int Stride = 8;

    private readonly Lock _growing = new();
    private long[][] _blocks = [new long[SlotsPerBlock * Stride]];

    /// <summary>Slots in use.</summary>
    public int Count
    {
        get
        {
            int count = 0;
            foreach (long[] block in Volatile.Read(ref _blocks))
            {
                for (int i = 0; i < block.Length; i += Stride)
                {
                    count += Volatile.Read(ref block[i]) != 0 ? 1 : 0;
                }
            }

            return count;
        }
    }

    /// <summary>
    /// Takes a slot for the newest view. The view is read again after the slot is visible: either the committer,
    /// who publishes first and scans after, sees the slot, or this reader sees the newer view.
    /// </summary>
    public CommitView Enter(ref CommitView newest, out EpochSlot slot)
    {
        CommitView view = Volatile.Read(ref newest);
        slot = Take((long)view.Txid + 1);
        while (true)
        {
            CommitView again = Volatile.Read(ref newest);
            if (ReferenceEquals(again, view))
            {
                return view;
            }

            view = again;
            slot.Set((long)view.Txid + 1);
        }
    }

    /// <summary>The lowest txid being read, or <paramref name="none"/>.</summary>
    public ulong Oldest(ulong none)
    {
        // Pairs with the full fence in Take and Set: the newest view was published before this scan.
        Interlocked.MemoryBarrier();
        ulong oldest = none;
        foreach (long[] block in Volatile.Read(ref _blocks))
        {
            for (int i = 0; i < block.Length; i += Stride)
            {
                long value = Volatile.Read(ref block[i]);
                if (value != 0)
                {
                    oldest = Math.Min(oldest, (ulong)value - 1);
                }
            }
        }

        return oldest;
    }

    private EpochSlot Take(long value)
    {
        while (true)
        {
            long[][] blocks = Volatile.Read(ref _blocks);
            int start = Environment.CurrentManagedThreadId % SlotsPerBlock;
            foreach (long[] block in blocks)
            {
                for (int i = 0; i < SlotsPerBlock; i++)
                {
                    int at = (start + i) % SlotsPerBlock * Stride;
                    if (block[at] == 0 && Interlocked.CompareExchange(ref block[at], value, 0) == 0)
                    {
                        return new EpochSlot(block, at);
                    }
                }
            }

            lock (_growing)
            {
                if (ReferenceEquals(blocks, _blocks))
                {
                    Volatile.Write(ref _blocks, [.. blocks, new long[SlotsPerBlock * Stride]]);
                }
            }
        }
    }
}

/// <summary>One reader's place in <see cref="ReaderEpochs"/>.</summary>
internal struct EpochSlot(long[] block, int at)
{
    private long[]? _block = block;

    public readonly void Set(long value) => Interlocked.Exchange(ref _block![at], value);

    /// <summary>Gives the place back; a second call does nothing.</summary>
    public void Leave()
    {
        if (_block is not null)
        {
            Volatile.Write(ref _block[at], 0);
            _block = null;
        }
    }
}
