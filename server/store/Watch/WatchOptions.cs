namespace Perf.Store.Watch;

/// <summary>Decides whether somebody may watch a range; null, or the cancel reason the client is told.</summary>
public delegate string? WatchPermission(ReadOnlySpan<byte> key, ReadOnlySpan<byte> rangeEnd);

/// <summary>Limits of the watch hub, and who answers.</summary>
public sealed record WatchOptions
{
    public ulong ClusterId { get; init; }

    public ulong MemberId { get; init; }

    /// <summary>Pumps. Each stream belongs to one of them.</summary>
    public int Shards { get; init; } = 1;

    /// <summary>
    /// Encoded events kept for pumps that lag and streams that catch up; more is read from the store. A transaction
    /// that alone is larger is kept until the next one.
    /// </summary>
    public int RingBytesMax { get; init; } = 16 << 20;

    /// <summary>Revisions kept in the ring.</summary>
    public int RingRevisionsMax { get; init; } = 64 * 1024;

    /// <summary>
    /// Whole revisions are gathered into one message up to about this size. One revision is never split by it.
    /// </summary>
    public int MessageBytesMax { get; init; } = 256 << 10;

    /// <summary>With the fragment option: a message of this size is split (max-request-bytes + 512 KiB).</summary>
    public int FragmentBytesMax { get; init; } = 1572864 + (512 << 10);

    /// <summary>Revisions handed to the watchers that are up to date in one turn.</summary>
    public int LiveRevisionsMax { get; init; } = 512;

    /// <summary>
    /// Revisions a shared catch-up scan covers in one turn. More than <see cref="LiveRevisionsMax"/>, or who is behind
    /// would stay behind under load.
    /// </summary>
    public int ScanRevisionsMax { get; init; } = 1024;

    /// <summary>Bytes of matched events after which a turn ends at the next whole revision.</summary>
    public int TurnBytesMax { get; init; } = 1 << 20;

    /// <summary>Requests a pump handles before it looks at events again.</summary>
    public int CommandsPerTurn { get; init; } = 1024;
}

/// <summary>Figures for the metrics.</summary>
/// <param name="Watchers">Watches that exist.</param>
/// <param name="Streams">Streams that are open.</param>
/// <param name="SlowWatchers">Watches that are behind: catching up, or their stream is full.</param>
/// <param name="PendingEvents">Events in the ring that the slowest pump has not seen.</param>
/// <param name="EventsTotal">Events delivered, once per watch.</param>
public readonly record struct WatchCounters(
    long Watchers, long Streams, long SlowWatchers, long PendingEvents, long EventsTotal);
