using System.Numerics;

namespace Perf.Raft;

/// <summary>Varints and tags of protocol buffers, nothing more.</summary>
internal static class ProtoWire
{
    public const int VarintWire = 0;
    public const int Fixed64Wire = 1;
    public const int BytesWire = 2;
    public const int Fixed32Wire = 5;

    public static int VarintBytes(ulong value) => ((BitOperations.Log2(value | 1) * 9) + 73) / 64;

    /// <summary>Writes at <paramref name="at"/>; returns the position behind.</summary>
    public static int WriteVarint(Span<byte> target, int at, ulong value)
    {
        while (value >= 0x80)
        {
            target[at++] = (byte)(value | 0x80);
            value >>= 7;
        }

        target[at++] = (byte)value;
        return at;
    }

    /// <summary>A one-byte tag and a varint.</summary>
    public static int WriteField(Span<byte> target, int at, byte tag, ulong value)
    {
        target[at] = tag;
        return WriteVarint(target, at + 1, value);
    }

    /// <summary>False when it is cut off or does not fit in 64 bits; <paramref name="at"/> is then meaningless.</summary>
    public static bool TryReadVarint(ReadOnlySpan<byte> source, ref int at, out ulong value)
    {
        value = 0;
        for (int shift = 0; shift < 64; shift += 7)
        {
            if (at >= source.Length)
            {
                return false;
            }

            byte b = source[at++];
            if (shift == 63 && b > 1)
            {
                return false;
            }

            value |= (ulong)(b & 0x7f) << shift;
            if (b < 0x80)
            {
                return true;
            }
        }

        return false;
    }

    /// <summary>Reads a tag. Field numbers beyond 2^29 and field 0 are refused.</summary>
    public static bool TryReadTag(ReadOnlySpan<byte> source, ref int at, out int field, out int wire)
    {
        bool isRead = TryReadVarint(source, ref at, out ulong tag);
        field = (int)(tag >> 3);
        wire = (int)(tag & 7);
        return isRead && tag >> 3 is > 0 and < 1 << 29;
    }

    /// <summary>The extent of a length-delimited field; <paramref name="at"/> moves behind it.</summary>
    public static bool TryReadBytes(ReadOnlySpan<byte> source, ref int at, out int start, out int length)
    {
        start = 0;
        length = 0;
        if (!TryReadVarint(source, ref at, out ulong bytes) || bytes > (ulong)(source.Length - at))
        {
            return false;
        }

        start = at;
        length = (int)bytes;
        at += length;
        return true;
    }

    /// <summary>Passes over a field that is not known here. Groups are refused: nobody has sent one in living memory.</summary>
    public static bool TrySkip(ReadOnlySpan<byte> source, ref int at, int wire)
    {
        switch (wire)
        {
            case VarintWire:
                return TryReadVarint(source, ref at, out _);
            case BytesWire:
                return TryReadBytes(source, ref at, out _, out _);
            case Fixed64Wire when source.Length - at >= sizeof(ulong):
                at += sizeof(ulong);
                return true;
            case Fixed32Wire when source.Length - at >= sizeof(uint):
                at += sizeof(uint);
                return true;
            default:
                return false;
        }
    }
}
