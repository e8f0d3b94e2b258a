namespace Perf.Fuzz;

/// <summary>Changes inputs: bits, numbers, lengths, pieces moved, doubled and taken from others. By seed alone.</summary>
internal sealed partial class Mutator(int seed)
{
    private const int BytesMax = 1 << 16;
    private const int StepsMax = 6;

    private static readonly byte[][] Tokens =
    [
        [0], [1], [0x7f], [0x80], [0xff], [0xff, 0xff, 0xff, 0xff, 0x0f], [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01],
        [0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x00], [0, 0, 0, 0, 0, 0, 0, 0], [0, 0, 0, 0, 0, 0, 0, 1],
        [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], [0x0a, 0], [0x12, 0x80], [0x1a, 1], [0xed, 0xda, 0x0c, 0xed],
        .. "\"|{|}|[|]|:|,|null|-1|1e9|=|--|/|\n|  ".Split('|').Select(System.Text.Encoding.ASCII.GetBytes),
    ];

    private readonly Random _random = new(seed);

    /// <summary>Changes that know nothing.</summary>
    public byte[] Bytes(IReadOnlyList<byte[]> corpus)
    {
        byte[] bytes = corpus[_random.Next(corpus.Count)];
        for (int step = _random.Next(1, StepsMax + 1); step > 0; step--)
        {
            bytes = Step(bytes, corpus);
        }

        return bytes.Length > BytesMax * 2 ? bytes[..(BytesMax * 2)] : bytes;
    }

    /// <summary>True so many times in a hundred.</summary>
    public bool Chance(int percent) => _random.Next(100) < percent;

    /// <summary>A number below the bound.</summary>
    public int Below(int bound) => _random.Next(bound);

    private byte[] Step(byte[] bytes, IReadOnlyList<byte[]> corpus)
    {
        int at = _random.Next(bytes.Length + 1);
        int length = Math.Min(bytes.Length - at, 1 << _random.Next(10));
        length = length == 0 ? 0 : _random.Next(1, length + 1);
        switch (_random.Next(9))
        {
            case 0 when at < bytes.Length:
                return With(bytes, at, (byte)(bytes[at] ^ (1 << _random.Next(8))));
            case 1 when at < bytes.Length:
                return With(bytes, at, (byte)_random.Next(256));
            case 2 when at < bytes.Length:
                return With(bytes, at, (byte)(bytes[at] + _random.Next(-3, 4)));
            case 3:
                return [.. bytes.AsSpan(0, at), .. bytes.AsSpan(at + length)];
            case 4:
                return [.. bytes.AsSpan(0, at), .. bytes.AsSpan(at, length), .. bytes.AsSpan(at)];
            case 5:
                return [.. bytes.AsSpan(0, at), .. Tokens[_random.Next(Tokens.Length)], .. bytes.AsSpan(at)];
            case 6:
                byte[] token = Tokens[_random.Next(Tokens.Length)];
                return [.. bytes.AsSpan(0, at), .. token, .. bytes.AsSpan(Math.Min(bytes.Length, at + token.Length))];
            case 7:
                byte[] other = corpus[_random.Next(corpus.Count)];
                int from = _random.Next(other.Length + 1);
                int taken = _random.Next(other.Length - from + 1);
                return [.. bytes.AsSpan(0, at), .. other.AsSpan(from, taken), .. bytes.AsSpan(at)];
            case 8 when _random.Next(4) == 0:
                return bytes[..at];
            default:
                return bytes;
        }
    }

    private static byte[] With(byte[] bytes, int at, byte value)
    {
        byte[] copy = [.. bytes];
        copy[at] = value;
        return copy;
    }
}
