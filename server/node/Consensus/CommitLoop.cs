using System.Diagnostics;
using Perf.Engine;
using Perf.Node.Metrics;
using Perf.Store.Backend;

namespace Perf.Node.Consensus;

/// <summary>
/// The commit thread's work: merges the frozen memtable into the data file and runs what must happen right after a
/// commit (images, raft snapshots). No request waits for it.
/// </summary>
internal sealed class CommitLoop(BackendStore backend, Signal signal, Signal apply, Action<DiskFullException> diskFull) : ILoop
{
    private List<Action>? _afterCommit;
    private List<Action>? _atRest;
    private bool _waitsForSpace;

    /// <summary>Jobs that want the committer's thread, without a commit of their own.</summary>
    public EventQueue<Action> Jobs { get; } = new(signal, int.MaxValue);

    /// <summary>How long commits took. Any thread.</summary>
    public Histogram CommitTimes { get; } = new();

    /// <summary>
    /// True while a frozen memtable or a look at the file as it is waits for the committer: nothing may be frozen
    /// before that is done. Any thread.
    /// </summary>
#if MUTANTS
    public bool IsBusy => backend.HasFrozen || (!Mutant.Is("15-image-overtaken-by-commit") && Volatile.Read(ref _atRest) is not null);
#else
    public bool IsBusy => backend.HasFrozen || Volatile.Read(ref _atRest) is not null;
#endif

    /// <summary>
    /// Apply thread, between entries: freezes what was applied and has <paramref name="afterCommit"/> run when
    /// exactly that is in the file. False when the committer is still busy with the last one.
    /// </summary>
    public bool TryFreeze(List<Action>? afterCommit)
    {
        if (IsBusy)
        {
            return false;
        }

        // Only the apply thread freezes, so between the look above and the freeze nobody else does.
        Volatile.Write(ref _afterCommit, afterCommit);
        if (backend.TryFreeze())
        {
            signal.Set();
            return true;
        }

        Volatile.Write(ref _afterCommit, null);
        if (afterCommit is not null)
        {
            // Nothing to commit: the file already holds what was applied, and stays so until the committer has looked.
            Interlocked.Exchange(ref _atRest, afterCommit);
            signal.Set();
        }

        return true;
    }

    /// <summary>Try again: space may have come back.</summary>
    public void RetryAfterFull()
    {
        if (Volatile.Read(ref _waitsForSpace))
        {
            Volatile.Write(ref _waitsForSpace, false);
            signal.Set();
        }
    }

    /// <inheritdoc/>
    public bool Turn()
    {
        bool worked = false;
        if (Volatile.Read(ref _atRest) is { } atRest)
        {
            worked = true;
            foreach (Action action in atRest)
            {
                action();
            }

            Interlocked.Exchange(ref _atRest, null);
            apply.Set();
        }

        if (backend.HasFrozen && !_waitsForSpace)
        {
            worked = true;
            List<Action>? after = Volatile.Read(ref _afterCommit);
            try
            {
                long start = Stopwatch.GetTimestamp();
                backend.CommitFrozen();
                CommitTimes.ObserveSince(start);
            }
            catch (DiskFullException e)
            {
                // The memtable stays frozen and the log holds everything: reads go on, writes meet the alarm.
                Volatile.Write(ref _waitsForSpace, true);
                diskFull(e);
                return true;
            }

            foreach (Action action in after ?? [])
            {
                action();
            }

            apply.Set();
        }

        Span<Action> jobs = Jobs.Take();
        foreach (ref Action job in jobs)
        {
            job();
            job = null!;
        }

        return worked || !jobs.IsEmpty;
    }
}
