using System.Diagnostics;
using Perf.Engine.Wal;
using Perf.Node.Metrics;
using Perf.Raft;

namespace Perf.Node.Consensus;

/// <summary>What the wal thread is asked to do, in order.</summary>
internal enum WalWorkKind : byte
{
    Entry,
    HardState,
    EndOfBatch,
    Snapshot,
    Flush,
}

/// <summary>One piece of work for the wal thread.</summary>
internal struct WalWork
{
    public WalWorkKind Kind;
    public bool MustSync;
    public Entry Entry;
    public HardState HardState;
    public ulong Batch;
    public WalSnapshot Snapshot;
    public Action? Done;

    /// <summary>Runs on the wal thread before the record is written: what must be durable earlier.</summary>
    public Action? Before;
}

/// <summary>
/// Group commit without timers: takes everything that has queued while the last sync ran, writes it in one go, syncs
/// once, and tells the core. A failed write or sync leaves this loop as an exception and ends the process (I10).
/// </summary>
internal sealed class WalLoop(WalLog wal, Signal signal, Action<ulong> durable, Action prepareNextSegment) : ILoop
{
    private readonly List<Action> _done = [];
    private long _busySince;
    private long _written;
    private bool _holdsSome;

    /// <summary>Bounded by what the core lets run ahead; acknowledged work is never refused.</summary>
    public EventQueue<WalWork> Queue { get; } = new(signal, int.MaxValue);

    /// <summary>Syncs done since the start.</summary>
    public long Syncs { get; private set; }

    /// <summary>Since when (Environment.TickCount64) the thread is at its present work; 0: idle. Any thread.</summary>
    public long BusySince => Volatile.Read(ref _busySince);

    /// <summary>How long they took. Any thread.</summary>
    public Histogram SyncTimes { get; } = new();

    /// <summary>Bytes of entries written so far. Any thread.</summary>
    public long WrittenBytes => Volatile.Read(ref _written);

    /// <summary>
    /// A hard state alone, which nobody waits for, is not written at once but with the next entries, or when <see cref="FlushSoon"/>
    /// asks for it. For a lone voter, whose entries are committed by being in its log. Any thread.
    /// </summary>
    public bool HoldsHardStates { get; set; }

    /// <summary>Has written what was held back. Any thread.</summary>
    public void FlushSoon()
    {
        if (Volatile.Read(ref _holdsSome))
        {
            Queue.Add(new WalWork { Kind = WalWorkKind.Flush });
        }
    }

    /// <inheritdoc/>
    public bool Turn()
    {
        Span<WalWork> items = Queue.Take();
        if (items.IsEmpty)
        {
            return false;
        }

        Volatile.Write(ref _busySince, Environment.TickCount64);
        Write(items);
        Volatile.Write(ref _busySince, 0);
        return true;
    }

    private void Write(Span<WalWork> items)
    {
        bool sync = false;
        bool flush = !HoldsHardStates;
        ulong batch = 0;
        foreach (ref WalWork item in items)
        {
            item.Before?.Invoke();
            switch (item.Kind)
            {
                case WalWorkKind.Entry:
                    wal.AppendEntry(item.Entry.Index, item.Entry.Encoded.Span);
                    Volatile.Write(ref _written, _written + item.Entry.Encoded.Length);
                    break;
                case WalWorkKind.HardState:
                    wal.AppendHardState(item.HardState.Term, item.HardState.Vote, item.HardState.Commit);
                    break;
                case WalWorkKind.Snapshot:
                    wal.AppendSnapshot(item.Snapshot);
                    sync = true;
                    break;
                case WalWorkKind.Flush:
                    flush = true;
                    break;
                default:
                    batch = item.Batch;
                    sync |= item.MustSync;
                    break;
            }

            if (item.Done is not null)
            {
                _done.Add(item.Done);
            }
        }

#if MUTANTS
        sync &= !Mutant.Is("02-answer-before-sync");
#endif
        if (sync)
        {
            long start = Stopwatch.GetTimestamp();
            wal.Sync();
            SyncTimes.ObserveSince(start);
            Syncs++;
        }
        else if (flush)
        {
            wal.Flush();
        }

        Volatile.Write(ref _holdsSome, !sync && !flush);
        if (batch != 0)
        {
            durable(batch);
        }

        foreach (ref WalWork item in items)
        {
            item.Entry.Lease?.Release();
            item = default;
        }

        foreach (Action done in _done)
        {
            done();
        }

        _done.Clear();
        if (wal.CutDue)
        {
            wal.Cut();
        }

        if (wal.NextSegmentDue)
        {
            prepareNextSegment();
        }
    }
}
