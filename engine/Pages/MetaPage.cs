using System.Buffers.Binary;
using System.Numerics;
using Perf.Engine.Memory;

namespace Perf.Engine.Pages;

/// <summary>
/// A meta page's contents. Drawing of the page: header, bbolt's 64-byte body, then our slack block, all in the first
/// 512-byte sector, so that a torn write leaves either meta whole or not.
/// </summary>
//   offset  bytes  field
//       16      4  magic            80      8  slack magic
//       20      4  version 2        88      4  slack layout version
//       24      4  page bytes       92      4  flags: 1 = every reachable extent has a trailer
//       28      4  flags            96      8  txid: the block is void unless it equals the meta's
//       32      8  root page       104      4  checksum in the root page's trailer
//       40      8  root sequence   108     16  reserved, zero
//       48      8  freelist page   124      4  CRC-32C of [80, 124)
//       56      8  high-water
//       64      8  txid
//       72      8  FNV-1a-64 of [16, 72)
internal readonly record struct MetaPage
{
    public const ulong NoFreelist = ulong.MaxValue;

    /// <summary>What must be read to know a meta: header, body and slack block.</summary>
    public const int Bytes = 128;

    private const uint Magic = 0xED0CDAED;
    private const uint Version = 2;
    private const ulong SlackMagic = 0x314B_4341_4C53_5250; // "PRSLACK1"
    private const int SlackAt = 80;
    private const int SlackChecksumAt = 124;

    public int PageBytes { get; init; }

    public long Root { get; init; }

    public ulong RootSequence { get; init; }

    public ulong Freelist { get; init; }

    public long HighWater { get; init; }

    public ulong Txid { get; init; }

    /// <summary>Every reachable extent carries a trailer.</summary>
    public bool AllTrailers { get; init; }

    /// <summary>Checksum of the root page; 0 when unknown.</summary>
    public uint RootChecksum { get; init; }

    /// <summary>Reads a meta; false when it is not one (torn, foreign, empty).</summary>
    public static bool TryRead(ReadOnlySpan<byte> page, out MetaPage meta)
    {
        meta = default;
        if (page.Length < Bytes
            || BinaryPrimitives.ReadUInt32LittleEndian(page[16..]) != Magic
            || BinaryPrimitives.ReadUInt32LittleEndian(page[20..]) != Version
            || BinaryPrimitives.ReadUInt64LittleEndian(page[72..]) != Fnv(page[16..72]))
        {
            return false;
        }

        ulong txid = BinaryPrimitives.ReadUInt64LittleEndian(page[64..]);
        meta = new MetaPage
        {
            PageBytes = BinaryPrimitives.ReadInt32LittleEndian(page[24..]),
            Root = BinaryPrimitives.ReadInt64LittleEndian(page[32..]),
            RootSequence = BinaryPrimitives.ReadUInt64LittleEndian(page[40..]),
            Freelist = BinaryPrimitives.ReadUInt64LittleEndian(page[48..]),
            HighWater = BinaryPrimitives.ReadInt64LittleEndian(page[56..]),
            Txid = txid,
        };
        if (BinaryPrimitives.ReadUInt64LittleEndian(page[SlackAt..]) == SlackMagic
            && BinaryPrimitives.ReadUInt32LittleEndian(page[88..]) == 1
            && BinaryPrimitives.ReadUInt64LittleEndian(page[96..]) == txid
            && BinaryPrimitives.ReadUInt32LittleEndian(page[SlackChecksumAt..])
                == Crc32C.Append(0, page[SlackAt..SlackChecksumAt]))
        {
            meta = meta with
            {
                AllTrailers = (BinaryPrimitives.ReadUInt32LittleEndian(page[92..]) & 1) != 0,
                RootChecksum = BinaryPrimitives.ReadUInt32LittleEndian(page[104..]),
            };
        }

        return true;
    }

    /// <summary>What a valid checksum does not promise: the numbers make sense together. Null means they do.</summary>
    public string? Problem()
    {
        if (PageBytes is < PageLayout.PageBytesMin or > PageLayout.PageBytesMax || !BitOperations.IsPow2(PageBytes))
        {
            return $"meta: page size {PageBytes} is not supported";
        }

        if (HighWater <= PageLayout.FirstDataPage || HighWater > long.MaxValue / PageBytes)
        {
            return $"meta: high-water mark {HighWater}";
        }

        if (Root < PageLayout.FirstDataPage || Root >= HighWater)
        {
            return $"meta: root is page#{Root}, the high-water mark is {HighWater}";
        }

        return Freelist != NoFreelist && (Freelist < (ulong)PageLayout.FirstDataPage || Freelist >= (ulong)HighWater)
            ? $"meta: freelist is page#{Freelist}, the high-water mark is {HighWater}"
            : null;
    }

    /// <summary>Writes the whole page: meta number <paramref name="slot"/> (0 or 1).</summary>
    public void Write(Span<byte> page, int slot)
    {
        page.Clear();
        PageHeader.Write(page, slot, PageLayout.MetaFlag, 0, 0);
        BinaryPrimitives.WriteUInt32LittleEndian(page[16..], Magic);
        BinaryPrimitives.WriteUInt32LittleEndian(page[20..], Version);
        BinaryPrimitives.WriteInt32LittleEndian(page[24..], PageBytes);
        BinaryPrimitives.WriteInt64LittleEndian(page[32..], Root);
        BinaryPrimitives.WriteUInt64LittleEndian(page[40..], RootSequence);
        BinaryPrimitives.WriteUInt64LittleEndian(page[48..], Freelist);
        BinaryPrimitives.WriteInt64LittleEndian(page[56..], HighWater);
        BinaryPrimitives.WriteUInt64LittleEndian(page[64..], Txid);
        BinaryPrimitives.WriteUInt64LittleEndian(page[72..], Fnv(page[16..72]));

        BinaryPrimitives.WriteUInt64LittleEndian(page[SlackAt..], SlackMagic);
        BinaryPrimitives.WriteUInt32LittleEndian(page[88..], 1);
        BinaryPrimitives.WriteUInt32LittleEndian(page[92..], AllTrailers ? 1u : 0u);
        BinaryPrimitives.WriteUInt64LittleEndian(page[96..], Txid);
        BinaryPrimitives.WriteUInt32LittleEndian(page[104..], RootChecksum);
        BinaryPrimitives.WriteUInt32LittleEndian(
            page[SlackChecksumAt..], Crc32C.Append(0, page[SlackAt..SlackChecksumAt]));
    }

    private static ulong Fnv(ReadOnlySpan<byte> data)
    {
        ulong hash = 0xcbf29ce484222325;
        foreach (byte b in data)
        {
            hash = (hash ^ b) * 0x100000001b3;
        }

        return hash;
    }
}
