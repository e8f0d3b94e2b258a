using System.Buffers.Binary;
using Perf.Engine;
using Perf.Engine.Snap;
using Perf.Engine.Transactions;
using Perf.Engine.Tree;
using Perf.Engine.Wal;
using Perf.Node.Cluster;
using Perf.Node.Consensus;
using Perf.Node.Peers;
using Perf.Raft;
using Perf.Store.Apply;

namespace Perf.Node;

/// <summary>
/// Snapshots between members. The life of a received one:
/// <code>
///   peer port   database to tmp, synced, named index.snap.db, its structure checked; then the message is stepped
///   core        accepts it: the log starts anew behind it
///   wal         .snap written and synced; snapshot record, hard state, sync
///   apply       index.snap.db renamed to db, opened, swapped in, published
///   core        batch acknowledged, index applied: the leader hears of it
/// </code>
/// After a crash in between, the start finds the .snap that the log vouches for and a db that is behind it, and does
/// the renaming (FORMATS A.8).
/// </summary>
public sealed partial class EtcdNode
{
    private const int ReceiveBytes = 256 << 10;

    void IPeerOwner.SendSnapshot(RemotePeer peer, in Message message) => _snapshotSender!.Send(peer, message);

    WalWork IPipelineEvents.InstallSnapshot(Snapshot snapshot)
    {
        SnapshotMetadata metadata = snapshot.Metadata;
        byte[] conf = new byte[ConfStateCodec.Bytes(metadata.ConfState)];
        ConfStateCodec.Write(metadata.ConfState, conf);
        Log.Info("applying snapshot", ("incoming-leader-snapshot-index", metadata.Index));
        return new WalWork
        {
            Kind = WalWorkKind.Snapshot,
            Snapshot = new WalSnapshot(metadata.Index, metadata.Term, conf),
            Before = () =>
            {
                byte[] encoded = new byte[SnapshotCodec.Bytes(snapshot)];
                SnapshotCodec.Write(snapshot, encoded);
                SnapFile.Write(_disk, Config.SnapDir, metadata.Term, metadata.Index, encoded);
            },
            Done = () => Pipeline.OnApply(() => Install(snapshot)),
        };
    }

    /// <summary>
    /// Takes in what a peer posted and hands its message to raft; null, or what to answer instead of "done".
    /// </summary>
    internal async Task<string?> ReceiveSnapshotAsync(Message message, Stream database, CancellationToken cancel)
    {
        ulong index = message.Snapshot!.Metadata.Index;
        string path;
        try
        {
            using var arriving = new SnapDatabase(_disk, Config.SnapDir, index);
            byte[] buffer = new byte[ReceiveBytes];
            while (await database.ReadAsync(buffer, cancel).ConfigureAwait(false) is var read && read > 0)
            {
                arriving.Append(buffer.AsSpan(0, read));
            }

            path = arriving.Keep();
        }
        catch (DiskFullException e)
        {
            return $"failed to save KV snapshot ({e.Message})";
        }

        // Nothing else protects it on its way: no length, no checksum.
        VerifyReport report = TreeVerifier.VerifyFile(_disk, path);
        ulong held = report.IsClean ? ConsistentIndexOf(path) : 0;
        if (!report.IsClean || held < index)
        {
            string problem = report.IsClean ? $"its index {held} is below {index}" : report.Problems[0];
            Log.Error("refused a damaged database snapshot", ("snapshot-index", index), ("error", problem));
            _disk.Delete(path);
            return $"failed to save KV snapshot ({problem})";
        }

        Log.Info("received and saved database snapshot", ("snapshot-index", index), ("path", path));
        var stepped = new TaskCompletionSource<StepOutcome>(TaskCreationOptions.RunContinuationsAsynchronously);
        Pipeline.Receive(PeerInbound.Keep(message, null, stepped));
        StepOutcome outcome = await stepped.Task.WaitAsync(cancel).ConfigureAwait(false);
        if (outcome != StepOutcome.Done)
        {
            _disk.Delete(path);
        }

        return outcome is StepOutcome.Done or StepOutcome.Stale ? null : $"failed to process raft message ({outcome})";
    }

    /// <summary>Apply thread, behind everything that was committed before the snapshot.</summary>
    private void Install(Snapshot snapshot)
    {
        SnapshotMetadata metadata = snapshot.Metadata;
        _disk.Rename(SnapDatabase.PathOf(Config.SnapDir, metadata.Index), Config.DatabasePath);
        _disk.SyncDirectory(Config.SnapDir);
        State.Machine.Install(
            OpenDatabase(),
            new V2Snapshot(metadata.Index, snapshot.Data),
            (count, work) => Parallel.For(0, count, work),
            Environment.ProcessorCount);
        _snapshots.Installed(metadata);
        Pipeline.FinishInstall(metadata);
        _peers?.Become(State.Machine.Members.Current.Members);
        SnapDatabase.PurgeBelow(_disk, Config.SnapDir, metadata.Index);
        Log.Info("applied snapshot", ("incoming-leader-snapshot-index", metadata.Index));
    }

    private DataFile OpenDatabase() => DataFile.Open(
        _disk, Config.DatabasePath, new DataFileOptions { NoSync = Config.UnsafeNoFsync });

    /// <summary>At start: the snapshot is recorded in the log, the renaming was left to do.</summary>
    private void TakeOverReceivedDatabase(StartState start)
    {
        ulong index = start.Snapshot?.Metadata.Index ?? 0;
        string received = SnapDatabase.PathOf(Config.SnapDir, index);
        if (index != 0 && _disk.FileExists(received)
            && (!_disk.FileExists(Config.DatabasePath) || ConsistentIndexOf(Config.DatabasePath) < index))
        {
            _disk.Rename(received, Config.DatabasePath);
            _disk.SyncDirectory(Config.SnapDir);
        }

        SnapDatabase.PurgeBelow(_disk, Config.SnapDir, ulong.MaxValue);
    }

    private ulong ConsistentIndexOf(string path)
    {
        using DataFile file = DataFile.Open(_disk, path, new DataFileOptions { ReadOnly = true });
        using ReadTransaction read = file.BeginRead();
        return read.HasBucket("meta") && read.TryGet("meta", "consistent_index"u8, out ReadOnlySpan<byte> value)
            && value.Length == sizeof(ulong)
            ? BinaryPrimitives.ReadUInt64BigEndian(value)
            : 0;
    }
}
