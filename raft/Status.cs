namespace Perf.Raft;

/// <summary>How the leader feeds a peer.</summary>
public enum ProgressState : byte
{
    /// <summary>Looking for the point where the logs meet; one message at a time.</summary>
    Probe,

    /// <summary>Streaming.</summary>
    Replicate,

    /// <summary>Waiting for a snapshot to arrive.</summary>
    Snapshot,
}

/// <summary>What the leader knows of a member.</summary>
public readonly record struct ProgressView(
    ulong Id,
    ulong Match,
    ulong Next,
    ProgressState State,
    bool IsLearner,
    bool RecentActive,
    bool Paused,
    int Inflight);

/// <summary>A picture of the machine, for Status calls and metrics.</summary>
public sealed record RaftStatus(
    ulong Id,
    RaftRole Role,
    ulong Term,
    ulong Vote,
    ulong Leader,
    ulong Commit,
    ulong Applied,
    ulong Durable,
    ulong FirstIndex,
    ulong LastIndex,
    ulong TransferTarget,
    ConfState ConfState,
    IReadOnlyList<ProgressView> Progress);
