using Perf.Engine.IO;
using Perf.Engine.Memory;
using Perf.Engine.Transactions;
using Perf.Store.Backend;
using Perf.Store.Commands;

namespace Perf.Etcdutl.Files;

/// <summary>
/// HashKV of a file at rest (FORMATS A.5), equal to what the members answer. Reads the bucket twice: what each key's
/// version at the revision is, then the records that count.
/// </summary>
internal sealed record KeyHash(uint Hash, long Revision, long CompactRevision)
{
    /// <summary>Revision 0 means the newest. Throws <see cref="InvalidDataException"/> where there is no such state.</summary>
    public static KeyHash Read(IDisk disk, string path, long revision)
    {
        using DataFile file = DataFile.Open(disk, path, new DataFileOptions { ReadOnly = true, MapBytesMin = 0 });
        using ReadTransaction read = file.BeginRead();
        long compacted = Math.Max(
            StoredRevision(read, Buckets.FinishedCompactKey), StoredRevision(read, Buckets.ScheduledCompactKey));
        BucketCursor last = read.OpenCursor(Buckets.Key);
        long newest = Math.Max(1, Math.Max(compacted, last.SeekLast() ? RevisionOf(last).Main : 0));
        long at = revision == 0 ? newest : revision;
        if (at > newest)
        {
            throw new InvalidDataException("mvcc: required revision is a future revision");
        }

        if (at < compacted)
        {
            throw new InvalidDataException("mvcc: required revision has been compacted");
        }

        return new KeyHash(HashRecords(read, at, compacted, VersionsAt(read, at)), at, compacted);
    }

    /// <summary>Per key, where it lives at a revision; deleted ones are left out.</summary>
    private static HashSet<Revision> VersionsAt(in ReadTransaction read, long at)
    {
        var newest = new Dictionary<string, Revision>(StringComparer.Ordinal);
        BucketCursor cursor = read.OpenCursor(Buckets.Key);
        for (bool more = cursor.SeekFirst(); more; more = cursor.Next())
        {
            Revision revision = RevisionOf(cursor, out bool isTombstone);
            if (revision.Main > at)
            {
                break;
            }

            if (!KeyValueView.TryParse(cursor.Value, out KeyValueView record))
            {
                throw new InvalidDataException($"bucket key: revision {revision.Main}.{revision.Sub} is no record");
            }

            string key = Convert.ToHexString(record.Key);
            if (isTombstone)
            {
                newest.Remove(key);
            }
            else
            {
                newest[key] = revision;
            }
        }

        return [.. newest.Values];
    }

    private static uint HashRecords(in ReadTransaction read, long at, long compacted, HashSet<Revision> kept)
    {
        uint crc = Crc32C.Append(0, "key"u8);
        BucketCursor cursor = read.OpenCursor(Buckets.Key);
        for (bool more = cursor.SeekFirst(); more; more = cursor.Next())
        {
            Revision revision = RevisionOf(cursor, out bool isTombstone);
            if (revision.Main > at)
            {
                break;
            }

            bool isGone = revision.Main <= compacted && kept.Count > 0 && !kept.Contains(revision);
            bool isOldTombstone = revision.Main == compacted && isTombstone;
            if (!isGone && !isOldTombstone)
            {
                crc = Crc32C.Append(Crc32C.Append(crc, cursor.Key), cursor.Value);
            }
        }

        return crc;
    }

    /// <summary>-1 when there is none.</summary>
    private static long StoredRevision(in ReadTransaction read, ReadOnlySpan<byte> key) =>
        !read.TryGet(Buckets.Meta, key, out ReadOnlySpan<byte> value) ? -1
        : RevisionKey.TryRead(value, out Revision revision, out _) ? revision.Main
        : throw new InvalidDataException("bucket meta: a compact revision is no revision");

    private static Revision RevisionOf(in BucketCursor cursor) => RevisionOf(cursor, out _);

    private static Revision RevisionOf(in BucketCursor cursor, out bool isTombstone) =>
        RevisionKey.TryRead(cursor.Key, out Revision revision, out isTombstone)
            ? revision
            : throw new InvalidDataException("bucket key: a record is no revision");
}
