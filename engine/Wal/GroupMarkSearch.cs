using Perf.Engine.Memory;

namespace Perf.Engine.Wal;

/// <summary>
/// Looks behind damage for a group mark. A mark is written only after everything before it has been synced, so one
/// that can be believed proves that the damaged bytes had been durable: damage, not a torn tail.
/// <para>A mark is believed when its checksum is the one stored in the record before it, or when the record behind it
/// continues from it. Bytes inside a value may imitate that; they are looked at only where a length field is itself
/// destroyed, and the worst they do is to make a torn tail look like damage.</para>
/// </summary>
internal static class GroupMarkSearch
{
    private const int MarkRecordBytesMin = 4;
    private const int MarkRecordBytesMax = 8;
    private const int LookBackBytes = 2 << 20;

    /// <summary>Offset of the first believable mark in the bytes from the damage on, or -1.</summary>
    public static int Find(ReadOnlySpan<byte> rest)
    {
        int at = 0;
        uint? storedCrc = null;

        // A frame whose own length and whose data's length agree is gone over, whatever its checksum says.
        while (TryReadFrame(rest, at, out int frameBytes, out bool isRecord, out RecordView record) && isRecord)
        {
            if (record.Kind == RecordKind.Crc
                && (record.Crc == storedCrc || Continues(rest, at + frameBytes, record.Crc)))
            {
                return at;
            }

            storedCrc = record.Crc;
            at += frameBytes;
        }

        // The lengths lead no further: try every place where a frame can begin.
        for (at += 8; at <= rest.Length - WalFormat.LengthBytes - MarkRecordBytesMin; at += 8)
        {
            // Cheap first: the length of a mark, then the first bytes of its record.
            if (rest[at] is < MarkRecordBytesMin or > MarkRecordBytesMax || rest[at + 8] != 0x08 || rest[at + 9] != 4)
            {
                continue;
            }

            if (TryReadFrame(rest, at, out int frameBytes, out bool isRecord, out RecordView record) && isRecord
                && record.Kind == RecordKind.Crc
                && (Continues(rest, at + frameBytes, record.Crc) || IsContinuation(rest, at, record.Crc)))
            {
                return at;
            }
        }

        return -1;
    }

    /// <summary>The record at this place has the checksum that follows from the mark's.</summary>
    private static bool Continues(ReadOnlySpan<byte> rest, int at, uint crc)
    {
        return TryReadFrame(rest, at, out _, out bool isRecord, out RecordView record) && isRecord
            && record.Kind != RecordKind.Crc && Crc32C.Append(crc, record.Data) == record.Crc;
    }

    /// <summary>Some record ends exactly at this place and stores the same checksum.</summary>
    private static bool IsContinuation(ReadOnlySpan<byte> rest, int at, uint crc)
    {
        int lowest = Math.Max(0, at - LookBackBytes);
        for (int start = at - 16; start >= lowest; start -= 8)
        {
            if (TryReadFrame(rest, start, out int frameBytes, out bool isRecord, out RecordView record)
                && start + frameBytes == at && isRecord && record.Crc == crc)
            {
                return true;
            }
        }

        return false;
    }

    private static bool TryReadFrame(
        ReadOnlySpan<byte> rest, int at, out int frameBytes, out bool isRecord, out RecordView record)
    {
        frameBytes = 0;
        isRecord = false;
        record = default;
        if (at < 0 || rest.Length - at < WalFormat.LengthBytes
            || !WalFormat.TryReadLength(rest[at..], out FrameHead head) || head.FrameBytes > rest.Length - at)
        {
            return false;
        }

        frameBytes = (int)head.FrameBytes;
        isRecord = WalFormat.TryReadRecord(rest.Slice(at + WalFormat.LengthBytes, (int)head.RecordBytes), out record);
        return true;
    }
}
