using System.Buffers;

namespace Perf.Raft;

/// <summary>
/// raftpb.Entry as etcd writes it: every scalar, also when 0; data when there is any notion of it.
/// <code>
///   08 type   10 term   18 index   22 length data
/// </code>
/// What precedes the data is written right-aligned into the room that the proposer left for it, so that the payload
/// is never moved.
/// </summary>
public static class EntryCodec
{
    /// <summary>Room that a proposal leaves before its payload; what precedes the data of an entry always fits.</summary>
    public const int HeadroomBytes = 40;

    private const byte TypeTag = 0x08;
    private const byte TermTag = 0x10;
    private const byte IndexTag = 0x18;
    private const byte DataTag = 0x22;

    /// <summary>Bytes of an entry. <paramref name="dataLength"/> -1: without data.</summary>
    public static int Bytes(ulong term, ulong index, int dataLength) =>
        PrefixBytes(term, index, dataLength) + Math.Max(0, dataLength);

    /// <summary>Bytes before the data. <paramref name="dataLength"/> -1: without data.</summary>
    public static int PrefixBytes(ulong term, ulong index, int dataLength) =>
        2 + 1 + ProtoWire.VarintBytes(term) + 1 + ProtoWire.VarintBytes(index)
        + (dataLength < 0 ? 0 : 1 + ProtoWire.VarintBytes((ulong)dataLength));

    /// <summary>Writes what precedes the data at the start of <paramref name="target"/>; returns its bytes.</summary>
    public static int WritePrefix(Span<byte> target, EntryType type, ulong term, ulong index, int dataLength)
    {
        int at = ProtoWire.WriteField(target, 0, TypeTag, (ulong)type);
        at = ProtoWire.WriteField(target, at, TermTag, term);
        at = ProtoWire.WriteField(target, at, IndexTag, index);
        return dataLength < 0 ? at : ProtoWire.WriteField(target, at, DataTag, (ulong)dataLength);
    }

    /// <summary>
    /// Completes a proposal: the payload lies at <paramref name="payloadOffset"/> of <paramref name="buffer"/> with
    /// <see cref="HeadroomBytes"/> before it.
    /// </summary>
    public static Entry Complete(
        Memory<byte> buffer, int payloadOffset, EntryType type, ulong term, ulong index, IEntryLease? lease)
    {
        int dataLength = buffer.Length - payloadOffset;
        int prefix = PrefixBytes(term, index, dataLength);
        int start = payloadOffset - prefix;
        WritePrefix(buffer.Span[start..], type, term, index, dataLength);
        return new Entry(term, index, type, buffer[start..], prefix, dataLength, lease);
    }

    /// <summary>Encodes an entry from its parts into <paramref name="target"/>; <paramref name="hasData"/> false: without field 4.</summary>
    public static Entry Write(
        Memory<byte> target, EntryType type, ulong term, ulong index, ReadOnlySpan<byte> data, bool hasData, IEntryLease? lease)
    {
        int dataLength = hasData ? data.Length : -1;
        int prefix = WritePrefix(target.Span, type, term, index, dataLength);
        data.CopyTo(target.Span[prefix..]);
        return new Entry(
            term, index, type, target[..(prefix + data.Length)], hasData ? prefix : -1, data.Length, lease);
    }

    /// <summary>
    /// Reads an entry in place: the result refers to <paramref name="source"/>, which <paramref name="lease"/> keeps.
    /// Unknown fields are passed over; whatever is cut off, too long or of the wrong kind is InvalidData.
    /// </summary>
    public static OperationStatus TryRead(ReadOnlyMemory<byte> source, IEntryLease? lease, out Entry entry)
    {
        entry = default;
        ReadOnlySpan<byte> span = source.Span;
        ulong type = 0;
        ulong term = 0;
        ulong index = 0;
        int dataStart = -1;
        int dataLength = 0;
        int at = 0;
        while (at < span.Length)
        {
            if (!ProtoWire.TryReadTag(span, ref at, out int field, out int wire))
            {
                return OperationStatus.InvalidData;
            }

            bool isRead = (field, wire) switch
            {
                (1, ProtoWire.VarintWire) => ProtoWire.TryReadVarint(span, ref at, out type),
                (2, ProtoWire.VarintWire) => ProtoWire.TryReadVarint(span, ref at, out term),
                (3, ProtoWire.VarintWire) => ProtoWire.TryReadVarint(span, ref at, out index),
                (4, ProtoWire.BytesWire) => ProtoWire.TryReadBytes(span, ref at, out dataStart, out dataLength),
                ( >= 1 and <= 4, _) => false,
                _ => ProtoWire.TrySkip(span, ref at, wire),
            };
            if (!isRead)
            {
                return OperationStatus.InvalidData;
            }
        }

        if (type > (ulong)EntryType.ConfChangeV2)
        {
            return OperationStatus.InvalidData;
        }

        entry = new Entry(term, index, (EntryType)type, source, dataStart, dataLength, lease);
        return OperationStatus.Done;
    }
}
