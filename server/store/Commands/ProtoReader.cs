using System.Buffers.Binary;

namespace Perf.Store.Commands;

/// <summary>
/// Walks the fields of one protobuf message in place. Every field is decoded far enough to be stepped over, so an
/// unknown one needs no code. Damage, and a known field of the wrong wire type, leave <see cref="Failed"/> set.
/// <code>
/// var reader = new ProtoReader(bytes);
/// while (reader.Next())
/// {
///     switch (reader.Field) { case 1: key = reader.Bytes; break; case 2: limit = reader.Int64; break; }
/// }
/// return !reader.Failed;
/// </code>
/// </summary>
public ref struct ProtoReader
{
    private const int VarintWire = 0;
    private const int Fixed64Wire = 1;
    private const int BytesWire = 2;
    private const int GroupStartWire = 3;
    private const int GroupEndWire = 4;
    private const int Fixed32Wire = 5;
    private const int GroupDepthMax = 100;

    private readonly ReadOnlySpan<byte> _data;
    private int _at;
    private int _wire;
    private ulong _number;
    private ReadOnlySpan<byte> _bytes;

    public ProtoReader(ReadOnlySpan<byte> message)
    {
        _data = message;
    }

    /// <summary>Number of the field that <see cref="Next"/> stopped at.</summary>
    public int Field { get; private set; }

    /// <summary>The bytes were not a message, or a field was asked for by the wrong type.</summary>
    public bool Failed { get; private set; }

    /// <summary>Offset just behind the present field.</summary>
    public readonly int Position => _at;

    /// <summary>The value of a bytes, string or message field.</summary>
    public ReadOnlySpan<byte> Bytes
    {
        get
        {
            Failed |= _wire != BytesWire;
            return _bytes;
        }
    }

    /// <summary>The value of a varint field.</summary>
    public ulong UInt64
    {
        get
        {
            Failed |= _wire != VarintWire;
            return _number;
        }
    }

    /// <inheritdoc cref="UInt64"/>
    public long Int64 => (long)UInt64;

    /// <summary>The value of an int32 or enum field: the low 32 bits, as protobuf has it.</summary>
    public int Int32 => (int)UInt64;

    /// <inheritdoc cref="UInt64"/>
    public bool Bool => UInt64 != 0;

    /// <summary>True when the present field is length-delimited.</summary>
    public readonly bool IsBytes => _wire == BytesWire;

    /// <summary>True when the present field is a varint.</summary>
    public readonly bool IsVarint => _wire == VarintWire;

    /// <summary>Goes to the next field; false at the end, or when the bytes are damaged.</summary>
    public bool Next()
    {
        if (Failed || _at >= _data.Length)
        {
            return false;
        }
        if (!TryVarint(out ulong tag) || tag >> 32 != 0 || tag >> 3 == 0)
        {
            return Fail();
        }
        Field = (int)(tag >> 3);
        _wire = (int)(tag & 7);
        return TryValue(_wire, 0) || Fail();
    }

    private bool Fail()
    {
        Failed = true;
        return false;
    }

    private bool TryValue(int wire, int depth)
    {
        switch (wire)
        {
            case VarintWire:
                return TryVarint(out _number);

            case BytesWire:
                if (!TryVarint(out ulong length) || length > (ulong)(_data.Length - _at))
                {
                    return false;
                }
                _bytes = _data.Slice(_at, (int)length);
                _at += (int)length;
                return true;

            case Fixed64Wire:
                if (_data.Length - _at < sizeof(ulong))
                {
                    return false;
                }
                _number = BinaryPrimitives.ReadUInt64LittleEndian(_data[_at..]);
                _at += sizeof(ulong);
                return true;

            case Fixed32Wire:
                if (_data.Length - _at < sizeof(uint))
                {
                    return false;
                }
                _number = BinaryPrimitives.ReadUInt32LittleEndian(_data[_at..]);
                _at += sizeof(uint);
                return true;

            case GroupStartWire:
                return TrySkipGroup(depth);

            default:
                return false;
        }
    }

    private bool TrySkipGroup(int depth)
    {
        if (depth >= GroupDepthMax)
        {
            return false;
        }
        while (TryVarint(out ulong tag) && tag >> 32 == 0 && tag >> 3 != 0)
        {
            int wire = (int)(tag & 7);
            if (wire == GroupEndWire)
            {
                return true;
            }
            if (!TryValue(wire, depth + 1))
            {
                return false;
            }
        }
        return false;
    }

    private bool TryVarint(out ulong value)
    {
        if (_at < _data.Length && _data[_at] < 0x80)
        {
            value = _data[_at++];
            return true;
        }
        value = 0;
        for (int shift = 0; shift < 64; shift += 7)
        {
            if (_at >= _data.Length)
            {
                return false;
            }
            byte b = _data[_at++];
            value |= (ulong)(b & 0x7F) << shift;
            if (b < 0x80)
            {
                // The tenth byte has room for one bit.
                return shift < 63 || b <= 1;
            }
        }
        return false;
    }
}
