using System.Buffers;
using Perf.Raft;

namespace Perf.Node.Peers;

/// <summary>
/// A message that waits to be sent: its entries lie in an array of its own and each holds one reference on its lease.
/// Released once.
/// </summary>
internal struct OutgoingMessage
{
    private Entry[]? _entries;

    public Message Message;

    /// <summary>Keeps a message that is lent.</summary>
    public static OutgoingMessage Keep(in Message message)
    {
        var kept = new OutgoingMessage { Message = message };
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

    public void Release()
    {
        if (_entries is not null)
        {
            foreach (ref readonly Entry entry in Message.Entries.Span)
            {
                entry.Lease?.Release();
            }

            ArrayPool<Entry>.Shared.Return(_entries, clearArray: true);
        }

        this = default;
    }
}
