using Perf.Raft;

namespace Perf.Node.Consensus;

/// <summary>
/// What the rest of the member may know of agreement, published by the core loop after each turn. Any thread reads;
/// the fields are each current, not a consistent cut.
/// </summary>
public sealed class RaftView
{
    private ulong _leader;
    private ulong _term;
    private ulong _commit;
    private int _role;
    private long _leaderChanges;

    /// <summary>The leader's member id; 0: none known.</summary>
    public ulong Leader => Volatile.Read(ref _leader);

    /// <summary>The current term.</summary>
    public ulong Term => Volatile.Read(ref _term);

    /// <summary>The commit index.</summary>
    public ulong Commit => Volatile.Read(ref _commit);

    /// <summary>What this member is.</summary>
    internal RaftRole Role => (RaftRole)Volatile.Read(ref _role);

    /// <summary>How often a leader became known or another one did.</summary>
    public long LeaderChanges => Volatile.Read(ref _leaderChanges);

    internal void Publish(RaftCore core)
    {
        ulong leader = core.Leader;
        if (leader != _leader && leader != 0)
        {
            Volatile.Write(ref _leaderChanges, _leaderChanges + 1);
        }

        Volatile.Write(ref _term, core.Term);
        Volatile.Write(ref _leader, leader);
        Volatile.Write(ref _role, (int)core.Role);
        Volatile.Write(ref _commit, core.Commit);
    }
}
