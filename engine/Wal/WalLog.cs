using Perf.Engine.IO;

namespace Perf.Engine.Wal;

/// <summary>
/// The write-ahead log in etcd's format (FORMATS A.6). One thread appends, flushes, syncs and cuts; members that
/// another thread may call say so. The first failed write or sync is final: it throws, and so does every call after it.
/// </summary>
public sealed class WalLog : IDisposable
{
    private WalLog()
    {
    }

    /// <summary>
    /// Makes a new log (in wal.tmp, then renamed) whose first record group is durable on return. Refuses a directory
    /// that already holds segments with an <see cref="IOException"/>.
    /// </summary>
    public static WalLog Create(IDisk disk, string walDirectory, ulong nodeId, ulong clusterId, WalOptions options)
    {
        throw new NotImplementedException();
    }

    /// <summary>
    /// Opens a log for appending and replays it from a snapshot record on ((0, 0) for the beginning) through the
    /// visitor. A torn tail is cut off (the file as found stays beside it as .broken); damage of anything that was
    /// acknowledged throws <c>CorruptionException</c> and changes no file. On return everything replayed is durable.
    /// </summary>
    public static WalLog Open(IDisk disk, string walDirectory, WalSnapshot from, WalOptions options, IWalVisitor visitor)
    {
        throw new NotImplementedException();
    }

    /// <summary>True when the directory holds at least one segment.</summary>
    public static bool Exists(IDisk disk, string walDirectory)
    {
        throw new NotImplementedException();
    }

    /// <summary>
    /// All snapshot records with an index at or below the last committed index, oldest first. Takes no lock, repairs
    /// nothing; throws <c>CorruptionException</c> for damage before the last segment.
    /// </summary>
    public static IReadOnlyList<WalSnapshot> ValidSnapshots(IDisk disk, string walDirectory)
    {
        throw new NotImplementedException();
    }

    /// <summary>This member's id as the log's metadata says.</summary>
    public ulong NodeId { get; }

    /// <summary>The cluster's id as the log's metadata says.</summary>
    public ulong ClusterId { get; }

    /// <summary>Index of the last entry (or newer snapshot) appended.</summary>
    public ulong LastIndex { get; }

    /// <summary>Lowest index <see cref="ReadEntries"/> can still reach. Any thread.</summary>
    public ulong FirstReadableIndex => throw new NotImplementedException();

    /// <summary>True when the present segment is full: call <see cref="Cut"/> at the next quiet moment.</summary>
    public bool CutDue => throw new NotImplementedException();

    /// <summary>True when <see cref="PrepareNextSegment"/> has something to do. Any thread.</summary>
    public bool NextSegmentDue => throw new NotImplementedException();

    /// <summary>
    /// Stages an entry. An index at or below <see cref="LastIndex"/> voids everything from it on; a gap is refused.
    /// </summary>
    public void AppendEntry(ulong index, ReadOnlySpan<byte> encodedEntry) => throw new NotImplementedException();

    /// <summary>Stages a hard state, after the entries it belongs to.</summary>
    public void AppendHardState(ulong term, ulong vote, ulong commit) => throw new NotImplementedException();

    /// <summary>Stages a snapshot record; the .snap file must be durable before. Sync follows.</summary>
    public void AppendSnapshot(WalSnapshot snapshot) => throw new NotImplementedException();

    /// <summary>Hands what is staged to the kernel in one write. Not durable.</summary>
    public void Flush() => throw new NotImplementedException();

    /// <summary>Flushes, then fdatasync: all that was appended is durable on return. Ends the sync group.</summary>
    public void Sync() => throw new NotImplementedException();

    /// <summary>
    /// Ends the present segment and starts the next: everything appended is durable on return. When no space is left
    /// for the new segment it throws and the log stays usable.
    /// </summary>
    public void Cut() => throw new NotImplementedException();

    /// <summary>
    /// Makes the next segment ready: zero-filled, synced and locked, as 0.tmp or 1.tmp. For one helper thread; does
    /// nothing when one is waiting. A failure throws but does not hurt the log.
    /// </summary>
    public void PrepareNextSegment() => throw new NotImplementedException();

    /// <summary>
    /// Reads durable entries [lo, hi) back from the segments, at least one and then up to <paramref name="bytesMax"/>
    /// bytes of encoded entries; returns how many went to the visitor (OnEntry only), 0 when <paramref name="lo"/>
    /// is below <see cref="FirstReadableIndex"/> or not yet durable. Any thread.
    /// </summary>
    public int ReadEntries(ulong lo, ulong hi, int bytesMax, IWalVisitor visitor) => throw new NotImplementedException();

    /// <summary>
    /// Lets go of the segments that a start from a snapshot at <paramref name="index"/> does not need. Any thread.
    /// </summary>
    public void ReleaseBelow(ulong index) => throw new NotImplementedException();

    /// <summary>
    /// Deletes the oldest released segments while more than <paramref name="keepMax"/> are there (0 keeps all);
    /// returns how many went. Any thread.
    /// </summary>
    public int PurgeSegments(int keepMax) => throw new NotImplementedException();

    /// <summary>Syncs (unless the log has failed), brings the sidecar up to date and releases the locks.</summary>
    public void Dispose() => throw new NotImplementedException();
}
