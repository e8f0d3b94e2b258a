using System.Buffers;

namespace Perf.Raft;

/// <summary>
/// raftpb.Message as etcd writes it: every scalar in the order of its number, also when 0.
/// <code>
///   08 type  10 to  18 from  20 term  28 logTerm  30 index  3a entry ...  40 commit  4a snapshot
///   50 reject  58 rejectHint  62 context
/// </code>
/// The snapshot is there in every message up to 3.5, in 3.6 only in MsgSnap; we read both. The context of ReadIndex and
/// ReadIndexResp lies in entries[0].data on the wire and in <see cref="Message.Context"/> here.
/// </summary>
public static class MessageCodec
{
    private const byte EntriesTag = 0x3a;
    private const byte SnapshotTag = 0x4a;
    private const byte ContextTag = 0x62;

    /// <summary>Bytes of the message in the dialect of 3.5 (<paramref name="alwaysSnapshot"/>) or of 3.6.</summary>
    public static int Bytes(in Message message, bool alwaysSnapshot = true)
    {
        int bytes = 2 + 1 + ProtoWire.VarintBytes(message.To) + 1 + ProtoWire.VarintBytes(message.From)
            + 1 + ProtoWire.VarintBytes(message.Term) + 1 + ProtoWire.VarintBytes(message.LogTerm)
            + 1 + ProtoWire.VarintBytes(message.Index) + 1 + ProtoWire.VarintBytes(message.Commit)
            + 2 + 1 + ProtoWire.VarintBytes(message.RejectHint);
        foreach (ref readonly Entry entry in message.Entries.Span)
        {
            bytes += 1 + ProtoWire.VarintBytes((ulong)entry.Encoded.Length) + entry.Encoded.Length;
        }

        if (HasContextEntry(message))
        {
            int entry = EntryCodec.Bytes(0, 0, message.Context.Length);
            bytes += 1 + ProtoWire.VarintBytes((ulong)entry) + entry;
        }
        else if (message.Context.Length > 0)
        {
            bytes += 1 + ProtoWire.VarintBytes((ulong)message.Context.Length) + message.Context.Length;
        }

        if (message.Snapshot is not null)
        {
            int snapshot = SnapshotCodec.Bytes(message.Snapshot);
            bytes += 1 + ProtoWire.VarintBytes((ulong)snapshot) + snapshot;
        }
        else if (alwaysSnapshot)
        {
            bytes += 2 + SnapshotCodec.Absent.Length;
        }

        return bytes;
    }

    /// <summary>Writes the message; <paramref name="target"/> has at least <see cref="Bytes"/>. Returns what was written.</summary>
    public static int Write(in Message message, Span<byte> target, bool alwaysSnapshot = true)
    {
        int at = ProtoWire.WriteField(target, 0, 0x08, (ulong)message.Type);
        at = ProtoWire.WriteField(target, at, 0x10, message.To);
        at = ProtoWire.WriteField(target, at, 0x18, message.From);
        at = ProtoWire.WriteField(target, at, 0x20, message.Term);
        at = ProtoWire.WriteField(target, at, 0x28, message.LogTerm);
        at = ProtoWire.WriteField(target, at, 0x30, message.Index);
        foreach (ref readonly Entry entry in message.Entries.Span)
        {
            at = ProtoWire.WriteField(target, at, EntriesTag, (ulong)entry.Encoded.Length);
            entry.Encoded.Span.CopyTo(target[at..]);
            at += entry.Encoded.Length;
        }

        bool hasContextEntry = HasContextEntry(message);
        if (hasContextEntry)
        {
            int context = message.Context.Length;
            at = ProtoWire.WriteField(target, at, EntriesTag, (ulong)EntryCodec.Bytes(0, 0, context));
            at += EntryCodec.WritePrefix(target[at..], EntryType.Normal, 0, 0, context);
            message.Context.AsSpan().CopyTo(target[at..]);
            at += context;
        }

        at = ProtoWire.WriteField(target, at, 0x40, message.Commit);
        if (message.Snapshot is not null)
        {
            at = ProtoWire.WriteField(target, at, SnapshotTag, (ulong)SnapshotCodec.Bytes(message.Snapshot));
            at += SnapshotCodec.Write(message.Snapshot, target[at..]);
        }
        else if (alwaysSnapshot)
        {
            at = ProtoWire.WriteField(target, at, SnapshotTag, (ulong)SnapshotCodec.Absent.Length);
            SnapshotCodec.Absent.CopyTo(target[at..]);
            at += SnapshotCodec.Absent.Length;
        }

        at = ProtoWire.WriteField(target, at, 0x50, message.Reject ? 1UL : 0);
        at = ProtoWire.WriteField(target, at, 0x58, message.RejectHint);
        if (!hasContextEntry && message.Context.Length > 0)
        {
            at = ProtoWire.WriteField(target, at, ContextTag, (ulong)message.Context.Length);
            message.Context.AsSpan().CopyTo(target[at..]);
            at += message.Context.Length;
        }

        return at;
    }

    /// <summary>Writes the message to <paramref name="target"/>.</summary>
    public static void Write(in Message message, IBufferWriter<byte> target, bool alwaysSnapshot = true)
    {
        int bytes = Bytes(message, alwaysSnapshot);
        target.Advance(Write(message, target.GetSpan(bytes), alwaysSnapshot));
    }

    /// <summary>
    /// Reads a message in place: its entries are added to <paramref name="entries"/> and refer to
    /// <paramref name="source"/>, which <paramref name="lease"/> keeps (no reference is added here). An unknown type
    /// is read and left to <see cref="RaftCore.Step"/> to refuse. Never throws: malformed input is InvalidData.
    /// </summary>
    public static OperationStatus TryRead(
        ReadOnlyMemory<byte> source, IEntryLease? lease, EntryBuffer entries, out Message message)
    {
        message = default;
        ReadOnlySpan<byte> span = source.Span;
        int firstEntry = entries.Count;
        int snapshotStart = 0;
        int snapshotLength = 0;
        int at = 0;
        while (at < span.Length)
        {
            if (!ProtoWire.TryReadTag(span, ref at, out int field, out int wire))
            {
                return OperationStatus.InvalidData;
            }

            ulong value = 0;
            int start = 0;
            int length = 0;
            bool isRead = (field, wire) switch
            {
                (7 or 9 or 12, ProtoWire.BytesWire) => ProtoWire.TryReadBytes(span, ref at, out start, out length),
                ( >= 1 and <= 11 and not (7 or 9), ProtoWire.VarintWire) =>
                    ProtoWire.TryReadVarint(span, ref at, out value),
                ( >= 1 and <= 12, _) => false,
                _ => ProtoWire.TrySkip(span, ref at, wire),
            };
            if (!isRead)
            {
                return OperationStatus.InvalidData;
            }

            switch (field)
            {
                case 1:
                    message.Type = (MessageType)Math.Min(value, byte.MaxValue);
                    break;
                case 2:
                    message.To = value;
                    break;
                case 3:
                    message.From = value;
                    break;
                case 4:
                    message.Term = value;
                    break;
                case 5:
                    message.LogTerm = value;
                    break;
                case 6:
                    message.Index = value;
                    break;
                case 7:
                    if (EntryCodec.TryRead(source.Slice(start, length), lease, out Entry entry) != OperationStatus.Done)
                    {
                        return OperationStatus.InvalidData;
                    }

                    entries.Add(entry);
                    break;
                case 8:
                    message.Commit = value;
                    break;
                case 9:
                    snapshotStart = start;
                    snapshotLength = length;
                    break;
                case 10:
                    message.Reject = value != 0;
                    break;
                case 11:
                    message.RejectHint = value;
                    break;
                case 12:
                    if (length > MessageContext.BytesMax)
                    {
                        return OperationStatus.InvalidData;
                    }

                    message.Context = MessageContext.From(span.Slice(start, length));
                    break;
                default:
                    break;
            }
        }

        if (message.Type == MessageType.Snap
            && SnapshotCodec.TryRead(source.Slice(snapshotStart, snapshotLength), out message.Snapshot)
                != OperationStatus.Done)
        {
            return OperationStatus.InvalidData;
        }

        if (message.Type is MessageType.ReadIndex or MessageType.ReadIndexResp)
        {
            // Exactly one entry, whose data is the context.
            if (entries.Count != firstEntry + 1 || entries[firstEntry].Data.Length > MessageContext.BytesMax)
            {
                return OperationStatus.InvalidData;
            }

            message.Context = MessageContext.From(entries[firstEntry].Data.Span);
            return OperationStatus.Done;
        }

        message.Entries = entries.Memory[firstEntry..];
        return OperationStatus.Done;
    }

    private static bool HasContextEntry(in Message message) =>
        message.Type is MessageType.ReadIndex or MessageType.ReadIndexResp;
}
