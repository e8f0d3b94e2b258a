using System.Buffers.Binary;
using Perf.Engine.IO;
using Perf.Engine.Snap;
using Perf.Engine.Transactions;
using Perf.Engine.Tree;
using Perf.Engine.Wal;
using Perf.Node.Config;
using Perf.Node.Consensus;
using Perf.Node.Logging;
using Perf.Raft;
using Perf.Store.Apply;
using Perf.Store.Mvcc;

namespace Perf.Node.Cluster;

/// <summary>
/// A member's own part in taking over the leader's snapshot. The life of a received one:
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
internal sealed class SnapshotIntake(ServerConfig config, IDisk disk, Log log)
{
    /// <summary>Begins to receive the database of a snapshot at an index.</summary>
    public SnapDatabase Receive(ulong index) => new(disk, config.SnapDir, index);

    /// <summary>
    /// Null when the received database is sound and holds what the index says. Else it is deleted, and what is wrong
    /// with it comes back: nothing else protects it on its way, no length, no checksum.
    /// </summary>
    public string? Refuse(string path, ulong index)
    {
        VerifyReport report = TreeVerifier.VerifyFile(disk, path);
        ulong held = report.IsClean ? ConsistentIndexOf(disk, path) : 0;
        if (report.IsClean && held >= index)
        {
            log.Info("received and saved database snapshot", ("snapshot-index", index), ("path", path));
            return null;
        }

        string problem = report.IsClean ? $"its index {held} is below {index}" : report.Problems[0];
        log.Error("refused a damaged database snapshot", ("snapshot-index", index), ("error", problem));
        Discard(path);
        return problem;
    }

    /// <summary>Raft did not want it.</summary>
    public void Discard(string path) => disk.Delete(path);

    /// <summary>What the log has to record; <paramref name="done"/> runs when that is durable.</summary>
    public WalWork Record(Snapshot snapshot, Action done)
    {
        SnapshotMetadata metadata = snapshot.Metadata;
        byte[] conf = new byte[ConfStateCodec.Bytes(metadata.ConfState)];
        ConfStateCodec.Write(metadata.ConfState, conf);
        log.Info("applying snapshot", ("incoming-leader-snapshot-index", metadata.Index));
        return new WalWork
        {
            Kind = WalWorkKind.Snapshot,
            Snapshot = new WalSnapshot(metadata.Index, metadata.Term, conf),
            Before = () =>
            {
                byte[] encoded = new byte[SnapshotCodec.Bytes(snapshot)];
                SnapshotCodec.Write(snapshot, encoded);
                SnapFile.Write(disk, config.SnapDir, metadata.Term, metadata.Index, encoded);
            },
            Done = done,
        };
    }

    /// <summary>Apply thread, behind everything that was committed before the snapshot.</summary>
    public void Install(Snapshot snapshot, Pipeline pipeline, SnapshotKeeper keeper, WorkRunner? runner, int parts)
    {
        SnapshotMetadata metadata = snapshot.Metadata;
        disk.Rename(SnapDatabase.PathOf(config.SnapDir, metadata.Index), config.DatabasePath);
        disk.SyncDirectory(config.SnapDir);
        pipeline.State.Machine.Install(OpenDatabase(), new V2Snapshot(metadata.Index, snapshot.Data), runner, parts);
        keeper.Installed(metadata);
        pipeline.FinishInstall(metadata);
        SnapDatabase.PurgeBelow(disk, config.SnapDir, metadata.Index);
        log.Info("applied snapshot", ("incoming-leader-snapshot-index", metadata.Index));
    }

    /// <summary>
    /// At start: opens the data file, which must hold at least what the recorded snapshot holds, since the log goes on
    /// from there. A received one takes its place where only the renaming was left to do. Throws
    /// <see cref="StartRefusedException"/> where there is none such.
    /// </summary>
    public DataFile OpenDatabase(Snapshot? recorded)
    {
        ulong index = recorded?.Metadata.Index ?? 0;
        if (index != 0 && !disk.FileExists(config.DatabasePath))
        {
            TakeOver(index, $"database file ({config.DatabasePath}) of the backend is missing");
        }

        DataFile file = OpenDatabase();
        ulong held = ConsistentIndexOf(file);
        if (held < index)
        {
            file.Dispose();
            TakeOver(
                index,
                $"database file ({config.DatabasePath} index {held}) does not match with snapshot (index {index})");
            file = OpenDatabase();
        }

        SnapDatabase.PurgeBelow(disk, config.SnapDir, ulong.MaxValue);
        return file;
    }

    /// <summary>Opens the data file, or makes it.</summary>
    private DataFile OpenDatabase() =>
        DataFile.Open(disk, config.DatabasePath, new DataFileOptions { NoSync = config.UnsafeNoFsync });

    private void TakeOver(ulong index, string otherwise)
    {
        string received = SnapDatabase.PathOf(config.SnapDir, index);
        if (!disk.FileExists(received))
        {
            throw new StartRefusedException(otherwise);
        }

        disk.Rename(received, config.DatabasePath);
        disk.SyncDirectory(config.SnapDir);
    }

    /// <summary>Index of the last entry whose effects a data file holds; 0 where it does not say.</summary>
    public static ulong ConsistentIndexOf(IDisk disk, string path)
    {
        using DataFile file = DataFile.Open(disk, path, new DataFileOptions { ReadOnly = true });
        return ConsistentIndexOf(file);
    }

    private static ulong ConsistentIndexOf(DataFile file)
    {
        using ReadTransaction read = file.BeginRead();
        return read.HasBucket("meta") && read.TryGet("meta", "consistent_index"u8, out ReadOnlySpan<byte> value)
            && value.Length == sizeof(ulong)
            ? BinaryPrimitives.ReadUInt64BigEndian(value)
            : 0;
    }
}
