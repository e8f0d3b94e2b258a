using System.Buffers.Binary;
using Perf.Engine.IO;
using Perf.Engine.Memory;

namespace Perf.Engine.Wal;

/// <summary>How far a log is known to be durable.</summary>
internal readonly record struct WalMarkValue(ulong NodeId, ulong ClusterId, ulong Sequence, long Offset, uint Crc);

/// <summary>
/// The sidecar "walmark". Two slots of one sector each, written in turn and never synced: a slot reaches the disk some
/// time after the sync it speaks of, so the mark is only ever behind. Little-endian:
/// <code>
///   offset  bytes  field
///        0      8  magic       "perfwalm"
///        8      8  generation  the valid slot with the higher one counts
///       16      8  nodeId
///       24      8  clusterId
///       32      8  sequence    segment
///       40      8  offset      all records of the segment before it are durable
///       48      4  crc         running checksum at that offset
///       52      4  checksum    CRC-32C of bytes [0, 52)
/// </code>
/// </summary>
internal sealed class WalMark : IDisposable
{
    private const int SlotBytes = 512;
    private const int UsedBytes = 56;
    private const int ChecksumAt = 52;

    private readonly IDiskFile _file;
    private ulong _generation;
    private bool _hasFailed;

    private WalMark(IDiskFile file)
    {
        _file = file;
    }

    /// <summary>The mark as the last owner left it; null when there is none that can be read.</summary>
    public WalMarkValue? Found { get; private set; }

    public static WalMark Open(IDisk disk, string path)
    {
        var mark = new WalMark(disk.Open(path, DiskOpen.OpenOrCreate));
        Span<byte> slot = stackalloc byte[UsedBytes];
        for (int i = 0; i < 2; i++)
        {
            slot.Clear();
            mark._file.Read(slot, i * SlotBytes);
            if (slot[..8].SequenceEqual("perfwalm"u8)
                && Crc32C.Append(0, slot[..ChecksumAt]) == BinaryPrimitives.ReadUInt32LittleEndian(slot[ChecksumAt..])
                && BinaryPrimitives.ReadUInt64LittleEndian(slot[8..]) is var generation && generation > mark._generation)
            {
                mark._generation = generation;
                mark.Found = new WalMarkValue(
                    BinaryPrimitives.ReadUInt64LittleEndian(slot[16..]),
                    BinaryPrimitives.ReadUInt64LittleEndian(slot[24..]),
                    BinaryPrimitives.ReadUInt64LittleEndian(slot[32..]),
                    BinaryPrimitives.ReadInt64LittleEndian(slot[40..]),
                    BinaryPrimitives.ReadUInt32LittleEndian(slot[48..]));
            }
        }

        return mark;
    }

    /// <summary>
    /// Remembers what has just become durable. A failure ends the marking and nothing else: the mark stays behind,
    /// as it may.
    /// </summary>
    public void Write(in WalMarkValue value)
    {
        if (_hasFailed)
        {
            return;
        }

        _generation++;
        Span<byte> slot = stackalloc byte[UsedBytes];
        "perfwalm"u8.CopyTo(slot);
        BinaryPrimitives.WriteUInt64LittleEndian(slot[8..], _generation);
        BinaryPrimitives.WriteUInt64LittleEndian(slot[16..], value.NodeId);
        BinaryPrimitives.WriteUInt64LittleEndian(slot[24..], value.ClusterId);
        BinaryPrimitives.WriteUInt64LittleEndian(slot[32..], value.Sequence);
        BinaryPrimitives.WriteInt64LittleEndian(slot[40..], value.Offset);
        BinaryPrimitives.WriteUInt32LittleEndian(slot[48..], value.Crc);
        BinaryPrimitives.WriteUInt32LittleEndian(slot[ChecksumAt..], Crc32C.Append(0, slot[..ChecksumAt]));
        try
        {
            _file.Write(slot, (long)(_generation & 1) * SlotBytes);
        }
        catch (IOException)
        {
            _hasFailed = true;
        }
    }

    public void Dispose()
    {
        _file.Dispose();
    }
}
