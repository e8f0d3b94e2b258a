using Perf.Engine;
using Perf.Engine.Transactions;
using Perf.Store.Backend;
using Perf.Store.Commands;

namespace Perf.Store.Mvcc;

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
        using ReadTransaction read = file.BeginRead();
        BucketCursor cursor = read.OpenCursor(Buckets.Key);
        var run = new LoadRun();
        long newest = 0;
        for (bool more = cursor.SeekFirst(); more; more = cursor.Next())
        {
            if (!RevisionKey.TryRead(cursor.Key, out Revision revision, out bool isTombstone)
                || !KeyValueView.TryParse(cursor.Value, out KeyValueView record)
                || revision.Sub > int.MaxValue)
            {
                throw new CorruptionException(file.FilePath, 0, "bucket key: a record is no revision");
            }
            newest = revision.Main;
            if (record.Key.IsEmpty)
            {
                // A restore that moved the revision up has left a record without content; no key is empty.
                continue;
            }
            run.Add(revision, isTombstone, cursor.Value.Length, in record);
            if (run.IsFull)
            {
                run.AddTo(index);
            }
        }
        run.AddTo(index);

        KeyTable keys = index.Keys;
        index.Tree.BeginChange();
        index.Tree.MarkAlive(id => !keys.Peek(id).IsTombstone);
        index.Tree.EndChange();
        return newest;
    }
}
