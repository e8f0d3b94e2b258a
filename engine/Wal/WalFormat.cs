using System.Buffers.Binary;
using System.Numerics;

namespace Perf.Engine.Wal;

/// <summary>What a record carries.</summary>
internal enum RecordKind
{
    /// <summary>Node and cluster id; the second record of every segment, everywhere the same.</summary>
    Metadata = 1,

    /// <summary>An encoded raftpb.Entry.</summary>
    Entry = 2,

    /// <summary>An encoded raftpb.HardState.</summary>
    State = 3,

    /// <summary>No data; restates the running checksum. First record of a segment, and our group mark.</summary>
    Crc = 4,

    /// <summary>An encoded walpb.Snapshot.</summary>
    Snapshot = 5,
}

/// <summary>A record's bytes taken apart; data is a view into the source.</summary>
internal readonly ref struct RecordView(RecordKind kind, uint crc, ReadOnlySpan<byte> data)
{
    public RecordKind Kind { get; } = kind;

    public uint Crc { get; } = crc;

    public ReadOnlySpan<byte> Data { get; } = data;
}

/// <summary>A frame's first eight bytes taken apart.</summary>
internal readonly record struct FrameHead(long RecordBytes, int PadBytes)
{
    public long FrameBytes => WalFormat.LengthBytes + RecordBytes + PadBytes;
}

/// <summary>
/// Frames and records as etcd writes them (FORMATS A.6), little-endian:
/// <code>
///   offset      bytes  field
///        0          8  length   low 56 bits: record bytes n; top byte: 0, or 0x80 | p when p > 0
///        8          n  record   protobuf: 08 kind, 10 crc, and but for kind 4: 1a length data
///      8+n          p  padding  zeros up to a multiple of 8
/// </code>
/// crc is the rolling CRC-32C over the data of all records so far, through all segments.
/// </summary>
internal static class WalFormat
{
    public const int LengthBytes = 8;
    public const int SectorBytes = 512;

    /// <summary>Kind (2), crc (1 + 5), data tag and length (1 + 5).</summary>
    public const int RecordHeadBytesMax = 14;

    /// <summary>What a frame adds to its data at most.</summary>
    public const int FrameOverheadMax = LengthBytes + RecordHeadBytesMax + 7;

    private const byte KindTag = 0x08;
    private const byte CrcTag = 0x10;
    private const byte DataTag = 0x1a;

    public static int PadBytes(long recordBytes)
    {
        return (int)((8 - (recordBytes & 7)) & 7);
    }

    /// <summary>Writes a whole frame; the target has at least data + <see cref="FrameOverheadMax"/> bytes.</summary>
    public static int WriteFrame(Span<byte> target, RecordKind kind, uint crc, ReadOnlySpan<byte> data)
    {
        int at = LengthBytes;
        target[at++] = KindTag;
        target[at++] = (byte)kind;
        target[at++] = CrcTag;
        at += WriteVarint(target[at..], crc);
        if (kind != RecordKind.Crc)
        {
            target[at++] = DataTag;
            at += WriteVarint(target[at..], (uint)data.Length);
            data.CopyTo(target[at..]);
            at += data.Length;
        }

        int recordBytes = at - LengthBytes;
        int padBytes = PadBytes(recordBytes);
        ulong length = (uint)recordBytes | (padBytes == 0 ? 0UL : (0x80UL | (uint)padBytes) << 56);
        BinaryPrimitives.WriteUInt64LittleEndian(target, length);
        target.Slice(at, padBytes).Clear();
        return at + padBytes;
    }

    /// <summary>False when no writer can have made this length field.</summary>
    public static bool TryReadLength(ReadOnlySpan<byte> source, out FrameHead head)
    {
        ulong length = BinaryPrimitives.ReadUInt64LittleEndian(source);
        long recordBytes = (long)(length & 0x00ff_ffff_ffff_ffff);
        int top = (int)(length >> 56);
        int padBytes = PadBytes(recordBytes);
        head = new FrameHead(recordBytes, padBytes);
        return recordBytes > 0 && top == (padBytes == 0 ? 0 : 0x80 | padBytes);
    }

    /// <summary>False when the bytes are not a record in the one form that writers use.</summary>
    public static bool TryReadRecord(ReadOnlySpan<byte> source, out RecordView record)
    {
        record = default;
        if (source.Length < 4 || source[0] != KindTag || source[1] is < 1 or > 5 || source[2] != CrcTag)
        {
            return false;
        }

        RecordKind kind = (RecordKind)source[1];
        int at = 3;
        if (!TryReadVarint(source, ref at, out ulong crc) || crc > uint.MaxValue)
        {
            return false;
        }

        if (kind == RecordKind.Crc)
        {
            record = new RecordView(kind, (uint)crc, default);
            return at == source.Length;
        }

        if (at >= source.Length || source[at++] != DataTag || !TryReadVarint(source, ref at, out ulong dataBytes)
            || dataBytes != (ulong)(source.Length - at))
        {
            return false;
        }

        record = new RecordView(kind, (uint)crc, source[at..]);
        return true;
    }

    public static int VarintBytes(ulong value)
    {
        return (70 - BitOperations.LeadingZeroCount(value | 1)) / 7;
    }

    public static int WriteVarint(Span<byte> target, ulong value)
    {
        int at = 0;
        while (value >= 0x80)
        {
            target[at++] = (byte)(value | 0x80);
            value >>= 7;
        }

        target[at++] = (byte)value;
        return at;
    }

    public static bool TryReadVarint(ReadOnlySpan<byte> source, ref int at, out ulong value)
    {
        value = 0;
        for (int shift = 0; shift < 70; shift += 7)
        {
            if (at >= source.Length)
            {
                return false;
            }

            byte part = source[at++];
            if (shift == 63 && part > 1)
            {
                return false;
            }

            value |= (ulong)(part & 0x7f) << shift;
            if (part < 0x80)
            {
                return true;
            }
        }

        return false;
    }
}
