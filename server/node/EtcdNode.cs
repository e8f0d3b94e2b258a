using System.Buffers;
using Perf.Engine;
using Perf.Engine.IO;
using Perf.Engine.Transactions;
using Perf.Node.Cluster;
using Perf.Node.Compaction;
using Perf.Node.Config;
using Perf.Node.Consensus;
using Perf.Node.Corruption;
using Perf.Node.Logging;
using Perf.Node.Peers;
using Perf.Node.Security;
using Perf.Raft;
using Perf.Store;
using Perf.Store.Apply;
using Perf.Store.Auth;
using Perf.Store.Backend;
using Perf.Store.Commands;
using Perf.Store.Membership;

namespace Perf.Node;

/// <summary>
/// A running member: opens the data directory, turns the pipeline's loops on threads, keeps its clock, and is what the
/// services talk to. Everything public is for any thread unless it says otherwise.
/// </summary>
public sealed partial class EtcdNode : IPipelineEvents, IAsyncDisposable
{
    /// <summary>How often overdue requests are given up and small duties are looked after.</summary>
    private static readonly TimeSpan HousekeepingInterval = TimeSpan.FromMilliseconds(100);

    /// <summary>A read round without an answer is asked for again after this (etcd's readIndexRetryTime).</summary>
    private static readonly TimeSpan ReadRetryInterval = TimeSpan.FromMilliseconds(500);

    private readonly StartState _start;
    private readonly List<LoopThread> _threads = [];
    private readonly TaskCompletionSource _ready = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly TaskCompletionSource<Exception?> _ended = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly Topology _topology;
    private readonly Heart _heart;
    private readonly SnapshotIntake _intake;
    private readonly SnapshotKeeper _snapshots;
    private readonly Housekeeper _housekeeper;
    private readonly AutoCompactor? _autoCompactor;
    private readonly CorruptionCheck? _corruption;
    private readonly long _proposalTicks;
    private int _preparingSegment;
    private int _stopping;

    private EtcdNode(
        ServerConfig config, IDisk disk, Log log, TimeProvider clock, StartState start, PeerTransport? peers, ITokenProvider tokens)
    {
        _peers = peers;
        _topology = Topology.For(Environment.ProcessorCount);
        _logReader = new LogReader(start.Wal, _topology.Pool, OnLogRead);
        Config = config;
        Log = log;
        Clock = clock;
        ProposalTimeout = TimeSpan.FromMilliseconds(5000 + (2 * config.ElectionMs));
        _proposalTicks = ToTicks(ProposalTimeout);
        _start = start;
        _intake = new SnapshotIntake(config, disk, log);
        MemberId = start.Wal.NodeId;
        ClusterId = start.Wal.ClusterId;
        Tokens = tokens;
        State = OpenState(start);
        var raft = new RaftConfig
        {
            Id = MemberId,
            ElectionTicks = config.ElectionTicks,
            PreVote = config.PreVote,
            Seed = (ulong)Random.Shared.NextInt64(),
            Buffers = new EntryMemory(),
            LogReader = _logReader,
            WindowBytesMax = config.LogWindowBytesMax,
        };
        Pipeline = new Pipeline(
            config, start, State, (IPeerSender?)peers ?? new NoPeers(), raft, new RequestIds(MemberId, clock.GetUtcNow()), this, _topology, PrepareNextSegment);
        _snapshots = new SnapshotKeeper(config, disk, log, Pipeline, start);
        _housekeeper = new Housekeeper(this);
        _autoCompactor = CreateAutoCompactor();
        _corruption = peers is null ? null : new CorruptionCheck(this, peers);
        _heart = new Heart(TimeSpan.FromMilliseconds(config.HeartbeatMs), HousekeepingInterval, Pipeline.Tick, OnHousekeeping);
    }

    public ServerConfig Config { get; }

    public Log Log { get; }

    public TimeProvider Clock { get; }

    public ulong MemberId { get; }

    public ulong ClusterId { get; }

    /// <summary>The replicated state and what looks at it.</summary>
    public MemberState State { get; }

    /// <summary>The way of requests.</summary>
    public Pipeline Pipeline { get; }

    /// <summary>What agreement looks like.</summary>
    public RaftView Raft => Pipeline.Raft;

    /// <summary>Tokens of authenticated users.</summary>
    public ITokenProvider Tokens { get; }

    /// <summary>TLS towards clients.</summary>
    public required TlsSide ClientTls { get; init; }

    /// <summary>TLS among peers.</summary>
    public required TlsSide PeerTls { get; init; }

    /// <summary>Completes when the member serves: a leader is known and this member has told its name.</summary>
    public Task Ready => _ready.Task;

    /// <summary>Completes when the member has ended by itself: null, it was removed; else what broke it.</summary>
    public Task<Exception?> Ended => _ended.Task;

    /// <summary>Until when a proposal made now may take.</summary>
    public long ProposalDeadline => Clock.GetTimestamp() + _proposalTicks;

    /// <summary>How long a proposal may take (etcd: 5 s and twice the election timeout).</summary>
    public TimeSpan ProposalTimeout { get; }

    /// <summary>True when this member leads.</summary>
    public bool IsLeader => Raft.Role == RaftRole.Leader;

    /// <summary>The server version this member announces, by its dialect.</summary>
    public string ServerVersion => Dialect.ServerVersion(Config.SpeakAs);

    /// <summary>The cluster version as "3.5.0"; null while undecided.</summary>
    public SemanticVersion? ClusterVersion => State.Machine.Members.Current.ClusterVersion;

    /// <summary>True when this member does not vote.</summary>
    public bool IsLearner => State.Machine.Members.Current.Find(MemberId)?.IsLearner ?? false;

    /// <summary>
    /// Opens or founds the data directory and starts the threads. Throws <see cref="StartRefusedException"/> for what
    /// the operator has to mend, <see cref="CorruptionException"/> for damage.
    /// </summary>
    public static EtcdNode Start(ServerConfig config, Log log, TimeProvider clock) =>
        Open(FileDisk.Instance, config, log, clock, hasNetwork: true);

    /// <summary>The same on any disk, without a peer port for a lone member in a test.</summary>
    internal static EtcdNode StartOn(IDisk disk, ServerConfig config, Log log, TimeProvider clock, bool hasNetwork = false) =>
        Open(disk, config, log, clock, hasNetwork);

    /// <summary>Stops the clock, lets what is under way finish or fail, commits, and closes the files.</summary>
    public async ValueTask DisposeAsync()
    {
        if (Interlocked.Exchange(ref _stopping, 1) != 0)
        {
            return;
        }

        await HandOverAsync().ConfigureAwait(false);
        _heart.Stop();
        Pipeline.FailAll(StoreError.Stopped);
        await StopPeersAsync().ConfigureAwait(false);
        foreach (LoopThread thread in _threads)
        {
            await Task.Run(thread.Stop).ConfigureAwait(false);
        }

        // After a failure nothing is written any more: the files are as the failure left them, the log has the rest.
        if (!_ended.Task.IsCompletedSuccessfully || _ended.Task.Result is null)
        {
            State.Backend.CommitAll();
        }

        State.Dispose();
        _start.Wal.Dispose();
        _ended.TrySetResult(null);
    }

    /// <summary>Proposes a request and waits for its answer. The caller disposes what comes back.</summary>
    public PendingRequest Propose(int field, in ReadOnlySequence<byte> body, in RequestIdentity who) =>
        Pipeline.Submit(Pipeline.Draft(field, body, who), ProposalDeadline);

    /// <summary>Completes when a read of the published state is linearizable.</summary>
    public ValueTask<StoreError> LinearizableAsync() =>
        Pipeline.Reads.LoneLeader ? new ValueTask<StoreError>(StoreError.None) : Pipeline.ReadIndexAsync(ProposalDeadline);

    /// <summary>The header of an answer given from the published state.</summary>
    public ResponseHeader Header() => new(ClusterId, MemberId, State.Machine.Kv.PublishedRevision, Raft.Term);

    void IPipelineEvents.SoftStateChanged(RaftRole role, ulong leader, ulong term)
    {
        State.Watches.RaftTerm = term;
        if (role != RaftRole.Leader)
        {
            State.Machine.Leases.Demote();
        }

        Log.Info(
            role == RaftRole.Leader ? "raft.node: elected leader" : "raft.node: changed leader",
            ("local-member-id", MemberIds.Hex(MemberId)),
            ("role", role.ToString()),
            ("leader", MemberIds.Hex(leader)),
            ("term", term));
        _housekeeper.LeaderChanged();
    }

    void IPipelineEvents.Attention(in Entry entry, in ApplyOutcome outcome)
    {
        if (outcome.Effects.HasFlag(ApplyEffects.EmptyEntry) && IsLeader && entry.Term == Raft.Term)
        {
            State.Machine.Leases.Promote(TimeSpan.FromMilliseconds(Config.ElectionMs));
        }

        if (outcome.Effects.HasFlag(ApplyEffects.VersionChanged))
        {
            Log.Info("updated cluster version", ("cluster-version", ClusterVersion?.ToString()));
            Log.Info("enabled capabilities for version", ("cluster-version", ClusterVersion?.ToString()));
        }

        if (outcome.Effects.HasFlag(ApplyEffects.RemovedSelf))
        {
            EndRemoved(RemovalNotice);
        }

        if (outcome.Effects.HasFlag(ApplyEffects.MembersChanged) && outcome.ConfChange is { } change)
        {
            PeersChanged(change);
        }

        _housekeeper.Attention(outcome.Effects);
    }

    void IPipelineEvents.SlowApply(in Entry entry, in ApplyOutcome outcome, TimeSpan took)
    {
        Interlocked.Increment(ref _slowApplies);
        Log.Warn(
            "apply request took too long",
            ("took", took),
            ("expected-duration", Config.WarningApplyDuration),
            ("prefix", ""),
            ("request", RequestText.Of(entry.Data.Span)),
            ("response", ""),
            ("error", outcome.Error == StoreError.None ? null : outcome.Error.ToString()));
    }

    void IPipelineEvents.DiskFull(DiskFullException e) => Log.Error("no space for the data file", ("error", e));

    internal void MarkReady()
    {
        if (_ready.TrySetResult())
        {
            Log.Info("ready to serve client requests");
        }
    }

    internal long ToTicks(TimeSpan time) => (long)(time.TotalSeconds * Clock.TimestampFrequency);

    /// <summary>
    /// Makes the member's directories and their names durable all the way up: a log in a directory that a power
    /// failure forgets is no log.
    /// </summary>
    internal static void MakeDirectories(IDisk disk, ServerConfig config)
    {
        disk.CreateDirectory(config.SnapDir);
        disk.CreateDirectory(config.SidecarDir);
        disk.SyncDirectory(config.MemberDir);
        disk.SyncDirectory(config.DataDir);
        string parent = Path.GetDirectoryName(Path.GetFullPath(config.DataDir)) ?? "/";
        disk.SyncDirectory(parent);
    }

    private static InitialCluster OwnCluster(ServerConfig config, out ulong memberId)
    {
        InitialCluster cluster = InitialCluster.Parse(config.InitialCluster, config.InitialClusterToken);
        Member self = cluster.Find(config.Name)
            ?? throw new StartRefusedException(
                $"couldn't find local name \"{config.Name}\" in the initial cluster configuration");
        memberId = self.Id;
        return cluster;
    }

    private MemberState OpenState(StartState start)
    {
        DataFile file = _intake.OpenDatabase(start.Snapshot);
        var backend = new BackendStore(
            file,
            new BackendOptions
            {
                FreezeInterval = Config.BackendBatchInterval,
                Clock = Clock,
                WriteTerm = Config.SpeakAs != SpeakAs.V34,
            });
        RefuseNewerVersion(backend);
        int parts = Environment.ProcessorCount;
        V2Snapshot? v2 = start.Snapshot is null
            ? null
            : new V2Snapshot(start.Snapshot.Metadata.Index, start.Snapshot.Data);
        MemberState state = MemberState.Open(
            Config,
            backend,
            MemberId,
            ClusterId,
            v2,
            Clock,
            MemberState.FillRandom,
            Tokens,
            (count, work) => Parallel.For(0, count, work),
            parts,
            WakeWatches);
        try
        {
            RefuseV2Content(state);
            return state;
        }
        catch
        {
            state.Dispose();
            _start.Wal.Dispose();
            throw;
        }
    }

    /// <summary>--v2-deprecation: what users have put into the v2 store stands in the way of giving it up.</summary>
    private void RefuseV2Content(MemberState state)
    {
        if (!state.Machine.V2.HasUserContent)
        {
            return;
        }

        if (Config.V2Deprecation is not ("not-yet" or "write-only-skip-check"))
        {
            throw new StartRefusedException(
                $"detected disallowed custom content in v2store for stage --v2-deprecation={Config.V2Deprecation}");
        }

        Log.Warn("detected custom v2store content. Etcd v3.5 is the last version allowing to access it using API v2. Please remove the content.");
    }

    /// <summary>A directory that a newer version has written is not ours to go on with (FORMATS A.8).</summary>
    private void RefuseNewerVersion(BackendStore backend)
    {
        if (!backend.TryGet(Buckets.Cluster, "clusterVersion"u8, out ReadOnlySpan<byte> text)
            || !SemanticVersion.TryParse(System.Text.Encoding.UTF8.GetString(text), out SemanticVersion recorded)
            || recorded <= Dialect.Capability(Config.SpeakAs))
        {
            return;
        }

        backend.Dispose();
        _start.Wal.Dispose();
        throw new StartRefusedException(
            "invalid downgrade; server version is lower than determined cluster version:"
            + $" current-server-version {ServerVersion}, determined-cluster-version {recorded}");
    }

    private void StartThreads()
    {
        var bySignal = new List<(string Name, Signal Signal, List<ILoop> Loops)>();
        Add("core", _topology.Core, Pipeline.CoreLoop);
        Add("apply", _topology.Apply, Pipeline.ApplyLoop);
        Add("wal", _topology.Wal, Pipeline.WalLoop);
        Add("commit", _topology.Commit, Pipeline.CommitLoop);
        foreach ((string name, Signal signal, List<ILoop> loops) in bySignal)
        {
            _threads.Add(new LoopThread(name, signal, OnFatal, [.. loops]));
        }

        Pipeline.Shortcut = new Shortcut(
            [.. _threads.Where((_, i) => bySignal[i].Signal != _topology.Commit)], Pipeline.ApplyLoop, Pipeline.Pending);
        var watchSignal = _watchSignal;
        _threads.Add(new LoopThread("watch", watchSignal, OnFatal, new WatchLoop(State.Watches)));
        foreach (LoopThread thread in _threads)
        {
            thread.Start();
        }

        _heart.Start();
        Pipeline.CampaignIfAlone();

        void Add(string name, Signal signal, ILoop loop)
        {
            int at = bySignal.FindIndex(t => ReferenceEquals(t.Signal, signal));
            if (at >= 0)
            {
                bySignal[at].Loops.Add(loop);
            }
            else
            {
                bySignal.Add((name, signal, [loop]));
            }
        }
    }

    private readonly Signal _watchSignal = new();

    private void WakeWatches(int shard) => _watchSignal.Set();

    private void PrepareNextSegment()
    {
        if (Interlocked.Exchange(ref _preparingSegment, 1) != 0)
        {
            return;
        }

        ThreadPool.UnsafeQueueUserWorkItem(
            _ =>
            {
                try
                {
                    _start.Wal.PrepareNextSegment();
                }
                catch (IOException e)
                {
                    // The log cuts without a prepared segment too, only slower.
                    Log.Warn("failed to prepare the next WAL segment", ("error", e));
                }
                catch (Exception e)
                {
                    OnFatal(e);
                }
                finally
                {
                    Volatile.Write(ref _preparingSegment, 0);
                }
            },
            null);
    }

    private void OnHousekeeping()
    {
        try
        {
            long now = Clock.GetTimestamp();
            Pipeline.Expire(now, ToTicks(ReadRetryInterval), StoreError.Timeout);
            _topology.Apply.Set();
            HastenElection();
            GiveUpStalledLeadership();
            _housekeeper.Turn(now);
            _autoCompactor?.Turn();
            _corruption?.Turn(now);
            _snapshots.Turn();
        }
        catch (Exception e)
        {
            OnFatal(e);
        }
    }

    /// <summary>The pipeline is broken: nothing may be answered any more. The process ends; restart recovers.</summary>
    private void OnFatal(Exception e)
    {
        // One of them may have failed, the committing one perhaps: the others would go on answering.
        foreach (LoopThread thread in _threads)
        {
            thread.Fail();
        }

        Log.Fatal("member failed", ("error", e.ToString()));
        _ended.TrySetResult(e);
    }
}
