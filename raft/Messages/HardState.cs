namespace Perf.Raft;

/// <summary>raftpb.HardState: what a member must still know after a crash. A vote of 0: none.</summary>
public readonly record struct HardState(ulong Term, ulong Vote, ulong Commit);
