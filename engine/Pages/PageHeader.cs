using System.Buffers.Binary;

namespace Perf.Engine.Pages;

/// <summary>The first 16 bytes of an extent.</summary>
internal static class PageHeader
{
    public static long Id(ReadOnlySpan<byte> page) => BinaryPrimitives.ReadInt64LittleEndian(page);

    public static ushort Flags(ReadOnlySpan<byte> page) =>
        BinaryPrimitives.ReadUInt16LittleEndian(page[PageLayout.FlagsAt..]);

    public static int Count(ReadOnlySpan<byte> page) =>
        BinaryPrimitives.ReadUInt16LittleEndian(page[PageLayout.CountAt..]);

    public static uint Overflow(ReadOnlySpan<byte> page) =>
        BinaryPrimitives.ReadUInt32LittleEndian(page[PageLayout.OverflowAt..]);

    public static void Write(Span<byte> page, long id, ushort flags, int count, uint overflow)
    {
        Check.That(count <= PageLayout.CountMax);
        BinaryPrimitives.WriteInt64LittleEndian(page, id);
        BinaryPrimitives.WriteUInt16LittleEndian(page[PageLayout.FlagsAt..], flags);
        BinaryPrimitives.WriteUInt16LittleEndian(page[PageLayout.CountAt..], (ushort)count);
        BinaryPrimitives.WriteUInt32LittleEndian(page[PageLayout.OverflowAt..], overflow);
    }
}
