using System.Buffers;
using Perf.Store.Backend;
using Perf.Store.Commands;

namespace Perf.Store.Mvcc;

public sealed partial class MvccStore
{
    /// <summary>Keys with more versions above the compact revision than this are gone through once, not once for each of their older ones.</summary>
    private const int NewerVersionsMax = 32;

    private readonly PendingDeletions _deletions = new();

    /// <summary>Keys that this compaction has been through and that would be long to go through again.</summary>
    private readonly HashSet<uint> _passed = [];

    /// <summary>The first of one key's versions that are cut off and have yet to be taken out: there may be millions of them.</summary>
    private uint _cutOff;

    /// <summary>The key whose tombstone leaves behind them, since it hides them; 0: none does.</summary>
    private uint _hiding;
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
        _passed.Clear();
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
        for (long left = 2L * revisionsMax; left > 0 && !_deletions.IsFull;)
        {
            if (_cutOff != 0 || _hiding != 0)
            {
                left -= TakeOut(left);
                continue;
            }
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
                _passed.Clear();
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
            left -= 1 + CompactKey(item.Id);
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

    /// <summary>
    /// Cuts off of one key what lies behind its newest version at or below the compact revision; <see cref="TakeOut"/> goes on.
    /// How much work that was, in revisions looked at.
    /// </summary>
    private int CompactKey(uint id)
    {
        KeyTable keys = _index.Keys;
        if (_passed.Count > 0 && _passed.Contains(id))
        {
            return 0;
        }

        bool hasSurvivor = TryFindSurvivor(id, out Survivor found);
        if (found.Newer > NewerVersionsMax)
        {
            _passed.Add(id);
        }

        if (hasSurvivor)
        {
            KeyVersion survivor = found.Version;
            if (survivor.Older != 0)
            {
                keys.CutBehind(id, found.Link);
                _cutOff = survivor.Older;
            }

            _hiding = survivor.IsTombstone ? id : 0;
        }

        // One step along versions that lie side by side is a tenth of what taking one out is.
        const int StepsPerRevision = 10;
        return found.Newer / StepsPerRevision;
    }

    /// <summary>Takes out what is cut off, no more than so many versions, and behind the last of them the tombstone. How many it were.</summary>
    private long TakeOut(long max)
    {
        KeyTable keys = _index.Keys;
        long count = 0;
        while (_cutOff != 0 && count < max && !_deletions.IsFull)
        {
            KeyVersion version = keys.OlderVersionOf(_cutOff);
            _deletions.Add(version.Main, version.Sub, version.IsTombstone);
            keys.RetireOlder(_cutOff);
            _cutOff = version.Older;
            count++;
        }

        if (_cutOff == 0 && _hiding != 0)
        {
            TakeOutTombstone(_hiding);
            _hiding = 0;
        }

        return count;
    }

    /// <summary>
    /// A tombstone that hides nothing any more goes, below the compact revision. A later compaction may have been applied since
    /// the cut: what it supersedes stands in the queue.
    /// </summary>
    private void TakeOutTombstone(uint id)
    {
        if (!TryFindSurvivor(id, out Survivor found) || !found.Version.IsTombstone || found.Version.Older != 0)
        {
            return;
        }

        KeyTable keys = _index.Keys;
        KeyVersion survivor = found.Version;
#if MUTANTS
        if ((Mutant.Is("12-tombstone-gone-at-compact-revision") || Mutant.Is("07-revision-back-after-compaction"))
            && survivor.Main == _compacted && found.Link == 0)
        {
            _deletions.Add(survivor.Main, survivor.Sub, true);
            _index.Tree.Remove(keys.Key(id));
            keys.RetireKey(id);
        }
        else
#endif
        if (survivor.Main < _compacted)
        {
            _deletions.Add(survivor.Main, survivor.Sub, true);
            if (found.Link != 0)
            {
                keys.CutBehind(id, found.Before);
                keys.RetireOlder(found.Link);
            }
            else
            {
                _index.Tree.Remove(keys.Key(id));
                keys.RetireKey(id);
            }
        }
    }

    /// <summary>False for a key without a version at or below the compact revision: how many are newer is found all the same.</summary>
    private bool TryFindSurvivor(uint id, out Survivor found)
    {
        found = default;
        KeyTable keys = _index.Keys;
        if ((keys.Peek(id).Marks & KeyTable.KeyMarks.Gone) != 0)
        {
            return false;
        }

        KeyVersion version = keys.Newest(id);
        if (version.Main == 0)
        {
            return false;
        }

        uint link = 0;
        uint before = 0;
        int newer = 0;
        while (version.Main > _compacted)
        {
            if (version.Older == 0)
            {
                found = new Survivor(default, 0, 0, newer + 1);
                return false;
            }

            before = link;
            link = version.Older;
            version = keys.OlderVersionOf(link);
            newer++;
        }

        found = new Survivor(version, link, before, newer);
        return true;
    }

    private void WriteMeta(ReadOnlySpan<byte> name, long revision)
    {
        Span<byte> value = stackalloc byte[RevisionKey.Bytes];
        RevisionKey.Write(value, revision, 0, false);
        _backend.Put(Buckets.Meta, name, value);
    }

    /// <summary>
    /// A key's newest version at or below the compact revision, its link (0: it is the newest of all), that of the next newer
    /// one, and how many are newer.
    /// </summary>
    private readonly record struct Survivor(KeyVersion Version, uint Link, uint Before, int Newer);
}
