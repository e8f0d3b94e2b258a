using System.Buffers.Binary;
using System.Numerics;

namespace Perf.Store.Membership;

/// <summary>
/// SHA-1 (FIPS 180-4), for the names that etcd's formats make with it; nothing is protected by it. The platform's is in OpenSSL, and
/// loading that takes 4 MiB and some milliseconds of a start, for nothing else where there is no TLS.
/// </summary>
internal static class Sha1
{
    private const int BlockBytes = 64;
    private const int LengthBytes = sizeof(ulong);

    /// <summary>The first eight of the digest's twenty bytes, as a big-endian number.</summary>
    public static ulong Head(ReadOnlySpan<byte> message)
    {
        Span<uint> state = [0x67452301, 0xEFCDAB89, 0x98BADCFE, 0x10325476, 0xC3D2E1F0];
        ulong bits = (ulong)message.Length * 8;
        while (message.Length >= BlockBytes)
        {
            Compress(state, message);
            message = message[BlockBytes..];
        }

        Span<byte> end = stackalloc byte[2 * BlockBytes];
        end.Clear();
        message.CopyTo(end);
        end[message.Length] = 0x80;
        int bytes = message.Length + 1 + LengthBytes <= BlockBytes ? BlockBytes : 2 * BlockBytes;
        BinaryPrimitives.WriteUInt64BigEndian(end[(bytes - LengthBytes)..], bits);
        Compress(state, end);
        if (bytes > BlockBytes)
        {
            Compress(state, end[BlockBytes..]);
        }

        return ((ulong)state[0] << 32) | state[1];
    }

    private static void Compress(Span<uint> state, ReadOnlySpan<byte> block)
    {
        Span<uint> words = stackalloc uint[80];
        for (int i = 0; i < 16; i++)
        {
            words[i] = BinaryPrimitives.ReadUInt32BigEndian(block[(i * sizeof(uint))..]);
        }

        for (int i = 16; i < words.Length; i++)
        {
            words[i] = BitOperations.RotateLeft(words[i - 3] ^ words[i - 8] ^ words[i - 14] ^ words[i - 16], 1);
        }

        (uint a, uint b, uint c, uint d, uint e) = (state[0], state[1], state[2], state[3], state[4]);
        for (int i = 0; i < words.Length; i++)
        {
            (uint mixed, uint constant) = (i / 20) switch
            {
                0 => ((b & c) | (~b & d), 0x5A827999u),
                1 => (b ^ c ^ d, 0x6ED9EBA1u),
                2 => ((b & c) | (b & d) | (c & d), 0x8F1BBCDCu),
                _ => (b ^ c ^ d, 0xCA62C1D6u),
            };
            uint next = BitOperations.RotateLeft(a, 5) + mixed + e + constant + words[i];
            (a, b, c, d, e) = (next, a, BitOperations.RotateLeft(b, 30), c, d);
        }

        state[0] += a;
        state[1] += b;
        state[2] += c;
        state[3] += d;
        state[4] += e;
    }
}
