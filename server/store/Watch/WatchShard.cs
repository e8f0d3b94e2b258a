using System.Collections.Concurrent;
using System.Text;

namespace Perf.Store.Watch;

/// <summary>
/// One pump and the streams it serves. Other threads only put commands in its queue; all else happens in
/// <see cref="Pump"/>, so that nothing here needs a lock and a turn sees one order of requests and revisions.
/// </summary>
/// <remarks>
/// Invariants between two turns: a synced watcher has been sent every matching revision up to the cursor; one behind
/// or paused every matching revision below its NextRevision, which is at most the cursor; the cursor is at most the
/// published revision.
/// </remarks>
internal sealed partial class WatchShard
{
    private const string DuplicateIdReason = "mvcc: duplicate watch ID provided on the WatchStream";
    private const string EmptyRangeReason = "mvcc: watcher range is empty";

    private readonly WatchHub _hub;
    private readonly int _id;
    private readonly IWatchHistory _history;
    private readonly RevisionRing _ring;
    private readonly Action<int>? _wake;
    private readonly ConcurrentQueue<WatchCommand> _commands = new();
    private readonly List<WatchStream> _streams = [];
    private readonly List<WatchStream> _dirtyStreams = [];
    private readonly List<WatchStream> _pausedStreams = [];
    private readonly List<WatchStream> _faultedStreams = [];
    private readonly List<PendingProgress> _progress = [];
    private readonly List<Watcher> _behind = [];
    private readonly WatchIndex _live = new();
    private readonly WatchIndex _catchUp = new();

    /// <summary>Everything up to here was handed to the watchers in the live index.</summary>
    private long _cursor;

    private int _signalled;
    private int _pumping;
    private long _watcherCount;
    private long _streamCount;
    private long _slowWatchers;
    private long _eventsDelivered;
    private long _ringEventsSeen;

    public WatchShard(WatchHub hub, int id, IWatchHistory history, RevisionRing ring, Action<int>? wake)
    {
        _hub = hub;
        _id = id;
        _history = history;
        _ring = ring;
        _wake = wake;
        _cursor = hub.Published;
        _entries = new RingEntry[Math.Max(hub.Options.LiveRevisionsMax, hub.Options.ScanRevisionsMax)];
    }

    public long StreamCount => Volatile.Read(ref _streamCount);

    public long SlowWatchers => Volatile.Read(ref _slowWatchers);

    public long EventsTotal => Volatile.Read(ref _eventsDelivered);

    public long PendingEvents =>
        Volatile.Read(ref _watcherCount) == 0 ? 0 : _ring.EventsTotal - Volatile.Read(ref _ringEventsSeen);

    /// <summary>Any thread.</summary>
    public void Enqueue(in WatchCommand command)
    {
        _commands.Enqueue(command);
        Signal();
    }

    /// <summary>There is work; wakes the pump unless it knows already. Any thread.</summary>
    public void Signal()
    {
        if (Interlocked.Exchange(ref _signalled, 1) == 0)
        {
            _wake?.Invoke(_id);
        }
    }

    /// <summary>As <see cref="Signal"/>, but a shard without watches has nothing to do with revisions.</summary>
    public void SignalIfWatching()
    {
        if (Volatile.Read(ref _watcherCount) > 0)
        {
            Signal();
        }
    }

    /// <summary>One turn: requests, then new revisions, then a piece of catching up.</summary>
    public bool Pump()
    {
        if (Interlocked.Exchange(ref _pumping, 1) != 0)
        {
            throw new InvalidOperationException($"watch shard {_id} is being pumped by another thread");
        }
        try
        {
            // Before the state is read: a signal that comes later is for the next turn.
            Interlocked.Exchange(ref _signalled, 0);
            RunCommands();
            Unpause();
            LiveStep();
            AnswerProgress();
            CatchUpStep();
            DropFaulted();
            Flush();
            if (_cursor == _hub.Published)
            {
                Volatile.Write(ref _ringEventsSeen, _ring.EventsTotal);
            }
            return _behind.Count > 0
                || (_watcherCount > 0 && _cursor < _hub.Published)
                || !_commands.IsEmpty;
        }
        finally
        {
            Volatile.Write(ref _pumping, 0);
        }
    }

#if MUTANTS
    public void ForgetCursor(long revision) => _cursor = Math.Max(_cursor, revision);
#endif

    private void RunCommands()
    {
        for (int i = 0; i < _hub.Options.CommandsPerTurn && _commands.TryDequeue(out WatchCommand command); i++)
        {
            WatchStream stream = command.Stream;
            if (stream.Completed.IsCompleted)
            {
                continue;
            }
            switch (command.Kind)
            {
                case WatchCommandKind.Open:
                    _streams.Add(stream);
                    Volatile.Write(ref _streamCount, _streams.Count);
                    break;
                case WatchCommandKind.Create:
                    Create(command);
                    break;
                case WatchCommandKind.Cancel:
                    Cancel(stream, command.WatchId);
                    break;
                case WatchCommandKind.Progress:
                    _progress.Add(new PendingProgress(stream, _hub.Published, ForAll: true));
                    break;
                case WatchCommandKind.ReportProgress:
                    _progress.Add(new PendingProgress(stream, _hub.Published, ForAll: false));
                    break;
                case WatchCommandKind.Close:
                    Close(stream);
                    break;
            }
        }
    }

    private void Create(in WatchCommand command)
    {
        WatchStream stream = command.Stream;
        WatchTarget target = command.Target;
        long published = _hub.Published;
        string? refusal = command.Refusal;
        if (refusal is null && target.End is not null && target.Key.AsSpan().SequenceCompareTo(target.End) >= 0)
        {
            refusal = EmptyRangeReason;
        }
        if (refusal is null && command.WatchId != 0 && stream.IsTaken(command.WatchId))
        {
            refusal = DuplicateIdReason;
        }
        if (refusal is not null)
        {
            SendControl(stream, new WatchMessage(Header(published), WatchMessage.NoWatch)
            {
                Created = true,
                Canceled = true,
                CancelReason = Encoding.UTF8.GetBytes(refusal),
            });
            return;
        }

        long id = command.WatchId;
        if (id == 0)
        {
            while (stream.IsTaken(stream.NextId))
            {
                stream.NextId++;
            }
            id = stream.NextId++;
        }
        SendControl(stream, new WatchMessage(Header(published), id) { Created = true });
        long start = command.StartRevision;
        if (start != 0 && start < _hub.Compacted)
        {
            stream.Overtaken.Add(id);
            SendControl(stream, new WatchMessage(Header(0), id)
            {
                Canceled = true,
                CompactRevision = _hub.Compacted,
            });
            return;
        }

        if (_watcherCount == 0)
        {
            // Nobody was told anything; there is nothing to catch up with for others.
            _cursor = published;
        }
        long next = start == 0 ? published + 1 : start;
#if MUTANTS
        if (Mutant.Is("13-future-watch-begins-now"))
        {
            next = Math.Min(next, published + 1);
        }
#endif
        var watcher = new Watcher(stream, id, target, next, progressFrom: start == 0 ? published : start)
        {
            ProgressNotify = command.ProgressNotify,
        };
        stream.Watchers.Add(id, watcher);
        Volatile.Write(ref _watcherCount, _watcherCount + 1);
        _hub.CountWatchers(1);
        if (next > _cursor)
        {
            EnterLive(watcher);
        }
        else
        {
            EnterBehind(watcher);
        }
    }

    private void Cancel(WatchStream stream, long id)
    {
        if (stream.Watchers.TryGetValue(id, out Watcher? watcher))
        {
            Remove(watcher);
        }
        else if (!stream.Overtaken.Remove(id))
        {
            return;
        }
        SendControl(stream, new WatchMessage(Header(_hub.Published), id) { Canceled = true });
    }

    /// <summary>The history that the watcher needs is gone. A full stream is told later.</summary>
    private void CancelCompacted(Watcher watcher)
    {
        WatchStream stream = watcher.Stream;
        if (IsFull(stream))
        {
            Pause(watcher);
            return;
        }
        Remove(watcher);
        stream.Overtaken.Add(watcher.Id);
        SendControl(stream, new WatchMessage(Header(0), watcher.Id)
        {
            Canceled = true,
            CompactRevision = _hub.Compacted,
        });
    }

    private void Close(WatchStream stream)
    {
        foreach (Watcher watcher in stream.Watchers.Values)
        {
            Leave(watcher);
        }
        int count = stream.Watchers.Count;
        stream.Watchers.Clear();
        Volatile.Write(ref _watcherCount, _watcherCount - count);
        _hub.CountWatchers(-count);
        _streams.Remove(stream);
        _dirtyStreams.Remove(stream);
        _pausedStreams.Remove(stream);
        _progress.RemoveAll(pending => ReferenceEquals(pending.Stream, stream));
        Volatile.Write(ref _streamCount, _streams.Count);
        stream.Complete();
    }

    private void Remove(Watcher watcher)
    {
        Leave(watcher);
        watcher.Stream.Watchers.Remove(watcher.Id);
        Volatile.Write(ref _watcherCount, _watcherCount - 1);
        _hub.CountWatchers(-1);
    }

    private void DropFaulted()
    {
        foreach (WatchStream stream in _faultedStreams)
        {
            Close(stream);
        }
        _faultedStreams.Clear();
    }

    // Between the states. Leave is the only way out of one.

    private void EnterLive(Watcher watcher)
    {
        watcher.State = WatcherState.Synced;
        _live.Add(watcher);
    }

    private void EnterBehind(Watcher watcher)
    {
        watcher.State = WatcherState.Behind;
        watcher.ListPosition = _behind.Count;
        _behind.Add(watcher);
        _catchUp.Add(watcher);
        CountLagging(watcher.Stream, 1);
    }

    private void Pause(Watcher watcher)
    {
        Leave(watcher);
        WatchStream stream = watcher.Stream;
        watcher.State = WatcherState.Paused;
        watcher.ListPosition = stream.Paused.Count;
        stream.Paused.Add(watcher);
        if (stream.Paused.Count == 1 && !_pausedStreams.Contains(stream))
        {
            _pausedStreams.Add(stream);
        }
        CountLagging(stream, 1);
    }

    private void Leave(Watcher watcher)
    {
        switch (watcher.State)
        {
            case WatcherState.Synced:
                _live.Remove(watcher);
                break;
            case WatcherState.Behind:
                _catchUp.Remove(watcher);
                RemoveFrom(_behind, watcher);
                CountLagging(watcher.Stream, -1);
                break;
            case WatcherState.Paused:
                RemoveFrom(watcher.Stream.Paused, watcher);
                CountLagging(watcher.Stream, -1);
                break;
        }
        watcher.State = WatcherState.None;
    }

    /// <summary>The last one takes the place of the one that leaves.</summary>
    private static void RemoveFrom(List<Watcher> list, Watcher watcher)
    {
        Watcher last = list[^1];
        list[watcher.ListPosition] = last;
        last.ListPosition = watcher.ListPosition;
        list.RemoveAt(list.Count - 1);
    }

    private void CountLagging(WatchStream stream, int change)
    {
        stream.Lagging += change;
        Volatile.Write(ref _slowWatchers, _slowWatchers + change);
    }

    /// <summary>Streams that have room again: their paused watchers catch up from where they stopped.</summary>
    private void Unpause()
    {
        for (int i = _pausedStreams.Count - 1; i >= 0; i--)
        {
            WatchStream stream = _pausedStreams[i];
            if (stream.Paused.Count > 0 && IsFull(stream))
            {
                continue;
            }
            while (stream.Paused.Count > 0)
            {
                Watcher watcher = stream.Paused[^1];
                Leave(watcher);
#if MUTANTS
                if (Mutant.Is("11-slow-watcher-skips"))
                {
                    watcher.NextRevision = Math.Max(watcher.NextRevision, _cursor);
                }
#endif
                EnterBehind(watcher);
            }
            _pausedStreams.RemoveAt(i);
        }
    }

    /// <summary>
    /// Progress is told only for what was sent: the requests wait until the cursor has reached what was published
    /// when they came, and the message goes out behind the events.
    /// </summary>
    private void AnswerProgress()
    {
        int kept = 0;
        for (int i = 0; i < _progress.Count; i++)
        {
            PendingProgress pending = _progress[i];
#if MUTANTS
            if (Mutant.Is("14-progress-overtakes") && pending.ForAll && pending.Stream.Watchers.Count > 0)
            {
                SendControl(pending.Stream, new WatchMessage(Header(_hub.Published), WatchMessage.NoWatch));
            }
            else
#endif
            if (_watcherCount > 0 && _cursor < pending.Revision)
            {
                _progress[kept++] = pending;
            }
            else if (pending.ForAll)
            {
                TellProgressOfAll(pending.Stream);
            }
            else
            {
                TellProgressOfEach(pending.Stream);
            }
        }
        _progress.RemoveRange(kept, _progress.Count - kept);
    }

    private void TellProgressOfAll(WatchStream stream)
    {
        if (stream.Watchers.Count == 0 || stream.Lagging > 0 || IsFull(stream))
        {
            return;
        }
        foreach (Watcher watcher in stream.Watchers.Values)
        {
            if (_cursor < watcher.ProgressFrom)
            {
                return;
            }
        }
        SendControl(stream, new WatchMessage(Header(_cursor), WatchMessage.NoWatch));
    }

    private void TellProgressOfEach(WatchStream stream)
    {
        foreach (Watcher watcher in stream.Watchers.Values)
        {
            if (!watcher.ProgressNotify)
            {
                continue;
            }
            bool isDue = !watcher.SentSinceTick
                && watcher.State == WatcherState.Synced
                && _cursor >= watcher.ProgressFrom
                && !IsFull(stream);
            watcher.SentSinceTick = false;
            if (isDue)
            {
                SendControl(stream, new WatchMessage(Header(_cursor), watcher.Id));
            }
        }
    }

    private readonly record struct PendingProgress(WatchStream Stream, long Revision, bool ForAll);
}
