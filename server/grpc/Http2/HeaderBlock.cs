using System.Buffers;
using System.Globalization;
using System.Text;

namespace Perf.Grpc;

/// <summary>How a call ended, as it is told to the client.</summary>
internal readonly ref struct StatusFields(StatusCode code, string message, Metadata? trailers)
{
    public StatusCode Code { get; } = code;

    public string CodeText => ((int)Code).ToString(CultureInfo.InvariantCulture);

    public string Message { get; } = message;

    public Metadata? Trailers { get; } = trailers;
}

/// <summary>Builds one header block (RFC 7541, section 6), first in the caller's span, in a rented array when that is full.</summary>
internal ref struct HeaderBlock(Span<byte> start)
{
    private Span<byte> _target = start;
    private byte[]? _rented;
    private int _bytes;

    public readonly ReadOnlySpan<byte> Written => _target[.._bytes];

    public readonly void Dispose()
    {
        if (_rented is not null)
        {
            ArrayPool<byte>.Shared.Return(_rented);
        }
    }

    public void TableSize(int bytes) => Number(0x20, 5, bytes);

    public void Indexed(int index) => Number(0x80, 7, index);

    public void Status(int code)
    {
        const int Status200Index = 8;
        if (code == 200)
        {
            Indexed(Status200Index);
        }
        else
        {
            LiteralOf(Status200Index, code.ToString(CultureInfo.InvariantCulture), insert: false);
        }
    }

    /// <summary>A field whose name stands in the table.</summary>
    public void LiteralOf(int nameIndex, string value, bool insert)
    {
        Number(insert ? (byte)0x40 : (byte)0, insert ? 6 : 4, nameIndex);
        Text(value);
    }

    public void Literal(string name, string value, bool insert = false)
    {
        Number(insert ? (byte)0x40 : (byte)0, insert ? 6 : 4, 0);
        Text(name);
        Text(value);
    }

    private void Text(string text)
    {
        Number(0, 7, text.Length);
        Ensure(text.Length);
        _bytes += Encoding.Latin1.GetBytes(text, _target[_bytes..]);
    }

    private void Number(byte flags, int prefixBits, int value)
    {
        Ensure(6);
        int max = (1 << prefixBits) - 1;
        if (value < max)
        {
            _target[_bytes++] = (byte)(flags | value);
            return;
        }

        _target[_bytes++] = (byte)(flags | max);
        value -= max;
        while (value >= 0x80)
        {
            _target[_bytes++] = (byte)(value | 0x80);
            value >>= 7;
        }

        _target[_bytes++] = (byte)value;
    }

    private void Ensure(int more)
    {
        if (_target.Length - _bytes >= more)
        {
            return;
        }

        byte[] larger = ArrayPool<byte>.Shared.Rent(Math.Max(_target.Length * 2, _bytes + more));
        _target[.._bytes].CopyTo(larger);
        Dispose();
        _rented = larger;
        _target = larger;
    }
}
