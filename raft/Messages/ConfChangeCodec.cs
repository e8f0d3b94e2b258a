using System.Buffers;

namespace Perf.Raft;

/// <summary>raftpb.ConfChange: <c>08 id  10 type  18 node  22 length context</c> (no context: no field 4).</summary>
public static class ConfChangeCodec
{
    public static int Bytes(in ConfChange change)
    {
        int context = change.Context.Length;
        return 1 + ProtoWire.VarintBytes(change.Id) + 2 + 1 + ProtoWire.VarintBytes(change.NodeId)
            + (context == 0 ? 0 : 1 + ProtoWire.VarintBytes((ulong)context) + context);
    }

    /// <summary>Returns the bytes written.</summary>
    public static int Write(in ConfChange change, Span<byte> target)
    {
        int at = ProtoWire.WriteField(target, 0, 0x08, change.Id);
        at = ProtoWire.WriteField(target, at, 0x10, (ulong)change.Type);
        at = ProtoWire.WriteField(target, at, 0x18, change.NodeId);
        if (change.Context.Length > 0)
        {
            at = ProtoWire.WriteField(target, at, 0x22, (ulong)change.Context.Length);
            change.Context.Span.CopyTo(target[at..]);
            at += change.Context.Length;
        }

        return at;
    }

    /// <summary>Reads in place: the context refers to <paramref name="source"/>.</summary>
    public static OperationStatus TryRead(ReadOnlyMemory<byte> source, out ConfChange change)
    {
        change = default;
        ReadOnlySpan<byte> span = source.Span;
        ulong id = 0;
        ulong type = 0;
        ulong node = 0;
        int contextStart = 0;
        int contextLength = 0;
        int at = 0;
        while (at < span.Length)
        {
            if (!ProtoWire.TryReadTag(span, ref at, out int field, out int wire))
            {
                return OperationStatus.InvalidData;
            }

            bool isRead = (field, wire) switch
            {
                (1, ProtoWire.VarintWire) => ProtoWire.TryReadVarint(span, ref at, out id),
                (2, ProtoWire.VarintWire) => ProtoWire.TryReadVarint(span, ref at, out type),
                (3, ProtoWire.VarintWire) => ProtoWire.TryReadVarint(span, ref at, out node),
                (4, ProtoWire.BytesWire) => ProtoWire.TryReadBytes(span, ref at, out contextStart, out contextLength),
                ( >= 1 and <= 4, _) => false,
                _ => ProtoWire.TrySkip(span, ref at, wire),
            };
            if (!isRead)
            {
                return OperationStatus.InvalidData;
            }
        }

        if (type > (ulong)ConfChangeType.AddLearnerNode)
        {
            return OperationStatus.InvalidData;
        }

        change = new ConfChange(id, (ConfChangeType)type, node, source.Slice(contextStart, contextLength));
        return OperationStatus.Done;
    }
}
