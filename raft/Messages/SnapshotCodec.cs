using System.Buffers;

namespace Perf.Raft;

/// <summary>
/// raftpb.Snapshot: <c>0a length data  12 length metadata</c> (no data: no field 1), with
/// metadata = <c>0a length conf_state  10 index  18 term</c>.
/// </summary>
public static class SnapshotCodec
{
    /// <summary>
    /// The snapshot that etcd up to 3.5 puts into every message that has none: empty metadata, spelled out.
    /// </summary>
    internal static ReadOnlySpan<byte> Absent => [0x12, 0x08, 0x0a, 0x02, 0x28, 0x00, 0x10, 0x00, 0x18, 0x00];

    public static int Bytes(Snapshot snapshot)
    {
        int metadata = MetadataBytes(snapshot.Metadata);
        int data = snapshot.Data.Length;
        return (data == 0 ? 0 : 1 + ProtoWire.VarintBytes((ulong)data) + data)
            + 1 + ProtoWire.VarintBytes((ulong)metadata) + metadata;
    }

    /// <summary>Returns the bytes written.</summary>
    public static int Write(Snapshot snapshot, Span<byte> target)
    {
        int at = 0;
        if (snapshot.Data.Length > 0)
        {
            at = ProtoWire.WriteField(target, at, 0x0a, (ulong)snapshot.Data.Length);
            snapshot.Data.Span.CopyTo(target[at..]);
            at += snapshot.Data.Length;
        }

        SnapshotMetadata metadata = snapshot.Metadata;
        at = ProtoWire.WriteField(target, at, 0x12, (ulong)MetadataBytes(metadata));
        at = ProtoWire.WriteField(target, at, 0x0a, (ulong)ConfStateCodec.Bytes(metadata.ConfState));
        at += ConfStateCodec.Write(metadata.ConfState, target[at..]);
        at = ProtoWire.WriteField(target, at, 0x10, metadata.Index);
        return ProtoWire.WriteField(target, at, 0x18, metadata.Term);
    }

    /// <summary>Reads in place: the data refers to <paramref name="source"/>.</summary>
    public static OperationStatus TryRead(ReadOnlyMemory<byte> source, out Snapshot? snapshot)
    {
        snapshot = null;
        ReadOnlySpan<byte> span = source.Span;
        int dataStart = 0;
        int dataLength = 0;
        SnapshotMetadata metadata = SnapshotMetadata.None;
        int at = 0;
        while (at < span.Length)
        {
            if (!ProtoWire.TryReadTag(span, ref at, out int field, out int wire))
            {
                return OperationStatus.InvalidData;
            }

            int start = 0;
            int length = 0;
            bool isRead = (field, wire) switch
            {
                (1, ProtoWire.BytesWire) => ProtoWire.TryReadBytes(span, ref at, out dataStart, out dataLength),
                (2, ProtoWire.BytesWire) => ProtoWire.TryReadBytes(span, ref at, out start, out length),
                ( >= 1 and <= 2, _) => false,
                _ => ProtoWire.TrySkip(span, ref at, wire),
            };
            if (!isRead)
            {
                return OperationStatus.InvalidData;
            }

            if (field == 2 && TryReadMetadata(span.Slice(start, length), out metadata) != OperationStatus.Done)
            {
                return OperationStatus.InvalidData;
            }
        }

        snapshot = new Snapshot(metadata, source.Slice(dataStart, dataLength));
        return OperationStatus.Done;
    }

    private static int MetadataBytes(SnapshotMetadata metadata)
    {
        int confState = ConfStateCodec.Bytes(metadata.ConfState);
        return 1 + ProtoWire.VarintBytes((ulong)confState) + confState
            + 1 + ProtoWire.VarintBytes(metadata.Index) + 1 + ProtoWire.VarintBytes(metadata.Term);
    }

    private static OperationStatus TryReadMetadata(ReadOnlySpan<byte> source, out SnapshotMetadata metadata)
    {
        metadata = SnapshotMetadata.None;
        ConfState confState = ConfState.Empty;
        ulong index = 0;
        ulong term = 0;
        int at = 0;
        while (at < source.Length)
        {
            if (!ProtoWire.TryReadTag(source, ref at, out int field, out int wire))
            {
                return OperationStatus.InvalidData;
            }

            int start = 0;
            int length = 0;
            bool isRead = (field, wire) switch
            {
                (1, ProtoWire.BytesWire) => ProtoWire.TryReadBytes(source, ref at, out start, out length),
                (2, ProtoWire.VarintWire) => ProtoWire.TryReadVarint(source, ref at, out index),
                (3, ProtoWire.VarintWire) => ProtoWire.TryReadVarint(source, ref at, out term),
                ( >= 1 and <= 3, _) => false,
                _ => ProtoWire.TrySkip(source, ref at, wire),
            };
            if (!isRead)
            {
                return OperationStatus.InvalidData;
            }

            if (field == 1
                && ConfStateCodec.TryRead(source.Slice(start, length), out confState) != OperationStatus.Done)
            {
                return OperationStatus.InvalidData;
            }
        }

        metadata = new SnapshotMetadata(index, term, confState);
        return OperationStatus.Done;
    }
}
