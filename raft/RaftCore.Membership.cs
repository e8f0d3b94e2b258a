namespace Perf.Raft;

/// <summary>Single-step changes of the configuration. Thesis 4.1, 4.2.2; etcd's manner: in force when applied.</summary>
public sealed partial class RaftCore
{
    // Enough for the life of a cluster; forgetting the oldest only brings back etcd's own behaviour.
    private const int RemovedMax = 1024;

    private readonly List<ulong> _removed = [];

    /// <summary>
    /// Brings a committed change into force. To be called for every applied entry of type 1, before
    /// <see cref="OnApplied"/> of its index; with node id 0 when the state machine refused the change. Returns the
    /// configuration in force, to be kept with the applied index.
    /// </summary>
    public ConfState ApplyConfChange(in ConfChange change)
    {
        ConfState target = _members.After(change);
        if (ReferenceEquals(target, _members.ConfState))
        {
            return target;
        }

        Check.That(target.IsValid);
        if (change.Type == ConfChangeType.RemoveNode)
        {
            if (_removed.Count == RemovedMax)
            {
                _removed.RemoveAt(0);
            }

            _removed.Add(change.NodeId);
        }

        bool isOwnEnd = _role == RaftRole.Leader && !target.IsVoter(Id);
        if (isOwnEnd)
        {
            // Whoever stays may need this member's vote until it knows that the change is committed: it is told now,
            // and with every heartbeat of one election timeout, for which a removed leader stays.
            FeedPeers();
            _electionElapsed = 0;
        }

        _members.Switch(target, _log.LastIndex + 1);
#if MUTANTS
        if (Mutant.Is("27-removed-leader-is-silent") && isOwnEnd)
        {
            BecomeFollower(_term, leader: 0);
        }
#endif
        if (_role == RaftRole.Leader)
        {
            if (!target.IsVoter(_transferTarget))
            {
                _transferTarget = 0;
            }

            // A smaller group may have a majority already.
            _feedDue = true;
            MaybeCommit();
            CompleteReadRounds();
        }
        else if (_role != RaftRole.Follower && !target.IsVoter(Id))
        {
            BecomeFollower(_term, leader: 0);
        }

        return target;
    }
}
