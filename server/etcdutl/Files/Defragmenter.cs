using Perf.Engine.IO;
using Perf.Engine.Transactions;

namespace Perf.Etcdutl.Files;

/// <summary>Writes a data file anew without its holes and puts it in the place of the old one.</summary>
internal static class Defragmenter
{
    /// <summary>Large, so that few leaves are written twice; bounded, since a batch is memory.</summary>
    private const int BatchBytesMax = 32 << 20;

    /// <summary>Pages that the closing commits may each bring down into the holes that the batches left.</summary>
    private const int RelocatedPages = 1 << 14;

    /// <summary>Returns the sizes before and after. The old file keeps its lock until the new one has its name.</summary>
    public static (long Before, long After) Run(IDisk disk, string path)
    {
        // etcd deletes files of this name at its start, so that an interrupted run leaves nothing behind.
        string draft = path + ".tmp.defrag";
        if (disk.FileExists(draft))
        {
            disk.Delete(draft);
        }

        using DataFile old = DataFile.Open(disk, path, new DataFileOptions { MapBytesMin = 0 });
        long after;
        using (DataFile fresh = DataFile.Open(
            disk, draft, new DataFileOptions { PageBytes = old.PageBytes, MapBytesMin = 0 }))
        {
            Copy(old, fresh);
            Shrink(fresh);
            after = fresh.SizeBytes;
        }

        using (IDiskFile file = disk.Open(draft, DiskOpen.ReadWrite))
        {
            file.SyncAll();
        }

        disk.Rename(draft, path);
        disk.SyncDirectory(Path.GetDirectoryName(Path.GetFullPath(path))!);
        return (old.SizeBytes, after);
    }

    private static void Copy(DataFile old, DataFile fresh)
    {
        using ReadTransaction read = old.BeginRead();
        var batch = new WriteBatch();
        long bytes = 0;
        foreach (string bucket in read.Buckets())
        {
            batch.EnsureBucket(bucket);
            BucketCursor cursor = read.OpenCursor(bucket);
            for (bool more = cursor.SeekFirst(); more; more = cursor.Next())
            {
                batch.Put(bucket, cursor.Key, cursor.Value);
                bytes += cursor.Key.Length + cursor.Value.Length;
                if (bytes > BatchBytesMax)
                {
                    fresh.Commit(batch);
                    batch.Clear();
                    bytes = 0;
                }
            }
        }

        fresh.Commit(batch);
        fresh.MakeDurable();
    }

    private static void Shrink(DataFile file)
    {
        var batch = new WriteBatch();
        long size = long.MaxValue;
        for (int still = 0; still < 3;)
        {
            batch.Clear();
            batch.RelocateTailPagesMax = RelocatedPages;
            file.Commit(batch);
            file.MakeDurable();
            still = file.SizeBytes < size ? 0 : still + 1;
            size = file.SizeBytes;
        }
    }
}
