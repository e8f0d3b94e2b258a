using System.Buffers;
using System.Buffers.Binary;
using Perf.Raft;

namespace Perf.Node.Peers;

/// <summary>
/// The "message" stream (FORMATS A.13): an 8-byte big-endian length and a raftpb.Message, again and again. The link
/// heartbeat is a message of type 8 from 0 to 0.
/// </summary>
public sealed class MessageStreamDecoder(int frameBytesMax = PeerLimits.FrameBytesMax) : IPeerDecoder
{
    internal const int LengthBytes = sizeof(ulong);

    /// <inheritdoc/>
    public OperationStatus Read(
        ReadOnlyMemory<byte> source,
        IEntryLease? lease,
        EntryBuffer entries,
        out PeerFrame frame,
        out Message message,
        out int bytes)
    {
        frame = PeerFrame.Message;
        message = default;
        bytes = LengthBytes;
        if (source.Length < LengthBytes)
        {
            return OperationStatus.NeedMoreData;
        }

        ulong length = BinaryPrimitives.ReadUInt64BigEndian(source.Span);
        if (length > (ulong)(frameBytesMax - LengthBytes))
        {
            return OperationStatus.InvalidData;
        }

        bytes = LengthBytes + (int)length;
        if (source.Length < bytes)
        {
            return OperationStatus.NeedMoreData;
        }

        int firstEntry = entries.Count;
        OperationStatus status = MessageCodec.TryRead(source[LengthBytes..bytes], lease, entries, out message);
        if (status != OperationStatus.Done)
        {
            return OperationStatus.InvalidData;
        }

        if (message.Type == MessageType.Heartbeat && message.From == 0 && message.To == 0)
        {
            frame = PeerFrame.LinkHeartbeat;
        }
        else if (message.Type == MessageType.App
            && !PeerEntries.AreSound(entries.Span[firstEntry..], message.Index, message.Term))
        {
            return OperationStatus.InvalidData;
        }

        return OperationStatus.Done;
    }
}

/// <summary>The writing side of the "message" stream.</summary>
/// <param name="alwaysSnapshot">
/// Spell out an empty snapshot in every message, as etcd up to 3.5 does; false for 3.6's dialect.
/// </param>
public sealed class MessageStreamEncoder(bool alwaysSnapshot = true) : IPeerEncoder
{
    /// <inheritdoc/>
    public void WriteLinkHeartbeat(IBufferWriter<byte> target)
    {
        Write(new Message { Type = MessageType.Heartbeat }, target);
    }

    /// <inheritdoc/>
    public void Write(in Message message, IBufferWriter<byte> target)
    {
        int bytes = MessageCodec.Bytes(message, alwaysSnapshot);
        Span<byte> span = target.GetSpan(MessageStreamDecoder.LengthBytes + bytes);
        BinaryPrimitives.WriteUInt64BigEndian(span, (ulong)bytes);
        MessageCodec.Write(message, span[MessageStreamDecoder.LengthBytes..], alwaysSnapshot);
        target.Advance(MessageStreamDecoder.LengthBytes + bytes);
    }
}
