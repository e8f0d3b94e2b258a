namespace Perf.Simulation;

/// <summary>
/// When a lease may end. Never before its TTL has passed since the beginning of the last request that was answered
/// with "renewed" (clocks may run fast by <paramref name="skewPercent"/>), unless somebody asked for its end. Nobody
/// is told "renewed" of a lease that had ended when he asked.
/// </summary>
internal sealed class LeaseLaw(VirtualTime time, int skewPercent)
{
    private readonly Dictionary<long, Lease> _leases = [];

    /// <summary>Leases that ended because their time was over.</summary>
    public long Expired { get; private set; }

    /// <summary>Renewals that were checked.</summary>
    public long Renewals { get; private set; }

    /// <summary>A client is about to ask for a lease with an id nobody had.</summary>
    public void Asked(long id, long ttlSeconds) => _leases.Add(id, new Lease { Ttl = ttlSeconds, From = time.Now });

    /// <summary>A client is about to ask for its end: from now on it may end at any time.</summary>
    public void AskedEnd(long id) => _leases[id].IsEndAsked = true;

    /// <summary>The entry that made it is committed.</summary>
    public void Granted(long id, long ttlSeconds) => _leases[id].Ttl = ttlSeconds;

    /// <summary>The entry that ends it is committed.</summary>
    public void Ended(long id)
    {
        Lease lease = _leases[id];
        lease.EndedAt = time.Now;
        if (!lease.IsEndAsked)
        {
            Expired++;
            Check(id, lease);
        }
    }

    /// <summary>A renewal that began at a time was answered with a TTL.</summary>
    public void Renewed(long id, long began, long ttlSeconds)
    {
        Lease lease = _leases[id];
        Renewals++;
        Judge.Require(ttlSeconds == lease.Ttl, $"lease {id} renewed for {ttlSeconds} s, its TTL is {lease.Ttl}");
        Judge.Require(
            lease.IsEndAsked
                ? lease.EndAcknowledgedAt == 0 || began < lease.EndAcknowledgedAt
                : lease.EndedAt == 0 || began < lease.EndedAt,
            $"lease {id} ended at {lease.EndedAt / 1e6}, and a renewal asked for at {began / 1e6} was granted");
        lease.From = Math.Max(lease.From, began);
        if (lease.EndedAt != 0 && !lease.IsEndAsked)
        {
            Check(id, lease);
        }
    }

    /// <summary>The client that asked for it was told that it has it.</summary>
    public void Acknowledged(long id) => _leases[id].AcknowledgedAt = time.Now;

    /// <summary>Who asked for its end was told that it has ended.</summary>
    public void EndAcknowledged(long id) => _leases[id].EndAcknowledgedAt = time.Now;

    /// <summary>A renewal that began at a time was told that there is no such lease.</summary>
    public void NotFound(long id, long began)
    {
        Lease lease = _leases[id];
        Judge.Require(
            lease.EndedAt != 0 || lease.AcknowledgedAt == 0 || lease.AcknowledgedAt >= began,
            $"lease {id} is there, a renewal was told it is not");
    }

    private void Check(long id, Lease lease)
    {
        long earliest = lease.From + (lease.Ttl * VirtualTime.Second * 100 / (100 + skewPercent));
        Judge.Require(
            lease.EndedAt >= earliest,
            $"lease {id} of {lease.Ttl} s expired at {lease.EndedAt / 1e6}, renewed at {lease.From / 1e6}");
    }

    private sealed class Lease
    {
        public long Ttl { get; set; }

        public long From { get; set; }

        public long AcknowledgedAt { get; set; }

        public long EndedAt { get; set; }

        public long EndAcknowledgedAt { get; set; }

        public bool IsEndAsked { get; set; }
    }
}
