using System.Buffers;
using Perf.Node.Consensus;
using Perf.Raft;

namespace Perf.Node.Peers;

/// <summary>
/// A peer's message on its way to the core: entries in an array of its own, each with one reference. Counts against
/// the limit of the stream that it came by.
/// </summary>
internal sealed class PeerInbound : InboundMessage
{
    private readonly SemaphoreSlim? _places;
    private readonly TaskCompletionSource<StepOutcome>? _stepped;
    private Entry[]? _entries;

    private PeerInbound(SemaphoreSlim? places, TaskCompletionSource<StepOutcome>? stepped)
    {
        _places = places;
        _stepped = stepped;
    }

    /// <summary>Keeps a message that is lent; <paramref name="places"/> has been taken from and is given back to.</summary>
    public static PeerInbound Keep(
        in Message message, SemaphoreSlim? places, TaskCompletionSource<StepOutcome>? stepped = null)
    {
        var kept = new PeerInbound(places, stepped);
        kept.Message = message;
        ReadOnlySpan<Entry> lent = message.Entries.Span;
        if (!lent.IsEmpty)
        {
            kept._entries = ArrayPool<Entry>.Shared.Rent(lent.Length);
            lent.CopyTo(kept._entries);
            foreach (ref readonly Entry entry in lent)
            {
                entry.Lease?.Retain();
            }

            kept.Message.Entries = kept._entries.AsMemory(0, lent.Length);
        }

        return kept;
    }

    /// <inheritdoc/>
    public override void Release()
    {
        if (_entries is not null)
        {
            ArrayPool<Entry>.Shared.Return(_entries, clearArray: true);
            _entries = null;
        }

        Message = default;
        _places?.Release();
        _stepped?.TrySetResult(Outcome);
    }
}
