namespace Perf.Raft;

/// <summary>What became of a proposal.</summary>
public enum ProposeOutcome
{
    /// <summary>In the leader's log; committed or lost later.</summary>
    Appended,

    /// <summary>Leaves for the leader with the next Ready; may get lost without a word.</summary>
    Forwarded,
    NoLeader,

    /// <summary>Leadership is being handed over.</summary>
    Transferring,

    /// <summary>The leader is no longer part of the configuration.</summary>
    NotMember,

    /// <summary>More than <see cref="RaftConfig.UncommittedBytesMax"/> wait for a quorum.</summary>
    TooMuchUncommitted,

    /// <summary>A configuration change that is not applied yet is in the log.</summary>
    ConfChangePending,

    /// <summary>Type 2, an unreadable ConfChange, or too little headroom.</summary>
    Invalid,
}

/// <summary>What became of a message from a peer. Everything but Done left the machine as it was.</summary>
public enum StepOutcome
{
    Done,

    /// <summary>Of an earlier term, or answered already. Ordinary.</summary>
    Stale,

    /// <summary>A vote asked for while a leader is alive.</summary>
    LeaderAlive,

    /// <summary>Means nothing in the role this member has now.</summary>
    NotMyRole,
    NoLeader,

    /// <summary>A limit is reached; the sender will ask again.</summary>
    Busy,

    /// <summary>Addressed to another member.</summary>
    NotForUs,

    /// <summary>Says that we sent it.</summary>
    FromSelf,

    /// <summary>A sender that is not, and cannot be about to become, part of the configuration.</summary>
    UnknownMember,

    /// <summary>A sender whose removal was applied here.</summary>
    RemovedMember,

    /// <summary>A local or unknown type.</summary>
    UnknownType,

    /// <summary>Contradicts itself: gaps, terms that fall, numbers beyond reason, entries of type 2.</summary>
    Malformed,

    /// <summary>Asks to overwrite what is committed, or to commit what is not there. Somebody is broken: worth an alarm.</summary>
    Contradiction,

    /// <summary>Speaks as leader of a term whose leader is another.</summary>
    SecondLeader,

    /// <summary>A snapshot whose configuration is unusable or does not contain this member.</summary>
    BadConfState,
}

/// <summary>What became of a request for a read index.</summary>
public enum ReadIndexOutcome
{
    /// <summary>A <see cref="ReadState"/> with this id will come, confirmed or dropped, unless a forwarded one gets lost.</summary>
    Queued,
    NoLeader,

    /// <summary>Too many wait already.</summary>
    Busy,
}

/// <summary>What became of a request to hand over leadership.</summary>
public enum TransferOutcome
{
    Started,

    /// <summary>Already under way to the same member.</summary>
    UnderWay,
    Forwarded,
    NoLeader,
    AlreadyLeader,
    NotAVoter,
}

/// <summary>The answer to <see cref="RaftCore.ReadIndex"/>.</summary>
/// <param name="Id">The caller's.</param>
/// <param name="Index">Serve the read once this is applied.</param>
/// <param name="Confirmed">False: dropped (leadership or term changed); ask again with a new id.</param>
public readonly record struct ReadState(ulong Id, ulong Index, bool Confirmed);

/// <summary>What a member is in its term.</summary>
public enum RaftRole : byte
{
    Follower,
    PreCandidate,
    Candidate,
    Leader,
}
