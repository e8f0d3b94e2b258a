using System.Buffers;

namespace Perf.Store.Watch;

/// <summary>Sees records of the history in revision order; answers false to stop before the next one.</summary>
public interface IHistoryVisitor
{
    /// <summary>One record: mvccpb.KeyValue as stored. The span is good during the call.</summary>
    bool Visit(long revision, bool isDelete, ReadOnlySpan<byte> keyValue);
}

/// <summary>What the watches ask of the store: published revisions, read again. Any thread.</summary>
public interface IWatchHistory
{
    /// <summary>The newest revision readers may see.</summary>
    long CurrentRevision { get; }

    /// <summary>Revisions below this one may be gone.</summary>
    long CompactRevision { get; }

    /// <summary>
    /// Shows every record with from &lt;= revision &lt;= to, ascending by revision and sub-revision. False, and
    /// nothing shown, when from is compacted.
    /// </summary>
    bool TryScan(long from, long to, IHistoryVisitor visitor);

    /// <summary>
    /// Writes the KeyValue that the key had at the revision; false when it had none or the revision is compacted.
    /// </summary>
    bool TryGetAt(ReadOnlySpan<byte> key, long revision, IBufferWriter<byte> target);
}
