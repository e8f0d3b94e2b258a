using System.Buffers.Binary;
using Perf.Engine.Tree;

namespace Perf.Engine.Pages;

/// <summary>A branch extent read in place; checked by <see cref="PageCheck"/> before.</summary>
internal readonly ref struct BranchView
{
    private readonly ReadOnlySpan<byte> _page;

    public BranchView(ReadOnlySpan<byte> page)
    {
        _page = page;
        Count = BinaryPrimitives.ReadUInt16LittleEndian(page[PageLayout.CountAt..]);
    }

    public int Count { get; }

    public ReadOnlySpan<byte> Key(int index)
    {
        int at = PageLayout.HeaderBytes + (index * PageLayout.ElementBytes);
        ReadOnlySpan<byte> element = _page.Slice(at, PageLayout.ElementBytes);
        return _page.Slice(
            at + BinaryPrimitives.ReadInt32LittleEndian(element),
            BinaryPrimitives.ReadInt32LittleEndian(element[4..]));
    }

    public long Child(int index) => BinaryPrimitives.ReadInt64LittleEndian(
        _page[(PageLayout.HeaderBytes + (index * PageLayout.ElementBytes) + 8)..]);

    /// <summary>The child's trailer checksum as the parent remembers it; 0 when it does not.</summary>
    public uint ChildChecksum(int index)
    {
        if (!PageTrailer.IsPresent(_page))
        {
            return 0;
        }

        int at = _page.Length - PageLayout.TrailerBytes - ((Count - index) * PageLayout.ChildChecksumBytes);
        return BinaryPrimitives.ReadUInt32LittleEndian(_page[at..]);
    }

    /// <summary>Index of the child that may hold <paramref name="key"/>: the last whose key is not above it, or 0.</summary>
    public int ChildFor(ReadOnlySpan<byte> key)
    {
        int low = 0;
        int high = Count;
        while (low < high)
        {
            int middle = (low + high) >>> 1;
            if (KeyOrder.Compare(Key(middle), key) <= 0)
            {
                low = middle + 1;
            }
            else
            {
                high = middle;
            }
        }

        return Math.Max(0, low - 1);
    }
}
