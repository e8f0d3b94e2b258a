using Perf.Engine;
using Perf.Engine.Transactions;
using Perf.Store.Backend;
using Perf.Store.Commands;

namespace Perf.Store.Mvcc;

public sealed partial class MvccStore
{
    /// <summary>
    /// Builds the index from bucket <c>key</c>, attaches keys to their leases and notes an unfinished compaction
    /// (<see cref="CompactStep"/> goes on with it). Leases must be known before. Apply thread, once, before anything
    /// is applied.
    /// </summary>
    public void Load(WorkRunner? runner = null, int parts = 1)
    {
        Check.That(_index.Tree.Count == 0);
        Adopt(LoadFrom(_backend.File, _index, runner, parts));
        _compactedTold = _compacted;
        AttachLeases();
    }

    private static LoadedState LoadFrom(DataFile file, KeyIndex index, WorkRunner? runner, int parts)
    {
        long newest = IndexLoader.Load(file, index, runner, parts);
        using ReadTransaction read = file.BeginRead();
        long scheduled = ReadCompactRevision(in read, Buckets.ScheduledCompactKey);
        long finished = ReadCompactRevision(in read, Buckets.FinishedCompactKey);
        long compacted = Math.Max(scheduled, finished);

        // The newest revisions may have been compacted away; the revision must not go back (etcd issue 17780).
        return new LoadedState(Math.Max(1, Math.Max(newest, compacted)), compacted, finished);
    }

    private static long ReadCompactRevision(in ReadTransaction read, ReadOnlySpan<byte> name) =>
        read.TryGet(Buckets.Meta, name, out ReadOnlySpan<byte> value)
        && RevisionKey.TryRead(value, out Revision revision, out _)
            ? revision.Main
            : -1;

    private void AttachLeases()
    {
        if (Leases is null)
        {
            return;
        }
        Span<uint> ids = stackalloc uint[KeyTree.LeafKeysMax];
        byte[]? from = [];
        while (from is not null)
        {
            int count = _index.Tree.CopyLeaf(from, ids, out from);
            foreach (uint id in ids[..count])
            {
                ref readonly KeyTable.KeyRecord record = ref _index.Keys.Peek(id);
                if (record.Lease != 0 && !record.IsTombstone)
                {
                    Leases.Attach(record.Lease, _index.Keys.Key(id));
                }
            }
        }
    }

    private readonly record struct LoadedState(long Revision, long Compacted, long Finished);
}

/// <summary>Builds the index from the records of a data file.</summary>
internal static class IndexLoader
{
    /// <summary>
    /// Returns the newest main revision found, 0 when the bucket is empty. With several parts, part 0 builds while
    /// the others walk ahead of it through their run of leaves: they take the page faults and the checksums.
    /// </summary>
    public static long Load(DataFile file, KeyIndex index, WorkRunner? runner, int parts)
    {
        if (runner is null || parts <= 1)
        {
            return Build(file, index);
        }
        List<byte[]> cuts;
        using (ReadTransaction read = file.BeginRead())
        {
            cuts = read.SplitKeys(Buckets.Key, parts);
        }
        long newest = 0;
        runner(cuts.Count + 1, part =>
        {
            if (part == 0)
            {
                newest = Build(file, index);
            }
            else
            {
                Touch(file, cuts[part - 1], part < cuts.Count ? cuts[part] : null);
            }
        });
        return newest;
    }

    /// <summary>Walks a run of leaves, which loads and verifies them.</summary>
    private static void Touch(DataFile file, byte[] from, byte[]? to)
    {
        using ReadTransaction read = file.BeginRead();
        BucketCursor cursor = read.OpenCursor(Buckets.Key);
        for (bool more = cursor.Seek(from); more; more = cursor.Next())
        {
            if (to is not null && cursor.Key.SequenceCompareTo(to) >= 0)
            {
                return;
            }
        }
    }

    private static long Build(DataFile file, KeyIndex index)
    {
        KeyTable keys = index.Keys;
        using ReadTransaction read = file.BeginRead();
        BucketCursor cursor = read.OpenCursor(Buckets.Key);
        long newest = 0;
        for (bool more = cursor.SeekFirst(); more; more = cursor.Next())
        {
            if (!RevisionKey.TryRead(cursor.Key, out Revision revision, out bool isTombstone)
                || !KeyValueView.TryParse(cursor.Value, out KeyValueView record)
                || revision.Sub > int.MaxValue)
            {
                throw new CorruptionException(file.FilePath, 0, "bucket key: a record is no revision");
            }
            uint id = index.Tree.FindExact(record.Key);
            if (id == 0)
            {
                id = keys.Add(record.Key);
                index.Tree.Insert(record.Key, id);
            }
            if (isTombstone || keys.Peek(id).Main != 0)
            {
                index.Superseded.Enqueue(revision.Main, id);
            }
            keys.SetNewest(
                id,
                revision.Main,
                (int)revision.Sub,
                cursor.Value.Length,
                isTombstone,
                isTombstone ? 0 : record.CreateRevision,
                isTombstone ? 0 : record.Version,
                isTombstone ? 0 : record.Lease);
            newest = revision.Main;
        }
        index.Tree.BeginChange();
        index.Tree.MarkAlive(id => !keys.Peek(id).IsTombstone);
        index.Tree.EndChange();
        return newest;
    }
}
