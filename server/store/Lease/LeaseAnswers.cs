namespace Perf.Store.Lease;

/// <summary>How a renewal ended.</summary>
public enum RenewOutcome
{
    /// <summary>The lease runs for its full TTL again.</summary>
    Renewed,

    /// <summary>There is no such lease (any more).</summary>
    NotFound,

    /// <summary>This member does not count leases down: ask the leader.</summary>
    NotLeader,

    /// <summary>
    /// The lease is past its expiry and waits to be revoked. Wait until it is settled, then ask again: only then is
    /// the truth known.
    /// </summary>
    Expired,

    /// <summary>
    /// A checkpoint shortens the lease at the next leader: propose LeaseCheckpoint{id, 0}, wait until it is applied,
    /// then ask again.
    /// </summary>
    ClearCheckpointFirst,
}

/// <summary>The answer to a renewal.</summary>
/// <param name="Outcome">What happened.</param>
/// <param name="TtlSeconds">The TTL that runs now; 0 unless renewed.</param>
/// <param name="Settled">With <see cref="RenewOutcome.Expired"/>: done when it makes sense to ask again.</param>
public readonly record struct RenewResult(RenewOutcome Outcome, long TtlSeconds, Task? Settled);

/// <summary>One lease as TimeToLive tells it.</summary>
/// <param name="Id">The lease.</param>
/// <param name="TtlSeconds">Whole seconds left; below zero when its expiry has passed for a second and longer.</param>
/// <param name="GrantedTtlSeconds">The TTL that was granted.</param>
/// <param name="Keys">The attached keys in ascending order; empty when not asked for.</param>
public sealed record LeaseInfo(long Id, long TtlSeconds, long GrantedTtlSeconds, IReadOnlyList<byte[]> Keys);

/// <summary>A remaining TTL to be proposed.</summary>
public readonly record struct LeaseCheckpoint(long Id, long RemainingSeconds);

/// <summary>What the lessor has done since it was made, for the metrics.</summary>
public readonly record struct LessorCounters(long Leases, long Granted, long Revoked, long Renewed, long Expired);
