namespace Perf.Raft;

/// <summary>
/// What a member had before it stopped, filled by the owner from its WAL before <see cref="RaftCore"/> is made. For a
/// new member: <c>new RestoredState(SnapshotMetadata.None, 0, ConfState.Empty)</c>, and the bootstrap entries as
/// committed ones where the member founds a cluster.
/// </summary>
public sealed class RestoredState
{
    /// <param name="logStart">Index and term of the entry before the first one that is still there.</param>
    /// <param name="applied">Applied and durable in the state machine: entries up to here are not handed out again.</param>
    /// <param name="confState">The configuration as of <paramref name="applied"/>.</param>
    /// <param name="windowBytesMax">As in <see cref="RaftConfig.WindowBytesMax"/>.</param>
    public RestoredState(SnapshotMetadata logStart, ulong applied, ConfState confState, long windowBytesMax = 64L << 20)
    {
        Snapshot = logStart;
        Applied = Math.Max(applied, logStart.Index);
        ConfState = confState;
        Log = new RaftLog(logStart.Index, logStart.Term, Applied, windowBytesMax);
    }

    internal RaftLog Log { get; }

    internal SnapshotMetadata Snapshot { get; private set; }

    internal ulong Applied { get; }

    internal ConfState ConfState { get; }

    public HardState HardState { get; set; }

    public ulong LastIndex => Log.LastIndex;

    /// <summary>
    /// Adds the next entry, which is durable. The window keeps what fits and retains its lease; older applied entries
    /// are read back through <see cref="ILogReader"/>.
    /// </summary>
    public void Append(in Entry entry)
    {
        Log.Append(entry);
        Log.MarkDurable(entry.Index);
        Log.Trim();
    }

    /// <summary>Forgets the entries at and after <paramref name="index"/>: a later leader overwrote them.</summary>
    public void TruncateFrom(ulong index) => Log.TruncateFrom(index);

    /// <summary>
    /// The newest snapshot that peers may get, if it is newer than the start of the log (the log is kept some way back).
    /// </summary>
    public void SetSnapshot(SnapshotMetadata snapshot) => Snapshot = snapshot;
}
