using Perf.Engine.IO;
using Perf.Engine.Snap;
using Perf.Engine.Wal;
using Perf.Node.Config;
using Perf.Node.Consensus;
using Perf.Node.Logging;
using Perf.Raft;

namespace Perf.Node.Cluster;

/// <summary>
/// Keeps the log short: every so many entries, or bytes of them, it has the data file made durable, writes a .snap,
/// records it in the log, lets raft forget entries that lie far enough behind, and removes files nobody needs (I6).
/// </summary>
internal sealed class SnapshotKeeper(ServerConfig config, IDisk disk, Log log, Pipeline pipeline, StartState start)
{
    /// <summary>
    /// What a hundred thousand entries of the usual size come to. etcd counts entries alone, so that few large ones make
    /// a log that takes long to read at start.
    /// </summary>
    private const long LogBytesMax = 32_000_000;

    /// <summary>etcd's releaseDelayAfterSnapshot.</summary>
    private static readonly TimeSpan HoldTime = TimeSpan.FromSeconds(30);

    /// <summary>etcd purges files every 30 s; a new snapshot is the better moment.</summary>
    private ulong _lastIndex = start.Snapshot?.Metadata.Index ?? 0;

    /// <summary><see cref="LoggedBytes"/> as of the last snapshot, and of the one under way.</summary>
    private long _lastBytes;
    private long _takenBytes;
    private int _busy;
    private int _held;
    private long _heldUntil;

    /// <summary>Bytes of entries that went to the log since the snapshot this member started from.</summary>
    private long LoggedBytes => start.ReplayedBytes + pipeline.WalLoop.WrittenBytes;

    /// <summary>Called some times a second.</summary>
    public void Turn()
    {
        ulong applied = pipeline.AppliedIndex;
        ulong last = Volatile.Read(ref _lastIndex);
        if (applied > last
            && (applied - last >= config.SnapshotCount || LoggedBytes - Volatile.Read(ref _lastBytes) >= LogBytesMax))
        {
            Take();
        }
    }

    /// <summary>Takes a snapshot of what is applied now, unless one is under way.</summary>
    public void Take()
    {
        if (Interlocked.Exchange(ref _busy, 1) != 0)
        {
            return;
        }

        Snapshot? snapshot = null;
        pipeline.Capture(
            () =>
            {
                snapshot = Describe(pipeline);
                _takenBytes = LoggedBytes;
            },
            () => Write(snapshot!));
    }

    /// <summary>Apply thread, at a boundary: the raft snapshot of what is applied.</summary>
    public static Snapshot Describe(Pipeline pipeline)
    {
        Store.Apply.StateMachine machine = pipeline.State.Machine;
        var members = new ConfState([.. machine.Members.Current.VoterIds], [.. machine.Members.Current.LearnerIds]);
        return new Snapshot(
            new SnapshotMetadata(machine.AppliedIndex, pipeline.ApplyLoop.AppliedTerm, members), machine.SaveSnapshot());
    }

    /// <summary>A received snapshot is as good as an own one.</summary>
    public void Installed(SnapshotMetadata metadata)
    {
        Volatile.Write(ref _lastBytes, LoggedBytes);
        Volatile.Write(ref _lastIndex, metadata.Index);
    }

    /// <summary>
    /// A snapshot is on its way to a follower: the entries behind it stay, or it would need the next snapshot when it
    /// has this one. Any thread; <see cref="ReleaseHold"/> once.
    /// </summary>
    public void Hold() => Interlocked.Increment(ref _held);

    /// <summary>It has arrived or failed; the entries stay a little longer.</summary>
    public void ReleaseHold()
    {
        TimeProvider clock = pipeline.State.Clock;
        Volatile.Write(
            ref _heldUntil, clock.GetTimestamp() + (long)(HoldTime.TotalSeconds * clock.TimestampFrequency));
        Interlocked.Decrement(ref _held);
    }

    private bool IsHeld => Volatile.Read(ref _held) > 0
        || pipeline.State.Clock.GetTimestamp() < Volatile.Read(ref _heldUntil);

    /// <summary>Commit thread: the data file holds exactly the snapshot's entries.</summary>
    private void Write(Snapshot snapshot)
    {
        SnapshotMetadata metadata = snapshot.Metadata;
        pipeline.State.Backend.MakeDurable();
        byte[] encoded = new byte[SnapshotCodec.Bytes(snapshot)];
        SnapshotCodec.Write(snapshot, encoded);
        SnapFile.Write(disk, config.SnapDir, metadata.Term, metadata.Index, encoded);
        byte[] conf = new byte[ConfStateCodec.Bytes(metadata.ConfState)];
        ConfStateCodec.Write(metadata.ConfState, conf);
        pipeline.WalLoop.Queue.Add(new WalWork
        {
            Kind = WalWorkKind.Snapshot,
            Snapshot = new WalSnapshot(metadata.Index, metadata.Term, conf),
            Done = () => Recorded(metadata),
        });
    }

    /// <summary>Wal thread: the record is durable.</summary>
    private void Recorded(SnapshotMetadata metadata)
    {
        ulong catchUp = config.SnapshotCatchUpEntries;
        bool isHeld = IsHeld;
        pipeline.OnCore(core =>
        {
            core.SetSnapshot(metadata);
            if (metadata.Index > catchUp && !isHeld)
            {
                core.Compact(metadata.Index - catchUp);
            }
        });
        log.Info("saved snapshot", ("snapshot-index", metadata.Index));
        if (!isHeld)
        {
            // What raft keeps for slow followers it may have to read back.
            pipeline.Pool.Queue(() => Purge(metadata.Index - Math.Min(metadata.Index, catchUp)));
        }

        Volatile.Write(ref _lastBytes, _takenBytes);
        Volatile.Write(ref _lastIndex, metadata.Index);
        Volatile.Write(ref _busy, 0);
    }

    private void Purge(ulong releasedBelow)
    {
        try
        {
            start.Wal.ReleaseBelow(releasedBelow);
            if (config.MaxWals > 0)
            {
                start.Wal.PurgeSegments(config.MaxWals);
            }

            if (config.MaxSnapshots > 0)
            {
                SnapFile.Purge(disk, config.SnapDir, config.MaxSnapshots);
            }
        }
        catch (IOException e)
        {
            log.Warn("failed to purge files", ("error", e));
        }
    }
}
