using Perf.Engine;
using Perf.Engine.Transactions;
using Perf.Store.Backend;

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

#if MUTANTS
        if (Mutant.Is("07-revision-back-after-compaction"))
        {
            return new LoadedState(Math.Max(1, newest), compacted, finished);
        }
#endif
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
        if (Leases is null || !_index.HasLeases)
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
