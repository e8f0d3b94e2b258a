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

        // Followers hear of the commit that this is about before its sender leaves.
        bool isOwnEnd = _role == RaftRole.Leader && !target.IsVoter(Id);
        if (isOwnEnd)
        {
            FeedPeers();
        }

        _members.Switch(target, _log.LastIndex + 1);
        if (isOwnEnd)
        {
            BecomeFollower(_term, leader: 0);
        }
        else if (_role == RaftRole.Leader)
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
