namespace Perf.Store.Membership;

/// <summary>A downgrade that an operator allowed, or none.</summary>
public readonly record struct DowngradeInfo(bool Enabled, string TargetVersion)
{
    public static readonly DowngradeInfo None = new(false, "");
}

/// <summary>The members as of one applied entry: a value that never changes.</summary>
public sealed class MembershipView
{
    internal static readonly MembershipView Empty = new([], [], null, DowngradeInfo.None);

    private readonly SortedDictionary<ulong, Member> _byId;
    private readonly SortedSet<ulong> _removed;

    internal MembershipView(
        SortedDictionary<ulong, Member> byId, SortedSet<ulong> removed, SemanticVersion? clusterVersion, DowngradeInfo downgrade)
    {
        _byId = byId;
        _removed = removed;
        Members = [.. byId.Values];
        ClusterVersion = clusterVersion;
        Downgrade = downgrade;
    }

    /// <summary>All members, ascending by id.</summary>
    public IReadOnlyList<Member> Members { get; }

    /// <summary>Ids that once were members and never will be again, ascending.</summary>
    public IReadOnlyCollection<ulong> RemovedIds => _removed;

    /// <summary>The version all members are known to speak; null while undecided.</summary>
    public SemanticVersion? ClusterVersion { get; }

    public DowngradeInfo Downgrade { get; }

    /// <summary>Ids of the voting members, ascending: raft's voters.</summary>
    public IEnumerable<ulong> VoterIds => Members.Where(member => !member.IsLearner).Select(member => member.Id);

    /// <summary>Ids of the learners, ascending.</summary>
    public IEnumerable<ulong> LearnerIds => Members.Where(member => member.IsLearner).Select(member => member.Id);

    /// <summary>A member by id, or null.</summary>
    public Member? Find(ulong id) => _byId.GetValueOrDefault(id);

    public bool IsRemoved(ulong id) => _removed.Contains(id);

    /// <summary>Strict reconfiguration: enough started voters for the quorum of one voter more? A single started
    /// member may always get a second, or a lost cluster could not be rebuilt from it.</summary>
    public bool IsReadyToAddVoter()
    {
        CountVoters(0, out int voters, out int started);
        voters++;
        return (started == 1 && voters == 2) || started >= (voters / 2) + 1;
    }

    /// <summary>Strict reconfiguration: would the voters left hold a quorum of started ones?</summary>
    public bool IsReadyToRemoveVoter(ulong id)
    {
        CountVoters(id, out int voters, out int started);
        return started >= (voters / 2) + 1;
    }

    /// <summary>Strict reconfiguration: the learner counts as a started voter already.</summary>
    public bool IsReadyToPromote()
    {
        CountVoters(0, out int voters, out int started);
        return started + 1 >= ((voters + 1) / 2) + 1;
    }

    internal MembershipView With(Member member)
    {
        var byId = new SortedDictionary<ulong, Member>(_byId) { [member.Id] = member };
        return new MembershipView(byId, _removed, ClusterVersion, Downgrade);
    }

    internal MembershipView WithRemoved(ulong id)
    {
        var byId = new SortedDictionary<ulong, Member>(_byId);
        byId.Remove(id);
        return new MembershipView(byId, [.. _removed, id], ClusterVersion, Downgrade);
    }

    internal MembershipView With(SemanticVersion clusterVersion) => new(_byId, _removed, clusterVersion, Downgrade);

    internal MembershipView With(DowngradeInfo downgrade) => new(_byId, _removed, ClusterVersion, downgrade);

    private void CountVoters(ulong without, out int voters, out int started)
    {
        voters = 0;
        started = 0;
        foreach (var member in Members)
        {
            if (!member.IsLearner && (without == 0 || member.Id != without))
            {
                voters++;
                started += member.IsStarted ? 1 : 0;
            }
        }
    }
}
