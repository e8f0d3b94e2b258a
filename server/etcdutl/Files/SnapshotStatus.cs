using System.Buffers.Binary;
using System.Text;
using Perf.Engine.IO;
using Perf.Engine.Memory;
using Perf.Engine.Transactions;
using Perf.Engine.Tree;
using Perf.Store.Backend;

namespace Perf.Etcdutl.Files;

/// <summary>What snapshot status says of a file.</summary>
internal sealed record SnapshotStatus(uint Hash, long Revision, long TotalKeys, long TotalBytes)
{
    private const int MainBytes = 8;

    /// <summary>Verifies the file, then reads all of it. Throws <see cref="IOException"/> when it is damaged.</summary>
    public static SnapshotStatus Read(IDisk disk, string path)
    {
        RequireSound(TreeVerifier.VerifyFile(disk, path));
        using DataFile file = DataFile.Open(disk, path, new DataFileOptions { ReadOnly = true, MapBytesMin = 0 });
        using ReadTransaction read = file.BeginRead();
        uint hash = 0;
        long revision = 0;
        long keys = 0;
        foreach (string bucket in read.Buckets())
        {
            hash = Crc32C.Append(hash, Encoding.UTF8.GetBytes(bucket));
            BucketCursor cursor = read.OpenCursor(bucket);
            for (bool more = cursor.SeekFirst(); more; more = cursor.Next())
            {
                hash = Crc32C.Append(hash, cursor.Key);
                hash = Crc32C.Append(hash, cursor.Value);
                keys++;
                if (bucket == Buckets.Key && cursor.Key.Length >= MainBytes)
                {
                    revision = BinaryPrimitives.ReadInt64BigEndian(cursor.Key);
                }
            }
        }

        return new SnapshotStatus(hash, revision, keys, file.SizeBytes);
    }

    /// <summary>Throws with everything that the verifier found.</summary>
    public static void RequireSound(VerifyReport report)
    {
        if (!report.IsClean)
        {
            throw new IOException(
                $"snapshot file integrity check failed. {report.Problems.Count} errors found.\n"
                + string.Join('\n', report.Problems));
        }
    }
}
