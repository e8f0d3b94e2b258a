using Perf.Store.Commands;

namespace Perf.Store.Watch;

/// <summary>
/// WatchResponse without its events: 1 header, 2 watch_id, 3 created, 4 canceled, 5 compact_revision,
/// 6 cancel_reason, 7 fragment; the events (11) follow.
/// </summary>
internal readonly ref struct WatchMessage
{
    /// <summary>The id of messages that speak for no single watch.</summary>
    public const long NoWatch = -1;

    private readonly ReadOnlySpan<byte> _header;

    /// <param name="header">The header, encoded as field 1.</param>
    /// <param name="watchId">The watch that the message is for.</param>
    public WatchMessage(ReadOnlySpan<byte> header, long watchId)
    {
        _header = header;
        WatchId = watchId;
    }

    public long WatchId { get; }

    public bool Created { get; init; }

    public bool Canceled { get; init; }

    public long CompactRevision { get; init; }

    public ReadOnlySpan<byte> CancelReason { get; init; }

    public bool Fragment { get; init; }

    public int Bytes =>
        _header.Length
        + ProtoSize.Int64(2, WatchId)
        + ProtoSize.Bool(3, Created)
        + ProtoSize.Bool(4, Canceled)
        + ProtoSize.Int64(5, CompactRevision)
        + ProtoSize.Bytes(6, CancelReason.Length)
        + ProtoSize.Bool(7, Fragment);

    public int Write(Span<byte> target)
    {
        var writer = new ProtoWriter(target);
        writer.Raw(_header);
        writer.Int64(2, WatchId);
        writer.Bool(3, Created);
        writer.Bool(4, Canceled);
        writer.Int64(5, CompactRevision);
        writer.Bytes(6, CancelReason);
        writer.Bool(7, Fragment);
        return writer.Position;
    }
}
