using System.Buffers;

namespace Perf.Raft;

/// <summary>raftpb.HardState: <c>08 term  10 vote  18 commit</c>.</summary>
public static class HardStateCodec
{
    /// <summary>No HardState is longer.</summary>
    public const int BytesMax = 33;

    public static int Bytes(in HardState state) =>
        3 + ProtoWire.VarintBytes(state.Term) + ProtoWire.VarintBytes(state.Vote) + ProtoWire.VarintBytes(state.Commit);

    /// <summary>Returns the bytes written.</summary>
    public static int Write(in HardState state, Span<byte> target)
    {
        int at = ProtoWire.WriteField(target, 0, 0x08, state.Term);
        at = ProtoWire.WriteField(target, at, 0x10, state.Vote);
        return ProtoWire.WriteField(target, at, 0x18, state.Commit);
    }

    public static OperationStatus TryRead(ReadOnlySpan<byte> source, out HardState state)
    {
        state = default;
        ulong term = 0;
        ulong vote = 0;
        ulong commit = 0;
        int at = 0;
        while (at < source.Length)
        {
            if (!ProtoWire.TryReadTag(source, ref at, out int field, out int wire))
            {
                return OperationStatus.InvalidData;
            }

            bool isRead = (field, wire) switch
            {
                (1, ProtoWire.VarintWire) => ProtoWire.TryReadVarint(source, ref at, out term),
                (2, ProtoWire.VarintWire) => ProtoWire.TryReadVarint(source, ref at, out vote),
                (3, ProtoWire.VarintWire) => ProtoWire.TryReadVarint(source, ref at, out commit),
                ( >= 1 and <= 3, _) => false,
                _ => ProtoWire.TrySkip(source, ref at, wire),
            };
            if (!isRead)
            {
                return OperationStatus.InvalidData;
            }
        }

        state = new HardState(term, vote, commit);
        return OperationStatus.Done;
    }
}
