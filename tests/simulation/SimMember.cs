using Perf.Engine;
using Perf.Engine.IO;
using Perf.Node;
using Perf.Node.Cluster;
using Perf.Node.Config;
using Perf.Node.Consensus;
using Perf.Node.Logging;
using Perf.Raft;
using Perf.Store;
using Perf.Store.Apply;
using Perf.Store.Auth;
using Perf.Store.Backend;
using Perf.Store.Commands;
using Perf.Store.Lease;
using Perf.Store.Mvcc;

namespace Perf.Simulation;

/// <summary>
/// One life of a member's process: the product's own parts put together as the node does it, with the simulation in
/// the place of threads, heart, pool and peers. Each loop is turned when it has something to do, some time later.
/// </summary>
internal sealed class SimMember : IPipelineEvents, IPeerSender, IWorkPool, IRevisionSink
{
    private const int Core = 0;
    private const int Wal = 1;
    private const int Apply = 2;
    private const int Commit = 3;
    private const int Pool = 4;
    private const int Watch = 5;
    private const int Loops = 6;

    private static readonly long Housekeeping = 100 * VirtualTime.Millisecond;
    private const int RevokesMax = 16;
    private const int RelocatedPagesPerCommit = 256;
    private const long MicrosBetweenMoves = 10 * VirtualTime.Millisecond;

    private static readonly long ReadRetry = 500 * VirtualTime.Millisecond;

    private readonly SimHost _host;
    private readonly Simulation _world;
    private readonly StartState _start;
    private readonly SnapshotIntake _intake;
    private readonly SnapshotKeeper _keeper;
    private readonly Queue<IThreadPoolWorkItem> _pool = new();
    private readonly List<PendingRead> _reads = [];
    private readonly bool[] _isScheduled = new bool[Loops];
    private readonly Action[] _turns = new Action[Loops];
    private readonly IRevisionSink _watches;
    private readonly long _tick;
    private bool _isApplyWanted = true;
    private bool _isCompacting;
    private bool _isPreparing;
    private bool _isWatchWanted;
    private int _revoking;
    private ulong _committedSeen;
    private ulong _stateSeen;
    private ulong _dataSeen;
    private long _published;
    private int _beats;

    public SimMember(SimHost host, Simulation world)
    {
        _host = host;
        _world = world;
        ServerConfig config = host.Config;
        IDisk disk = host.Disk;
        EtcdNode.MakeDirectories(disk, config);
        Engine.Snap.SnapDatabase.DeleteLeftovers(disk, config.SnapDir);
        var founding = new Founding(config, disk, Log.None) { SegmentBytes = world.Plan.SegmentBytes };
        _start = founding.HasLog
            ? founding.Reopen(founding.NewestSnapshot())
            : host.IsFounder
                ? founding.Found(world.Founders, host.Id)
                : founding.Join(host.Id, world.Founders.ClusterId, []);
        _intake = new SnapshotIntake(config, disk, Log.None);
        var backend = new BackendStore(
            _intake.OpenDatabase(_start.Snapshot),
            new BackendOptions { FreezeInterval = config.BackendBatchInterval, Clock = host.Clock });
        Dice luck = host.Luck;
        RandomFill random = target =>
        {
            foreach (ref byte b in target)
            {
                b = (byte)luck.Next();
            }
        };
        State = MemberState.Open(
            config,
            backend,
            host.Id,
            _start.Wal.ClusterId,
            _start.Snapshot is null ? null : new V2Snapshot(_start.Snapshot.Metadata.Index, _start.Snapshot.Data),
            host.Clock,
            random,
            new SimpleTokens(host.Clock, random, TimeSpan.FromSeconds(config.AuthTokenTtlSeconds)),
            runner: null,
            parts: 1,
            wakeWatches: _ =>
            {
                _isWatchWanted = true;
                Poke();
            });
        _watches = State.Watches;
        State.Machine.Kv.Sink = this;
        var topology = Topology.Single(this);
        var raft = new RaftConfig
        {
            Id = host.Id,
            ElectionTicks = config.ElectionTicks,
            PreVote = config.PreVote,
            Seed = luck.Next(),
            Buffers = new EntryMemory(),
            LogReader = new LogReader(_start.Wal, this, () => Pipeline!.OnCore(core => core.LogReadReady())),
            MessageBytesMax = world.Plan.MessageBytesMax,
            CommittedBytesMax = world.Plan.CommittedBytesMax,
            InflightMessagesMax = world.Plan.InflightMax,
            WindowBytesMax = world.Plan.WindowBytes,
        };
        Pipeline = new Pipeline(
            config,
            _start,
            State,
            this,
            raft,
            new RequestIds(host.Id, host.Clock.GetUtcNow()),
            this,
            topology,
            PrepareNextSegment);
        Pipeline.Audit = entries =>
        {
            foreach (ref readonly Entry entry in entries)
            {
                world.Model.OnCommitted(host.Number, entry);
            }
        };
        _keeper = new SnapshotKeeper(config, disk, Log.None, Pipeline, _start);
        _published = State.Machine.Kv.PublishedRevision;
        for (int i = 0; i < Loops; i++)
        {
            int loop = i;
            _turns[i] = () => Turn(loop);
        }

        _tick = config.HeartbeatMs * VirtualTime.Millisecond * 100 / host.Clock.RatePercent;
        IsAlive = true;
        Pipeline.CampaignIfAlone();
        world.Time.After(luck.Between(0, _tick), Tick);
        world.Time.After(luck.Between(0, Housekeeping), KeepHouse);
        Poke();
    }

    public MemberState State { get; }

    public Pipeline Pipeline { get; }

    public bool IsAlive { get; private set; }

    public int Number => _host.Number;

    /// <summary>Set when a disk error was injected: from then on nothing but the end of this life is right.</summary>
    public bool HasDiskFailed { get; set; }

    public bool IsLeader => Pipeline.Raft.Role == RaftRole.Leader;

    private VirtualTime Time => _world.Time;

    private long Deadline => _host.Clock.GetTimestamp() + (7 * VirtualTime.Second);

    public ResponseHeader Header() => new(
        _start.Wal.ClusterId, _host.Id, State.Machine.Kv.PublishedRevision, Pipeline.Raft.Term);

    /// <summary>The process is gone; its disk has been copied. Gives memory back.</summary>
    public void End()
    {
        IsAlive = false;
        try
        {
            _start.Wal.Dispose();
        }
        catch (Exception e) when (e is SimCrashException or IOException)
        {
            // The disk is off: this is only about memory.
        }

        try
        {
            State.Dispose();
        }
        catch (Exception e) when (e is SimCrashException or IOException)
        {
            // As above.
        }
    }

    /// <summary>A user as this member's services would name him; nobody while auth is off.</summary>
    public RequestIdentity Identity(string user)
    {
        AuthView auth = State.Machine.Auth.View;
        return auth.Enabled && user.Length > 0
            ? new RequestIdentity(System.Text.Encoding.UTF8.GetBytes(user), auth.Revision)
            : RequestIdentity.None;
    }

    /// <summary>Puts a request into the pipeline; <paramref name="done"/> gets it when it is finished.</summary>
    public void Propose(int field, ReadOnlyMemory<byte> body, RequestIdentity who, Action<PendingRequest> done) =>
        Submit(Pipeline.Draft(field, new System.Buffers.ReadOnlySequence<byte>(body), who), done);

    /// <summary>The same with what is drafted already.</summary>
    public void Submit(in ProposalDraft draft, Action<PendingRequest> done, ulong leaderTerm = 0)
    {
        PendingRequest request = Pipeline.Submit(draft, Deadline, leaderTerm);
        System.Runtime.CompilerServices.ConfiguredValueTaskAwaitable.ConfiguredValueTaskAwaiter awaiter =
            request.Completion.ConfigureAwait(false).GetAwaiter();
        if (awaiter.IsCompleted)
        {
            Finish();
        }
        else
        {
            awaiter.UnsafeOnCompleted(Finish);
        }

        Poke();

        void Finish()
        {
            awaiter.GetResult();
            done(request);
            request.Dispose();
        }
    }

    /// <summary>Runs <paramref name="done"/> when a read would be linearizable.</summary>
    public void WhenLinearizable(Action<StoreError> done)
    {
        // Polled, not awaited: the product completes this on the thread pool.
        _reads.Add(new PendingRead(Pipeline.ReadIndexAsync(Deadline), done));
        CheckReads();
        Poke();
    }

    /// <summary>
    /// Renews a lease as the node does on the leader: confirmed first, and what is past its expiry is not renewed.
    /// </summary>
    public void Renew(long lease, Action<StoreError, long> done)
    {
        if (!IsLeader)
        {
            done(StoreError.NotLeader, 0);
            return;
        }

        WhenLinearizable(error =>
        {
            if (error != StoreError.None)
            {
                done(error, 0);
                return;
            }

            RenewResult result = State.Machine.Leases.Renew(lease);
            done(
                result.Outcome switch
                {
                    RenewOutcome.Renewed => StoreError.None,
                    RenewOutcome.NotFound => StoreError.LeaseNotFound,
                    RenewOutcome.NotLeader => StoreError.NotLeader,
                    _ => StoreError.Timeout,
                },
                result.TtlSeconds);
        });
    }

    /// <summary>A range; Corrupt where damage of the disk stands in its way.</summary>
    public StoreError Range(ReadOnlySpan<byte> request, out RangeAnswer answer)
    {
        answer = default;
        Judge.Require(RangeView.TryParse(request, out RangeView view), "not a range");
        var response = new ProtoBuffer();
        try
        {
            StoreError error = State.Machine.Kv.Range(view, Header(), response);
            answer = error == StoreError.None ? Answers.Range(response.Written) : default;
            return error;
        }
        catch (CorruptionException e) when (_host.DamagedAt != 0)
        {
            _host.Break(e.Message);
            return StoreError.Corrupt;
        }
    }

    /// <summary>Makes the data file small for a while, as the node's defragmentation does.</summary>
    public void Defragment(long micros)
    {
        _world.Count(Fault.Defragmentation);
        long end = Time.Now + micros;
        Move();

        void Move() => Pipeline.Capture(() => { }, () =>
        {
            try
            {
                State.Backend.Relocate(RelocatedPagesPerCommit);
            }
            catch (DiskFullException)
            {
                // Moving needs room for what is moved; the file stays as it is.
                return;
            }

            Time.After(MicrosBetweenMoves, () =>
            {
                if (IsAlive && Time.Now < end)
                {
                    Move();
                }
            });
        });
    }

    public void Receive(InboundMessage message)
    {
        Pipeline.Receive(message);
        Poke();
    }

    public void OnCore(Action<RaftCore> action)
    {
        Pipeline.OnCore(action);
        Poke();
    }

    /// <summary>A whole snapshot has come in; <paramref name="answered"/> gets what the sender is told.</summary>
    public void ReceiveSnapshot(Message message, byte[] database, bool isSound, Action<bool> answered)
    {
        ulong index = message.Snapshot!.Metadata.Index;
        Guard(() =>
        {
            string path;
            try
            {
                using Engine.Snap.SnapDatabase arriving = _intake.Receive(index);
                arriving.Append(database);
                path = arriving.Keep();
            }
            catch (DiskFullException)
            {
                answered(false);
                return;
            }

            if (_intake.Refuse(path, index) is { } problem)
            {
                if (!isSound)
                {
                    _world.DamageFound++;
                    answered(false);
                    return;
                }

                throw new SimulationFailure($"member {Number} refuses a sound snapshot at {index}: {problem}");
            }

            Receive(new SnapshotMessage(message, outcome =>
            {
                if (outcome != StepOutcome.Done)
                {
                    _intake.Discard(path);
                }

                answered(outcome is StepOutcome.Done or StepOutcome.Stale);
            }));
        });
    }

    /// <summary>What the sender does with a MsgSnap: an image of exactly what the message names.</summary>
    public void CaptureSnapshot(Message message, Action<bool> failed, Action<Message, byte[]> captured)
    {
        _keeper.Hold();
        Snapshot? own = null;
        Pipeline.Capture(
            () => own = SnapshotKeeper.Describe(Pipeline),
            () =>
            {
                using Engine.Transactions.DataImage image = State.Backend.File.OpenImage();
                byte[] bytes = new byte[image.Length];
                int at = 0;
                try
                {
                    while (image.Read(bytes.AsSpan(at), at) is var read && read > 0)
                    {
                        at += read;
                    }
                }
                catch (CorruptionException) when (_host.DamagedAt != 0)
                {
                    failed(false);
                    throw;
                }

                Message full = message;
                full.Snapshot = own;
                captured(full, bytes);
            });
    }

    public void SnapshotAnswered(ulong to, bool succeeded)
    {
        _keeper.ReleaseHold();
        OnCore(core => core.ReportSnapshot(to, succeeded));
    }

    void IPipelineEvents.SoftStateChanged(RaftRole role, ulong leader, ulong term)
    {
        State.Watches.RaftTerm = term;
        if (role == RaftRole.Leader)
        {
            _world.Judge.OnLeader(term, _host.Id);
        }
        else
        {
            State.Machine.Leases.Demote();
        }

        _world.Chronicle.Note(2, _host.Id + (ulong)role, term);
        _world.Chronicle.Line($"m{Number} {role} leader={_world.NumberOf(leader)} term={term}");
    }

    void IPipelineEvents.Attention(in Entry entry, in ApplyOutcome outcome)
    {
        if (outcome.Effects.HasFlag(ApplyEffects.EmptyEntry) && IsLeader && entry.Term == Pipeline.Raft.Term)
        {
            State.Machine.Leases.Promote(TimeSpan.FromMilliseconds(_host.Config.ElectionMs));
        }

        if (outcome.Effects.HasFlag(ApplyEffects.CompactionScheduled))
        {
            StartCompacting();
        }

        if (outcome.Effects.HasFlag(ApplyEffects.RemovedSelf))
        {
            _world.Time.After(VirtualTime.Second, () => _host.Retire("removed"));
        }
    }

    WalWork IPipelineEvents.InstallSnapshot(Snapshot snapshot) => _intake.Record(
        snapshot,
        () => Pipeline.OnApply(() =>
        {
            _intake.Install(snapshot, Pipeline, _keeper, null, 1);
            _world.Chronicle.Line($"m{Number} installed snapshot {snapshot.Metadata.Index}");
        }));

    void IPipelineEvents.DiskFull(DiskFullException e) =>
        _world.Chronicle.Line($"m{Number} has no space for the data file");

    void IPeerSender.Send(ReadOnlySpan<Message> messages)
    {
        foreach (ref readonly Message message in messages)
        {
            _world.Network.Send(this, message);
        }
    }

    void IWorkPool.Queue(IThreadPoolWorkItem item) => _pool.Enqueue(item);

    void IRevisionSink.OnTransaction(long revision, ReadOnlySpan<RevisionEvent> events)
    {
        _world.Judge.OnTransaction(Number, revision, Answers.Changes(events));
        _watches.OnTransaction(revision, events);
    }

    void IRevisionSink.OnPublished(long revision)
    {
        Judge.Require(revision >= _published, $"member {Number} went back from revision {_published} to {revision}");
        _published = revision;
        _watches.OnPublished(revision);
    }

    void IRevisionSink.OnCompacted(long revision) => _watches.OnCompacted(revision);

    void IRevisionSink.OnReset(long revision)
    {
        Judge.Require(revision >= _published, $"member {Number} installed {revision}, was at {_published}");
        _published = revision;
        _watches.OnReset(revision);
    }

    /// <summary>Has everything turned that has something to do.</summary>
    public void Poke()
    {
        if (!IsAlive)
        {
            return;
        }

        for (int loop = 0; loop < Loops; loop++)
        {
            if (!_isScheduled[loop] && HasWork(loop))
            {
                _isScheduled[loop] = true;
                Time.After(Delay(loop), _turns[loop]);
            }
        }
    }

    private bool HasWork(int loop) => loop switch
    {
        Core => Pipeline.CoreLoop.Events.Count > 0 || Pipeline.CoreLoop.Proposals.Count > 0,
        Wal => Pipeline.WalLoop.Queue.Count > 0,
        Apply => _isApplyWanted || Pipeline.ApplyLoop.Queue.Count > 0,
        Commit => Pipeline.CommitLoop.IsBusy || Pipeline.CommitLoop.Jobs.Count > 0,
        Watch => _isWatchWanted,
        _ => _pool.Count > 0,
    };

    private long Delay(int loop)
    {
        Dice luck = _host.Luck;
        switch (loop)
        {
            case Wal:
                if (luck.Percent(_world.IsRough ? _world.Plan.SlowDiskPercent : 0))
                {
                    _world.Count(Fault.SlowDisk);
                    return luck.Between(0, 3 * VirtualTime.Second);
                }

                return luck.Between(50, _world.Plan.DiskMax);
            case Commit:
                return luck.Between(100, 20 * _world.Plan.DiskMax);
            case Core:
                return luck.Between(1, 50);
            default:
                return luck.Between(1, 300);
        }
    }

    private void Turn(int loop)
    {
        if (!IsAlive)
        {
            return;
        }

        if (_host.PausedUntil > Time.Now)
        {
            Time.At(_host.PausedUntil + Delay(Core), _turns[loop]);
            return;
        }

        _isScheduled[loop] = false;
        Guard(() =>
        {
            switch (loop)
            {
                case Core:
                    Pipeline.CoreLoop.Turn();
                    LookAtLog();
                    break;
                case Wal:
                    Pipeline.WalLoop.Turn();
                    _world.Chronicle.Note(3, (ulong)Number, (ulong)Pipeline.WalLoop.Syncs);
                    break;
                case Apply:
                    _isApplyWanted = false;
                    Pipeline.ApplyLoop.Turn();
                    LookAtState();
                    break;
                case Commit:
                    Pipeline.CommitLoop.Turn();
                    _isApplyWanted = true;
                    break;
                case Watch:
                    _isWatchWanted = false;
                    _isWatchWanted |= State.Watches.Pump();
                    break;
                default:
                    // A failure here is the item's own to handle, as on the pool.
                    while (_pool.TryDequeue(out IThreadPoolWorkItem? item))
                    {
                        item.Execute();
                    }

                    return;
            }

            Judge.Require(!HasDiskFailed, $"member {Number} goes on after a failed disk call");
        });
        if (IsAlive)
        {
            CheckReads();
            Poke();
        }
    }

    /// <summary>An exception that leaves a loop is the end of the process.</summary>
    private void Guard(Action action)
    {
        try
        {
            action();
        }
        catch (SimCrashException)
        {
            _host.Down("the machine went off");
        }
        catch (IOException e) when (HasDiskFailed || _host.IsFailing || e is DiskFullException)
        {
            _host.Down(e.Message);
        }
        catch (Exception e) when (_host.DamagedAt != 0 && SimHost.IsRefusal(e))
        {
            _host.Break(e.Message);
        }
    }

    private void LookAtLog()
    {
        RaftCore core = Pipeline.Core;
        ulong commit = core.Commit;
        for (ulong index = Math.Max(_committedSeen + 1, core.FirstIndex); index <= commit; index++)
        {
            if (core.Log.TryGetTerm(index, out ulong term))
            {
                _world.Judge.OnCommitted(Number, index, term);
            }
        }

        _committedSeen = commit;
        if (core.Role == RaftRole.Leader)
        {
            _world.Judge.OnLeader(core.Term, core.Id);
        }
    }

    private void LookAtState()
    {
        StateMachine machine = State.Machine;
        ulong index = machine.AppliedIndex;
        if (index == _stateSeen || index < State.Backend.ConsistentIndex)
        {
            // Nothing new; or entries that the data file is ahead of are read once more.
            return;
        }

        _stateSeen = index;
        bool isSampled = (index * 0x9E3779B97F4A7C15) >> 60 == 0;
        _world.Judge.OnState(Number, index, machine.Kv.Revision, machine.Digest, isSampled);
        _world.Chronicle.Note(4, (ulong)Number, index);
    }

    private void CheckReads()
    {
        for (int i = 0; i < _reads.Count; i++)
        {
            PendingRead read = _reads[i];
            if (read.Task.IsCompleted)
            {
                _reads.RemoveAt(i--);
                StoreError error = read.Task.GetAwaiter().GetResult();
                Time.After(_host.Luck.Between(1, 200), () =>
                {
                    if (IsAlive)
                    {
                        read.Done(error);
                    }
                });
            }
        }
    }

    private void Tick()
    {
        if (!IsAlive)
        {
            return;
        }

        Time.After(_tick, Tick);
        if (_host.PausedUntil <= Time.Now)
        {
            Pipeline.Tick();
            Poke();
        }
    }

    private void KeepHouse()
    {
        if (!IsAlive)
        {
            return;
        }

        Time.After(Housekeeping, KeepHouse);
        if (_host.PausedUntil > Time.Now)
        {
            return;
        }

        Pipeline.Expire(_host.Clock.GetTimestamp(), ReadRetry, StoreError.Timeout);
        _isApplyWanted = true;
        _keeper.Turn();
        if (State.Machine.Kv.CompactionPending)
        {
            StartCompacting();
        }

        if (IsLeader)
        {
            RevokeExpired();
        }

        if (++_beats % 10 == 0)
        {
            Pipeline.CommitLoop.RetryAfterFull();
            ulong committed = State.Backend.CommittedIndex;
            if (committed == _dataSeen && State.Backend.DurableIndex < committed)
            {
                Pipeline.CommitLoop.Jobs.Add(State.Backend.MakeDurable);
            }

            _dataSeen = committed;
            if (_world.Hosts.Count == 1 && Pipeline.Raft.Leader == 0)
            {
                Pipeline.OnCore(core => core.Campaign());
            }
        }

        CheckReads();
        Poke();
    }

    /// <summary>As the node does it: leadership is confirmed after the leases are taken and before they are revoked.</summary>
    private void RevokeExpired()
    {
        ulong term = Pipeline.Raft.Term;
        Span<long> expired = stackalloc long[RevokesMax];
        int count = State.Machine.Leases.TakeExpired(expired[..(RevokesMax - _revoking)]);
        for (int i = 0; i < count; i++)
        {
            long lease = expired[i];
            _revoking++;
            WhenLinearizable(error =>
            {
                if (error != StoreError.None)
                {
                    _revoking--;
                    return;
                }

                Submit(LeaseProposals.Revoke(Pipeline, lease), leaderTerm: term, done: request =>
                {
                    _revoking--;
                    if (request.Error == StoreError.None)
                    {
                        _world.Count(Fault.LeaseExpired);
                    }
                });
            });
        }
    }

    private void StartCompacting()
    {
        if (_isCompacting)
        {
            return;
        }

        _isCompacting = true;
        _world.Count(Fault.Compaction);
        Time.After(0, CompactSome);
    }

    private void CompactSome()
    {
        if (!IsAlive)
        {
            return;
        }

        Pipeline.OnApply(() =>
        {
            if (State.Machine.Kv.CompactStep(_host.Config.CompactionBatchLimit))
            {
                _isCompacting = false;
            }
            else
            {
                Time.After(10 * VirtualTime.Millisecond, CompactSome);
            }
        });
        Poke();
    }

    private void PrepareNextSegment()
    {
        if (_isPreparing)
        {
            return;
        }

        _isPreparing = true;
        _world.Count(Fault.SegmentCut);
        ((IWorkPool)this).Queue(() =>
        {
            try
            {
                _start.Wal.PrepareNextSegment();
            }
            catch (IOException)
            {
                // The log cuts without a prepared segment too: the node goes on, so this one does.
                HasDiskFailed = false;
            }

            _isPreparing = false;
        });
    }

    private sealed record PendingRead(ValueTask<StoreError> Task, Action<StoreError> Done);

    private sealed class SnapshotMessage : InboundMessage
    {
        private readonly Action<StepOutcome> _done;

        public SnapshotMessage(in Message message, Action<StepOutcome> done)
        {
            Message = message;
            _done = done;
        }

        public override void Release() => _done(Outcome);
    }
}
