namespace Perf.Raft;

/// <summary>Handing over leadership. Thesis 3.10.</summary>
public sealed partial class RaftCore
{
    // Refuses proposals while it is set; given up after an election timeout.
    private ulong _transferTarget;

    /// <summary>Asks that <paramref name="target"/> become leader; a follower passes the wish on.</summary>
    public TransferOutcome TransferLeader(ulong target)
    {
        if (_role != RaftRole.Leader)
        {
            if (_leader == 0)
            {
                return TransferOutcome.NoLeader;
            }

            // On the wire the sender is whoever is to become leader.
            var message = new Message { Type = MessageType.TransferLeader, To = _leader };
            Stamp(ref message);
            message.From = target;
            _messages.Add(message);
            return TransferOutcome.Forwarded;
        }

        if (target == Id)
        {
            return TransferOutcome.AlreadyLeader;
        }

        Progress? member = _members.Find(target);
        if (member is null || member.IsLearner)
        {
            return TransferOutcome.NotAVoter;
        }

        if (_transferTarget == target)
        {
            return TransferOutcome.UnderWay;
        }

        _transferTarget = target;
        _electionElapsed = 0;
        if (member.Match == _log.LastIndex)
        {
            SendTimeoutNow(target);
        }
        else
        {
            member.AppendDue = true;
            _feedDue = true;
        }

        return TransferOutcome.Started;
    }

    private StepOutcome StepTransfer(in Message message)
    {
        if (message.Term > _term)
        {
            return StepOutcome.NotMyRole;
        }

        // A wish that was passed on is not passed on again: two members that take each other for the leader would
        // play ball with it.
        if (_role != RaftRole.Leader)
        {
            return StepOutcome.NotMyRole;
        }

        return TransferLeader(message.From) is TransferOutcome.Started or TransferOutcome.UnderWay
            ? StepOutcome.Done
            : StepOutcome.NotMyRole;
    }

    private void SendTimeoutNow(ulong target)
    {
        var message = new Message { Type = MessageType.TimeoutNow, To = target };
        SendAtOnce(ref message);
    }

    private StepOutcome StepTimeoutNow(in Message message)
    {
        if (_role != RaftRole.Follower || message.From != _leader || !MayCampaign())
        {
            return StepOutcome.NotMyRole;
        }

        // No PreVote: the leader itself wants this, and the quorum knows by the context.
        BeginElection(isTransfer: true);
        return StepOutcome.Done;
    }
}
