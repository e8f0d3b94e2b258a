using System.Diagnostics.CodeAnalysis;

namespace Perf.Store.Lease;

/// <summary>One lease. Everything in it is guarded by the lessor's lock.</summary>
internal sealed class LeaseEntry
{
    /// <summary>The expiry of a lease nobody counts down: always, except at the leader.</summary>
    public const long Forever = long.MaxValue;

    /// <summary>Made at the first attachment; most leases carry one key or none.</summary>
    private HashSet<byte[]>? _keys;

    public LeaseEntry(long id, long ttlSeconds, long remainingSeconds)
    {
        Id = id;
        TtlSeconds = ttlSeconds;
        RemainingSeconds = remainingSeconds;
        IsRemainingStored = remainingSeconds != 0;
    }

    public long Id { get; }

    /// <summary>Granted TTL, floor applied.</summary>
    public long TtlSeconds { get; }

    /// <summary>Remaining TTL of the last checkpoint; 0: none, the full TTL counts.</summary>
    public long RemainingSeconds { get; set; }

    /// <summary>The record on disk holds a remaining TTL.</summary>
    public bool IsRemainingStored { get; set; }

    /// <summary>When the lease expires, in ticks of the lessor's clock.</summary>
    public long ExpiryTicks { get; set; } = Forever;

    /// <summary>When the lease is to be looked at: its expiry, or the retry after it was handed out.</summary>
    public long ExpiryDueTicks { get; set; }

    /// <summary>When the next checkpoint is due.</summary>
    public long CheckpointDueTicks { get; set; }

    /// <summary>Place in the expiry heap; -1: not in it.</summary>
    public int ExpiryPosition { get; set; } = -1;

    /// <summary>Place in the checkpoint heap; -1: not in it.</summary>
    public int CheckpointPosition { get; set; } = -1;

    /// <summary>Completed when the lease is revoked or nobody counts it down any more. Made for the first waiter.</summary>
    public TaskCompletionSource? Settled { get; set; }

    public int KeyCount => _keys?.Count ?? 0;

    [SuppressMessage("Performance", "CA1868", Justification = "One lookup: Add by span copies only what is new.")]
    public void Attach(ReadOnlySpan<byte> key)
    {
        _keys ??= new HashSet<byte[]>(BytesComparer.Instance);
        _keys.GetAlternateLookup<ReadOnlySpan<byte>>().Add(key);
    }

    public void Detach(ReadOnlySpan<byte> key) => _keys?.GetAlternateLookup<ReadOnlySpan<byte>>().Remove(key);

    /// <summary>The attached keys in ascending order: the order in which every member deletes them.</summary>
    public byte[][] SortedKeys()
    {
        if (_keys is null || _keys.Count == 0)
        {
            return [];
        }
        byte[][] keys = [.. _keys];
        Array.Sort(keys, static (x, y) => x.AsSpan().SequenceCompareTo(y));
        return keys;
    }
}
