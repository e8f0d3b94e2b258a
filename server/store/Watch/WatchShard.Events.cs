using Perf.Store.Commands;

namespace Perf.Store.Watch;

// Revisions to watchers: from the ring or the store into a batch, each event matched once, then to the groups.
internal sealed partial class WatchShard : IHistoryVisitor
{
    /// <summary>Every so many turns the next in line leads the catch-up and not the one furthest behind.</summary>
    private const int FairTurn = 4;

    private readonly EventBatch _batch = new();
    private readonly List<WatchGroup> _touched = [];
    private readonly List<WatchGroup> _matched = [];
    private readonly RingEntry[] _entries;
    private long _turn;
    private int _nextLeader;

    // The scan under way.
    private WatchIndex? _scanIndex;
    private long _scanRevision;
    private long _scanBytes;
    private bool _scanStopped;

    /// <summary>Hands the next published revisions to those who are up to date.</summary>
    private void LiveStep()
    {
        long published = _hub.Published;
        if (_cursor >= published)
        {
            return;
        }
        if (_live.Count == 0)
        {
            _cursor = published;
            return;
        }

        long from = _cursor + 1;
        long to = Math.Min(published, _cursor + _hub.Options.LiveRevisionsMax);
        if (!TryRingStep(_live, from, to, isLive: true, out long end))
        {
            long compacted = _hub.Compacted;
            if (from < compacted)
            {
                // The pump itself was left behind by the ring and by a compaction.
                CancelCompactedLive(from, compacted);
                end = Math.Min(compacted - 1, published);
            }
            else if (!TryHistoryStep(_live, from, to, isLive: true, out end))
            {
                return;
            }
        }
        _cursor = end;
    }

    /// <summary>A shared piece of history for those who are behind; who reaches the cursor joins the others.</summary>
    private void CatchUpStep()
    {
        while (_behind.Count > 0)
        {
            long from = ChooseLeader(out Watcher leader);
            long to = Math.Min(_cursor, from + _hub.Options.ScanRevisionsMax - 1);
            if (!TryRingStep(_catchUp, from, to, isLive: false, out long end))
            {
                if (from < _hub.Compacted)
                {
                    CancelCompacted(leader);
                    continue;
                }
                if (!TryHistoryStep(_catchUp, from, to, isLive: false, out end))
                {
                    return;
                }
            }
            AdvanceBehind(from, end);
            return;
        }
    }

    /// <summary>
    /// Mostly the one furthest behind: the scan carries along whom it meets. Now and then the next in line, so that a
    /// stream that keeps starting over cannot hold up the others.
    /// </summary>
    private long ChooseLeader(out Watcher leader)
    {
        if (++_turn % FairTurn == 0)
        {
            _nextLeader = (_nextLeader + 1) % _behind.Count;
            leader = _behind[_nextLeader];
            return leader.NextRevision;
        }
        leader = _behind[0];
        foreach (Watcher watcher in _behind)
        {
            if (watcher.NextRevision < leader.NextRevision)
            {
                leader = watcher;
            }
        }
        return leader.NextRevision;
    }

    private void AdvanceBehind(long from, long end)
    {
        for (int i = _behind.Count - 1; i >= 0; i--)
        {
            Watcher watcher = _behind[i];
            if (watcher.NextRevision < from || watcher.NextRevision > end)
            {
                continue;
            }
            watcher.NextRevision = end + 1;
            if (end == _cursor)
            {
                Leave(watcher);
                EnterLive(watcher);
            }
        }
    }

    /// <summary>False when the ring does not hold the first revision.</summary>
    private bool TryRingStep(WatchIndex index, long from, long to, bool isLive, out long end)
    {
        end = 0;
        int count = _ring.Pin(_id, from, to, _entries);
        if (count <= 0)
        {
            return false;
        }
        try
        {
            int i = 0;
            long bytes = 0;
            for (; i < count && bytes < _hub.Options.TurnBytesMax; i++)
            {
                RingEntry entry = _entries[i];
                for (int k = entry.FirstEvent; k < entry.FirstEvent + entry.EventCount; k++)
                {
                    bytes += MatchRingEvent(index, from + i, entry.Chunk, entry.Chunk.Events[k]);
                }
            }
            end = from + i - 1;
            Deliver(from, end, isLive);
            return true;
        }
        finally
        {
            _ring.Unpin(_id);
            Array.Clear(_entries, 0, count);
        }
    }

    private int MatchRingEvent(WatchIndex index, long revision, RingChunk chunk, in RingEvent e)
    {
        index.Match(chunk.Data.AsSpan(e.KeyAt, e.KeyLength), _matched);
        if (_matched.Count == 0)
        {
            return 0;
        }
        int at = -1;
        foreach (WatchGroup group in _matched)
        {
            if (Wants(group, e.IsDelete))
            {
                if (at < 0)
                {
                    at = _batch.Add(revision, chunk, e);
                }
                AddPending(group, at);
            }
        }
        _matched.Clear();
        return at < 0 ? 0 : e.Length;
    }

    /// <summary>False when what was read must not be used: compacted or replaced meanwhile. Try again.</summary>
    private bool TryHistoryStep(WatchIndex index, long from, long to, bool isLive, out long end)
    {
        long resets = _hub.Resets;
        _scanIndex = index;
        _scanRevision = from - 1;
        _scanBytes = 0;
        _scanStopped = false;
        bool scanned = _history.TryScan(from, to, this);
        _scanIndex = null;
        end = _scanStopped ? _scanRevision : to;
        if (!scanned || _hub.Compacted > from || _hub.Resets != resets)
        {
            Discard();
            return false;
        }
        Deliver(from, end, isLive);
        return true;
    }

    /// <inheritdoc/>
    bool IHistoryVisitor.Visit(long revision, bool isDelete, ReadOnlySpan<byte> keyValue)
    {
        if (revision != _scanRevision)
        {
            if (_scanBytes >= _hub.Options.TurnBytesMax)
            {
                _scanStopped = true;
                return false;
            }
            _scanRevision = revision;
        }
        if (!KeyValueView.TryParse(keyValue, out KeyValueView view))
        {
            throw new InvalidDataException($"revision {revision}: {keyValue.Length} bytes are not a KeyValue");
        }
        _scanIndex!.Match(view.Key, _matched);
        int at = -1;
        foreach (WatchGroup group in _matched)
        {
            if (Wants(group, isDelete))
            {
                if (at < 0)
                {
                    bool isCreate = !isDelete && view.CreateRevision == view.ModRevision;
                    at = _batch.Add(revision, isDelete, isCreate, view.Key.Length, keyValue);
                    _scanBytes += _batch[at].Length;
                }
                AddPending(group, at);
            }
        }
        _matched.Clear();
        return true;
    }

    private static bool Wants(WatchGroup group, bool isDelete) =>
        isDelete ? !group.Target.NoDelete : !group.Target.NoPut;

    private void AddPending(WatchGroup group, int at)
    {
        if (group.PendingCount == 0)
        {
            _touched.Add(group);
        }
        group.AddPending(at);
    }

    private void Deliver(long from, long end, bool isLive)
    {
        foreach (WatchGroup group in _touched)
        {
            DeliverTo(group, from, end, isLive);
            group.ClearPending();
        }
        _touched.Clear();
        _batch.Clear();
    }

    private void Discard()
    {
        foreach (WatchGroup group in _touched)
        {
            group.ClearPending();
        }
        _touched.Clear();
        _batch.Clear();
    }

    private void CancelCompactedLive(long from, long compacted)
    {
        foreach (WatchStream stream in _streams)
        {
            // A watch that has yet to begin loses nothing.
            foreach (Watcher watcher in stream.Watchers.Values.ToArray())
            {
                if (watcher.State == WatcherState.Synced && Math.Max(watcher.NextRevision, from) < compacted)
                {
                    watcher.NextRevision = Math.Max(watcher.NextRevision, from);
                    CancelCompacted(watcher);
                }
            }
        }
    }
}
