using Perf.Engine.IO;
using Perf.Engine.Wal;
using Perf.Raft;

namespace Perf.Etcdutl.Files;

/// <summary>
/// Replays a log without touching it: a copy is opened as the server would open the original, torn tail and all.
/// </summary>
internal static class LogReading
{
    /// <summary>
    /// What a start would read: the newest snapshot that the log vouches for, null where there is none, and the entries
    /// behind it; and whose log it is. Throws <see cref="Engine.CorruptionException"/>.
    /// </summary>
    public static (Snapshot? Snapshot, LogEntries Entries, (ulong Node, ulong Cluster) Ids) FromNewestSnapshot(
        IDisk disk, string dataDir, string walDir)
    {
        Snapshot? snapshot = NewestSnapshot.Find(disk, Paths.Snap(dataDir), WalLog.ValidSnapshots(disk, walDir));
        SnapshotMetadata start = snapshot?.Metadata ?? SnapshotMetadata.None;
        var entries = new LogEntries(walDir);
        (ulong node, ulong cluster, _, _) = Read(
            disk, walDir, Paths.WalMark(dataDir), new WalSnapshot(start.Index, start.Term, default), entries);
        return (snapshot, entries, (node, cluster));
    }

    /// <summary>
    /// Throws <see cref="Engine.CorruptionException"/> with the place in the original. Returns node id, cluster id,
    /// last index, and whether a torn tail was cut off.
    /// </summary>
    public static (ulong Node, ulong Cluster, ulong LastIndex, bool WasTorn) Read(
        IDisk disk, string walDir, string? markPath, WalSnapshot from, IWalVisitor visitor)
    {
        string scratch = Directory.CreateTempSubdirectory("etcdutl-wal-").FullName;
        try
        {
            string copy = Path.Combine(scratch, "wal");
            Directory.CreateDirectory(copy);
            foreach (string segment in Directory.EnumerateFiles(walDir, "*.wal"))
            {
                File.Copy(segment, Path.Combine(copy, Path.GetFileName(segment)));
            }

            string? mark = null;
            if (markPath is not null && File.Exists(markPath))
            {
                mark = Path.Combine(scratch, "walmark");
                File.Copy(markPath, mark);
            }

            var options = new WalOptions { MarkPath = mark, ZeroFill = false, NoSync = true };
            using WalLog log = WalLog.Open(disk, copy, from, options, visitor);
            bool wasTorn = Directory.EnumerateFiles(copy, "*.broken").Any();
            return (log.NodeId, log.ClusterId, log.LastIndex, wasTorn);
        }
        catch (Engine.CorruptionException e)
        {
            throw new Engine.CorruptionException(Path.Combine(walDir, Path.GetFileName(e.File)), e.Offset, e.Reason);
        }
        finally
        {
            Directory.Delete(scratch, recursive: true);
        }
    }
}
