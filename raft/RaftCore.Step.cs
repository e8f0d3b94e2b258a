using System.Buffers;

namespace Perf.Raft;

/// <summary>
/// What peers send. Everything is looked at before anything is believed: a message either fits or leaves the machine
/// as it was, with a <see cref="StepOutcome"/> that says why.
/// </summary>
public sealed partial class RaftCore
{
    // A term that far ahead is not an election that was missed but a broken or hostile peer.
    private const ulong TermJumpMax = 1UL << 32;

    /// <summary>A message from a peer. What the core keeps of its entries it retains; the caller releases its own.</summary>
    public StepOutcome Step(in Message message)
    {
        StepOutcome outcome = Screen(message);
        if (outcome != StepOutcome.Done)
        {
            return outcome;
        }

        // Requests of members carry no term; whoever leads answers.
        switch (message.Type)
        {
            case MessageType.Prop:
                return StepProposals(message);
            case MessageType.ReadIndex:
                return StepReadIndex(message);
            case MessageType.TransferLeader:
                return StepTransfer(message);
            default:
                break;
        }

        if (message.Term < _term)
        {
            return StepStale(message);
        }

        if (message.Term > _term)
        {
            outcome = StepNewerTerm(message);
            if (outcome != StepOutcome.Done)
            {
                return outcome;
            }
        }

        switch (message.Type)
        {
            case MessageType.Vote:
            case MessageType.PreVote:
                return StepVoteRequest(message);

            case MessageType.VoteResp:
            case MessageType.PreVoteResp:
                return StepVoteResponse(message);

            case MessageType.App:
            case MessageType.Heartbeat:
            case MessageType.Snap:
                return StepFromLeader(message);

            case MessageType.AppResp:
                return _role == RaftRole.Leader ? StepAppendResponse(message) : StepOutcome.NotMyRole;

            case MessageType.HeartbeatResp:
                return _role == RaftRole.Leader ? StepHeartbeatResponse(message) : StepOutcome.NotMyRole;

            case MessageType.ReadIndexResp:
                return StepReadIndexResponse(message);

            case MessageType.TimeoutNow:
                return StepTimeoutNow(message);

            default:
                return StepOutcome.UnknownType;
        }
    }

    // Everything that can be said of a message without changing anything.
    private StepOutcome Screen(in Message message)
    {
        if (message.To != Id)
        {
            return StepOutcome.NotForUs;
        }

        if (message.From == 0)
        {
            return StepOutcome.Malformed;
        }

        if (message.From == Id && message.Type != MessageType.TransferLeader)
        {
            return StepOutcome.FromSelf;
        }

        if (message.Term > NumberMax || message.LogTerm > NumberMax || message.Index > NumberMax
            || message.Commit > NumberMax || message.RejectHint > NumberMax)
        {
            return StepOutcome.Malformed;
        }

        bool hasTerm = true;
        switch (message.Type)
        {
            case MessageType.Prop:
            case MessageType.ReadIndex:
            case MessageType.TransferLeader:
                hasTerm = false;
                break;

            case MessageType.App:
                StepOutcome entries = ScreenEntries(message);
                if (entries != StepOutcome.Done)
                {
                    return entries;
                }

                break;

            case MessageType.Snap:
                if (message.Snapshot is null || message.Snapshot.Metadata.Index > NumberMax
                    || message.Snapshot.Metadata.Term == 0 || message.Snapshot.Metadata.Term > message.Term)
                {
                    return StepOutcome.Malformed;
                }

                break;

            case MessageType.AppResp:
            case MessageType.Vote:
            case MessageType.VoteResp:
            case MessageType.PreVote:
            case MessageType.PreVoteResp:
            case MessageType.Heartbeat:
            case MessageType.HeartbeatResp:
            case MessageType.ReadIndexResp:
            case MessageType.TimeoutNow:
                break;

            default:
                return StepOutcome.UnknownType;
        }

        if (hasTerm)
        {
            if (message.Term == 0)
            {
                return StepOutcome.Malformed;
            }

            if (message.Term > _term && message.Term - _term > TermJumpMax)
            {
                return StepOutcome.Malformed;
            }
        }

        return ScreenSender(message);
    }

    // Gaps, falling terms, entries of joint consensus, a term of 0 that would match what is missing.
    private static StepOutcome ScreenEntries(in Message message)
    {
        if ((message.LogTerm == 0) != (message.Index == 0) || message.LogTerm > message.Term)
        {
            return StepOutcome.Malformed;
        }

        ulong index = message.Index;
        ulong term = message.LogTerm;
        foreach (ref readonly Entry entry in message.Entries.Span)
        {
            index++;
            if (entry.Index != index || entry.Term < term || entry.Term == 0 || entry.Term > message.Term
                || entry.Type is not (EntryType.Normal or EntryType.ConfChange))
            {
                return StepOutcome.Malformed;
            }

            if (entry.Type == EntryType.ConfChange
                && ConfChangeCodec.TryRead(entry.Data, out _) != OperationStatus.Done)
            {
                return StepOutcome.Malformed;
            }

            term = entry.Term;
        }

        return StepOutcome.Done;
    }

    // A leader may be unknown here: we may be new, or behind by the change that added it. So may a candidate, if its
    // log goes beyond what we have applied: only there can the change be that makes it a member. Anybody else who is
    // not in the configuration has nothing to say, least of all a term.
    private StepOutcome ScreenSender(in Message message)
    {
        if (message.From == Id || _members.Find(message.From) is not null || message.From == _leader)
        {
            return StepOutcome.Done;
        }

        if (_removed.Contains(message.From))
        {
            return StepOutcome.RemovedMember;
        }

        switch (message.Type)
        {
            case MessageType.App:
            case MessageType.Heartbeat:
            case MessageType.Snap:
                return StepOutcome.Done;

            case MessageType.Vote:
            case MessageType.PreVote:
                return message.Index > _log.Applied && _log.IsUpToDate(message.Index, message.LogTerm)
                    ? StepOutcome.Done
                    : StepOutcome.UnknownMember;

            default:
                return StepOutcome.UnknownMember;
        }
    }

    // A leader or candidate of an earlier term (Raft 5.1). Answering with our term frees a member that is stuck in a
    // higher one (the quorum check ignores its campaigns) and ends the reign of a leader that was away.
    private StepOutcome StepStale(in Message message)
    {
        if (message.Type is MessageType.App or MessageType.Heartbeat)
        {
            var answer = new Message { Type = MessageType.AppResp, To = message.From };
            SendAfterTerm(ref answer);
        }
        else if (message.Type == MessageType.PreVote)
        {
            var answer = new Message { Type = MessageType.PreVoteResp, To = message.From, Reject = true };
            SendAfterTerm(ref answer);
        }
        else if (message.Type == MessageType.Vote && _leader == 0)
        {
            // etcd is silent here. But two that campaign by turns, of which the one ahead does not know yet that the other
            // may vote and does not ask it, then go on until chance brings their terms together.
            var answer = new Message { Type = MessageType.VoteResp, To = message.From, Reject = true };
            SendAfterTerm(ref answer);
        }

        return StepOutcome.Stale;
    }

    private StepOutcome StepNewerTerm(in Message message)
    {
        switch (message.Type)
        {
            case MessageType.Vote:
            case MessageType.PreVote:
                if (IsLeaderAlive && !message.Context.Equals(MessageContext.CampaignTransfer))
                {
                    return StepOutcome.LeaderAlive;
                }

                if (message.Type == MessageType.Vote)
                {
                    BecomeFollower(message.Term, leader: 0);
                }

                return StepOutcome.Done;

            case MessageType.PreVoteResp when !message.Reject:
                // Speaks of the term we asked for, not of one that exists.
                return StepOutcome.Done;

            case MessageType.App:
            case MessageType.Heartbeat:
            case MessageType.Snap:
                BecomeFollower(message.Term, message.From);
                return StepOutcome.Done;

            default:
                BecomeFollower(message.Term, leader: 0);
                return StepOutcome.Done;
        }
    }

    // Of our term, from whoever leads it.
    private StepOutcome StepFromLeader(in Message message)
    {
        if (_role == RaftRole.Leader || (_leader != 0 && _leader != message.From))
        {
            return StepOutcome.SecondLeader;
        }

        if (_role != RaftRole.Follower || _leader == 0)
        {
            BecomeFollower(_term, message.From);
        }

        _electionElapsed = 0;
        return message.Type switch
        {
            MessageType.App => StepAppend(message),
            MessageType.Heartbeat => StepHeartbeat(message),
            _ => StepSnapshot(message),
        };
    }
}
