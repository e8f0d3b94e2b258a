using System.Buffers.Binary;
using System.Text;

namespace Perf.Client;

// A DNS message (RFC 1035, 4.1), as far as questions for SRV records (RFC 2782) need it, big-endian:
//
//   offset  bytes  field
//        0      2  id          the answer carries the question's
//        2      2  flags       QR 8000, TC 0200, RD 0100, RCODE in the low four bits
//        4      2  questions
//        6      2  answers
//        8      2  authorities
//       10      2  additionals
//       12      .  questions:  name, type 2, class 2
//        .      .  records:    name, type 2, class 2, time to live 4, length 2, data
//
//   data of an SRV record:     priority 2, weight 2, port 2, name
internal static class DnsMessage
{
    /// <summary>Largest answer we say we take in a datagram; what is larger comes over TCP.</summary>
    public const int DatagramBytesMax = 1232;

    private const int HeaderBytes = 12;
    private const int NameBytesMax = 255;
    private const int LabelBytesMax = 63;
    private const ushort SrvType = 33;
    private const ushort OptionsType = 41;
    private const ushort InternetClass = 1;

    /// <summary>What an answer says: its response code, whether it was cut short, and the SRV records in it.</summary>
    public readonly record struct Answer(int Code, bool Truncated, IReadOnlyList<SrvRecord> Records);

    /// <summary>Throws <see cref="FormatException"/> for what is no DNS name.</summary>
    public static void Check(string name) => _ = Labels(name);

    /// <summary>The question for a name's SRV records.</summary>
    public static byte[] Query(ushort id, string name)
    {
        var bytes = new List<byte>();
        Add(bytes, id);
        Add(bytes, 0x0100);
        Add(bytes, 1);
        Add(bytes, 0);
        Add(bytes, 0);
        Add(bytes, 1);
        foreach (string label in Labels(name))
        {
            bytes.Add((byte)label.Length);
            bytes.AddRange(Encoding.ASCII.GetBytes(label));
        }

        bytes.Add(0);
        Add(bytes, SrvType);
        Add(bytes, InternetClass);

        // RFC 6891: the record that says how large an answer may be; its class is that size.
        bytes.Add(0);
        Add(bytes, OptionsType);
        Add(bytes, DatagramBytesMax);
        bytes.AddRange([0, 0, 0, 0, 0, 0]);
        return [.. bytes];
    }

    /// <summary>True when the message is the answer to that question: the same id and the same name.</summary>
    public static bool IsAnswerTo(ReadOnlySpan<byte> query, ReadOnlySpan<byte> message)
    {
        if (message.Length < HeaderBytes
            || !message[..2].SequenceEqual(query[..2])
            || (message[2] & 0x80) == 0
            || BinaryPrimitives.ReadUInt16BigEndian(message[4..]) != 1)
        {
            return false;
        }

        int asked = HeaderBytes;
        int answered = HeaderBytes;
        return string.Equals(Name(query, ref asked), Name(message, ref answered), StringComparison.OrdinalIgnoreCase);
    }

    /// <summary>Reads an answer. Throws <see cref="FormatException"/> for one that is not well formed.</summary>
    public static Answer Read(ReadOnlySpan<byte> message)
    {
        if (message.Length < HeaderBytes)
        {
            throw Malformed();
        }

        int flags = Number(message, 2);
        int questions = Number(message, 4);
        int answers = Number(message, 6);
        bool truncated = (flags & 0x0200) != 0;
        var records = new List<SrvRecord>();
        if (truncated)
        {
            return new Answer(flags & 15, truncated, records);
        }

        int at = HeaderBytes;
        for (int i = 0; i < questions; i++)
        {
            _ = Name(message, ref at);
            at += 4;
        }

        for (int i = 0; i < answers; i++)
        {
            _ = Name(message, ref at);
            int type = Number(message, at);
            int length = Number(message, at + 8);
            int data = at + 10;
            at = data + length;
            if (at > message.Length)
            {
                throw Malformed();
            }

            // Others, such as the CNAME that led here, are passed over.
            if (type == SrvType)
            {
                int name = data + 6;
                records.Add(new SrvRecord(
                    Priority: Number(message, data),
                    Weight: Number(message, data + 2),
                    Port: Number(message, data + 4),
                    Target: Name(message, ref name)));
            }
        }

        return new Answer(flags & 15, truncated, records);
    }

    private static string[] Labels(string name)
    {
        string[] labels = name.TrimEnd('.').Split('.');
        bool valid = name.Length <= NameBytesMax - 2
            && Array.TrueForAll(labels, l => l.Length is > 0 and <= LabelBytesMax && Ascii.IsValid(l));
        return valid ? labels : throw new FormatException($"{name}: not a DNS name");
    }

    private static void Add(List<byte> bytes, ushort number)
    {
        bytes.Add((byte)(number >> 8));
        bytes.Add((byte)number);
    }

    private static int Number(ReadOnlySpan<byte> message, int at) => at + 2 <= message.Length
        ? BinaryPrimitives.ReadUInt16BigEndian(message[at..])
        : throw Malformed();

    /// <summary>The name at a position, which moves behind it. A pointer must lead backwards, so that it ends.</summary>
    private static string Name(ReadOnlySpan<byte> message, ref int at)
    {
        var name = new StringBuilder();
        int here = at;
        int behind = -1;
        while (here < message.Length)
        {
            int length = message[here];
            if (length == 0)
            {
                at = behind < 0 ? here + 1 : behind;
                return name.ToString();
            }

            if (length > LabelBytesMax)
            {
                int target = Number(message, here) & 0x3fff;
                if (length < 0xc0 || target >= here)
                {
                    break;
                }

                behind = behind < 0 ? here + 2 : behind;
                here = target;
                continue;
            }

            if (here + 1 + length > message.Length || name.Length > NameBytesMax)
            {
                break;
            }

            name.Append(name.Length > 0 ? "." : "");
            name.Append(Encoding.Latin1.GetString(message.Slice(here + 1, length)));
            here += 1 + length;
        }

        throw Malformed();
    }

    private static FormatException Malformed() => new("malformed DNS answer");
}
