namespace Perf.Raft;

/// <summary>raftpb.ConfChangeType.</summary>
public enum ConfChangeType : byte
{
    /// <summary>Adds a voter, or makes a learner one.</summary>
    AddNode = 0,
    RemoveNode = 1,

    /// <summary>Changes what is known of a member; nothing for consensus.</summary>
    UpdateNode = 2,
    AddLearnerNode = 3,
}

/// <summary>raftpb.ConfChange: the data of an entry of type 1. Node id 0 means: change nothing.</summary>
public readonly record struct ConfChange(ulong Id, ConfChangeType Type, ulong NodeId, ReadOnlyMemory<byte> Context);
