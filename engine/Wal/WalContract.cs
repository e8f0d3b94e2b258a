namespace Perf.Engine.Wal;

/// <summary>A raft snapshot the log knows of: the record that says "the .snap file for this index is durable".</summary>
/// <param name="Index">Last entry the snapshot contains.</param>
/// <param name="Term">Term of that entry.</param>
/// <param name="ConfState">Encoded raftpb.ConfState; empty where etcd 3.4 wrote the record.</param>
public readonly record struct WalSnapshot(ulong Index, ulong Term, ReadOnlyMemory<byte> ConfState);

/// <summary>Receives what a log contains, in the order in which it was written.</summary>
public interface IWalVisitor
{
    /// <summary>
    /// An entry. Indexes ascend without gaps, except after <see cref="OnTruncate"/>. The span holds the encoded
    /// raftpb.Entry and is good until the call returns.
    /// </summary>
    void OnEntry(ulong index, ulong term, ReadOnlySpan<byte> encodedEntry);

    /// <summary>All entries at and above this index are void: a new leader replaced them.</summary>
    void OnTruncate(ulong index);

    /// <summary>A hard state; the last one counts.</summary>
    void OnHardState(ulong term, ulong vote, ulong commit);

    /// <summary>A snapshot record; the span holds the encoded raftpb.ConfState (may be empty).</summary>
    void OnSnapshot(ulong index, ulong term, ReadOnlySpan<byte> confState);
}

/// <summary>How a log is kept.</summary>
public sealed record WalOptions
{
    /// <summary>Nominal size of a segment file, etcd's 64,000,000. Only our own cut rule: any size is read.</summary>
    public long SegmentBytes { get; init; } = 64_000_000;

    /// <summary>Leave out every sync (etcd's --unsafe-no-fsync): a power failure may then lose anything.</summary>
    public bool NoSync { get; init; }

    /// <summary>Begin each sync group with a crc record, so that a torn tail can be told from damage.</summary>
    public bool GroupMarks { get; init; } = true;

    /// <summary>Write zeros into new segments, so that later syncs change no file metadata.</summary>
    public bool ZeroFill { get; init; } = true;

    /// <summary>Path of the sidecar that remembers the durable length; null for none. Its directory must exist.</summary>
    public string? MarkPath { get; init; }

    /// <summary>The sidecar is brought up to date after so many syncs (and at each cut and at Dispose).</summary>
    public int MarkEverySyncs { get; init; } = 16;
}
