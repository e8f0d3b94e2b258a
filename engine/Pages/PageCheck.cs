using System.Buffers.Binary;
using System.Runtime.CompilerServices;
using Perf.Engine.Tree;

namespace Perf.Engine.Pages;

/// <summary>
/// Decides whether bytes from disk are the extent they should be. Everything a view later relies on is established
/// here. A null answer means sound; text says what is wrong.
/// </summary>
internal static class PageCheck
{
    /// <summary>Structure of a leaf or branch extent.</summary>
    /// <param name="page">The whole extent.</param>
    /// <param name="id">Its number by position.</param>
    /// <param name="highWater">First page number that was never given out.</param>
    /// <param name="holdsBuckets">Leaves of the root tree hold buckets only, all others hold none.</param>
    public static string? Structure(ReadOnlySpan<byte> page, long id, long highWater, bool holdsBuckets)
    {
        if (PageHeader.Id(page) != id)
        {
            return $"page#{id}: header says page#{PageHeader.Id(page)}";
        }

        return PageHeader.Flags(page) switch
        {
            PageLayout.LeafFlag => Leaf(page, id, holdsBuckets),
            PageLayout.BranchFlag => Branch(page, id, highWater),
            ushort flags => $"page#{id}: flags 0x{flags:x}, expected a leaf or a branch",
        };
    }

    /// <summary>The trailer, where there is one, and the checksum its parent expects (0: no expectation).</summary>
    public static string? Checksum(ReadOnlySpan<byte> page, long id, uint expected, bool trailerRequired)
    {
        if (!PageTrailer.IsPresent(page))
        {
            return expected != 0 || trailerRequired ? $"page#{id}: trailer missing" : null;
        }

        uint stored = PageTrailer.Checksum(page);
        uint computed = PageTrailer.Compute(page);
        if (stored != computed)
        {
            return $"page#{id}: checksum {stored:x8}, expected {computed:x8}";
        }

        return expected != 0 && stored != expected
            ? $"page#{id}: checksum {stored:x8}, its parent expects {expected:x8}: a write was lost"
            : null;
    }

    /// <summary>Structure of a leaf; also used for inline buckets, whose page id is 0.</summary>
    /// <remarks>Optimized at once, as it runs for each page of a start, which is over before the runtime sees to it.</remarks>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static string? Leaf(ReadOnlySpan<byte> page, long id, bool holdsBuckets)
    {
        int count = PageHeader.Count(page);
        int table = PageLayout.HeaderBytes + (count * PageLayout.ElementBytes);
        if (count > PageLayout.CountMax || table > page.Length)
        {
            return $"page#{id}: {count} elements do not fit";
        }

        ReadOnlySpan<byte> previous = default;
        for (int i = 0; i < count; i++)
        {
            int at = PageLayout.HeaderBytes + (i * PageLayout.ElementBytes);
            ReadOnlySpan<byte> element = page.Slice(at, PageLayout.ElementBytes);
            uint flags = BinaryPrimitives.ReadUInt32LittleEndian(element);
            uint keyBytes = BinaryPrimitives.ReadUInt32LittleEndian(element[8..]);
            uint valueBytes = BinaryPrimitives.ReadUInt32LittleEndian(element[12..]);
            long start = (long)at + BinaryPrimitives.ReadUInt32LittleEndian(element[4..]);
            if (start < table || start + keyBytes + valueBytes > page.Length)
            {
                return $"page#{id}: element {i} lies outside its extent";
            }

            if (keyBytes is 0 or > PageLayout.KeyBytesMax)
            {
                return $"page#{id}: element {i} has a key of {keyBytes} bytes";
            }

            if (flags != (holdsBuckets ? PageLayout.BucketElement : 0))
            {
                return $"page#{id}: element {i} has flags 0x{flags:x}";
            }

            ReadOnlySpan<byte> key = page.Slice((int)start, (int)keyBytes);
            if (i > 0 && KeyOrder.Compare(previous, key) >= 0)
            {
                return $"page#{id}: element {i} is out of order";
            }

            previous = key;
        }

        return null;
    }

    private static string? Branch(ReadOnlySpan<byte> page, long id, long highWater)
    {
        int count = PageHeader.Count(page);
        int table = PageLayout.HeaderBytes + (count * PageLayout.ElementBytes);
        if (count is 0 or > PageLayout.CountMax || table > page.Length)
        {
            return $"page#{id}: a branch with {count} children";
        }

        ReadOnlySpan<byte> previous = default;
        for (int i = 0; i < count; i++)
        {
            int at = PageLayout.HeaderBytes + (i * PageLayout.ElementBytes);
            ReadOnlySpan<byte> element = page.Slice(at, PageLayout.ElementBytes);
            uint keyBytes = BinaryPrimitives.ReadUInt32LittleEndian(element[4..]);
            long start = (long)at + BinaryPrimitives.ReadUInt32LittleEndian(element);
            if (start < table || start + keyBytes > page.Length)
            {
                return $"page#{id}: key {i} lies outside its extent";
            }

            if (keyBytes is 0 or > PageLayout.KeyBytesMax)
            {
                return $"page#{id}: key {i} has {keyBytes} bytes";
            }

            long child = BinaryPrimitives.ReadInt64LittleEndian(element[8..]);
            if (child < PageLayout.FirstDataPage || child >= highWater)
            {
                return $"page#{id}: child {i} is page#{child}, the high-water mark is {highWater}";
            }

            ReadOnlySpan<byte> key = page.Slice((int)start, (int)keyBytes);
            if (i > 0 && KeyOrder.Compare(previous, key) >= 0)
            {
                return $"page#{id}: key {i} is out of order";
            }

            previous = key;
        }

        return null;
    }
}
