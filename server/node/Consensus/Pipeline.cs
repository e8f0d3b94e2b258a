using System.Buffers;
using System.Diagnostics;
using Perf.Engine;
using Perf.Node.Cluster;
using Perf.Node.Config;
using Perf.Raft;
using Perf.Store;
using Perf.Store.Apply;

namespace Perf.Node.Consensus;

/// <summary>What the pipeline tells the composition; called on the loops' threads, must not block.</summary>
internal interface IPipelineEvents
{
    /// <summary>Role, leader or term changed. Core thread.</summary>
    void SoftStateChanged(RaftRole role, ulong leader, ulong term);

    /// <summary>An entry changed members, version or auth, or began a leadership. Apply thread.</summary>
    void Attention(in Entry entry, in ApplyOutcome outcome);

    /// <summary>
    /// A snapshot from the leader is to be installed. Core thread; the log's record comes back, and what goes with it.
    /// It ends with <see cref="Pipeline.FinishInstall"/>.
    /// </summary>
    WalWork InstallSnapshot(Snapshot snapshot);

    /// <summary>Applying the entry took longer than --experimental-warning-apply-duration. Apply thread.</summary>
    void SlowApply(in Entry entry, in ApplyOutcome outcome, TimeSpan took)
    {
    }

    /// <summary>No space for the data file. Commit thread.</summary>
    void DiskFull(DiskFullException e);
}

/// <summary>Looks at committed entries; they are lent.</summary>
internal delegate void CommittedAudit(ReadOnlySpan<Entry> entries);

/// <summary>
/// One member's way of a request from proposal to answer: the loops and what connects them. Owns no thread and no
/// clock: the composition turns the loops on threads, the simulation turns them by hand.
/// </summary>
public sealed class Pipeline : ICoreOutputs, IApplyOutputs
{
    /// <summary>Committed but unapplied entries above which proposals are refused (etcd's maxGapBetweenApplyAndCommitIndex).</summary>
    private const ulong ApplyGapMax = 5_000;

    private readonly IPipelineEvents _events;
    // Apply thread only.
    private readonly Queue<(Action AtBoundary, Action AfterCommit)> _captures = new();
    private bool _freezeWanted;
    private ulong _ownTermIndex;
    private ulong _ownTerm;
    private ulong _recovering;
    private long _refused;

    // Core thread only.
    private ulong _settledTerm;

    // While a snapshot is installed the log goes on, but what it has written is not acknowledged: raft takes the
    // snapshot for installed with its batch.
    private readonly object _acknowledgements = new();
    private bool _isInstalling;
    private ulong _unacknowledged;

    internal Pipeline(
        ServerConfig config,
        StartState start,
        MemberState state,
        IPeerSender peers,
        RaftConfig raftConfig,
        RequestIds ids,
        IPipelineEvents events,
        Topology topology,
        Action prepareNextSegment)
    {
        Config = config;
        State = state;
        Ids = ids;
        _events = events;
        Pool = topology.Pool;
        Pending = new PendingTable(Pool);
        Core = new RaftCore(raftConfig, start.Raft);
        WalLoop = new WalLoop(
            start.Wal,
            topology.Wal,
            Acknowledge,
            prepareNextSegment);
        CoreLoop = new CoreLoop(Core, WalLoop.Queue, this, peers, Raft, topology.Core);
        Reads = new ReadRounds(CoreLoop.Events, ids);
        ApplyLoop = new ApplyLoop(state.Machine, Pending, this, topology.Apply, Pool)
        {
            SlowTicks = (long)(config.WarningApplyDuration.TotalSeconds * Stopwatch.Frequency),
        };
        CommitLoop = new CommitLoop(state.Backend, topology.Commit, topology.Apply, events.DiskFull);
        ApplyLoop.StartAt(start.Snapshot?.Metadata.Index ?? 0, start.Snapshot?.Metadata.Term ?? 0);
        _recovering = Core.Commit;
        Raft.Publish(Core);
    }

    /// <summary>Settings.</summary>
    public ServerConfig Config { get; }

    /// <summary>The replicated state.</summary>
    public MemberState State { get; }

    /// <summary>What agreement looks like from outside. Any thread.</summary>
    public RaftView Raft { get; } = new();

    /// <summary>Ids for requests and leases. Any thread.</summary>
    public RequestIds Ids { get; }

    /// <summary>Requests under way. Any thread.</summary>
    public PendingTable Pending { get; }

    /// <summary>Index of the last entry that readers can see. Any thread.</summary>
    public ulong AppliedIndex => ApplyLoop.AppliedIndex;

    /// <summary>Proposals that raft refused or that got no answer in time. Any thread.</summary>
    public long FailedProposals => Volatile.Read(ref _refused) + Pending.Expired;

    /// <summary>A snapshot is being installed. Any thread.</summary>
    public bool IsInstalling
    {
        get
        {
            lock (_acknowledgements)
            {
                return _isInstalling;
            }
        }
    }

    internal IWorkPool Pool { get; }

    internal RaftCore Core { get; }

    internal CoreLoop CoreLoop { get; }

    internal WalLoop WalLoop { get; }

    internal ApplyLoop ApplyLoop { get; }

    internal CommitLoop CommitLoop { get; }

    internal ReadRounds Reads { get; }

    /// <summary>How a lone voter serves a lone write; null: always by the loops' threads.</summary>
    internal Shortcut? Shortcut { get; set; }

    /// <summary>Put around each batch of finished requests' continuations. Any thread.</summary>
    public ICompletionScope? CompletionScope
    {
        get => ApplyLoop.CompletionScope;
        set => ApplyLoop.CompletionScope = value;
    }

    /// <summary>Sees what is committed, in log order, before apply does. Core thread; null where nobody audits.</summary>
    internal CommittedAudit? Audit { get; set; }

    /// <summary>Copies a client's message into an entry's buffer under a fresh id.</summary>
    public ProposalDraft Draft(int field, in ReadOnlySequence<byte> body, in RequestIdentity who) =>
        ProposalDraft.Of(Ids.Next(), field, body, who);

    /// <summary>
    /// Proposes a draft. The request that comes back is awaited and disposed by the caller; it may be finished
    /// already, with a refusal. Any thread. With a <paramref name="leaderTerm"/> it is for this member to append, as
    /// the leader of that term, or for nobody: it is not forwarded. <paramref name="isAlone"/>: the caller knows of no
    /// other that it is about to submit, so there is nothing to gain by waiting for it.
    /// </summary>
    public PendingRequest Submit(in ProposalDraft draft, long deadlineTicks, ulong leaderTerm = 0, bool isAlone = true)
    {
        StoreError refusal = StoreError.None;
        ulong applied = AppliedIndex;
        ulong commit = Raft.Commit;
        if (draft.Type == EntryType.Normal && draft.PayloadBytes > Config.MaxRequestBytes)
        {
            refusal = StoreError.RequestTooLarge;
        }
        else if (IsTooFarBehind(commit, applied))
        {
            refusal = StoreError.TooManyRequests;
        }

        PendingRequest? request = refusal == StoreError.None ? Pending.TryRegister(draft.Id, deadlineTicks) : null;
        if (request is null)
        {
            draft.Discard();
            return Pending.Refused(refusal == StoreError.None ? StoreError.TooManyRequests : refusal);
        }

        var proposal = new Proposal(draft.Type, draft.Buffer, draft.PayloadAt, draft.Lease, draft.Id)
        {
            LeaderTerm = leaderTerm,
        };
        if (!CoreLoop.Proposals.TryAddQuietly(proposal))
        {
            draft.Discard();
            Refused(draft.Id, StoreError.TooManyRequests);
        }
        else if (!(isAlone && Shortcut is not null && Reads.LoneLeader && Pending.Count == 1 && Shortcut.TryTurn(request)))
        {
            CoreLoop.Proposals.Wake();
        }

        return request;
    }

    /// <summary>So much that is committed is not applied yet that nothing more is taken on.</summary>
    internal static bool IsTooFarBehind(ulong commit, ulong applied) => commit > applied && commit - applied > ApplyGapMax;

    /// <summary>Proposes something that nobody waits for. Any thread.</summary>
    public void Submit(in ProposalDraft draft)
    {
        if (!CoreLoop.Proposals.TryAdd(new Proposal(draft.Type, draft.Buffer, draft.PayloadAt, draft.Lease, 0)))
        {
            draft.Discard();
        }
    }

    /// <summary>Completes when a read of the published state is linearizable. Any thread.</summary>
    public ValueTask<StoreError> ReadIndexAsync(long deadlineTicks) => Reads.WaitAsync(deadlineTicks);

    /// <summary>A tick of raft's clock. Any thread.</summary>
    public void Tick()
    {
        WalLoop.FlushSoon();
        CoreLoop.Events.Add(new CoreEvent { Kind = CoreEventKind.Tick });
    }

    /// <summary>A message from a peer. Any thread.</summary>
    internal void Receive(InboundMessage message) =>
        CoreLoop.Events.Add(new CoreEvent { Kind = CoreEventKind.Message, Message = message });

    /// <summary>Runs something on the core thread, in order with everything else there. Any thread.</summary>
    internal void OnCore(Action<RaftCore> action) =>
        CoreLoop.Events.Add(new CoreEvent { Kind = CoreEventKind.Control, Control = action });

    /// <summary>Runs something on the apply thread between two entries. Any thread.</summary>
    public void OnApply(Action action) =>
        ApplyLoop.Queue.Add(new ApplyWork { Kind = ApplyWorkKind.Control, Control = action });

    /// <summary>
    /// Has <paramref name="afterCommit"/> run on the commit thread when the data file holds exactly what was applied
    /// at some boundary from now on; <paramref name="atBoundary"/> runs on the apply thread at that boundary.
    /// </summary>
    public void Capture(Action atBoundary, Action afterCommit)
    {
        OnApply(() => _captures.Enqueue((atBoundary, afterCommit)));
    }

    /// <summary>Asks for a commit at the next boundary, whatever its size. Any thread.</summary>
    public void CommitSoon() => OnApply(() => _freezeWanted = true);

    /// <summary>
    /// A lone voter has nobody to wait for: it campaigns as soon as it knows that it is alone, which is when what was
    /// committed before its start is applied.
    /// </summary>
    internal void CampaignIfAlone() => OnCore(core =>
    {
        ConfState conf = core.ConfState;
        if (core.Leader == 0 && core.Applied == core.Commit && conf.Voters.Length == 1 && conf.Voters[0] == core.Id)
        {
            core.Campaign();
        }
    });

    /// <summary>Apply thread: the state machine holds the snapshot.</summary>
    internal void FinishInstall(SnapshotMetadata metadata)
    {
        State.Machine.Publish();
        ApplyLoop.StartAt(metadata.Index, metadata.Term);
        Reads.OnPublished(metadata.Index);
        ulong batch;
        lock (_acknowledgements)
        {
            _isInstalling = false;
            batch = _unacknowledged;
            _unacknowledged = 0;
        }

        if (batch != 0)
        {
            Acknowledge(batch);
        }

        CoreLoop.Events.Add(new CoreEvent { Kind = CoreEventKind.Applied, Number = metadata.Index });
    }

    /// <summary>Ends what waits: the member stops.</summary>
    public void FailAll(StoreError error)
    {
        Pending.Expire(long.MaxValue, error);
        Reads.Retry(long.MaxValue, 0, error, failAll: true);
    }

    /// <summary>
    /// Called some times a second: gives up what is overdue and asks again for unanswered read rounds.
    /// </summary>
    public void Expire(long nowTicks, long readRetryTicks, StoreError timeout)
    {
        Pending.Expire(nowTicks, timeout);
        Reads.Retry(nowTicks, readRetryTicks, timeout, failAll: false);
    }

    void ICoreOutputs.Refused(ulong requestId, StoreError error) => Refused(requestId, error);

    void ICoreOutputs.Committed(ReadOnlySpan<Entry> entries)
    {
        Audit?.Invoke(entries);
        foreach (ref readonly Entry entry in entries)
        {
            entry.Lease?.Retain();
        }

        ApplyLoop.AddCommitted(entries);
    }

    ulong ICoreOutputs.CloseReadRound() => Reads.Close(State.Clock.GetTimestamp());

    void ICoreOutputs.ReadState(in ReadState state) => Reads.Answer(state);

    void ICoreOutputs.SoftState(RaftRole role, ulong leader, ulong term)
    {
        UpdateLoneLeader();
        _events.SoftStateChanged(role, leader, term);
    }

    WalWork ICoreOutputs.InstallSnapshot(Snapshot snapshot)
    {
        lock (_acknowledgements)
        {
            _isInstalling = true;
        }

        return _events.InstallSnapshot(snapshot);
    }

    void IApplyOutputs.Applied(in Entry entry, in ApplyOutcome outcome)
    {
        if (entry.Type == EntryType.ConfChange)
        {
            ConfChanged(outcome);
        }
        else if (!entry.HasData)
        {
            _ownTermIndex = entry.Index;
            _ownTerm = entry.Term;
        }

        _events.Attention(entry, outcome);
    }

    void IApplyOutputs.Slow(in Entry entry, in ApplyOutcome outcome, TimeSpan took) =>
        _events.SlowApply(entry, outcome, took);

    void IApplyOutputs.Published(ulong index)
    {
        if (_ownTermIndex != 0 && index >= _ownTermIndex)
        {
            // From here on everything that was acknowledged before this leadership is visible.
            _ownTermIndex = 0;
            Settle(_ownTerm);
        }

        Reads.OnPublished(index);
        CoreLoop.Events.Add(new CoreEvent { Kind = CoreEventKind.Applied, Number = index });
        if (_recovering != 0 && index >= _recovering)
        {
            _recovering = 0;
            CampaignIfAlone();
        }
    }

    /// <summary>Apart from its only caller, whose every call would pay for the closure.</summary>
    private void Settle(ulong term) => OnCore(core =>
    {
        if (core.Term == term)
        {
            _settledTerm = term;
            UpdateLoneLeader();
        }
    });

    void IApplyOutputs.AtBoundary(ulong index, ulong term)
    {
        bool wanted = _freezeWanted || _captures.Count > 0 || State.Backend.FreezeDue();
        if (!wanted || CommitLoop.IsBusy)
        {
            // A capture has to be of the boundary it is frozen at: it waits until the committer can take one.
            return;
        }

        List<Action>? after = null;
        while (_captures.TryDequeue(out (Action AtBoundary, Action AfterCommit) capture))
        {
            capture.AtBoundary();
            (after ??= []).Add(capture.AfterCommit);
        }

        _freezeWanted = false;
        CommitLoop.TryFreeze(after);
    }

    /// <summary>Wal thread: everything up to this batch is on disk.</summary>
    private void Acknowledge(ulong batch)
    {
        lock (_acknowledgements)
        {
            if (_isInstalling)
            {
                _unacknowledged = batch;
                return;
            }
        }

        CoreLoop.Events.Add(new CoreEvent { Kind = CoreEventKind.Durable, Number = batch });
    }

    /// <summary>
    /// Core thread. Alone and leading, with an entry of this term applied: what is published is all there is.
    /// </summary>
    private void UpdateLoneLeader()
    {
        ConfState conf = Core.ConfState;
        Reads.LoneLeader = Core.Role == RaftRole.Leader
            && Core.Term == _settledTerm
            && conf.Voters.Length == 1
            && conf.Voters[0] == Core.Id;
        WalLoop.HoldsHardStates = Reads.LoneLeader;
    }

    private void ConfChanged(in ApplyOutcome outcome)
    {
        if (outcome.ConfChange is not { } change)
        {
            return;
        }

        PendingRequest? asker = outcome.RequestId == 0 ? null : Pending.TryTake(outcome.RequestId);
        if (asker is not null)
        {
            asker.Error = outcome.Error;
            asker.Outcome = outcome;
        }

        // Raft is told of a refused change too, as one of nobody, so that it lets the next one in.
        var raftChange = new ConfChange(
            change.RequestId, (ConfChangeType)change.Kind, outcome.RaftNodeId, ReadOnlyMemory<byte>.Empty);
        OnCore(core =>
        {
            core.ApplyConfChange(raftChange);
            UpdateLoneLeader();
            if (asker is not null)
            {
                Pool.Queue(asker);
            }
        });
    }

    private void Refused(ulong requestId, StoreError error)
    {
        Interlocked.Increment(ref _refused);
        PendingRequest? request = Pending.TryTake(requestId);
        if (request is not null)
        {
            request.Error = error;
            Pool.Queue(request);
        }
    }
}
