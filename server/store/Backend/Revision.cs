using System.Buffers.Binary;

namespace Perf.Store.Backend;

/// <summary>One change: the transaction's revision and the change's place in it.</summary>
public readonly record struct Revision(long Main, long Sub) : IComparable<Revision>
{
    /// <inheritdoc/>
    public int CompareTo(Revision other) =>
        Main != other.Main ? Main.CompareTo(other.Main) : Sub.CompareTo(other.Sub);
}

// Key of a record in bucket `key` (FORMATS A.4), big-endian:
//
//   offset  bytes  field
//        0      8  main
//        8      1  '_'
//        9      8  sub
//       17      1  't'    tombstones only
//
/// <summary>Revisions as keys of bucket <c>key</c>.</summary>
public static class RevisionKey
{
    public const int Bytes = 17;
    public const int TombstoneBytes = 18;

    private const int SeparatorAt = sizeof(long);
    private const int SubAt = SeparatorAt + 1;
    private const int MarkAt = SubAt + sizeof(long);
    private const byte Separator = (byte)'_';
    private const byte TombstoneMark = (byte)'t';

    /// <summary>Writes the key; returns its bytes.</summary>
    public static int Write(Span<byte> target, long main, long sub, bool isTombstone)
    {
        BinaryPrimitives.WriteInt64BigEndian(target, main);
        target[SeparatorAt] = Separator;
        BinaryPrimitives.WriteInt64BigEndian(target[SubAt..], sub);
        if (!isTombstone)
        {
            return Bytes;
        }
        target[MarkAt] = TombstoneMark;
        return TombstoneBytes;
    }

    /// <summary>False when the bytes are no revision.</summary>
    public static bool TryRead(ReadOnlySpan<byte> key, out Revision revision, out bool isTombstone)
    {
        revision = default;
        isTombstone = key.Length == TombstoneBytes;
        if (key.Length is not (Bytes or TombstoneBytes)
            || key[SeparatorAt] != Separator
            || (isTombstone && key[MarkAt] != TombstoneMark))
        {
            return false;
        }
        revision = new Revision(
            BinaryPrimitives.ReadInt64BigEndian(key), BinaryPrimitives.ReadInt64BigEndian(key[SubAt..]));
        return true;
    }
}
