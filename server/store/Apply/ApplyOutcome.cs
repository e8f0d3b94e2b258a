using Perf.Store.Membership;
using Perf.Store.V2;

namespace Perf.Store.Apply;

/// <summary>What the node has to do after an entry, beside answering.</summary>
[Flags]
public enum ApplyEffects
{
    None = 0,

    /// <summary>The first entry of a leader's term: its leader starts counting leases down (FORMATS A.11).</summary>
    EmptyEntry = 1,

    /// <summary>The members are others now: peers, raft's configuration.</summary>
    MembersChanged = 2,

    /// <summary>This member is no longer one: stop after answering.</summary>
    RemovedSelf = 4,

    /// <summary>The cluster version was set.</summary>
    VersionChanged = 8,

    /// <summary>The set of alarms has changed.</summary>
    AlarmsChanged = 16,

    /// <summary>The request was applied but refused for space: propose the alarm NOSPACE for this member.</summary>
    RaiseNoSpace = 32,

    /// <summary>Compaction work waits: run steps of <c>Kv.CompactStep</c>.</summary>
    CompactionScheduled = 64,

    /// <summary>Auth was switched, or users, roles or permissions changed.</summary>
    AuthChanged = 128,
}

/// <summary>The result of one entry, the same on every member but for <see cref="ApplyEffects.RaiseNoSpace"/>.</summary>
public readonly record struct ApplyOutcome
{
    /// <summary>Who waits for it; 0: nobody.</summary>
    public ulong RequestId { get; init; }

    /// <summary>None: the response was written. Else nothing was written, and (but for space) nothing changed.</summary>
    public StoreError Error { get; init; }

    public ApplyEffects Effects { get; init; }

    /// <summary>The answer of a v2 request.</summary>
    public V2Result V2 { get; init; }

    /// <summary>The conf change of a conf change entry.</summary>
    public ConfChange? ConfChange { get; init; }

    /// <summary>What raft is to be told of a conf change: its node id, or 0 when it was refused.</summary>
    public ulong RaftNodeId => Error == StoreError.None && ConfChange is not null ? ConfChange.NodeId : 0;
}
