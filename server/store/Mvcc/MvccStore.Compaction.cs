using System.Buffers;
using Perf.Store.Backend;
using Perf.Store.Commands;

namespace Perf.Store.Mvcc;

public sealed partial class MvccStore
{
    private readonly PendingDeletions _deletions = new();
    private long _finishedCompact = -1;
    private bool _compactPending;
    private int _compactOffset;
    private long _compactedBefore = -1;
    private long _compactedRecords;

    /// <summary>A compaction was applied whose work is not done yet. Apply thread.</summary>
    public bool CompactionPending => _compactPending;

    /// <summary>Newest compact revision whose work is done, -1 when there is none. Apply thread.</summary>
    public long FinishedCompactRevision => _finishedCompact;

    /// <summary>Records that compactions have removed since the start. Any thread.</summary>
    public long CompactedRecords => Volatile.Read(ref _compactedRecords);

    /// <summary>The newest compaction and the one before it, -1 when there was none. Apply thread.</summary>
    public (long Before, long Revision) NewestCompaction => (_compactedBefore, _compacted);

    /// <summary>
    /// Applies a compaction: from the next publication on, nothing below the revision can be read. The work is left
    /// to <see cref="CompactStep"/>; it is resumed after a crash, because the revision asked for is committed with
    /// this entry (CMP-01..04).
    /// </summary>
    public StoreError ApplyCompaction(
        in CompactionView compaction, in ResponseHeader header, IBufferWriter<byte>? response)
    {
        if (compaction.Revision <= _compacted)
        {
            return StoreError.Compacted;
        }
        if (compaction.Revision > _revision)
        {
            return StoreError.FutureRev;
        }
        _compactedBefore = _compacted;
        _compacted = compaction.Revision;
        _compactPending = true;
        _compactOffset = 0;
        WriteMeta(Buckets.ScheduledCompactKey, _compacted);
        WriteHeader(header with { Revision = _revision }, response);
        return StoreError.None;
    }

    /// <summary>
    /// Looks at no more than twice so many superseded revisions, or deletes no more than so many records of those that the
    /// compact revision no longer allows to be read. True when the compaction is finished. Apply thread, between entries.
    /// </summary>
    public bool CompactStep(int revisionsMax)
    {
        if (!_compactPending)
        {
            return true;
        }
        if (_deletions.IsLeaving)
        {
            DeleteSome(revisionsMax);
            return false;
        }
        if (_published.Compacted != _compacted || _dirty.Count > 0)
        {
            // Readers must know before anything goes.
            Publish();
        }

        // What was superseded below C is done for good. At C itself a tombstone stays (a watcher that starts at C
        // needs it), so those items wait in the queue for the next compaction.
        SupersededQueue queue = _index.Superseded;
        for (long i = 0; i < 2L * revisionsMax && !_deletions.IsFull; i++)
        {
            if (queue.Count <= _compactOffset || queue.Peek(_compactOffset).Main > _compacted)
            {
                _deletions.Leave();
                if (_deletions.IsLeaving)
                {
                    return false;
                }
                _compactPending = false;
                _finishedCompact = _compacted;
                _compactOffset = 0;
                WriteMeta(Buckets.FinishedCompactKey, _compacted);
                return true;
            }
            SupersededQueue.Item item = queue.Peek(_compactOffset);
            if (item.Main < _compacted)
            {
                queue.Dequeue();
            }
            else
            {
                _compactOffset++;
            }
            CompactKey(item.Id);
        }
        if (_deletions.IsFull)
        {
            _deletions.Leave();
        }
        return false;
    }

    /// <summary>
    /// In the order of the file, so that what is left there after a crash is sound as well: a key's tombstone goes after what
    /// it hides.
    /// </summary>
    private void DeleteSome(int recordsMax)
    {
        RecordTable records = _backend.ActiveRecords;
        int count = 0;
        for (; count < recordsMax && _deletions.IsLeaving; count++)
        {
            records.Delete(_deletions.Take());
        }
        Volatile.Write(ref _compactedRecords, _compactedRecords + count);
        _backend.Touch();
    }

    /// <summary>Removes of one key what lies behind its newest version at or below the compact revision.</summary>
    private void CompactKey(uint id)
    {
        KeyTable keys = _index.Keys;
        if ((keys.Peek(id).Marks & KeyTable.KeyMarks.Gone) != 0)
        {
            return;
        }
        KeyVersion survivor = keys.Newest(id);
        if (survivor.Main == 0)
        {
            return;
        }
        uint link = 0;
        uint before = 0;
        while (survivor.Main > _compacted)
        {
            if (survivor.Older == 0)
            {
                return;
            }
            before = link;
            link = survivor.Older;
            survivor = keys.OlderVersionOf(link);
        }

        keys.CutBehind(id, link);
        for (uint older = survivor.Older; older != 0;)
        {
            KeyVersion version = keys.OlderVersionOf(older);
            _deletions.Add(version.Main, version.Sub, version.IsTombstone);
            keys.RetireOlder(older);
            older = version.Older;
        }

#if MUTANTS
        if ((Mutant.Is("12-tombstone-gone-at-compact-revision") || Mutant.Is("07-revision-back-after-compaction"))
            && survivor.IsTombstone && survivor.Main == _compacted && link == 0)
        {
            _deletions.Add(survivor.Main, survivor.Sub, true);
            _index.Tree.Remove(keys.Key(id));
            keys.RetireKey(id);
        }
        else
#endif
        if (survivor.IsTombstone && survivor.Main < _compacted)
        {
            _deletions.Add(survivor.Main, survivor.Sub, true);
            if (link != 0)
            {
                keys.CutBehind(id, before);
                keys.RetireOlder(link);
            }
            else
            {
                _index.Tree.Remove(keys.Key(id));
                keys.RetireKey(id);
            }
        }
    }

    private void WriteMeta(ReadOnlySpan<byte> name, long revision)
    {
        Span<byte> value = stackalloc byte[RevisionKey.Bytes];
        RevisionKey.Write(value, revision, 0, false);
        _backend.Put(Buckets.Meta, name, value);
    }
}
