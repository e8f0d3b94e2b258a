namespace Perf.Raft;

/// <summary>raftpb.EntryType.</summary>
public enum EntryType : byte
{
    Normal = 0,
    ConfChange = 1,

    /// <summary>Joint consensus. etcd never uses it and panics on it; we refuse it wherever it shows up.</summary>
    ConfChangeV2 = 2,
}

/// <summary>
/// Keeps the bytes of an entry alive. The rule is the same everywhere: whoever keeps an entry beyond the call that
/// lent it retains, and releases once when done. May be called from any thread.
/// </summary>
public interface IEntryLease
{
    /// <summary>Adds a reference.</summary>
    void Retain();

    /// <summary>Drops a reference; the last one frees the bytes.</summary>
    void Release();
}

/// <summary>
/// Where the core gets memory for entries that it has to encode itself (a forwarded proposal, the empty entry of a
/// new leader). The lease comes with one reference, the core's.
/// </summary>
public interface IEntryBuffers
{
    /// <summary>At least <paramref name="bytes"/> bytes, and the lease that keeps them (null: garbage collected).</summary>
    Memory<byte> Rent(int bytes, out IEntryLease? lease);
}

/// <summary>
/// One log entry. <see cref="Encoded"/> holds the whole raftpb.Entry (what the WAL stores and messages carry);
/// <see cref="Data"/> is the part of it that the state machine reads.
/// </summary>
public readonly struct Entry
{
    private readonly int _dataStart;
    private readonly int _dataLength;

    /// <param name="encoded">The bytes of raftpb.Entry.</param>
    /// <param name="dataStart">Offset of the data in <paramref name="encoded"/>; -1: the entry has none.</param>
    /// <param name="dataLength">Bytes of the data.</param>
    /// <param name="lease">Keeps <paramref name="encoded"/> alive; null when the garbage collector does.</param>
    /// <param name="term">Term of the leader that made the entry.</param>
    /// <param name="index">Position in the log.</param>
    /// <param name="type">Kind of entry.</param>
    public Entry(
        ulong term,
        ulong index,
        EntryType type,
        ReadOnlyMemory<byte> encoded,
        int dataStart,
        int dataLength,
        IEntryLease? lease)
    {
        Term = term;
        Index = index;
        Type = type;
        Encoded = encoded;
        Lease = lease;
        _dataStart = dataStart;
        _dataLength = dataLength;
    }

    public ulong Term { get; }

    public ulong Index { get; }

    public EntryType Type { get; }

    /// <summary>The whole raftpb.Entry.</summary>
    public ReadOnlyMemory<byte> Encoded { get; }

    /// <summary>Keeps the bytes alive; null when the garbage collector does.</summary>
    public IEntryLease? Lease { get; }

    /// <summary>False for a leader's first entry, which etcd writes without field 4.</summary>
    public bool HasData => _dataStart >= 0;

    /// <summary>What the state machine reads; empty when there is none.</summary>
    public ReadOnlyMemory<byte> Data => _dataStart < 0 ? default : Encoded.Slice(_dataStart, _dataLength);

    /// <inheritdoc/>
    public override string ToString() => $"{Term}/{Index}";
}
