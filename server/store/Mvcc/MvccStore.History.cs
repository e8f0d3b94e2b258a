using Perf.Engine.Memory;
using Perf.Store.Backend;

namespace Perf.Store.Mvcc;

/// <summary>HashKV's answer (FORMATS A.5). <see cref="CompactRevision"/> is -1 when never compacted.</summary>
public readonly record struct HashKvResult(uint Hash, long CompactRevision, long Revision, long CurrentRevision);

public sealed partial class MvccStore
{
    /// <summary>
    /// A cursor over the changes with main revision in [from, to], at most up to the published one. Compacted when
    /// from lies below the compact revision (equal is allowed). Any thread; dispose the cursor.
    /// </summary>
    public StoreError OpenHistory(long fromRevision, long toRevision, out HistoryCursor cursor)
    {
        RecordReader reader = OpenReader(out _, out long revision, out long compacted);
        if (fromRevision < compacted)
        {
            reader.Dispose();
            cursor = default;
            return StoreError.Compacted;
        }
        cursor = new HistoryCursor(reader, fromRevision, Math.Min(toRevision, revision));
        return StoreError.None;
    }

    /// <summary>
    /// Hash of all changes up to a revision, 0 for the published one: equal on members, and on real etcds, at equal
    /// revision and compact revision, however far a compaction has come. Below zero nothing has been, and that is hashed.
    /// Any thread; reads all of bucket key.
    /// </summary>
    public StoreError HashKv(long revision, out HashKvResult result)
    {
        while (true)
        {
            RecordReader reader = OpenReader(out KeyIndex index, out long current, out long compacted);
            long at = revision == 0 ? current : revision;
            if (at > current || (at < compacted && at >= 0))
            {
                reader.Dispose();
                result = default;
                return at > current ? StoreError.FutureRev : StoreError.Compacted;
            }

            using var cursor = new HistoryCursor(reader, 0, at);
            uint hash = HashRecords(cursor, index, at, compacted);
            if (_published.Compacted == compacted)
            {
                result = new HashKvResult(hash, compacted, at, current);
                return StoreError.None;
            }
            // The compact revision moved meanwhile, and the index with it.
        }
    }

    /// <summary>
    /// The hash that a compaction at a revision compares members by: as of that revision, above the compaction
    /// <paramref name="before"/> it. To be taken after the compaction is published and before any step of its work.
    /// Any thread.
    /// </summary>
    public HashKvResult HashCompaction(long before, long revision)
    {
        RecordReader reader = OpenReader(out KeyIndex index, out long current, out long _);
        using var cursor = new HistoryCursor(reader, 0, revision);
        return new HashKvResult(HashRecords(cursor, index, revision, before), before, revision, current);
    }

    private static uint HashRecords(HistoryCursor cursor, KeyIndex index, long at, long compacted)
    {
        // etcd skips nothing where no key is alive at that revision. What it has then is what the compaction has left, and
        // that is skipped to here, so that the work still to be done does not show.
        long keptAt = HasLiveKey(index, at) ? at : compacted;
        uint crc = Crc32C.Append(0, "key"u8);
        Span<byte> key = stackalloc byte[RevisionKey.TombstoneBytes];
        while (cursor.MoveNext())
        {
            if (cursor.Main <= compacted && !IsKept(index, in cursor, keptAt))
            {
                continue;
            }
            if (cursor.Main == compacted && cursor.IsDelete)
            {
                // Older etcds have removed it, newer ones keep it: left out, both hash alike.
                continue;
            }
            int keyBytes = RevisionKey.Write(key, cursor.Main, cursor.Sub, cursor.IsDelete);
            crc = Crc32C.Append(crc, key[..keyBytes]);
            crc = Crc32C.Append(crc, cursor.KeyValue);
        }
        return crc;
    }

    /// <summary>
    /// True when the record is its key's version as of the revision. What a restore left to mark a revision that it
    /// moved up has an empty key, which is not in the index; etcd keeps it.
    /// </summary>
    private static bool IsKept(KeyIndex index, in HistoryCursor cursor, long at)
    {
        if (cursor.Key.IsEmpty)
        {
            return true;
        }
        uint id = index.Tree.FindShared(cursor.Key);
        return id != 0
            && index.Keys.TryVersionAt(id, at, out KeyVersion version)
            && version.Main == cursor.Main
            && version.Sub == cursor.Sub;
    }

    private static bool HasLiveKey(KeyIndex index, long at)
    {
        Span<uint> ids = stackalloc uint[KeyTree.LeafKeysMax];
        byte[]? from = [];
        while (from is not null)
        {
            int count = index.Tree.CopyLeaf(from, ids, out from);
            foreach (uint id in ids[..count])
            {
                if (index.Keys.TryVersionAt(id, at, out _))
                {
                    return true;
                }
            }
        }
        return false;
    }
}
