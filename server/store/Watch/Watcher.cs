namespace Perf.Store.Watch;

/// <summary>Where a watcher stands.</summary>
internal enum WatcherState
{
    /// <summary>Not registered (any more).</summary>
    None,

    /// <summary>Has been sent everything up to the shard's cursor; found by the live index.</summary>
    Synced,

    /// <summary>Catches up from its next revision; found by the catch-up index.</summary>
    Behind,

    /// <summary>Waits, at its next revision, until its stream is no longer full; found by no index.</summary>
    Paused,
}

/// <summary>One watch. Belongs to the pump of its stream's shard.</summary>
internal sealed class Watcher
{
    public Watcher(WatchStream stream, long id, in WatchTarget target, long nextRevision, long progressFrom)
    {
        Stream = stream;
        Id = id;
        Target = target;
        NextRevision = nextRevision;
        ProgressFrom = progressFrom;
    }

    public WatchStream Stream { get; }

    public long Id { get; }

    public WatchTarget Target { get; }

    public bool ProgressNotify { get; init; }

    /// <summary>Progress may be reported from this revision on; below it the watch has not begun.</summary>
    public long ProgressFrom { get; }

    /// <summary>
    /// The first revision it may still need. While synced the shard's cursor counts too: everything up to it was sent.
    /// </summary>
    public long NextRevision { get; set; }

    public WatcherState State { get; set; }

    /// <summary>Its group in the index that holds it, and its place there.</summary>
    public WatchGroup? Group { get; set; }

    public int GroupPosition { get; set; }

    /// <summary>Place in the shard's list of those behind, or in its stream's list of the paused.</summary>
    public int ListPosition { get; set; }

    /// <summary>Events were sent since the last progress interval began.</summary>
    public bool SentSinceTick { get; set; }
}

/// <summary>What is watched, and in which form events are wanted. Equal targets share their messages' bytes.</summary>
/// <param name="Key">The key, or the start of the range.</param>
/// <param name="End">End of the range, exclusive; null without an end. Means nothing for a single key.</param>
/// <param name="IsRange">A range and not one key.</param>
internal readonly record struct WatchTarget(byte[] Key, byte[]? End, bool IsRange)
{
    public bool NoPut { get; init; }

    public bool NoDelete { get; init; }

    public bool PreviousKv { get; init; }

    public bool Fragment { get; init; }

    /// <summary>The same range is known; this compares the rest.</summary>
    public bool SameForm(in WatchTarget other) =>
        NoPut == other.NoPut
        && NoDelete == other.NoDelete
        && PreviousKv == other.PreviousKv
        && Fragment == other.Fragment;
}

/// <summary>The watchers of one target, and what the present batch holds for them.</summary>
internal sealed class WatchGroup
{
    private readonly List<Watcher> _watchers = [];
    private int[] _pending = new int[4];

    public WatchGroup(in WatchTarget target)
    {
        Target = target;
    }

    public WatchTarget Target { get; }

    /// <summary>The next group on the same range with another form.</summary>
    public WatchGroup? NextForm { get; set; }

    public int Count => _watchers.Count;

    /// <summary>Events of the batch for this group, as indices into it.</summary>
    public ReadOnlySpan<int> Pending => _pending.AsSpan(0, PendingCount);

    public int PendingCount { get; private set; }

    public Watcher this[int position] => _watchers[position];

    public void Add(Watcher watcher)
    {
        watcher.Group = this;
        watcher.GroupPosition = _watchers.Count;
        _watchers.Add(watcher);
    }

    /// <summary>The last watcher takes the place of the one that leaves.</summary>
    public void Remove(Watcher watcher)
    {
        int at = watcher.GroupPosition;
        Watcher last = _watchers[^1];
        _watchers[at] = last;
        last.GroupPosition = at;
        _watchers.RemoveAt(_watchers.Count - 1);
        watcher.Group = null;
    }

    public void AddPending(int batchEvent)
    {
        if (PendingCount == _pending.Length)
        {
            Array.Resize(ref _pending, PendingCount * 2);
        }
        _pending[PendingCount++] = batchEvent;
    }

    public void ClearPending() => PendingCount = 0;
}
