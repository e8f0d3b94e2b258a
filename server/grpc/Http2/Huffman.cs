using System.Runtime.CompilerServices;

namespace Perf.Grpc;

/// <summary>
/// The Huffman code of HPACK (RFC 7541, appendix B). The code is canonical: within a length codes rise with their symbols, so the
/// lengths say all.
/// </summary>
internal static class Huffman
{
    private const int EndOfString = 256;
    private const int LengthMax = 30;
    private const int QuickBits = 9;

    // By the next nine bits: symbol and length of a code that is no longer than that, else zero.
    private static readonly ushort[] Quick = new ushort[1 << QuickBits];

    // By length: the first code, and where its symbols begin.
    private static readonly uint[] FirstCode = new uint[LengthMax + 2];
    private static readonly int[] FirstSymbol = new int[LengthMax + 2];
    private static readonly ushort[] Symbols = new ushort[EndOfString + 1];

    static Huffman()
    {
        uint code = 0;
        int at = 0;
        for (int length = 1; length <= LengthMax; length++)
        {
            code <<= 1;
            FirstCode[length] = code;
            FirstSymbol[length] = at;
            for (int symbol = 0; symbol <= EndOfString; symbol++)
            {
                if (Lengths[symbol] != length)
                {
                    continue;
                }

                Symbols[at++] = (ushort)symbol;
                if (length <= QuickBits)
                {
                    int free = QuickBits - length;
                    Quick.AsSpan((int)code << free, 1 << free).Fill((ushort)((symbol << 4) | length));
                }

                code++;
            }
        }

        FirstSymbol[LengthMax + 1] = at;
    }

    /// <summary>Bits of each symbol's code; the last is the end of the string.</summary>
    internal static ReadOnlySpan<byte> Lengths =>
    [
        13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28,
        6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, 5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10,
        13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6,
        15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, 6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28,
        20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23, 24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24,
        22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,
        26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27,
        20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23, 26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26,
        30,
    ];

    /// <summary>Most bytes that so many coded bytes can stand for: the shortest codes have five bits.</summary>
    public static int DecodedBytesMax(int bytes) => (int)((long)bytes * 8 / 5);

    /// <summary>Decodes into <paramref name="target"/>, which holds <see cref="DecodedBytesMax"/>; -1 for what is no code.</summary>
    public static int Decode(ReadOnlySpan<byte> source, Span<byte> target)
    {
        ulong bits = 0;
        int count = 0;
        int read = 0;
        int written = 0;
        while (true)
        {
            while (count <= 56 && read < source.Length)
            {
                bits |= (ulong)source[read++] << (56 - count);
                count += 8;
            }

            if (count < 5)
            {
                break;
            }

            ushort quick = Quick[(int)(bits >> (64 - QuickBits))];
            int length = quick & 15;
            int symbol = quick >> 4;
            if (length == 0)
            {
                length = Long(bits, out symbol);
                if (symbol == EndOfString)
                {
                    // Never coded. All ones at the end are padding, which the check below allows for up to seven bits.
                    break;
                }
            }

            if (length > count)
            {
                break;
            }

            target[written++] = (byte)symbol;
            bits <<= length;
            count -= length;
        }

        // What is left is padding: less than a byte, all ones.
        return read == source.Length && count < 8 && (count == 0 || bits >> (64 - count) == (1UL << count) - 1) ? written : -1;
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private static int Long(ulong bits, out int symbol)
    {
        for (int length = QuickBits + 1; length < LengthMax; length++)
        {
            uint offset = (uint)(bits >> (64 - length)) - FirstCode[length];
            if (offset < (uint)(FirstSymbol[length + 1] - FirstSymbol[length]))
            {
                symbol = Symbols[FirstSymbol[length] + (int)offset];
                return length;
            }
        }

        // The four codes of thirty bits; the last of them is the end of the string.
        symbol = Symbols[FirstSymbol[LengthMax] + (int)((uint)(bits >> (64 - LengthMax)) - FirstCode[LengthMax])];
        return LengthMax;
    }
}
