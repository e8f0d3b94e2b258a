using Perf.Engine.IO;
using Perf.Engine.Memory;

namespace Perf.Engine.Wal;

/// <summary>What damage may come from.</summary>
internal enum DamageKind
{
    /// <summary>etcd's own rule calls it a torn write (FORMATS A.6).</summary>
    Torn,

    /// <summary>A torn write or a fault of the medium: what stands behind it decides.</summary>
    Unclear,

    /// <summary>No torn write leaves this: the checksum is good, the content is not.</summary>
    Certain,
}

/// <summary>Where and how a segment stops making sense.</summary>
/// <param name="Offset">Start of the first frame that is not good.</param>
/// <param name="Reason">What was found.</param>
/// <param name="Kind">What it may come from.</param>
internal sealed record Damage(long Offset, string Reason, DamageKind Kind);

/// <summary>
/// Reads one segment's records and checks all that can be checked: frames, record form, the rolling checksum, the
/// segment's head. Ends with <see cref="Damage"/> null at a clean end of data.
/// </summary>
internal sealed class SegmentReader : IDisposable
{
    private readonly FrameReader _frames;
    private readonly IDiskFile _file;
    private readonly long _limit;
    private bool _isSeeded;
    private int _recordNumber;

    /// <summary>Reads from the segment's start.</summary>
    /// <param name="file">The segment.</param>
    /// <param name="limit">Length of the readable part.</param>
    /// <param name="previousCrc">Running checksum of the segment before; null when this is the first one read.</param>
    public SegmentReader(IDiskFile file, long limit, uint? previousCrc)
    {
        _frames = new FrameReader(file, 0, limit);
        _file = file;
        _limit = limit;
        _isSeeded = previousCrc.HasValue;
        Crc = previousCrc ?? 0;
    }

    /// <summary>Reads from the middle, at a frame whose predecessors' running checksum is known.</summary>
    public SegmentReader(IDiskFile file, long limit, long offset, uint crcBefore)
    {
        _frames = new FrameReader(file, offset, limit);
        _file = file;
        _limit = limit;
        _isSeeded = true;
        _recordNumber = offset == 0 ? 0 : 2;
        Crc = crcBefore;
    }

    /// <summary>Running checksum behind the last good record.</summary>
    public uint Crc { get; private set; }

    /// <summary>Running checksum before the last good record.</summary>
    public uint CrcBefore { get; private set; }

    /// <summary>Where the last good record's frame begins.</summary>
    public long RecordOffset { get; private set; }

    /// <summary>Where the last good record's frame ends.</summary>
    public long EndOffset { get; private set; }

    /// <summary>A crc record was met behind the segment's head: we wrote here, and each sync group has a mark.</summary>
    public bool HasGroupMarks { get; private set; }

    /// <summary>Why reading ended; null for a clean end.</summary>
    public Damage? Damage { get; private set; }

    /// <summary>Goes to the next record; its data is good until the next call. False at the end or at damage.</summary>
    public bool Read(out RecordView record)
    {
        record = default;
        long offset = _frames.Offset;
        FrameOutcome outcome = _frames.Read(out ReadOnlySpan<byte> bytes);
        if (outcome is not FrameOutcome.Frame)
        {
            EndOffset = offset;
            Damage = outcome switch
            {
                FrameOutcome.End => null,
                FrameOutcome.Zero => HoleOrEnd(offset),
                FrameOutcome.Short => new Damage(offset, "a record reaches beyond the end of the file", DamageKind.Torn),
                _ => new Damage(offset, "impossible length field", KindOfBadLength(offset)),
            };
            if (Damage is null && _recordNumber < 2)
            {
                Damage = new Damage(offset, "the segment's first records are missing", DamageKind.Unclear);
            }

            return false;
        }

        if (!WalFormat.TryReadRecord(bytes, out record))
        {
            return Fail(offset, "not a record");
        }

        // The first two records of a segment are crc and metadata; metadata is nowhere else.
        bool isHead = _recordNumber < 2;
        if (_recordNumber == 0 ? record.Kind != RecordKind.Crc : (_recordNumber == 1) != (record.Kind == RecordKind.Metadata))
        {
            return Fail(offset, $"a {record.Kind} record is out of place");
        }

        uint crc = Crc32C.Append(Crc, record.Data);
        if (record.Kind == RecordKind.Crc && !_isSeeded)
        {
            crc = record.Crc;
        }

        if (crc != record.Crc)
        {
            return Fail(offset, $"checksum {crc:x8}, the record says {record.Crc:x8}");
        }

        HasGroupMarks |= record.Kind == RecordKind.Crc && !isHead;
        _isSeeded = true;
        _recordNumber++;
        CrcBefore = Crc;
        Crc = crc;
        RecordOffset = offset;
        EndOffset = _frames.Offset;
        return true;
    }

    /// <summary>For the caller who finds the data of a good record impossible.</summary>
    public void RejectRecord(string reason)
    {
        EndOffset = RecordOffset;
        Crc = CrcBefore;
        Damage = new Damage(RecordOffset, reason, DamageKind.Certain);
    }

    public void Dispose()
    {
        _frames.Dispose();
    }

    private bool Fail(long offset, string reason)
    {
        EndOffset = offset;
        bool isTorn = HasZeroSector(offset + WalFormat.LengthBytes, _frames.Offset);
        Damage = new Damage(offset, reason, isTorn ? DamageKind.Torn : DamageKind.Unclear);
        return false;
    }

    /// <summary>Behind the data everything must be zero; otherwise something stood here and is lost.</summary>
    private Damage? HoleOrEnd(long offset)
    {
        long nonZero = FileBytes.FirstNonZero(_file, offset, _limit);
        return nonZero < 0 ? null : new Damage(offset, $"zeros with more data behind them at {nonZero}", DamageKind.Torn);
    }

    private DamageKind KindOfBadLength(long offset)
    {
        // etcd takes an absurd length as a frame that does not fit into the file, and that as torn.
        Span<byte> lengthField = stackalloc byte[WalFormat.LengthBytes];
        _file.Read(lengthField, offset);
        WalFormat.TryReadLength(lengthField, out FrameHead head);
        bool isTorn = head.RecordBytes > _limit - offset
            || HasZeroSector(offset + WalFormat.LengthBytes, offset + head.FrameBytes);
        return isTorn ? DamageKind.Torn : DamageKind.Unclear;
    }

    /// <summary>True when one sector's share of the range is all zero.</summary>
    private bool HasZeroSector(long start, long end)
    {
        Span<byte> sector = stackalloc byte[WalFormat.SectorBytes];
        while (start < end)
        {
            int count = (int)Math.Min(WalFormat.SectorBytes - start % WalFormat.SectorBytes, end - start);
            int read = _file.Read(sector[..count], start);
            if (sector[..read].IndexOfAnyExcept((byte)0) < 0)
            {
                return true;
            }

            start += count;
        }

        return false;
    }
}
