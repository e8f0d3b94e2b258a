using System.Buffers.Binary;
using System.Runtime.CompilerServices;
using Perf.Engine.Memory;

namespace Perf.Engine.Pages;

/// <summary>The checksum at the end of each extent we write.</summary>
internal static class PageTrailer
{
    private const int ChecksumFromEnd = 8;
    private const int TxidFromEnd = 4;

    /// <summary>
    /// True when the extent ends in a trailer. The keys and values must end before it: bytes a client chose must not
    /// be able to pose as one on a page that etcd filled to the brim.
    /// </summary>
    public static bool IsPresent(ReadOnlySpan<byte> page)
    {
        bool branch = PageHeader.Flags(page) == PageLayout.BranchFlag;
        ulong magic = branch ? PageLayout.BranchTrailerMagic : PageLayout.LeafTrailerMagic;
        ulong stored = BinaryPrimitives.ReadUInt64LittleEndian(page[^PageLayout.TrailerBytes..]);
        if (stored != (magic ^ (ulong)PageHeader.Id(page)))
        {
            return false;
        }

        int reserved = PageLayout.TrailerBytes;
        if (branch)
        {
            reserved += PageHeader.Count(page) * PageLayout.ChildChecksumBytes;
        }

        return DataEnd(page) <= page.Length - reserved;
    }

    /// <summary>The stored checksum; only where a trailer is present.</summary>
    public static uint Checksum(ReadOnlySpan<byte> page) =>
        BinaryPrimitives.ReadUInt32LittleEndian(page[^ChecksumFromEnd..]);

    /// <summary>The checksum that the bytes of the extent call for.</summary>
    public static uint Compute(ReadOnlySpan<byte> page) =>
        Crc32C.Append(Crc32C.Append(0, page[..^ChecksumFromEnd]), page[^TxidFromEnd..]);

    /// <summary>Seals a finished extent and returns its checksum.</summary>
    public static uint Write(Span<byte> page, ulong magic, ulong txid)
    {
        BinaryPrimitives.WriteUInt64LittleEndian(page[^PageLayout.TrailerBytes..], magic ^ (ulong)PageHeader.Id(page));
        BinaryPrimitives.WriteUInt32LittleEndian(page[^TxidFromEnd..], (uint)txid);
        uint checksum = Compute(page);
        BinaryPrimitives.WriteUInt32LittleEndian(page[^ChecksumFromEnd..], checksum);
        return checksum;
    }

    /// <summary>Where the last key or value ends. Saturates instead of overflowing on hostile elements.</summary>
    /// <remarks>Optimized at once: see <see cref="PageCheck.Leaf"/>.</remarks>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static long DataEnd(ReadOnlySpan<byte> page)
    {
        bool branch = PageHeader.Flags(page) == PageLayout.BranchFlag;
        int count = PageHeader.Count(page);
        long end = PageLayout.HeaderBytes + ((long)count * PageLayout.ElementBytes);
        if (end > page.Length)
        {
            return end;
        }

        for (int i = 0; i < count; i++)
        {
            int at = PageLayout.HeaderBytes + (i * PageLayout.ElementBytes);
            ReadOnlySpan<byte> element = page.Slice(at, PageLayout.ElementBytes);
            long elementEnd = branch
                ? (long)at + BinaryPrimitives.ReadUInt32LittleEndian(element)
                    + BinaryPrimitives.ReadUInt32LittleEndian(element[4..])
                : (long)at + BinaryPrimitives.ReadUInt32LittleEndian(element[4..])
                    + BinaryPrimitives.ReadUInt32LittleEndian(element[8..])
                    + BinaryPrimitives.ReadUInt32LittleEndian(element[12..]);
            end = Math.Max(end, elementEnd);
        }

        return end;
    }
}
