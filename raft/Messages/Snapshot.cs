namespace Perf.Raft;

/// <summary>raftpb.SnapshotMetadata: the entry a snapshot stands for and the configuration as of it.</summary>
public sealed record SnapshotMetadata(ulong Index, ulong Term, ConfState ConfState)
{
    /// <summary>The log begins at its beginning.</summary>
    public static readonly SnapshotMetadata None = new(0, 0, ConfState.Empty);
}

/// <summary>
/// raftpb.Snapshot. <see cref="Data"/> is opaque here. In a MsgSnap that leaves the core it is empty: the owner puts
/// in a snapshot of its own, at this index or a later applied one.
/// </summary>
public sealed record Snapshot(SnapshotMetadata Metadata, ReadOnlyMemory<byte> Data);
