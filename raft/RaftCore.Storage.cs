namespace Perf.Raft;

/// <summary>
/// The disk is asynchronous. What has to be written leaves in numbered batches; what may be said only afterwards waits
/// here for its batch:
/// <code>
///   message                         waits for
///   MsgApp, MsgHeartbeat, ...       nothing (a leader's term is durable before it is leader)
///   MsgHeartbeatResp, refusals      the term
///   MsgAppResp                      term and entries
///   MsgVoteResp, MsgPreVoteResp     term, vote and entries
///   MsgVote, the own vote           term, vote and entries
/// </code>
/// Followers and candidates also hold those that wait for entries while a committed change of configuration is not
/// applied: the member might just have been removed.
/// </summary>
public sealed partial class RaftCore
{
    // Messages are lost in life anyway; a disk that stands still must not fill the memory.
    private const int HeldMax = 4096;

    private readonly Queue<Batch> _batches = new();
    private Held[] _held = new Held[16];
    private int _heldCount;

    private ulong _batchTaken;
    private ulong _batchDurable;

    // The last batch that somebody waits for; numbers above _batchTaken mean the batch of the next Ready.
    private ulong _syncBatch;
    private ulong _termBatch;

    // Entries at and above this index are not part of any batch yet.
    private ulong _writeFrom;

    // Where the log on disk ends, as of the last durable batch.
    private ulong _diskLast;
    private ulong _durableTerm;
    private ulong _durableVote;
    private HardState _toldHardState;
    private Snapshot? _snapshotToInstall;

    private bool HasWrites =>
        _writeFrom <= _log.LastIndex || _snapshotToInstall is not null
        || _toldHardState.Term != _term || _toldHardState.Vote != _vote || _toldHardState.Commit != _log.Committed;

    /// <summary>
    /// All batches up to <paramref name="batch"/> are on disk. An entry that a later batch overwrites does not count,
    /// even if its index and term come back (raft's ABA): the disk still has that write before it.
    /// </summary>
    public void OnDurable(ulong batch)
    {
        Check.That(batch <= _batchTaken);
        bool isNews = false;
        while (_batches.TryPeek(out Batch done) && done.Number <= batch)
        {
            _batches.Dequeue();
            isNews = true;
            if (done.Snapshot != 0)
            {
                _diskLast = done.Snapshot;
                _snapshotOnDisk = done.Snapshot;
            }

            if (done.FirstIndex != 0)
            {
                _diskLast = done.LastIndex;
            }

            _durableTerm = done.Term;
            _durableVote = done.Vote;
        }

        if (!isNews)
        {
            return;
        }

        _batchDurable = batch;
        MarkDurable();
        FinishInstalling();
        ReleaseHeld();
        if (_role == RaftRole.Leader)
        {
            Progress? own = _members.Find(Id);
            own?.SetOwn(_log.Durable);
            MaybeCommit();
        }
    }

    /// <summary>The state machine has applied the entries (or the snapshot) up to <paramref name="index"/>.</summary>
    public void OnApplied(ulong index)
    {
        if (index <= _log.Applied)
        {
            return;
        }

        _log.MarkApplied(index);
        _log.Trim();
        FinishInstalling();
        ReleaseHeld();
        _feedDue |= _role == RaftRole.Leader;
    }

    // Everything that a later write leaves alone: the end of the log on disk, cut before the lowest index that a batch
    // in flight or the next one will overwrite.
    private void MarkDurable()
    {
        ulong durable = _snapshotToInstall is null ? Math.Min(_diskLast, _writeFrom - 1) : 0;
        foreach (Batch batch in _batches)
        {
            if (batch.Snapshot != 0)
            {
                durable = 0;
            }
            else if (batch.FirstIndex != 0)
            {
                durable = Math.Min(durable, batch.FirstIndex - 1);
            }
        }

        _log.MarkDurable(durable);
        _log.Trim();
    }

    private void AppendToLog(in Entry entry)
    {
        _log.Append(entry);
        _log.Trim();
    }

    private void TruncateLog(ulong index)
    {
        _log.TruncateFrom(index);
        _writeFrom = Math.Min(_writeFrom, index);
    }

    private void SetHardState(ulong term, ulong vote)
    {
        Check.That(term > _term || (term == _term && (_vote == 0 || _vote == vote)));
        if (term != _term || vote != _vote)
        {
            _term = term;
            _vote = vote;
            _termBatch = _batchTaken + 1;
        }
    }

    private void CollectWrites(Ready target)
    {
        if (!HasWrites)
        {
            return;
        }

        var hard = new HardState(_term, _vote, _log.Committed);
        bool hasVote = hard.Term != _toldHardState.Term || hard.Vote != _toldHardState.Vote;
        ulong first = 0;
        if (_writeFrom <= _log.LastIndex)
        {
            first = _writeFrom;
            for (ulong i = first; i <= _log.LastIndex; i++)
            {
                _writes.Add(_log[i]);
            }

            _writeFrom = _log.LastIndex + 1;
        }

        _batchTaken++;
        target.Batch = _batchTaken;
        target.MustSync = first != 0 || hasVote || _snapshotToInstall is not null;
        target.HardState = hard == _toldHardState ? null : hard;
        target.Snapshot = _snapshotToInstall;
        if (target.MustSync)
        {
            _syncBatch = _batchTaken;
        }

        _batches.Enqueue(new Batch(
            _batchTaken, first, _log.LastIndex, _snapshotToInstall?.Metadata.Index ?? 0, _term, _vote));
        _toldHardState = hard;
        _snapshotToInstall = null;
    }

    // The batch that makes durable all that the machine knows now.
    private ulong CurrentBatch()
    {
        bool isPending = _writeFrom <= _log.LastIndex || _snapshotToInstall is not null
            || _toldHardState.Term != _term || _toldHardState.Vote != _vote;
        return isPending ? _batchTaken + 1 : _syncBatch;
    }

    private void SendAtOnce(ref Message message)
    {
        Stamp(ref message);
        _messages.Add(message);
    }

    // After the term is durable.
    private void SendAfterTerm(ref Message message)
    {
        Stamp(ref message);
        if (_termBatch <= _batchDurable)
        {
            _messages.Add(message);
        }
        else
        {
            Hold(message, _termBatch, waitsForConfChange: false);
        }
    }

    // After all that is known now is durable, and no change of configuration is half done.
    private void SendAfterSync(ref Message message)
    {
        Stamp(ref message);
        ulong batch = CurrentBatch();
        if (_heldCount > 0)
        {
            // Several appends between two syncs are answered once. What one leader of one term got accepted stays.
            ref Held last = ref _held[_heldCount - 1];
            if (last.Batch == batch && message.Type == MessageType.AppResp && !message.Reject
                && last.Message.Type == MessageType.AppResp && !last.Message.Reject
                && last.Message.To == message.To && last.Message.Term == message.Term)
            {
                last.Message.Index = Math.Max(last.Message.Index, message.Index);
                return;
            }
        }

        Hold(message, batch, waitsForConfChange: true);
        ReleaseHeld();
    }

    private void Stamp(ref Message message)
    {
        message.From = Id;
        if (message.Term == 0 && message.Type is not (MessageType.Prop or MessageType.ReadIndex))
        {
            message.Term = _term;
        }
    }

    private void Hold(in Message message, ulong batch, bool waitsForConfChange)
    {
        if (_heldCount == HeldMax)
        {
            return;
        }

        if (_heldCount == _held.Length)
        {
            Array.Resize(ref _held, _heldCount * 2);
        }

        _held[_heldCount++] = new Held { Batch = batch, Message = message, WaitsForConfChange = waitsForConfChange };
    }

    private void ReleaseHeld()
    {
        bool isHolding = _role != RaftRole.Leader && _log.HasCommittedConfChange;
        int kept = 0;
        int count = _heldCount;
        bool ownVote = false;
        ulong ownVoteTerm = 0;
        for (int i = 0; i < count; i++)
        {
            ref Held held = ref _held[i];
            if (held.Batch > _batchDurable || (held.WaitsForConfChange && isHolding))
            {
                _held[kept++] = held;
            }
            else if (held.Message.To == Id)
            {
                ownVote = true;
                ownVoteTerm = held.Message.Term;
            }
            else
            {
                _messages.Add(held.Message);
            }
        }

        Array.Clear(_held, kept, count - kept);
        _heldCount = kept;
        if (ownVote && _role == RaftRole.Candidate && ownVoteTerm == _term)
        {
            Check.That(_durableTerm == _term);
            Check.That(_durableVote == Id);
            RecordVote(Id, isGranted: true);
        }
    }

    private struct Held
    {
        public ulong Batch;
        public bool WaitsForConfChange;
        public Message Message;
    }

    // What a batch wrote; FirstIndex 0: no entries; Snapshot 0: none.
    private readonly record struct Batch(
        ulong Number, ulong FirstIndex, ulong LastIndex, ulong Snapshot, ulong Term, ulong Vote);
}
