namespace Perf.Raft;

/// <summary>
/// The configuration in force and the progress of each of its members, ascending by id: a walk over them is the same
/// on every run. Few, so that a search is a walk too.
/// </summary>
internal sealed class Members(RaftConfig config)
{
    private Progress[] _all = [];

    public ReadOnlySpan<Progress> All => _all;

    public ConfState ConfState { get; private set; } = ConfState.Empty;

    public int VoterCount => ConfState.Voters.Length;

    public Progress? Find(ulong id)
    {
        foreach (Progress member in _all)
        {
            if (member.Id == id)
            {
                return member;
            }
        }

        return null;
    }

    /// <summary>Takes over a configuration; members that stay keep their progress, new ones begin at <paramref name="next"/>.</summary>
    public void Switch(ConfState target, ulong next)
    {
        var all = new List<Progress>(target.Voters.Length + target.Learners.Length);
        foreach (ulong id in target.Voters)
        {
            all.Add(Keep(id, isLearner: false, next));
        }

        foreach (ulong id in target.Learners)
        {
            all.Add(Keep(id, isLearner: true, next));
        }

        all.Sort(static (a, b) => a.Id.CompareTo(b.Id));
        _all = [.. all];
        ConfState = target;
    }

    /// <summary>The configuration after a single change; the same object when nothing changes.</summary>
    public ConfState After(in ConfChange change)
    {
        ulong id = change.NodeId;
        ConfState now = ConfState;
        switch (change.Type)
        {
            case ConfChangeType.AddNode when id != 0 && !now.IsVoter(id):
                return new ConfState([.. now.Voters, id], Without(now.Learners, id));

            case ConfChangeType.AddLearnerNode when id != 0 && !now.IsLearner(id) && !IsLastVoter(id):
                return new ConfState(Without(now.Voters, id), [.. now.Learners, id]);

            case ConfChangeType.RemoveNode when id != 0 && now.Contains(id) && !IsLastVoter(id):
                return new ConfState(Without(now.Voters, id), Without(now.Learners, id));

            default:
                return now;
        }
    }

    private static ulong[] Without(ReadOnlySpan<ulong> ids, ulong id)
    {
        var rest = new List<ulong>(ids.Length);
        foreach (ulong other in ids)
        {
            if (other != id)
            {
                rest.Add(other);
            }
        }

        return [.. rest];
    }

    // A group without voters could never change again.
    private bool IsLastVoter(ulong id) => ConfState.Voters.Length == 1 && ConfState.Voters[0] == id;

    private Progress Keep(ulong id, bool isLearner, ulong next)
    {
        Progress? known = Find(id);
        if (known is not null)
        {
            known.IsLearner = isLearner;
            return known;
        }

        var added = new Progress(id, isLearner, config.InflightMessagesMax, config.InflightBytesMax);
        added.Reset(next);

        // Or the quorum check would count it as dead before it had a chance to answer.
        added.RecentActive = true;
        return added;
    }
}
