namespace Perf.Raft;

/// <summary>Time, terms, votes. Raft 5.2 and 5.4.1, thesis 6 (leases by quorum check) and 9.6 (PreVote).</summary>
public sealed partial class RaftCore
{
    private int _electionElapsed;
    private int _heartbeatElapsed;
    private int _electionTimeout;

    private bool IsPromotable => _members.ConfState.IsVoter(Id) && !IsInstalling;

    // A vote for somebody else would be unkind, and with the quorum check pointless: the leader's lease runs.
    private bool IsLeaderAlive =>
        _config.CheckQuorum && _leader != 0 && _electionElapsed < _config.ElectionTicks;

    /// <summary>One tick of the owner's clock (etcd: 100 ms).</summary>
    public void Tick()
    {
        ExpireForwardedReads();
        _electionElapsed++;
        if (_role != RaftRole.Leader)
        {
            if (IsPromotable && _electionElapsed >= _electionTimeout)
            {
                Campaign();
            }

            return;
        }

        if (_electionElapsed >= _config.ElectionTicks)
        {
            _electionElapsed = 0;
            _transferTarget = 0;
            if (!_members.ConfState.IsVoter(Id) || (_config.CheckQuorum && !IsQuorumActive()))
            {
                BecomeFollower(_term, leader: 0);
                return;
            }
        }

        _heartbeatElapsed++;
        if (_heartbeatElapsed >= _config.HeartbeatTicks)
        {
            _heartbeatElapsed = 0;
            SendHeartbeats();
        }
    }

    /// <summary>
    /// Starts an election now. Nothing happens on a leader, a learner, a stranger to the configuration, or while a
    /// committed change of configuration is not applied (ARCHITECTURE.md, I9).
    /// </summary>
    public void Campaign()
    {
        // One that may not campaign does not restart its clock either: it would pass for one that hears its leader.
        if (MayCampaign())
        {
            if (_config.PreVote)
            {
                BeginPreVote();
            }
            else
            {
                BeginElection(isTransfer: false);
            }
        }
    }

    /// <summary>
    /// A leader becomes a follower of nobody in its term. For the owner whose disk stalls beyond an election timeout:
    /// its heartbeats would keep a group alive that cannot commit.
    /// </summary>
    public void StepDown()
    {
        if (_role == RaftRole.Leader)
        {
            BecomeFollower(_term, leader: 0);
        }
    }

    private bool MayCampaign() => _role != RaftRole.Leader && IsPromotable && !_log.HasCommittedConfChange;

    private void BeginPreVote()
    {
        DropForwardedReads();
        _role = RaftRole.PreCandidate;
        _leader = 0;
        _electionElapsed = 0;
        ResetVotes();
        ResetElectionTimeout();
        SendVoteRequests(MessageType.PreVote, _term + 1, isTransfer: false);
        RecordVote(Id, isGranted: true);
    }

    private void BeginElection(bool isTransfer)
    {
        Check.That(_role != RaftRole.Leader);
        DropForwardedReads();
        SetHardState(_term + 1, Id);
        _role = RaftRole.Candidate;
        _leader = 0;
        _electionElapsed = 0;
        ResetVotes();
        ResetElectionTimeout();

        // The own vote waits for the disk like everybody else's; it comes back from ReleaseHeld.
        var own = new Message { Type = MessageType.VoteResp, To = Id };
        SendAfterSync(ref own);
        SendVoteRequests(MessageType.Vote, _term, isTransfer);
    }

    private void SendVoteRequests(MessageType type, ulong term, bool isTransfer)
    {
        foreach (ulong id in _members.ConfState.Voters)
        {
            if (id == Id)
            {
                continue;
            }

            var request = new Message
            {
                Type = type,
                To = id,
                Term = term,
                Index = _log.LastIndex,
                LogTerm = _log.LastTerm,
                Context = isTransfer ? MessageContext.CampaignTransfer : default,
            };

            // A PreVote promises nothing, so it need not wait.
            if (type == MessageType.PreVote)
            {
                SendAtOnce(ref request);
            }
            else
            {
                SendAfterSync(ref request);
            }
        }
    }

    private void RecordVote(ulong id, bool isGranted)
    {
        Progress? voter = _members.Find(id);
        if (voter is null || voter.IsLearner)
        {
            return;
        }

        // The first answer of a member counts; a duplicate changes nothing.
        if (voter.Vote == VoteResult.Pending)
        {
            voter.Vote = isGranted ? VoteResult.Won : VoteResult.Lost;
        }

        int granted = 0;
        int rejected = 0;
        foreach (Progress member in _members.All)
        {
            granted += !member.IsLearner && member.Vote == VoteResult.Won ? 1 : 0;
            rejected += !member.IsLearner && member.Vote == VoteResult.Lost ? 1 : 0;
        }

        switch (Majority.Tally(_members.VoterCount, granted, rejected))
        {
            case VoteResult.Won when _role == RaftRole.PreCandidate:
                BeginElection(isTransfer: false);
                break;

            case VoteResult.Won:
                BecomeLeader();
                break;

            case VoteResult.Lost:
                // Not a higher term, only no majority: try again after the timeout.
                BecomeFollower(_term, leader: 0);
                break;

            default:
                break;
        }
    }

    private void BecomeFollower(ulong term, ulong leader)
    {
        DropReads();
        if (leader != _leader || term != _term)
        {
            DropForwardedReads();
        }

        if (term > _term)
        {
            SetHardState(term, vote: 0);
        }

        _role = RaftRole.Follower;
        _leader = leader;
        _transferTarget = 0;
        _electionElapsed = 0;
        _heartbeatElapsed = 0;
        ResetVotes();
        ResetElectionTimeout();
    }

    private void BecomeLeader()
    {
        Check.That(_role == RaftRole.Candidate);

        // Only votes of this term were counted, ours among them, so it has been on disk since before.
        Check.That(_durableTerm == _term);
        Check.That(_durableVote == Id);
        _role = RaftRole.Leader;
        _leader = Id;
        _transferTarget = 0;
        _electionElapsed = 0;
        _heartbeatElapsed = 0;
        ResetVotes();
        ResetElectionTimeout();
        ResetReads();
        foreach (Progress member in _members.All)
        {
            member.Reset(_log.LastIndex + 1);
        }

        _members.Find(Id)?.SetOwn(_log.Durable);

        // An entry of the own term is what a leader may count (Raft 5.4.2); without one, old ones never commit.
        AppendEmptyEntry();
    }

    private bool IsQuorumActive()
    {
        int active = 0;
        foreach (Progress member in _members.All)
        {
            active += !member.IsLearner && (member.RecentActive || member.Id == Id) ? 1 : 0;
            member.RecentActive = member.Id == Id;
        }

        return active >= Majority.Of(_members.VoterCount);
    }

    private void ResetVotes()
    {
        foreach (Progress member in _members.All)
        {
            member.Vote = VoteResult.Pending;
        }
    }

    private void ResetElectionTimeout() =>
        _electionTimeout = _config.ElectionTicks + _random.Next(_config.ElectionTicks);

    private StepOutcome StepVoteRequest(in Message message)
    {
        bool isPreVote = message.Type == MessageType.PreVote;
        bool mayVote = _vote == message.From
            || (_vote == 0 && _leader == 0)
            || (isPreVote && message.Term > _term);
        bool isGranted = mayVote && _log.IsUpToDate(message.Index, message.LogTerm);

        // The answer to a granted PreVote carries the term that was asked for, a refusal our own.
        var answer = new Message
        {
            Type = isPreVote ? MessageType.PreVoteResp : MessageType.VoteResp,
            To = message.From,
            Term = isGranted ? message.Term : _term,
            Reject = !isGranted,
        };
        if (isGranted && !isPreVote)
        {
            _electionElapsed = 0;
            SetHardState(_term, message.From);
        }

        SendAfterSync(ref answer);
        return StepOutcome.Done;
    }

    private StepOutcome StepVoteResponse(in Message message)
    {
        RaftRole asked = message.Type == MessageType.PreVoteResp ? RaftRole.PreCandidate : RaftRole.Candidate;
        if (_role != asked)
        {
            return StepOutcome.Stale;
        }

        if (!message.Reject && asked == RaftRole.PreCandidate && message.Term != _term + 1)
        {
            return StepOutcome.Stale;
        }

        RecordVote(message.From, isGranted: !message.Reject);
        return StepOutcome.Done;
    }
}
