using System.Buffers.Binary;
using Perf.Engine.Tree;

namespace Perf.Engine.Pages;

/// <summary>A leaf extent (or inline bucket page) read in place; checked by <see cref="PageCheck"/> before.</summary>
internal readonly ref struct LeafView
{
    private readonly ReadOnlySpan<byte> _page;

    public LeafView(ReadOnlySpan<byte> page)
    {
        _page = page;
        Count = BinaryPrimitives.ReadUInt16LittleEndian(page[PageLayout.CountAt..]);
    }

    public int Count { get; }

    public uint Flags(int index) => BinaryPrimitives.ReadUInt32LittleEndian(Element(index));

    public ReadOnlySpan<byte> Key(int index)
    {
        int at = PageLayout.HeaderBytes + (index * PageLayout.ElementBytes);
        ReadOnlySpan<byte> element = _page.Slice(at, PageLayout.ElementBytes);
        return _page.Slice(
            at + BinaryPrimitives.ReadInt32LittleEndian(element[4..]),
            BinaryPrimitives.ReadInt32LittleEndian(element[8..]));
    }

    public ReadOnlySpan<byte> Value(int index)
    {
        int at = PageLayout.HeaderBytes + (index * PageLayout.ElementBytes);
        ReadOnlySpan<byte> element = _page.Slice(at, PageLayout.ElementBytes);
        int key = at + BinaryPrimitives.ReadInt32LittleEndian(element[4..]);
        return _page.Slice(
            key + BinaryPrimitives.ReadInt32LittleEndian(element[8..]),
            BinaryPrimitives.ReadInt32LittleEndian(element[12..]));
    }

    /// <summary>Index of the first key that is not less than <paramref name="key"/>; Count when there is none.</summary>
    public int LowerBound(ReadOnlySpan<byte> key, out bool equal)
    {
        int low = 0;
        int high = Count;
        equal = false;
        while (low < high)
        {
            int middle = (low + high) >>> 1;
            int order = KeyOrder.Compare(Key(middle), key);
            if (order < 0)
            {
                low = middle + 1;
            }
            else
            {
                equal = order == 0;
                high = middle;
            }
        }

        return low;
    }

    private ReadOnlySpan<byte> Element(int index) =>
        _page.Slice(PageLayout.HeaderBytes + (index * PageLayout.ElementBytes), PageLayout.ElementBytes);
}
