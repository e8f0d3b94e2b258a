using System.Buffers;

namespace Perf.Raft;

/// <summary>Proposals in, entries to peers, acknowledgements back, commit. Raft 5.3 and 5.4.2, thesis 10.2.</summary>
public sealed partial class RaftCore
{
    private readonly EntryBuffer _forwards = new();

    /// <summary>
    /// Proposes an entry. The payload is <paramref name="buffer"/> from <paramref name="payloadOffset"/> on; at least
    /// <see cref="EntryCodec.HeadroomBytes"/> before it are the core's to write into. If the outcome is Appended or
    /// Forwarded the core has retained <paramref name="lease"/> and the buffer must not be changed any more.
    /// </summary>
    public ProposeOutcome Propose(EntryType type, Memory<byte> buffer, int payloadOffset, IEntryLease? lease)
    {
        if (payloadOffset < EntryCodec.HeadroomBytes || payloadOffset > buffer.Length
            || !IsAcceptable(type, buffer[payloadOffset..]))
        {
            return ProposeOutcome.Invalid;
        }

        if (_role != RaftRole.Leader)
        {
            if (_leader == 0)
            {
                return ProposeOutcome.NoLeader;
            }

            lease?.Retain();
            _forwards.Add(EntryCodec.Complete(buffer, payloadOffset, type, term: 0, index: 0, lease));
            return ProposeOutcome.Forwarded;
        }

        ProposeOutcome outcome = MayAppend(type, buffer.Length - payloadOffset);
        if (outcome == ProposeOutcome.Appended)
        {
            AppendToLog(EntryCodec.Complete(buffer, payloadOffset, type, _term, _log.LastIndex + 1, lease));
            _feedDue = true;
        }

        return outcome;
    }

    private static bool IsAcceptable(EntryType type, ReadOnlyMemory<byte> data) => type switch
    {
        EntryType.Normal => true,
        EntryType.ConfChange => ConfChangeCodec.TryRead(data, out _) == OperationStatus.Done,
        _ => false,
    };

    private ProposeOutcome MayAppend(EntryType type, int bytes)
    {
        if (!_members.ConfState.IsVoter(Id))
        {
            return ProposeOutcome.NotMember;
        }

        if (_transferTarget != 0)
        {
            return ProposeOutcome.Transferring;
        }

        // One change at a time (thesis 4.1): majorities of neighbouring configurations overlap only then.
        if (type == EntryType.ConfChange && _log.HasConfChange)
        {
            return ProposeOutcome.ConfChangePending;
        }

        // A first entry always fits, however large.
        bool isFull = _log.UncommittedBytes > 0 && _log.UncommittedBytes + bytes > _config.UncommittedBytesMax;
        return isFull ? ProposeOutcome.TooMuchUncommitted : ProposeOutcome.Appended;
    }

    private StepOutcome StepProposals(in Message message)
    {
        if (message.Entries.IsEmpty)
        {
            return StepOutcome.Malformed;
        }

        foreach (ref readonly Entry entry in message.Entries.Span)
        {
            if (!IsAcceptable(entry.Type, entry.Data))
            {
                return StepOutcome.Malformed;
            }
        }

        if (_role != RaftRole.Leader)
        {
            if (_leader == 0 || _leader == message.From)
            {
                return StepOutcome.NoLeader;
            }

            foreach (ref readonly Entry entry in message.Entries.Span)
            {
                entry.Lease?.Retain();
                _forwards.Add(entry);
            }

            return StepOutcome.Done;
        }

        // Whoever proposed hears of a refusal by its own timeout, as of a lost message.
        foreach (ref readonly Entry entry in message.Entries.Span)
        {
            if (MayAppend(entry.Type, entry.Data.Length) != ProposeOutcome.Appended)
            {
                return StepOutcome.Busy;
            }

            AppendCopy(entry.Type, entry.Data.Span, hasData: true);
        }

        return StepOutcome.Done;
    }

    private void AppendEmptyEntry() => AppendCopy(EntryType.Normal, [], hasData: false);

    private void AppendCopy(EntryType type, ReadOnlySpan<byte> data, bool hasData)
    {
        ulong index = _log.LastIndex + 1;
        int bytes = EntryCodec.Bytes(_term, index, hasData ? data.Length : -1);
        IEntryLease? lease = null;
        Memory<byte> target = _config.Buffers?.Rent(bytes, out lease) ?? new byte[bytes];
        AppendToLog(EntryCodec.Write(target, type, _term, index, data, hasData, lease));

        // The window has its own reference now.
        lease?.Release();
        _feedDue = true;
    }

    // One or several MsgProp of what was proposed here since the last Ready.
    private void SendForwards()
    {
        if (_forwards.Count == 0)
        {
            return;
        }

        // References move to what is lent; without a leader the proposals are lost, as any message may be.
        int start = _messageEntries.Count;
        long bytes = 0;
        foreach (ref readonly Entry entry in _forwards.Span)
        {
            Lend(entry.Lease);
            if (_leader == 0 || _leader == Id)
            {
                continue;
            }

            if (_messageEntries.Count > start && bytes + entry.Encoded.Length > _config.MessageBytesMax)
            {
                SendForwards(start);
                start = _messageEntries.Count;
                bytes = 0;
            }

            _messageEntries.Add(entry);
            bytes += entry.Encoded.Length;
        }

        _forwards.Clear();
        if (_messageEntries.Count > start)
        {
            SendForwards(start);
        }
    }

    private void SendForwards(int start)
    {
        var message = new Message
        {
            Type = MessageType.Prop,
            To = _leader,
            Entries = _messageEntries.Memory[start..],
        };
        SendAtOnce(ref message);
    }

    // Sends every peer what it can take: called once per Ready.
    private void FeedPeers()
    {
        // No message of a term before the term is on our own disk (ARCHITECTURE.md, I1).
        Check.That(_durableTerm == _term);
        foreach (Progress member in _members.All)
        {
            if (member.Id != Id)
            {
                Feed(member);
            }
        }
    }

    private void Feed(Progress member)
    {
        while (!member.IsPaused && !member.ReadPending)
        {
            ulong previous = member.Next - 1;
            if (!_log.TryGetTerm(previous, out ulong previousTerm))
            {
#if MUTANTS
                if (Mutant.Is("17-term-of-nothing-matches"))
                {
                    var wrong = new Message { Type = MessageType.App, To = member.Id, Index = _log.FirstIndex, LogTerm = 0, Commit = _log.Committed };
                    SendAtOnce(ref wrong);
                    return;
                }
#endif
                SendSnapshot(member);
                return;
            }

            bool hasRoom = member.State == ProgressState.Probe || !member.InflightFull;
            int start = _messageEntries.Count;
            long bytes = 0;
            ulong last = previous;
            if (hasRoom && member.Next <= _log.LastIndex)
            {
                switch (TakeEntries(member.Next, _log.LastIndex, _config.MessageBytesMax, _messageEntries))
                {
                    case LogRead.Pending:
                        member.ReadPending = true;
                        return;

                    case LogRead.Compacted:
                        SendSnapshot(member);
                        return;

                    default:
                        break;
                }

                foreach (ref readonly Entry entry in _messageEntries.Span[start..])
                {
                    bytes += entry.Encoded.Length;
                }

                last = previous + (ulong)(_messageEntries.Count - start);
            }

            bool isEmpty = last == previous;
            bool isCommitNews = _log.Committed > member.SentCommit && member.SentCommit < previous;
            if (isEmpty && member.State == ProgressState.Replicate && !member.AppendDue && !isCommitNews)
            {
                return;
            }

            var message = new Message
            {
                Type = MessageType.App,
                To = member.Id,
                Index = previous,
                LogTerm = previousTerm,
                Commit = _log.Committed,
                Entries = isEmpty ? default : _messageEntries.Memory[start..],
            };
            SendAtOnce(ref message);
            member.Sent(last, bytes);
            member.SentCommit = _log.Committed;
            if (isEmpty)
            {
                return;
            }
        }
    }

    private void SendHeartbeats()
    {
        // A retry of the rounds under way; its context is new, so that no old echo can confirm it.
        MessageContext context = _rounds.Count > 0 ? NextReadContext() : default;
        BroadcastHeartbeat(context);
    }

    private void BroadcastHeartbeat(in MessageContext context)
    {
        foreach (Progress member in _members.All)
        {
            if (member.Id == Id)
            {
                continue;
            }

            // No more than it is known to have: a follower must not commit what it might hold differently.
            ulong commit = Math.Min(member.Match, _log.Committed);
            var message = new Message
            {
                Type = MessageType.Heartbeat,
                To = member.Id,
                Commit = commit,
                Context = context,
            };
            SendAtOnce(ref message);
        }
    }

    private bool MaybeCommit()
    {
        Span<ulong> matches = stackalloc ulong[Math.Min(_members.VoterCount, 64)];
        if (_members.VoterCount > matches.Length)
        {
            matches = new ulong[_members.VoterCount];
        }

        int count = 0;
        foreach (Progress member in _members.All)
        {
            if (!member.IsLearner)
            {
                matches[count++] = member.Match;
            }
        }

        ulong reached = Majority.Reached(matches[..count]);

        // Raft 5.4.2: entries of earlier terms commit only under one of ours.
        if (reached <= _log.Committed || !_log.Matches(reached, _term))
        {
            return false;
        }

        _log.CommitTo(reached);
        _feedDue = true;
        return true;
    }

    private StepOutcome StepAppendResponse(in Message message)
    {
        Progress? member = _members.Find(message.From);
        if (member is null)
        {
            return StepOutcome.UnknownMember;
        }

        member.RecentActive = true;
        if (message.Reject)
        {
            // 3.4 names its last index; later ones also the term there, so that whole terms can be passed over.
            ulong hint = message.LogTerm > 0
                ? _log.FindConflict(message.RejectHint, message.LogTerm)
                : message.RejectHint;
            if (!member.TryStepBack(message.Index, Math.Min(hint, _log.LastIndex)))
            {
                return StepOutcome.Stale;
            }

            _feedDue = true;
            return StepOutcome.Done;
        }

        if (message.Index > _log.LastIndex)
        {
            return StepOutcome.Contradiction;
        }

        // An empty probe is answered with what is known already. One with entries is not: such an answer is an old one, and
        // to send a whole window for each of those while the rejections of the last window come in never ends.
        bool isProbeAnswer = member.State == ProgressState.Probe && member.IsProbeEmpty && message.Index == member.Match;
        if (!member.Advance(message.Index) && !isProbeAnswer)
        {
            return StepOutcome.Stale;
        }

        _feedDue = true;
        if (member.State == ProgressState.Probe
            || (member.State == ProgressState.Snapshot && member.Match >= _log.StartIndex))
        {
            member.BecomeReplicate();
        }

        MaybeCommit();
        CompleteReadRounds();
        if (member.Id == _transferTarget && member.Match == _log.LastIndex)
        {
            SendTimeoutNow(member.Id);
        }

        return StepOutcome.Done;
    }

    private StepOutcome StepHeartbeatResponse(in Message message)
    {
        Progress? member = _members.Find(message.From);
        if (member is null)
        {
            return StepOutcome.UnknownMember;
        }

        member.RecentActive = true;
        member.ProbeSent = false;
        if (member.Match < _log.LastIndex || member.State == ProgressState.Probe)
        {
            // Something may have got lost on the way; an append, even an empty one, finds out.
            member.AppendDue = true;
            _feedDue = true;
        }

        EchoReadContext(member, message.Context);
        return StepOutcome.Done;
    }

    /// <summary>Messages to <paramref name="id"/> get lost: look for the point where its log stands before sending more.</summary>
    public void ReportUnreachable(ulong id)
    {
        Progress? member = _members.Find(id);
        if (_role == RaftRole.Leader && member is { State: ProgressState.Replicate } && id != Id)
        {
            member.BecomeProbe();
            _feedDue = true;
        }
    }

    private StepOutcome StepAppend(in Message message)
    {
        if (message.Index < _log.Committed)
        {
            // What is committed here is committed there; tell where we are.
            AnswerAppend(message.From, _log.Committed);
            return StepOutcome.Stale;
        }

        if (_log.WindowBytes > _config.WindowBytesMax + _config.UncommittedBytesMax)
        {
            return StepOutcome.Busy;
        }

        if (!_log.Matches(message.Index, message.LogTerm))
        {
            RejectAppend(message);
            return StepOutcome.Done;
        }

        ReadOnlySpan<Entry> entries = message.Entries.Span;
        int known = 0;
        while (known < entries.Length && _log.Matches(entries[known].Index, entries[known].Term))
        {
            known++;
        }

        if (known < entries.Length)
        {
            ulong first = entries[known].Index;
            if (first <= _log.Committed)
            {
                return StepOutcome.Contradiction;
            }

            if (first <= _log.LastIndex)
            {
                TruncateLog(first);
            }

            foreach (ref readonly Entry entry in entries[known..])
            {
                AppendToLog(entry);
            }
        }

        ulong last = message.Index + (ulong)entries.Length;
        _log.CommitTo(Math.Min(message.Commit, last));
        AnswerAppend(message.From, last);
        return StepOutcome.Done;
    }

    private void AnswerAppend(ulong to, ulong index)
    {
        var answer = new Message { Type = MessageType.AppResp, To = to, Index = index };
        SendAfterSync(ref answer);
    }

    private void RejectAppend(in Message message)
    {
        // The logs agree at most up to the last of our entries that is not of a later term than the leader's there;
        // and surely up to our commit.
        ulong hint = Math.Max(_log.FindConflict(message.Index, message.LogTerm), _log.Committed);
        _log.TryGetTerm(hint, out ulong hintTerm);
        var answer = new Message
        {
            Type = MessageType.AppResp,
            To = message.From,
            Index = message.Index,
            Reject = true,
            RejectHint = hint,
            LogTerm = hintTerm,
        };
        SendAfterTerm(ref answer);
    }

    private StepOutcome StepHeartbeat(in Message message)
    {
        if (message.Commit > _log.LastIndex)
        {
            return StepOutcome.Contradiction;
        }

        _log.CommitTo(message.Commit);
        var answer = new Message { Type = MessageType.HeartbeatResp, To = message.From, Context = message.Context };
        SendAfterTerm(ref answer);
        return StepOutcome.Done;
    }
}
