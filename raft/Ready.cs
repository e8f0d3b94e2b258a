namespace Perf.Raft;

/// <summary>
/// What the machine wants done, filled by <see cref="RaftCore.TakeReady"/>. One object, used again and again; its
/// contents are lent until the next call into the core. Whoever hands entries to another thread retains their leases
/// before that.
/// <para>
/// To write: if <see cref="Batch"/> is not 0, store <see cref="Snapshot"/>, then <see cref="Entries"/> (the first one
/// overwrites what the log has at and after its index), then <see cref="HardState"/>, in this order, batch after batch,
/// and call <see cref="RaftCore.OnDurable"/> when all of it is on disk. A batch without <see cref="MustSync"/> needs
/// no sync of its own, but is acknowledged too, in its turn.
/// </para>
/// <para>To send: everything in <see cref="Messages"/>, now. The core holds back what has to wait for the disk.</para>
/// <para>To apply: <see cref="Committed"/>, in order; then <see cref="RaftCore.OnApplied"/>.</para>
/// </summary>
public sealed class Ready
{
    internal EntryBuffer EntriesBuffer = new();
    internal EntryBuffer CommittedBuffer = new();
    internal EntryBuffer MessageEntries = new();
    internal MessageBuffer MessageList = new();
    internal List<ReadState> ReadStateList = [];

    /// <summary>The number to acknowledge; 0: nothing to write.</summary>
    public ulong Batch { get; internal set; }

    /// <summary>Others wait for this batch: it needs a sync.</summary>
    public bool MustSync { get; internal set; }

    /// <summary>Null when it has not changed.</summary>
    public HardState? HardState { get; internal set; }

    /// <summary>
    /// To install before anything else: replaces log and state machine up to its index. Call
    /// <see cref="RaftCore.OnDurable"/> once it is, then <see cref="RaftCore.OnApplied"/> with its index.
    /// </summary>
    public Snapshot? Snapshot { get; internal set; }

    /// <summary>To append to the WAL.</summary>
    public ReadOnlySpan<Entry> Entries => EntriesBuffer.Span;

    /// <summary>To send now.</summary>
    public ReadOnlySpan<Message> Messages => MessageList.Span;

    /// <summary>To apply: committed, and durable here.</summary>
    public ReadOnlySpan<Entry> Committed => CommittedBuffer.Span;

    /// <summary>Answers to ReadIndex.</summary>
    public IReadOnlyList<ReadState> ReadStates => ReadStateList;

    /// <summary>Role, leader or term differ from the last Ready.</summary>
    public bool SoftStateChanged { get; internal set; }

    public RaftRole Role { get; internal set; }

    /// <summary>0: unknown.</summary>
    public ulong Leader { get; internal set; }

    public ulong Term { get; internal set; }

    public ulong Commit { get; internal set; }

    internal void Clear()
    {
        EntriesBuffer.Clear();
        CommittedBuffer.Clear();
        MessageEntries.Clear();
        MessageList.Clear();
        ReadStateList.Clear();
        Batch = 0;
        MustSync = false;
        HardState = null;
        Snapshot = null;
        SoftStateChanged = false;
    }
}
