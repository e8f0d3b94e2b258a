using System.Buffers;
using Perf.Node.Peers;
using Perf.Raft;
using Xunit;

namespace Perf.Node.Tests.Peers;

/// <summary>Messages for the tests, and reading streams of them from any cut of their bytes.</summary>
internal static class PeerSamples
{
    public static Entry Entry(ulong term, ulong index, int dataBytes)
    {
        byte[] data = new byte[dataBytes];
        data.AsSpan().Fill((byte)index);
        byte[] target = new byte[EntryCodec.Bytes(term, index, dataBytes)];
        return EntryCodec.Write(target, EntryType.Normal, term, index, data, true, null);
    }

    public static Message App(ulong term, ulong logTerm, ulong index, ulong commit, params Entry[] entries)
    {
        return new Message
        {
            Type = MessageType.App,
            To = 2,
            From = 1,
            Term = term,
            LogTerm = logTerm,
            Index = index,
            Commit = commit,
            Entries = entries,
        };
    }

    public static string Describe(in Message m)
    {
        string entries = "";
        foreach (ref readonly Entry entry in m.Entries.Span)
        {
            entries += $" {entry.Type}:{Convert.ToHexString(entry.Encoded.Span)}";
        }

        return $"{m.Type} {m.From}->{m.To} {m.Term} {m.LogTerm}/{m.Index} {m.Commit} {m.Reject} {m.RejectHint}"
            + $" [{Convert.ToHexString(m.Context.AsSpan())}]{entries} {m.Snapshot?.Metadata.Index}";
    }

    /// <summary>Feeds the bytes in pieces of a size; returns descriptions, "beat" for a sign of life.</summary>
    public static List<string> Decode(IPeerDecoder decoder, byte[] bytes, int pieceBytes)
    {
        var read = new List<string>();
        var entries = new EntryBuffer();
        int start = 0;
        int end = Math.Min(pieceBytes, bytes.Length);
        int needed = 0;
        while (start < bytes.Length)
        {
            entries.Clear();
            OperationStatus status = decoder.Read(
                bytes.AsMemory(start, end - start), null, entries, out PeerFrame frame, out Message message, out int used);
            if (status == OperationStatus.NeedMoreData)
            {
                Assert.True(used > end - start);
                Assert.True(used >= needed, "what is needed shrank");
                needed = used;
                Assert.True(end < bytes.Length, "more is wanted than was written");
                end = Math.Min(bytes.Length, end + pieceBytes);
                continue;
            }

            Assert.Equal(OperationStatus.Done, status);
            Assert.True(used >= needed);
            needed = 0;
            read.Add(frame == PeerFrame.LinkHeartbeat ? "beat" : Describe(message));
            start += used;
            end = Math.Max(end, start);
        }

        return read;
    }
}
