using System.Buffers;
using Perf.Store.Mvcc;

namespace Perf.Store.Watch;

/// <summary>The key space as the watches read it.</summary>
public sealed class MvccWatchHistory : IWatchHistory
{
    private readonly MvccStore _store;

    public MvccWatchHistory(MvccStore store)
    {
        _store = store;
    }

    /// <inheritdoc/>
    public long CurrentRevision => _store.PublishedRevision;

    /// <inheritdoc/>
    public long CompactRevision => _store.PublishedCompactRevision;

    /// <inheritdoc/>
    public bool TryScan(long from, long to, IHistoryVisitor visitor)
    {
        if (_store.OpenHistory(from, to, out HistoryCursor cursor) != StoreError.None)
        {
            return false;
        }
        using (cursor)
        {
            while (cursor.MoveNext() && visitor.Visit(cursor.Main, cursor.IsDelete, cursor.KeyValue))
            {
            }
        }
        return true;
    }

    /// <inheritdoc/>
    public bool TryGetAt(ReadOnlySpan<byte> key, long revision, IBufferWriter<byte> target) =>
        _store.TryGetAt(key, revision, target);
}
