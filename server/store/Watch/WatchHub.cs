using Perf.Store.Mvcc;

namespace Perf.Store.Watch;

/// <summary>
/// Tells clients what happens to keys. The apply thread appends each transaction to a ring, its events encoded once;
/// pumps, driven from outside, hand published revisions to the watches. Every watch is sent every revision it asked
/// for once, in order, as whole transactions, or is told that it was compacted.
/// </summary>
public sealed class WatchHub : IRevisionSink
{
    private readonly IWatchHistory _history;
    private readonly RevisionRing _ring;
    private readonly WatchShard[] _shards;
    private long _compacted;
    private long _resets;
    private long _watchers;
    private ulong _raftTerm;
    private int _opened;

    /// <param name="history">The store, for what the ring does not hold.</param>
    /// <param name="options">Limits, and who answers.</param>
    /// <param name="wake">
    /// Called from any thread when a shard that had nothing to do has work: pump it. Must be short.
    /// </param>
    public WatchHub(IWatchHistory history, WatchOptions options, Action<int>? wake = null)
    {
        _history = history;
        Options = options;
        _ring = new RevisionRing(
            options.Shards, options.RingBytesMax, options.RingRevisionsMax, history.CurrentRevision + 1);
        _shards = new WatchShard[options.Shards];
        for (int i = 0; i < _shards.Length; i++)
        {
            _shards[i] = new WatchShard(this, i, history, _ring, wake);
        }
    }

    /// <summary>The term that headers carry.</summary>
    public ulong RaftTerm
    {
        get => Volatile.Read(ref _raftTerm);
        set => Volatile.Write(ref _raftTerm, value);
    }

    /// <summary>Figures for the metrics.</summary>
    public WatchCounters Counters
    {
        get
        {
            long streams = 0;
            long slow = 0;
            long pending = 0;
            long events = 0;
            foreach (WatchShard shard in _shards)
            {
                streams += shard.StreamCount;
                slow += shard.SlowWatchers;
                pending = Math.Max(pending, shard.PendingEvents);
                events += shard.EventsTotal;
            }
            return new WatchCounters(Volatile.Read(ref _watchers), streams, slow, pending, events);
        }
    }

    internal WatchOptions Options { get; }

    /// <summary>The newest revision that may be told.</summary>
    internal long Published => _history.CurrentRevision;

    /// <summary>Revisions below this one may be gone from the store: told by the apply thread, or seen there.</summary>
    internal long Compacted => Math.Max(Volatile.Read(ref _compacted), _history.CompactRevision);

    /// <summary>How often the store was replaced: what was read across a change is not to be trusted.</summary>
    internal long Resets => Volatile.Read(ref _resets);

    /// <summary>Opens a stream. Any thread.</summary>
    public WatchStream Open(IWatchOutput output, WatchPermission? permission = null)
    {
        uint turn = (uint)Interlocked.Increment(ref _opened);
        WatchShard shard = _shards[turn % (uint)_shards.Length];
        var stream = new WatchStream(shard, output, permission);
        shard.Enqueue(new WatchCommand { Kind = WatchCommandKind.Open, Stream = stream });
        return stream;
    }

    /// <summary>
    /// Does a bounded piece of a shard's work. True when work remains and the caller is to come again; otherwise wake
    /// is called when there is some. One thread per shard at a time.
    /// </summary>
    public bool Pump(int shard) => _shards[shard].Pump();

    /// <summary>Pumps every shard once.</summary>
    public bool Pump()
    {
        bool more = false;
        foreach (WatchShard shard in _shards)
        {
            more |= shard.Pump();
        }
        return more;
    }

    /// <inheritdoc/>
    public void OnTransaction(long revision, ReadOnlySpan<RevisionEvent> events)
    {
        if (Volatile.Read(ref _watchers) == 0)
        {
            // Who comes later reads it from the store.
            _ring.Skip(revision);
            return;
        }
        _ring.Append(revision, events);
    }

    /// <inheritdoc/>
    /// <remarks>The history shows the revision already.</remarks>
    public void OnPublished(long revision)
    {
        foreach (WatchShard shard in _shards)
        {
            shard.SignalIfWatching();
        }
    }

    /// <inheritdoc/>
    /// <remarks>Comes before anything below the revision is removed; scans under way rely on it.</remarks>
    public void OnCompacted(long revision) => Volatile.Write(ref _compacted, revision);

    /// <inheritdoc/>
    /// <remarks>
    /// Watches go on where they are: what they miss is read from the new store, or they learn that it was compacted.
    /// </remarks>
    public void OnReset(long revision)
    {
#if MUTANTS
        if (Mutant.Is("10-watch-after-snapshot"))
        {
            // What came with the snapshot is taken for told.
            foreach (WatchShard shard in _shards)
            {
                shard.ForgetCursor(revision);
            }
        }
#endif
        _ring.Clear(revision + 1);
        Interlocked.Increment(ref _resets);
        foreach (WatchShard shard in _shards)
        {
            shard.Signal();
        }
    }

    internal void CountWatchers(int change) => Interlocked.Add(ref _watchers, change);
}
