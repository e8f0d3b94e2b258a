namespace Perf.Store.Lease;

/// <summary>What the configuration says about leases; the defaults are etcd's.</summary>
public sealed record LessorOptions
{
    /// <summary>
    /// A shorter TTL is raised to this. It is part of what a grant stores, so every member must be configured alike.
    /// </summary>
    public long TtlSecondsMin { get; init; } = 2;

    /// <summary>Most leases that may be handed out for revocation in a second.</summary>
    public int RevokesPerSecond { get; init; } = 1000;

    /// <summary>A lease handed out for revocation and still there after this long is handed out again.</summary>
    public TimeSpan RevokeRetryInterval { get; init; } = TimeSpan.FromSeconds(3);

    /// <summary>The leader proposes remaining TTLs (--experimental-enable-lease-checkpoint).</summary>
    public bool Checkpoints { get; init; }

    /// <summary>How long a lease runs between two checkpoints.</summary>
    public TimeSpan CheckpointInterval { get; init; } = TimeSpan.FromMinutes(5);

    /// <summary>The floor of a TTL: one and a half election timeouts in whole seconds, rounded up.</summary>
    public static long TtlSecondsMinFor(TimeSpan electionTimeout) =>
        (electionTimeout.Ticks * 3 / 2 + TimeSpan.TicksPerSecond - 1) / TimeSpan.TicksPerSecond;
}
