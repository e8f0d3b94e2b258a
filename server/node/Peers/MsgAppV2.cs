using System.Buffers;
using System.Buffers.Binary;
using Perf.Raft;

namespace Perf.Node.Peers;

/// <summary>
/// The msgappv2 stream (FORMATS A.13), big-endian:
/// <code>
///   00                                              link heartbeat
///   01  u64 n  n * (u64 length, Entry)  u64 commit  App that follows directly on the one before
///   02  u64 length  Message                         any App; both sides then remember term and last index
/// </code>
/// </summary>
internal static class MsgAppV2
{
    public const byte LinkHeartbeat = 0;
    public const byte AppEntries = 1;
    public const byte App = 2;
}

/// <summary>The writing side of a msgappv2 stream; remembers term and index for one connection.</summary>
/// <param name="alwaysSnapshot">
/// Spell out an empty snapshot in every message, as etcd up to 3.5 does; false for 3.6's dialect.
/// </param>
public sealed class MsgAppV2Encoder(bool alwaysSnapshot = true) : IPeerEncoder
{
    private ulong _term;
    private ulong _index;

    /// <inheritdoc/>
    public void WriteLinkHeartbeat(IBufferWriter<byte> target)
    {
        target.GetSpan(1)[0] = MsgAppV2.LinkHeartbeat;
        target.Advance(1);
    }

    /// <inheritdoc/>
    public void Write(in Message message, IBufferWriter<byte> target)
    {
        ReadOnlySpan<Entry> entries = message.Entries.Span;
        if (message.Index == _index && message.LogTerm == _term && message.Term == message.LogTerm)
        {
            WriteHead(target, MsgAppV2.AppEntries, (ulong)entries.Length);
            foreach (ref readonly Entry entry in entries)
            {
                ReadOnlySpan<byte> encoded = entry.Encoded.Span;
                Span<byte> span = target.GetSpan(sizeof(ulong) + encoded.Length);
                BinaryPrimitives.WriteUInt64BigEndian(span, (ulong)encoded.Length);
                encoded.CopyTo(span[sizeof(ulong)..]);
                target.Advance(sizeof(ulong) + encoded.Length);
            }

            BinaryPrimitives.WriteUInt64BigEndian(target.GetSpan(sizeof(ulong)), message.Commit);
            target.Advance(sizeof(ulong));
            _index += (ulong)entries.Length;
            return;
        }

        WriteHead(target, MsgAppV2.App, (ulong)MessageCodec.Bytes(message, alwaysSnapshot));
        MessageCodec.Write(message, target, alwaysSnapshot);
        _term = message.Term;
        _index = entries.Length == 0 ? message.Index : entries[^1].Index;
    }

    private static void WriteHead(IBufferWriter<byte> target, byte type, ulong number)
    {
        Span<byte> span = target.GetSpan(1 + sizeof(ulong));
        span[0] = type;
        BinaryPrimitives.WriteUInt64BigEndian(span[1..], number);
        target.Advance(1 + sizeof(ulong));
    }
}

/// <summary>The reading side of a msgappv2 stream; remembers term and index for one connection.</summary>
/// <param name="local">Our id: whom a rebuilt message is for.</param>
/// <param name="remote">The sender's id: whom it is from.</param>
/// <param name="frameBytesMax">Longest frame taken.</param>
public sealed class MsgAppV2Decoder(ulong local, ulong remote, int frameBytesMax = PeerLimits.FrameBytesMax)
    : IPeerDecoder
{
    private ulong _term;
    private ulong _index;

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
        bytes = 1;
        if (source.IsEmpty)
        {
            return OperationStatus.NeedMoreData;
        }

        switch (source.Span[0])
        {
            case MsgAppV2.LinkHeartbeat:
                frame = PeerFrame.LinkHeartbeat;
                return OperationStatus.Done;
            case MsgAppV2.AppEntries:
                return ReadEntries(source, lease, entries, out message, out bytes);
            case MsgAppV2.App:
                return ReadApp(source, lease, entries, out message, out bytes);
            default:
                return OperationStatus.InvalidData;
        }
    }

    private OperationStatus ReadEntries(
        ReadOnlyMemory<byte> source, IEntryLease? lease, EntryBuffer entries, out Message message, out int bytes)
    {
        message = default;
        OperationStatus status = Measure(source.Span, out ulong count, out bytes);
        if (status != OperationStatus.Done)
        {
            return status;
        }

        int firstEntry = entries.Count;
        int at = 1 + sizeof(ulong);
        for (ulong i = 0; i < count; i++)
        {
            int length = (int)BinaryPrimitives.ReadUInt64BigEndian(source.Span[at..]);
            at += sizeof(ulong);
            if (EntryCodec.TryRead(source.Slice(at, length), lease, out Entry entry) != OperationStatus.Done)
            {
                return OperationStatus.InvalidData;
            }

            entries.Add(entry);
            at += length;
        }

        if (!PeerEntries.AreSound(entries.Span[firstEntry..], _index, _term))
        {
            return OperationStatus.InvalidData;
        }

        message = new Message
        {
            Type = MessageType.App,
            To = local,
            From = remote,
            Term = _term,
            LogTerm = _term,
            Index = _index,
            Entries = entries.Memory[firstEntry..],
            Commit = BinaryPrimitives.ReadUInt64BigEndian(source.Span[at..]),
        };
        _index += count;
        return OperationStatus.Done;
    }

    /// <summary>Finds the end of a frame of entries, believing no number further than the limit.</summary>
    private OperationStatus Measure(ReadOnlySpan<byte> source, out ulong count, out int bytes)
    {
        count = 0;
        bytes = 1 + sizeof(ulong);
        if (source.Length < bytes)
        {
            return OperationStatus.NeedMoreData;
        }

        count = BinaryPrimitives.ReadUInt64BigEndian(source[1..]);
        if (count > (ulong)(frameBytesMax - bytes) / sizeof(ulong))
        {
            return OperationStatus.InvalidData;
        }

        for (ulong i = 0; i < count; i++)
        {
            int at = bytes;
            bytes += sizeof(ulong);
            if (source.Length < bytes)
            {
                return OperationStatus.NeedMoreData;
            }

            ulong length = BinaryPrimitives.ReadUInt64BigEndian(source[at..]);
            if (length > (ulong)(frameBytesMax - bytes - sizeof(ulong)))
            {
                return OperationStatus.InvalidData;
            }

            bytes += (int)length;
            if (frameBytesMax - bytes < sizeof(ulong) * 2)
            {
                return OperationStatus.InvalidData;
            }
        }

        bytes += sizeof(ulong);
        return source.Length < bytes ? OperationStatus.NeedMoreData : OperationStatus.Done;
    }

    private OperationStatus ReadApp(
        ReadOnlyMemory<byte> source, IEntryLease? lease, EntryBuffer entries, out Message message, out int bytes)
    {
        message = default;
        bytes = 1 + sizeof(ulong);
        if (source.Length < bytes)
        {
            return OperationStatus.NeedMoreData;
        }

        ulong length = BinaryPrimitives.ReadUInt64BigEndian(source.Span[1..]);
        if (length > (ulong)(frameBytesMax - bytes))
        {
            return OperationStatus.InvalidData;
        }

        bytes += (int)length;
        if (source.Length < bytes)
        {
            return OperationStatus.NeedMoreData;
        }

        int firstEntry = entries.Count;
        OperationStatus status = MessageCodec.TryRead(
            source[(1 + sizeof(ulong))..bytes], lease, entries, out message);
        if (status != OperationStatus.Done || message.Type != MessageType.App
            || !PeerEntries.AreSound(entries.Span[firstEntry..], message.Index, message.Term))
        {
            return OperationStatus.InvalidData;
        }

        _term = message.Term;
        _index = message.Index + (ulong)message.Entries.Length;
        return OperationStatus.Done;
    }
}
