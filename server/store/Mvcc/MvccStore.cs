using System.Buffers;
using Perf.Engine.Transactions;
using Perf.Store.Backend;
using Perf.Store.Commands;

namespace Perf.Store.Mvcc;

/// <summary>Runs work(0) ... work(count - 1), in parallel or not, and returns when all are done.</summary>
public delegate void WorkRunner(int count, Action<int> work);

/// <summary>HashKV's answer (FORMATS A.5).</summary>
public readonly record struct HashKvResult(uint Hash, long CompactRevision, long Revision, long CurrentRevision);

/// <summary>The key space. Skeleton: bodies follow.</summary>
public sealed class MvccStore
{
    public MvccStore(BackendStore backend, ILeaseAttachments? leases = null, IRevisionSink? sink = null) => throw new NotImplementedException();

    /// <summary>Can be set once, before <see cref="Load"/>.</summary>
    public ILeaseAttachments? Leases { get; set; }

    /// <summary>Can be set once, before <see cref="Load"/>.</summary>
    public IRevisionSink? Sink { get; set; }

    /// <summary>Builds the index from bucket key; attaches keys to leases; resumes an unfinished compaction.</summary>
    public void Load(WorkRunner? runner = null, int parts = 1) => throw new NotImplementedException();

    /// <summary>Goes over to another file. Apply thread. The backend is reset by this call.</summary>
    public void Reset(DataFile file, WorkRunner? runner = null, int parts = 1) => throw new NotImplementedException();

    /// <summary>Revision of the last transaction applied. Apply thread.</summary>
    public long Revision => throw new NotImplementedException();

    /// <summary>Compact revision as applied, -1 when never compacted. Apply thread.</summary>
    public long CompactRevision => throw new NotImplementedException();

    /// <summary>What readers see. Any thread.</summary>
    public long PublishedRevision => throw new NotImplementedException();

    /// <summary>What readers see, -1 when never compacted. Any thread.</summary>
    public long PublishedCompactRevision => throw new NotImplementedException();

    // Apply thread. The header carries ids and term; its revision is filled in. A null response: nobody waits.
    public StoreError ApplyPut(in PutView put, in ResponseHeader header, IBufferWriter<byte>? response) => throw new NotImplementedException();

    public StoreError ApplyDeleteRange(in DeleteRangeView delete, in ResponseHeader header, IBufferWriter<byte>? response) => throw new NotImplementedException();

    public StoreError ApplyTxn(ReadOnlySpan<byte> txn, in ResponseHeader header, IBufferWriter<byte>? response) => throw new NotImplementedException();

    public StoreError ApplyCompaction(in CompactionView compaction, in ResponseHeader header, IBufferWriter<byte>? response) => throw new NotImplementedException();

    /// <summary>Begins a transaction for callers that make their own changes (lease revoke).</summary>
    public void BeginTxn() => throw new NotImplementedException();

    public void Put(ReadOnlySpan<byte> key, ReadOnlySpan<byte> value, long lease) => throw new NotImplementedException();

    /// <summary>Deletes one key, or a range when the end is not empty; returns how many.</summary>
    public long Delete(ReadOnlySpan<byte> key, ReadOnlySpan<byte> rangeEnd = default) => throw new NotImplementedException();

    /// <summary>Ends the transaction; the revision moves if anything changed. Returns the revision.</summary>
    public long EndTxn() => throw new NotImplementedException();

    /// <summary>Makes everything applied so far visible to readers and watches.</summary>
    public void Publish() => throw new NotImplementedException();

    /// <summary>Compaction work is left. Apply thread.</summary>
    public bool CompactionPending => throw new NotImplementedException();

    /// <summary>Removes at most so many superseded revisions; true when the compaction is finished. Apply thread.</summary>
    public bool CompactStep(int revisionsMax) => throw new NotImplementedException();

    /// <summary>Last compact revision whose work is done, -1 when none. Apply thread.</summary>
    public long FinishedCompactRevision => throw new NotImplementedException();

    // Any thread.
    public StoreError Range(in RangeView range, in ResponseHeader header, IBufferWriter<byte> response) => throw new NotImplementedException();

    public StoreError ReadOnlyTxn(ReadOnlySpan<byte> txn, in ResponseHeader header, IBufferWriter<byte> response) => throw new NotImplementedException();

    public StoreError HashKv(long revision, out HashKvResult result) => throw new NotImplementedException();

    /// <summary>Compacted when from is below the compact revision. Dispose the cursor.</summary>
    public StoreError OpenHistory(long fromRevision, long toRevision, out HistoryCursor cursor) => throw new NotImplementedException();

    /// <summary>The key's KeyValue bytes as of a revision; false when it had none. Compacted revisions give false.</summary>
    public bool TryGetAt(ReadOnlySpan<byte> key, long revision, IBufferWriter<byte> target) => throw new NotImplementedException();
}

/// <summary>Changes in revision order, for watchers that catch up. Lives on one thread; holds an epoch.</summary>
public ref struct HistoryCursor : IDisposable
{
    public readonly long Main => throw new NotImplementedException();

    public readonly int Sub => throw new NotImplementedException();

    public readonly bool IsDelete => throw new NotImplementedException();

    /// <summary>Stored bytes of mvccpb.KeyValue; for a delete the key field only.</summary>
    public readonly ReadOnlySpan<byte> KeyValue => throw new NotImplementedException();

    public readonly ReadOnlySpan<byte> Key => throw new NotImplementedException();

    public bool MoveNext() => throw new NotImplementedException();

    public void Dispose() => throw new NotImplementedException();
}
