using Perf.Raft;
using Perf.Store;

namespace Perf.Node.Consensus;

/// <summary>What the core loop hands on; implemented by the composition.</summary>
internal interface ICoreOutputs
{
    /// <summary>Proposals the core refused: complete the asker.</summary>
    void Refused(ulong requestId, StoreError error);

    /// <summary>Committed entries, in order. Lent: retain what is kept.</summary>
    void Committed(ReadOnlySpan<Entry> entries);

    /// <summary>Closes the round that readers have joined; 0 when there is none to ask for now.</summary>
    ulong CloseReadRound();

    /// <summary>An answer to ReadIndex.</summary>
    void ReadState(in ReadState state);

    /// <summary>Role, leader or term changed.</summary>
    void SoftState(RaftRole role, ulong leader, ulong term);

    /// <summary>
    /// A snapshot from the leader is to be installed. What comes back is written to the log before the rest of its
    /// batch; acknowledgements wait until the state machine has it.
    /// </summary>
    WalWork InstallSnapshot(Snapshot snapshot);
}

/// <summary>
/// The core thread's work: feeds proposals, messages, ticks and acknowledgements to the machine and hands out what
/// it wants done. Never waits, never does I/O.
/// </summary>
internal sealed class CoreLoop(
    RaftCore core, EventQueue<WalWork> wal, ICoreOutputs outputs, IPeerSender peers, RaftView view, Signal signal) : ILoop
{
    /// <summary>Proposals that may wait for the core; above it the asker is told that there are too many.</summary>
    private const int ProposalsMax = 1 << 16;

    /// <summary>A turn takes everything there is; this is only how large the scratch list starts.</summary>
    private const int ScratchEntries = 1024;

    private readonly Ready _ready = new();
    private WalWork[] _scratch = new WalWork[ScratchEntries];

    /// <summary>Proposals of this member.</summary>
    public EventQueue<Proposal> Proposals { get; } = new(signal, ProposalsMax);

    /// <summary>Everything else; never refused (peers bound theirs themselves).</summary>
    public EventQueue<CoreEvent> Events { get; } = new(signal, int.MaxValue);

    /// <inheritdoc/>
    public bool Turn()
    {
        Span<CoreEvent> events = Events.Take();
        foreach (ref CoreEvent item in events)
        {
            Handle(item);
            item = default;
        }

        Span<Proposal> proposals = Proposals.Take();
        foreach (ref Proposal proposal in proposals)
        {
            Propose(proposal);
            proposal = default;
        }

        bool worked = !events.IsEmpty || !proposals.IsEmpty;
        while (core.HasReady)
        {
            worked = true;
            core.TakeReady(_ready);
            view.Publish(core);
            Dispatch(_ready);
        }

        return worked;
    }

    private static StoreError Explain(ProposeOutcome outcome) => outcome switch
    {
        ProposeOutcome.NoLeader => StoreError.NoLeader,
        ProposeOutcome.Transferring => StoreError.NoLeader,
        ProposeOutcome.NotMember => StoreError.Stopped,
        ProposeOutcome.TooMuchUncommitted => StoreError.TooManyRequests,
        ProposeOutcome.ConfChangePending => StoreError.TooManyRequests,
        _ => StoreError.Malformed,
    };

    private void Handle(in CoreEvent item)
    {
        switch (item.Kind)
        {
            case CoreEventKind.Tick:
                core.Tick();
                break;
            case CoreEventKind.Durable:
                core.OnDurable(item.Number);
                break;
            case CoreEventKind.Applied:
                core.OnApplied(item.Number);
                break;
            case CoreEventKind.Message:
                Step(item.Message!);
                break;
            case CoreEventKind.ReadIndex:
                AskReadIndex();
                break;
            default:
                item.Control!(core);
                break;
        }
    }

    private void AskReadIndex()
    {
        // A refusal (no leader, too many) needs no answer: the round is asked for again after a while.
        ulong round = outputs.CloseReadRound();
        if (round != 0)
        {
            core.ReadIndex(round);
        }
    }

    private void Step(InboundMessage inbound)
    {
        inbound.Outcome = core.Step(inbound.Message);
        foreach (ref readonly Entry entry in inbound.Message.Entries.Span)
        {
            entry.Lease?.Release();
        }

        inbound.Release();
    }

    private void Propose(in Proposal proposal)
    {
        bool isMine = proposal.LeaderTerm == 0 || (core.Role == RaftRole.Leader && core.Term == proposal.LeaderTerm);
        ProposeOutcome outcome = isMine
            ? core.Propose(proposal.Type, proposal.Buffer, proposal.PayloadAt, proposal.Lease)
            : ProposeOutcome.NoLeader;
        proposal.Lease?.Release();
        if (outcome is not (ProposeOutcome.Appended or ProposeOutcome.Forwarded) && proposal.RequestId != 0)
        {
            outputs.Refused(proposal.RequestId, Explain(outcome));
        }
    }

    private void Dispatch(Ready ready)
    {
        if (ready.SoftStateChanged)
        {
            outputs.SoftState(ready.Role, ready.Leader, ready.Term);
        }

        if (ready.Batch != 0)
        {
            WriteToLog(ready);
        }

        if (!ready.Messages.IsEmpty)
        {
            peers.Send(ready.Messages);
        }

        if (!ready.Committed.IsEmpty)
        {
            outputs.Committed(ready.Committed);
        }

        foreach (ReadState state in ready.ReadStates)
        {
            outputs.ReadState(state);
        }
    }

    private void WriteToLog(Ready ready)
    {
        ReadOnlySpan<Entry> entries = ready.Entries;
        int count = entries.Length + 3;
        if (_scratch.Length < count)
        {
            _scratch = new WalWork[Math.Max(count, _scratch.Length * 2)];
        }

        int n = 0;
        if (ready.Snapshot is not null)
        {
            _scratch[n++] = outputs.InstallSnapshot(ready.Snapshot);
        }

        foreach (ref readonly Entry entry in entries)
        {
            entry.Lease?.Retain();
            _scratch[n++] = new WalWork { Kind = WalWorkKind.Entry, Entry = entry };
        }

        if (ready.HardState is { } hardState)
        {
            _scratch[n++] = new WalWork { Kind = WalWorkKind.HardState, HardState = hardState };
        }

        _scratch[n++] = new WalWork { Kind = WalWorkKind.EndOfBatch, Batch = ready.Batch, MustSync = ready.MustSync };
        wal.AddRange(_scratch.AsSpan(0, n));
        Array.Clear(_scratch, 0, n);
    }
}
