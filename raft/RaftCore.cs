namespace Perf.Raft;

/// <summary>
/// Agreement as a pure machine: calls in, <see cref="Ready"/> out. It has no clock, socket, file or thread; the same
/// calls in the same order bring the same results. One thread may use it. What it promises, and to whom, is drawn in
/// DESIGN.md. Nothing that a peer sends makes it throw; a broken invariant of its own does
/// (<see cref="RaftInvariantException"/>), and the process should end then.
/// </summary>
public sealed partial class RaftCore
{
    // Terms and indexes beyond this are nobody's: a real log does not get there in the life of the hardware.
    private const ulong NumberMax = 1UL << 62;

    private readonly RaftConfig _config;
    private readonly RaftLog _log;
    private readonly Members _members;
    private readonly List<IEntryLease> _lent = [];

    private SplitMix _random;

    private RaftRole _role;
    private ulong _term;
    private ulong _vote;
    private ulong _leader;

    // What the last Ready said.
    private RaftRole _toldRole;
    private ulong _toldLeader;
    private ulong _toldTerm;

    private EntryBuffer _committed = new();
    private EntryBuffer _writes = new();
    private EntryBuffer _messageEntries = new();
    private MessageBuffer _messages = new();
    private List<ReadState> _readStates = [];

    // Something happened that may let the leader send: looked at once per Ready, so that a turn's worth of proposals
    // and acknowledgements becomes one message per peer.
    private bool _feedDue;
    private bool _committedReadPending;

    /// <summary>Starts as a follower of nobody. <paramref name="restored"/> belongs to the core from now on.</summary>
    /// <exception cref="ArgumentException">Settings that contradict each other.</exception>
    /// <exception cref="InvalidDataException">What was restored does not fit together: the log ends before what is committed or applied.</exception>
    public RaftCore(RaftConfig config, RestoredState restored)
    {
        Validate(config);
        _config = config;
        _log = restored.Log;
        _members = new Members(config);
        _random = new SplitMix(config.Seed);
        _readContext = _random.Next();

        HardState hard = restored.HardState;
        ulong commit = Math.Max(hard.Commit, restored.Applied);
        if (commit > _log.LastIndex)
        {
            throw new InvalidDataException(
                $"the log ends at {_log.LastIndex}, but {hard.Commit} is committed and {restored.Applied} applied");
        }

        if (!restored.ConfState.IsValid)
        {
            throw new InvalidDataException($"unusable configuration: {restored.ConfState}");
        }

        _term = hard.Term;
        _vote = hard.Vote;
        if (_term < _log.LastTerm)
        {
            // The power went while entries of a new term and the term itself were written: the entries came through. That
            // term has its leader; no vote of this member's can have been sent in it, and none is given.
            _term = _log.LastTerm;
            _vote = Id;
        }

        _log.CommitTo(commit);
        _snapshot = restored.Snapshot;
        _diskLast = _log.LastIndex;
        _writeFrom = _log.LastIndex + 1;
        _toldHardState = new HardState(hard.Term, hard.Vote, _log.Committed);
        _durableTerm = hard.Term;
        _durableVote = hard.Vote;
        _members.Switch(restored.ConfState, _log.LastIndex + 1);
        _toldTerm = _term;
        ResetElectionTimeout();
    }

    public ulong Id => _config.Id;

    public RaftRole Role => _role;

    public ulong Term => _term;

    /// <summary>The leader of this term; 0: not known.</summary>
    public ulong Leader => _leader;

    public ulong Commit => _log.Committed;

    public ulong Applied => _log.Applied;

    /// <summary>The lowest index that is still there, in memory or in the WAL.</summary>
    public ulong FirstIndex => _log.FirstIndex;

    public ulong LastIndex => _log.LastIndex;

    /// <summary>The configuration in force: the one of the last applied change.</summary>
    public ConfState ConfState => _members.ConfState;

    /// <summary>True when <see cref="TakeReady"/> may bring something.</summary>
    public bool HasReady =>
        _feedDue || _messages.Count > 0 || _forwards.Count > 0 || _readStates.Count > 0 || HasWrites
        || HasCommittedToHand || HasSoftStateChange;

    internal RaftLog Log => _log;

    internal Members Members => _members;

    private bool HasSoftStateChange => _toldRole != _role || _toldLeader != _leader || _toldTerm != _term;

    private bool HasCommittedToHand =>
        !_committedReadPending && Math.Min(_log.Committed, _log.Durable) > _log.Handed;

    /// <summary>
    /// Moves all that is to be done into <paramref name="target"/> and takes back the room of what was there. The
    /// contents of the Ready before this one are no longer lent.
    /// </summary>
    public void TakeReady(Ready target)
    {
        foreach (IEntryLease lease in _lent)
        {
            lease.Release();
        }

        _lent.Clear();
        target.Clear();

        SendForwards();
        if (_feedDue)
        {
            _feedDue = false;
            if (_role == RaftRole.Leader)
            {
                StartReadRounds();
                FeedPeers();
            }
        }

        CollectCommitted();
        CollectWrites(target);

        (target.EntriesBuffer, _writes) = (_writes, target.EntriesBuffer);
        (target.CommittedBuffer, _committed) = (_committed, target.CommittedBuffer);
        (target.MessageEntries, _messageEntries) = (_messageEntries, target.MessageEntries);
        (target.MessageList, _messages) = (_messages, target.MessageList);
        (target.ReadStateList, _readStates) = (_readStates, target.ReadStateList);

        target.SoftStateChanged = HasSoftStateChange;
        target.Role = _toldRole = _role;
        target.Leader = _toldLeader = _leader;
        target.Term = _toldTerm = _term;
        target.Commit = _log.Committed;
    }

    /// <summary>What <see cref="ILogReader"/> answered Pending for can be read now.</summary>
    public void LogReadReady()
    {
        _committedReadPending = false;
        _feedDue = true;
        foreach (Progress member in _members.All)
        {
            member.ReadPending = false;
        }
    }

    /// <summary>A picture of the machine; allocates.</summary>
    public RaftStatus GetStatus()
    {
        var progress = new List<ProgressView>();
        if (_role == RaftRole.Leader)
        {
            foreach (Progress member in _members.All)
            {
                progress.Add(new ProgressView(
                    member.Id, member.Match, member.Next, member.State, member.IsLearner, member.RecentActive,
                    member.IsPaused, member.InflightCount));
            }
        }

        return new RaftStatus(
            Id, _role, _term, _vote, _leader, _log.Committed, _log.Applied, _log.Durable, _log.FirstIndex,
            _log.LastIndex, _transferTarget, _members.ConfState, progress);
    }

    private static void Validate(RaftConfig config)
    {
        if (config.Id == 0)
        {
            throw new ArgumentException("a member's id is not 0");
        }

        if (config.HeartbeatTicks <= 0 || config.ElectionTicks <= config.HeartbeatTicks)
        {
            throw new ArgumentException(
                $"election ticks ({config.ElectionTicks}) must exceed heartbeat ticks ({config.HeartbeatTicks}), which must exceed 0");
        }

        if (config.InflightMessagesMax <= 0 || config.InflightBytesMax <= 0 || config.MessageBytesMax <= 0)
        {
            throw new ArgumentException("limits of messages in flight must exceed 0");
        }
    }

    // Adds committed entries that are durable here to what the next Ready hands out. Waiting for our own disk keeps
    // the state machine's index behind the WAL's (ARCHITECTURE.md, I1 and I4).
    private void CollectCommitted()
    {
        if (!HasCommittedToHand)
        {
            return;
        }

        ulong from = _log.Handed + 1;
        ulong to = Math.Min(_log.Committed, _log.Durable);
        switch (TakeEntries(from, to, _config.CommittedBytesMax, _committed))
        {
            case LogRead.Done:
                _log.MarkHanded(_committed[_committed.Count - 1].Index);
#if MUTANTS
                if (Mutant.Is("16-page-of-entries-skips-one") && _log.Handed < to)
                {
                    _log.MarkHanded(_log.Handed + 1);
                }
#endif
                break;

            case LogRead.Pending:
                _committedReadPending = true;
                break;

            default:
                // Entries that nobody has applied are never compacted.
                Check.That(false);
                break;
        }
    }

    // Entries first .. last, the first one always, more up to bytesMax; from the window or from the WAL.
    private LogRead TakeEntries(ulong first, ulong last, int bytesMax, EntryBuffer target)
    {
        if (first < _log.WindowFirst)
        {
            int before = target.Count;
            LogRead read = _config.LogReader?.Read(first, Math.Min(_log.WindowFirst, last + 1), bytesMax, target)
                ?? LogRead.Compacted;
            if (read != LogRead.Done)
            {
                return read;
            }

            Check.That(target.Count > before);
            Check.That(target[before].Index == first);
            for (int i = before; i < target.Count; i++)
            {
                Check.That(_log.Matches(target[i].Index, target[i].Term));
                Lend(target[i].Lease);
            }

            return LogRead.Done;
        }

        long bytes = 0;
        for (ulong i = first; i <= last; i++)
        {
            ref readonly Entry entry = ref _log[i];
            bytes += entry.Encoded.Length;
            if (i > first && bytes > bytesMax)
            {
                break;
            }

            target.Add(entry);
        }

        return LogRead.Done;
    }

    // A reference that we hold for the reader of the next Ready.
    private void Lend(IEntryLease? lease)
    {
        if (lease is not null)
        {
            _lent.Add(lease);
        }
    }

}
