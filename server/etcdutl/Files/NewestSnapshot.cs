using System.Buffers;
using Perf.Engine;
using Perf.Engine.IO;
using Perf.Engine.Snap;
using Perf.Engine.Wal;
using Perf.Raft;

namespace Perf.Etcdutl.Files;

/// <summary>The .snap files of a member. Reads only: a server would rename an unreadable one.</summary>
internal static class NewestSnapshot
{
    /// <summary>The newest readable one that the log vouches for; null where there is none.</summary>
    public static Snapshot? Find(IDisk disk, string snapDir, IReadOnlyList<WalSnapshot> vouched, List<string>? problems = null)
    {
        if (!disk.DirectoryExists(snapDir))
        {
            return null;
        }

        foreach (SnapName name in SnapFile.List(disk, snapDir))
        {
            if (!vouched.Any(v => v.Index == name.Index && v.Term == name.Term))
            {
                continue;
            }

            try
            {
                return Read(disk, snapDir, name);
            }
            catch (CorruptionException e)
            {
                problems?.Add(e.Message);
            }
        }

        return null;
    }

    /// <summary>Throws <see cref="CorruptionException"/> when the file is no snapshot of its name.</summary>
    public static Snapshot Read(IDisk disk, string snapDir, SnapName name)
    {
        byte[] raft = SnapFile.Read(disk, snapDir, name);
        string path = Path.Combine(snapDir, name.FileName);
        if (SnapshotCodec.TryRead(raft, out Snapshot? snapshot) != OperationStatus.Done)
        {
            throw new CorruptionException(path, 0, "not a raft snapshot");
        }

        SnapshotMetadata metadata = snapshot!.Metadata;
        return metadata.Index == name.Index && metadata.Term == name.Term
            ? snapshot
            : throw new CorruptionException(path, 0, $"holds term {metadata.Term} and index {metadata.Index}");
    }
}
