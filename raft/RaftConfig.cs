namespace Perf.Raft;

/// <summary>Settings of one member. Defaults are etcd's where etcd has them.</summary>
public sealed record RaftConfig
{
    /// <summary>This member; not 0.</summary>
    public required ulong Id { get; init; }

    /// <summary>Ticks without a leader until an election; randomised between one and two times this.</summary>
    public int ElectionTicks { get; init; } = 10;

    public int HeartbeatTicks { get; init; } = 1;

    public bool PreVote { get; init; } = true;

    /// <summary>A leader without a quorum's answers for an election timeout steps down; others keep to a live leader.</summary>
    public bool CheckQuorum { get; init; } = true;

    /// <summary>Encoded entries per MsgApp; one entry always goes.</summary>
    public int MessageBytesMax { get; init; } = 1 << 20;

    /// <summary>MsgApp with entries on the way to one peer.</summary>
    public int InflightMessagesMax { get; init; } = 512;

    /// <summary>Encoded entries on the way to one peer.</summary>
    public long InflightBytesMax { get; init; } = 64L << 20;

    /// <summary>Encoded entries kept in memory for peers; what is not applied and durable stays anyway.</summary>
    public long WindowBytesMax { get; init; } = 64L << 20;

    /// <summary>A leader refuses proposals beyond this much that is not committed.</summary>
    public long UncommittedBytesMax { get; init; } = 256L << 20;

    /// <summary>Encoded committed entries per Ready; one entry always goes.</summary>
    public int CommittedBytesMax { get; init; } = 4 << 20;

    /// <summary>
    /// Election timeouts and read contexts come from here. Fresh for every start of a member: a context must not
    /// repeat after a restart.
    /// </summary>
    public required ulong Seed { get; init; }

    /// <summary>Entries below the window. Null: there are none (tests).</summary>
    public ILogReader? LogReader { get; init; }

    /// <summary>Memory for entries that the core encodes. Null: managed arrays.</summary>
    public IEntryBuffers? Buffers { get; init; }
}
