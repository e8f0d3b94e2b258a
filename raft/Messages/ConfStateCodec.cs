using System.Buffers;

namespace Perf.Raft;

/// <summary>
/// raftpb.ConfState: <c>08 voter ...  10 learner ...  28 00</c>. Written unpacked and with auto_leave, as etcd does;
/// read packed or unpacked. Joint consensus (fields 3, 4, 5 in use) is refused: no etcd has ever left it behind.
/// </summary>
public static class ConfStateCodec
{
    // A configuration of more members than that is not one.
    private const int IdsMax = 4096;

    public static int Bytes(ConfState state)
    {
        int bytes = 2;
        foreach (ulong id in state.Voters)
        {
            bytes += 1 + ProtoWire.VarintBytes(id);
        }

        foreach (ulong id in state.Learners)
        {
            bytes += 1 + ProtoWire.VarintBytes(id);
        }

        return bytes;
    }

    /// <summary>Returns the bytes written.</summary>
    public static int Write(ConfState state, Span<byte> target)
    {
        int at = 0;
        foreach (ulong id in state.Voters)
        {
            at = ProtoWire.WriteField(target, at, 0x08, id);
        }

        foreach (ulong id in state.Learners)
        {
            at = ProtoWire.WriteField(target, at, 0x10, id);
        }

        return ProtoWire.WriteField(target, at, 0x28, 0);
    }

    public static OperationStatus TryRead(ReadOnlySpan<byte> source, out ConfState state)
    {
        state = ConfState.Empty;
        var voters = new List<ulong>();
        var learners = new List<ulong>();
        int at = 0;
        while (at < source.Length)
        {
            if (!ProtoWire.TryReadTag(source, ref at, out int field, out int wire))
            {
                return OperationStatus.InvalidData;
            }

            bool isRead;
            ulong joint = 0;
            switch (field)
            {
                case 1:
                    isRead = TryReadIds(source, ref at, wire, voters);
                    break;
                case 2:
                    isRead = TryReadIds(source, ref at, wire, learners);
                    break;
                case 3 or 4:
                    isRead = false;
                    break;
                case 5:
                    isRead = wire == ProtoWire.VarintWire
                        && ProtoWire.TryReadVarint(source, ref at, out joint) && joint == 0;
                    break;
                default:
                    isRead = ProtoWire.TrySkip(source, ref at, wire);
                    break;
            }

            if (!isRead)
            {
                return OperationStatus.InvalidData;
            }
        }

        state = new ConfState([.. voters], [.. learners]);
        return state.IsValid ? OperationStatus.Done : OperationStatus.InvalidData;
    }

    private static bool TryReadIds(ReadOnlySpan<byte> source, ref int at, int wire, List<ulong> ids)
    {
        if (wire == ProtoWire.VarintWire)
        {
            bool isRead = ProtoWire.TryReadVarint(source, ref at, out ulong id);
            ids.Add(id);
            return isRead && ids.Count <= IdsMax;
        }

        if (wire != ProtoWire.BytesWire || !ProtoWire.TryReadBytes(source, ref at, out int start, out int length))
        {
            return false;
        }

        ReadOnlySpan<byte> packed = source.Slice(start, length);
        int inner = 0;
        while (inner < packed.Length)
        {
            if (ids.Count >= IdsMax || !ProtoWire.TryReadVarint(packed, ref inner, out ulong id))
            {
                return false;
            }

            ids.Add(id);
        }

        return true;
    }
}
