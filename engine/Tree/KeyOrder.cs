using System.Buffers.Binary;
using System.Numerics;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;

namespace Perf.Engine.Tree;

/// <summary>Order of keys: unsigned bytes, a prefix before what it begins.</summary>
internal static class KeyOrder
{
    /// <summary>Negative, zero or positive, as <paramref name="left"/> is below, equal to or above.</summary>
    public static int Compare(ReadOnlySpan<byte> left, ReadOnlySpan<byte> right)
    {
        int shared = Math.Min(left.Length, right.Length);
        if (shared >= Vector128<byte>.Count && Vector128.IsHardwareAccelerated)
        {
            int order = CompareWide(
                ref MemoryMarshal.GetReference(left), ref MemoryMarshal.GetReference(right), shared);
            return order != 0 ? order : left.Length - right.Length;
        }

        if (shared >= sizeof(ulong))
        {
            ulong a = BinaryPrimitives.ReadUInt64BigEndian(left);
            ulong b = BinaryPrimitives.ReadUInt64BigEndian(right);
            if (a != b)
            {
                return a < b ? -1 : 1;
            }

            a = BinaryPrimitives.ReadUInt64BigEndian(left[(shared - sizeof(ulong))..]);
            b = BinaryPrimitives.ReadUInt64BigEndian(right[(shared - sizeof(ulong))..]);
            if (shared <= 2 * sizeof(ulong) && a != b)
            {
                return a < b ? -1 : 1;
            }
        }

        return ComparePlain(left, right);
    }

    /// <summary>The definition, byte by byte.</summary>
    internal static int ComparePlain(ReadOnlySpan<byte> left, ReadOnlySpan<byte> right)
    {
        int shared = Math.Min(left.Length, right.Length);
        for (int i = 0; i < shared; i++)
        {
            if (left[i] != right[i])
            {
                return left[i] - right[i];
            }
        }

        return left.Length - right.Length;
    }

    private static int CompareWide(ref byte left, ref byte right, int shared)
    {
        // SAFETY: both spans have at least `shared` bytes and shared >= 16; each load begins at most at shared - 16.
        int last = shared - Vector128<byte>.Count;
        for (int at = 0; ; at = Math.Min(at + Vector128<byte>.Count, last))
        {
            uint same = Vector128.Equals(
                Vector128.LoadUnsafe(ref left, (nuint)at), Vector128.LoadUnsafe(ref right, (nuint)at))
                .ExtractMostSignificantBits();
            if (same != 0xFFFF)
            {
                int differs = at + BitOperations.TrailingZeroCount(~same);
                return Unsafe.Add(ref left, differs) - Unsafe.Add(ref right, differs);
            }

            if (at == last)
            {
                return 0;
            }
        }
    }
}
