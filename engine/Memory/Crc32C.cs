using System.Buffers.Binary;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics.Arm;
using System.Runtime.Intrinsics.X86;

namespace Perf.Engine.Memory;

/// <summary>
/// CRC-32C (Castagnoli, reflected 0x82F63B78, init and xorout all ones). A value is always the finished one, so
/// <c>Append(Append(0, a), b)</c> is the checksum of a followed by b.
/// </summary>
public static class Crc32C
{
    private static readonly uint[] Table = MakeTable();

    /// <summary>The checksum of what <paramref name="crc"/> covers followed by <paramref name="data"/>.</summary>
    public static uint Append(uint crc, ReadOnlySpan<byte> data)
    {
        if (Sse42.X64.IsSupported)
        {
            return ~AppendX64(~crc, data);
        }

        return Crc32.Arm64.IsSupported ? ~AppendArm(~crc, data) : AppendPlain(crc, data);
    }

    /// <summary>The same by table, for machines without the instruction.</summary>
    internal static uint AppendPlain(uint crc, ReadOnlySpan<byte> data)
    {
        uint state = ~crc;
        foreach (byte b in data)
        {
            state = Table[(byte)(state ^ b)] ^ (state >> 8);
        }

        return ~state;
    }

    private static uint AppendX64(uint state, ReadOnlySpan<byte> data)
    {
        ulong wide = state;
        ReadOnlySpan<ulong> words = MemoryMarshal.Cast<byte, ulong>(data);
        foreach (ulong word in words)
        {
            wide = Sse42.X64.Crc32(wide, word);
        }

        state = (uint)wide;
        foreach (byte b in data[(words.Length * sizeof(ulong))..])
        {
            state = Sse42.Crc32(state, b);
        }

        return state;
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private static uint AppendArm(uint state, ReadOnlySpan<byte> data)
    {
        while (data.Length >= sizeof(ulong))
        {
            state = Crc32.Arm64.ComputeCrc32C(state, BinaryPrimitives.ReadUInt64LittleEndian(data));
            data = data[sizeof(ulong)..];
        }

        foreach (byte b in data)
        {
            state = Crc32.ComputeCrc32C(state, b);
        }

        return state;
    }

    private static uint[] MakeTable()
    {
        var table = new uint[256];
        for (uint i = 0; i < 256; i++)
        {
            uint value = i;
            for (int bit = 0; bit < 8; bit++)
            {
                value = (value & 1) != 0 ? (value >> 1) ^ 0x82F63B78u : value >> 1;
            }

            table[i] = value;
        }

        return table;
    }
}
