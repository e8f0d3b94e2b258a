using System.Buffers;
using System.Text;

namespace Perf.Grpc;

/// <summary>
/// Header fields out of HPACK's blocks (RFC 7541). One per connection, for its reading thread. Entries of the table carry strings,
/// so a field that a client repeats by index costs nothing.
/// </summary>
internal sealed class HpackDecoder
{
    /// <summary>The default of HTTP/2, which our SETTINGS leave as it is.</summary>
    public const int TableBytesMax = 4096;

    private const int EntryOverheadBytes = 32;

    private static readonly (string Name, string Value)[] Static =
    [
        (":authority", ""), (":method", "GET"), (":method", "POST"), (":path", "/"), (":path", "/index.html"),
        (":scheme", "http"), (":scheme", "https"), (":status", "200"), (":status", "204"), (":status", "206"),
        (":status", "304"), (":status", "400"), (":status", "404"), (":status", "500"), ("accept-charset", ""),
        ("accept-encoding", "gzip, deflate"), ("accept-language", ""), ("accept-ranges", ""), ("accept", ""),
        ("access-control-allow-origin", ""), ("age", ""), ("allow", ""), ("authorization", ""), ("cache-control", ""),
        ("content-disposition", ""), ("content-encoding", ""), ("content-language", ""), ("content-length", ""),
        ("content-location", ""), ("content-range", ""), ("content-type", ""), ("cookie", ""), ("date", ""), ("etag", ""),
        ("expect", ""), ("expires", ""), ("from", ""), ("host", ""), ("if-match", ""), ("if-modified-since", ""),
        ("if-none-match", ""), ("if-range", ""), ("if-unmodified-since", ""), ("last-modified", ""), ("link", ""),
        ("location", ""), ("max-forwards", ""), ("proxy-authenticate", ""), ("proxy-authorization", ""), ("range", ""),
        ("referer", ""), ("refresh", ""), ("retry-after", ""), ("server", ""), ("set-cookie", ""),
        ("strict-transport-security", ""), ("transfer-encoding", ""), ("user-agent", ""), ("vary", ""), ("via", ""),
        ("www-authenticate", ""),
    ];

    /// <summary>Names that clients spell out, so that they need no new string.</summary>
    private static readonly string[] Known =
        ["te", "grpc-timeout", "grpc-encoding", "grpc-accept-encoding", "token", "hasleader", "traceparent"];

    // The dynamic table: the newest entry stands before _next.
    private readonly Entry[] _entries = new Entry[TableBytesMax / EntryOverheadBytes];
    private int _next;
    private int _count;
    private int _bytes;
    private int _bytesMax = TableBytesMax;

    /// <summary>Counts the changes of the table: while it stands still, equal blocks say equal things.</summary>
    public int Version { get; private set; }

    /// <summary>Adds a block's fields. Throws <see cref="Http2Exception"/> when the block is none: the connection cannot go on.</summary>
    public void Decode(ReadOnlySpan<byte> block, HeaderFields target)
    {
        bool isFirst = true;
        while (!block.IsEmpty)
        {
            byte head = block[0];
            if ((head & 0x80) != 0)
            {
                (string name, string value) = Lookup(Number(ref block, 7));
                target.Add(name, value);
            }
            else if ((head & 0x40) != 0)
            {
                (string name, string value) = Literal(ref block, 6);
                Insert(name, value);
                target.Add(name, value);
            }
            else if ((head & 0x20) != 0)
            {
                int size = Number(ref block, 5);
                if (!isFirst || size > TableBytesMax)
                {
                    throw Broken("a change of the table's size that is not allowed");
                }

                _bytesMax = size;
                Version++;
                Evict(0);
                continue;
            }
            else
            {
                (string name, string value) = Literal(ref block, 4);
                target.Add(name, value);
            }

            isFirst = false;
        }
    }

    private static Http2Exception Broken(string what) => new(Http2Error.Compression, what);

    private static int Number(ref ReadOnlySpan<byte> block, int prefixBits)
    {
        if (block.IsEmpty)
        {
            throw Broken("a block ends within a number");
        }

        int max = (1 << prefixBits) - 1;
        int value = block[0] & max;
        block = block[1..];
        if (value < max)
        {
            return value;
        }

        for (int shift = 0; shift <= 21; shift += 7)
        {
            if (block.IsEmpty)
            {
                throw Broken("a block ends within a number");
            }

            byte next = block[0];
            block = block[1..];
            value += (next & 0x7f) << shift;
            if ((next & 0x80) == 0)
            {
                return value;
            }
        }

        throw Broken("a number without an end");
    }

    private static string Text(ref ReadOnlySpan<byte> block, bool isName)
    {
        bool coded = !block.IsEmpty && (block[0] & 0x80) != 0;
        int length = Number(ref block, 7);
        if (length > block.Length)
        {
            throw Broken("a block ends within a text");
        }

        ReadOnlySpan<byte> bytes = block[..length];
        block = block[length..];
        if (!coded)
        {
            return Make(bytes, isName);
        }

        const int StackBytesMax = 512;
        int room = Huffman.DecodedBytesMax(length);
        byte[]? rented = room > StackBytesMax ? ArrayPool<byte>.Shared.Rent(room) : null;
        try
        {
            Span<byte> target = rented ?? stackalloc byte[StackBytesMax];
            int written = Huffman.Decode(bytes, target);
            return written >= 0 ? Make(target[..written], isName) : throw Broken("a text that is no Huffman code");
        }
        finally
        {
            if (rented is not null)
            {
                ArrayPool<byte>.Shared.Return(rented);
            }
        }
    }

    private static string Make(ReadOnlySpan<byte> bytes, bool isName)
    {
        if (isName)
        {
            foreach (string known in Known)
            {
                if (Ascii.Equals(bytes, known))
                {
                    return known;
                }
            }
        }

        return Encoding.Latin1.GetString(bytes);
    }

    private (string Name, string Value) Literal(ref ReadOnlySpan<byte> block, int prefixBits)
    {
        int index = Number(ref block, prefixBits);
        string name = index == 0 ? Text(ref block, isName: true) : Lookup(index).Name;
        return (name, Text(ref block, isName: false));
    }

    private (string Name, string Value) Lookup(int index)
    {
        if (index > 0 && index <= Static.Length)
        {
            return Static[index - 1];
        }

        int age = index - Static.Length - 1;
        if (index == 0 || age >= _count)
        {
            throw Broken("an index beyond the table");
        }

        Entry entry = _entries[(_next - 1 - age + (2 * _entries.Length)) % _entries.Length];
        return (entry.Name, entry.Value);
    }

    private void Insert(string name, string value)
    {
        Version++;
        int bytes = name.Length + value.Length + EntryOverheadBytes;
        Evict(bytes);
        if (bytes > _bytesMax)
        {
            return;
        }

        _entries[_next] = new Entry(name, value, bytes);
        _next = (_next + 1) % _entries.Length;
        _count++;
        _bytes += bytes;
    }

    private void Evict(int coming)
    {
        while (_count > 0 && _bytes + coming > _bytesMax)
        {
            ref Entry oldest = ref _entries[(_next - _count + _entries.Length) % _entries.Length];
            _bytes -= oldest.Bytes;
            oldest = default;
            _count--;
        }
    }

    private readonly record struct Entry(string Name, string Value, int Bytes);
}

/// <summary>The fields of one block, in order, up to a limit of bytes as HTTP/2 counts them.</summary>
internal sealed class HeaderFields(int bytesMax)
{
    private const int FieldOverheadBytes = 32;
    private readonly List<KeyValuePair<string, string>> _fields = new(16);
    private int _bytes;

    public IReadOnlyList<KeyValuePair<string, string>> Fields => _fields;

    /// <summary>There were more than the limit allows; what is beyond it is not here.</summary>
    public bool IsTooLarge => _bytes > bytesMax;

    public void Clear()
    {
        _fields.Clear();
        _bytes = 0;
    }

    public void Add(string name, string value)
    {
        _bytes = (int)Math.Min((long)_bytes + name.Length + value.Length + FieldOverheadBytes, int.MaxValue);
        if (!IsTooLarge)
        {
            _fields.Add(new(name, value));
        }
    }
}
