namespace Perf.Raft;

/// <summary>raftpb.MessageType; only what travels between members.</summary>
public enum MessageType : byte
{
    Prop = 2,
    App = 3,
    AppResp = 4,
    Vote = 5,
    VoteResp = 6,
    Snap = 7,
    Heartbeat = 8,
    HeartbeatResp = 9,
    TransferLeader = 13,
    TimeoutNow = 14,
    ReadIndex = 15,
    ReadIndexResp = 16,
    PreVote = 17,
    PreVoteResp = 18,
}

/// <summary>
/// raftpb.Message. A value; what it refers to is lent. ReadIndex and ReadIndexResp have their context in
/// <see cref="Context"/> here; the codec moves it to entries[0].data, where etcd has it.
/// </summary>
public struct Message
{
    public MessageType Type;
    public bool Reject;
    public ulong To;
    public ulong From;
    public ulong Term;
    public ulong LogTerm;
    public ulong Index;
    public ulong Commit;
    public ulong RejectHint;
    public MessageContext Context;
    public ReadOnlyMemory<Entry> Entries;
    public Snapshot? Snapshot;

    /// <inheritdoc/>
    public override readonly string ToString() =>
        $"{Type} {From:x}->{To:x} term={Term} log={LogTerm}/{Index} commit={Commit}"
        + (Reject ? $" reject hint={RejectHint}" : "") + (Entries.Length > 0 ? $" entries={Entries.Length}" : "");
}
