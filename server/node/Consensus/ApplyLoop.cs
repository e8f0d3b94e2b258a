using System.Diagnostics;
using Perf.Node.Metrics;
using Perf.Raft;
using Perf.Store;
using Perf.Store.Apply;

namespace Perf.Node.Consensus;

/// <summary>What is handed to the apply thread.</summary>
internal enum ApplyWorkKind : byte
{
    Entry,
    Control,
}

/// <summary>One piece of work for the apply thread, in log order.</summary>
internal struct ApplyWork
{
    public ApplyWorkKind Kind;
    public Entry Entry;
    public Action? Control;
}

/// <summary>What the apply loop tells the rest of the member.</summary>
internal interface IApplyOutputs
{
    /// <summary>An entry was applied; called before publication, for what is not an ordinary write.</summary>
    void Applied(in Entry entry, in ApplyOutcome outcome);

    /// <summary>Everything up to this index is visible to readers.</summary>
    void Published(ulong index);

    /// <summary>Applying the entry took longer than is to be expected.</summary>
    void Slow(in Entry entry, in ApplyOutcome outcome, TimeSpan took)
    {
    }

    /// <summary>Between entries, after publication: freeze if due.</summary>
    void AtBoundary(ulong index, ulong term);
}

/// <summary>
/// The apply thread's work: executes committed entries in order on the state machine, publishes once a batch (a long
/// one slice by slice), then lets the waiting requests go (I7).
/// </summary>
internal sealed class ApplyLoop(
    StateMachine machine, PendingTable pending, IApplyOutputs outputs, Signal signal, IWorkPool pool) : ILoop
{
    /// <summary>
    /// Entries applied before what they changed is published. Behind a pause of the process thousands wait: the first
    /// of them need not wait for the last, and another processor sends answers while this thread goes on.
    /// </summary>
    internal const int SliceMax = 1024;

    private readonly Completions _completions = new(pool);
    private readonly List<PendingRequest> _finished = [];
    private ApplyWork[] _scratch = new ApplyWork[256];
    private ulong _applied;
    private ulong _term;

    /// <summary>Committed entries and controls. The core bounds what it hands out.</summary>
    public EventQueue<ApplyWork> Queue { get; } = new(signal, int.MaxValue);

    /// <summary>How long entries took. Any thread.</summary>
    public ApplyTimes Times { get; } = new();

    /// <summary>Entries that take longer than so many ticks of <see cref="Stopwatch"/> are told of.</summary>
    public long SlowTicks { get; init; } = long.MaxValue;

    /// <summary>Index of the last published entry. Any thread.</summary>
    public ulong AppliedIndex => Volatile.Read(ref _applied);

    /// <summary>Put around each batch of askers' continuations.</summary>
    public ICompletionScope? CompletionScope
    {
        get => _completions.Scope;
        set => _completions.Scope = value;
    }

    /// <summary>The request whose own thread turns this loop now; null as a rule. See <see cref="Shortcut"/>.</summary>
    public PendingRequest? Bringer { get; set; }

    /// <summary>Term of the last applied entry. Apply thread.</summary>
    public ulong AppliedTerm => _term;

    /// <summary>At start and after a snapshot install: what the state machine holds.</summary>
    public void StartAt(ulong index, ulong term)
    {
        Volatile.Write(ref _applied, index);
        _term = term;
    }

    /// <summary>Queues committed entries, whose leases the caller has retained for this loop. Core thread.</summary>
    public void AddCommitted(ReadOnlySpan<Entry> entries)
    {
        if (_scratch.Length < entries.Length)
        {
            _scratch = new ApplyWork[Math.Max(entries.Length, _scratch.Length * 2)];
        }

        for (int i = 0; i < entries.Length; i++)
        {
            _scratch[i] = new ApplyWork { Kind = ApplyWorkKind.Entry, Entry = entries[i] };
        }

        Queue.AddRange(_scratch.AsSpan(0, entries.Length));
        Array.Clear(_scratch, 0, entries.Length);
    }

    /// <inheritdoc/>
    public bool Turn()
    {
        Span<ApplyWork> items = Queue.Take();
        if (items.IsEmpty)
        {
            outputs.AtBoundary(_applied, _term);
            return false;
        }

        ulong last = 0;
        long at = Stopwatch.GetTimestamp();
        foreach (ref ApplyWork item in items)
        {
            if (item.Kind == ApplyWorkKind.Control)
            {
                if (last != 0)
                {
                    Publish(last);
                    last = 0;
                }

                item.Control!();
                at = Stopwatch.GetTimestamp();
            }
            else
            {
                ApplyOutcome outcome = Apply(item.Entry, out int field);
                long now = Stopwatch.GetTimestamp();
                Times.Observe(field, outcome.Error == StoreError.None, now - at);
                if (now - at > SlowTicks)
                {
                    outputs.Slow(item.Entry, outcome, Stopwatch.GetElapsedTime(at, now));
                }

                at = now;
                last = item.Entry.Index;
                item.Entry.Lease?.Release();
                if (last >= _applied + SliceMax)
                {
                    Publish(last);
                    last = 0;
                }
            }

            item = default;
        }

        if (last != 0)
        {
            Publish(last);
        }

        outputs.AtBoundary(_applied, _term);
        return true;
    }

    private ApplyOutcome Apply(in Entry entry, out int field)
    {
        field = 0;
        ReadOnlySpan<byte> data = entry.Data.Span;
        _term = entry.Term;
        if (entry.Type == EntryType.ConfChange)
        {
            ApplyOutcome changed = machine.ApplyConfChange(entry.Index, entry.Term, data);
            outputs.Applied(entry, changed);
            return changed;
        }

        EntryView view = EntryView.Of(data);
        PendingRequest? asker = null;
        if (view.Kind == EntryKind.Request)
        {
            field = view.Request.Field;
            asker = pending.TryTake(view.Request.Id);
        }

        ApplyOutcome outcome = machine.Apply(entry.Index, entry.Term, view, asker?.Buffer);
        if (view.Kind == EntryKind.V2 && outcome.RequestId != 0)
        {
            // Its id is inside of what was decoded just now.
            asker = pending.TryTake(outcome.RequestId);
        }

        if (asker is not null)
        {
            asker.Error = outcome.Error;
            asker.Outcome = outcome;
            _finished.Add(asker);
        }

        if (outcome.Effects != ApplyEffects.None)
        {
            outputs.Applied(entry, outcome);
        }

        return outcome;
    }

    private void Publish(ulong index)
    {
        machine.Publish();
        Volatile.Write(ref _applied, index);
        outputs.Published(index);
        foreach (PendingRequest asker in _finished)
        {
            if (ReferenceEquals(asker, Bringer))
            {
                // Its asker is this thread and has not begun to wait.
                asker.Complete();
                continue;
            }

            _completions.Add(asker);
        }

        _completions.Flush();
        _finished.Clear();
    }
}
