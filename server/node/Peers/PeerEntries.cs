using Perf.Raft;

namespace Perf.Node.Peers;

/// <summary>Checks of entries that are about to enter our log with the bytes a peer gave them.</summary>
internal static class PeerEntries
{
    /// <summary>
    /// True when the entries follow the index one by one, none is of a later term than the message, and each is
    /// encoded in the one way that all members use: its bytes go into the WAL and on to other peers as they are.
    /// </summary>
    public static bool AreSound(ReadOnlySpan<Entry> entries, ulong index, ulong term)
    {
        Span<byte> prefix = stackalloc byte[EntryCodec.HeadroomBytes];
        foreach (ref readonly Entry entry in entries)
        {
            index++;
            if (entry.Index != index || entry.Term == 0 || entry.Term > term
                || entry.Type > EntryType.ConfChange || (entry.Type == EntryType.ConfChange && !entry.HasData))
            {
                return false;
            }

            int dataLength = entry.HasData ? entry.Data.Length : -1;
            int prefixBytes = EntryCodec.WritePrefix(prefix, entry.Type, entry.Term, entry.Index, dataLength);
            ReadOnlySpan<byte> encoded = entry.Encoded.Span;
            if (encoded.Length != prefixBytes + Math.Max(0, dataLength) || !encoded.StartsWith(prefix[..prefixBytes]))
            {
                return false;
            }
        }

        return true;
    }
}
