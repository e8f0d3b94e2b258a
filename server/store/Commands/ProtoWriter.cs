using System.Numerics;

namespace Perf.Store.Commands;

/// <summary>
/// Writes protobuf fields into a span that the caller has sized with <see cref="ProtoSize"/>. Scalars follow proto3:
/// zero and empty are left out. Varints are minimal.
/// </summary>
public ref struct ProtoWriter
{
    private readonly Span<byte> _target;
    private int _at;

    public ProtoWriter(Span<byte> target)
    {
        _target = target;
    }

    /// <summary>Bytes written so far.</summary>
    public readonly int Position => _at;

    /// <summary>A bare varint.</summary>
    public void Varint(ulong value)
    {
        while (value >= 0x80)
        {
            _target[_at++] = (byte)(value | 0x80);
            value >>= 7;
        }
        _target[_at++] = (byte)value;
    }

    /// <summary>A varint field; nothing when zero.</summary>
    public void UInt64(int field, ulong value)
    {
        if (value != 0)
        {
            Varint((uint)field << 3);
            Varint(value);
        }
    }

    /// <inheritdoc cref="UInt64"/>
    public void Int64(int field, long value) => UInt64(field, (ulong)value);

    /// <inheritdoc cref="UInt64"/>
    public void Bool(int field, bool value) => UInt64(field, value ? 1UL : 0UL);

    /// <summary>A bytes or string field; nothing when empty.</summary>
    public void Bytes(int field, scoped ReadOnlySpan<byte> value)
    {
        if (!value.IsEmpty)
        {
            Message(field, value);
        }
    }

    /// <summary>A message field: written even when empty.</summary>
    public void Message(int field, scoped ReadOnlySpan<byte> value)
    {
        MessageHead(field, value.Length);
        Raw(value);
    }

    /// <summary>Tag and length of a message whose body the caller writes next.</summary>
    public void MessageHead(int field, int bytes)
    {
        Varint(((uint)field << 3) | 2);
        Varint((ulong)bytes);
    }

    /// <summary>Bytes as they are.</summary>
    public void Raw(scoped ReadOnlySpan<byte> value)
    {
        value.CopyTo(_target[_at..]);
        _at += value.Length;
    }
}

/// <summary>Sizes of what <see cref="ProtoWriter"/> writes.</summary>
public static class ProtoSize
{
    /// <summary>Bytes of a bare varint: 1 to 10.</summary>
    public static int Varint(ulong value) => (70 - BitOperations.LeadingZeroCount(value | 1)) / 7;

    /// <summary>Bytes of a varint field; 0 when the value is zero.</summary>
    public static int UInt64(int field, ulong value) => value == 0 ? 0 : Tag(field) + Varint(value);

    /// <inheritdoc cref="UInt64"/>
    public static int Int64(int field, long value) => UInt64(field, (ulong)value);

    /// <inheritdoc cref="UInt64"/>
    public static int Bool(int field, bool value) => value ? Tag(field) + 1 : 0;

    /// <summary>Bytes of a bytes or string field; 0 when empty.</summary>
    public static int Bytes(int field, int length) => length == 0 ? 0 : Message(field, length);

    /// <summary>Bytes of a message field with its head.</summary>
    public static int Message(int field, int length) => Tag(field) + Varint((ulong)length) + length;

    private static int Tag(int field) => Varint((uint)field << 3);
}
