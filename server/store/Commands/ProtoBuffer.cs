using System.Buffers;

namespace Perf.Store.Commands;

/// <summary>
/// A growing buffer for messages whose nested lengths are not known beforehand. Reused: it keeps the largest array
/// it ever needed. One thread at a time.
/// </summary>
public sealed class ProtoBuffer : IBufferWriter<byte>
{
    private byte[] _bytes;
    private int _count;

    public ProtoBuffer(int capacity = 1024)
    {
        _bytes = new byte[capacity];
    }

    /// <summary>What was written; good until the next write or <see cref="Clear"/>.</summary>
    public ReadOnlySpan<byte> Written => _bytes.AsSpan(0, _count);

    /// <inheritdoc cref="Written"/>
    public ReadOnlyMemory<byte> WrittenMemory => _bytes.AsMemory(0, _count);

    /// <summary>Bytes written.</summary>
    public int Count => _count;

    /// <summary>Forgets what was written.</summary>
    public void Clear() => _count = 0;

    /// <summary>Forgets what was written after <paramref name="count"/> bytes.</summary>
    public void Truncate(int count) => _count = count;

    /// <inheritdoc/>
    public void Advance(int count) => _count += count;

    /// <inheritdoc/>
    public Memory<byte> GetMemory(int sizeHint = 0)
    {
        Reserve(Math.Max(sizeHint, 1));
        return _bytes.AsMemory(_count);
    }

    /// <inheritdoc/>
    public Span<byte> GetSpan(int sizeHint = 0)
    {
        Reserve(Math.Max(sizeHint, 1));
        return _bytes.AsSpan(_count);
    }

    /// <summary>A response header as field 1.</summary>
    public void Header(in ResponseHeader header) => header.WriteField(this);

    /// <summary>Begins a message field; give the answer to <see cref="EndMessage"/>.</summary>
    public int BeginMessage(int field)
    {
        Reserve(12);
        var writer = new ProtoWriter(_bytes.AsSpan(_count));
        writer.Varint(((uint)field << 3) | 2);
        _count += writer.Position + 1;
        return _count;
    }

    /// <summary>Ends the message that began at <paramref name="start"/>: its length goes in front of it.</summary>
    public void EndMessage(int start)
    {
        int length = _count - start;
        int lengthBytes = ProtoSize.Varint((ulong)length);
        if (lengthBytes > 1)
        {
            // One byte was set aside; most nested messages need no more.
            Reserve(lengthBytes);
            _bytes.AsSpan(start, length).CopyTo(_bytes.AsSpan(start + lengthBytes - 1));
            _count += lengthBytes - 1;
        }
        var writer = new ProtoWriter(_bytes.AsSpan(start - 1));
        writer.Varint((ulong)length);
    }

    /// <summary>A varint field; nothing when zero.</summary>
    public void UInt64(int field, ulong value)
    {
        Reserve(20);
        var writer = new ProtoWriter(_bytes.AsSpan(_count));
        writer.UInt64(field, value);
        _count += writer.Position;
    }

    /// <inheritdoc cref="UInt64"/>
    public void Int64(int field, long value) => UInt64(field, (ulong)value);

    /// <inheritdoc cref="UInt64"/>
    public void Bool(int field, bool value) => UInt64(field, value ? 1UL : 0UL);

    /// <summary>A bytes or string field; nothing when empty.</summary>
    public void Bytes(int field, ReadOnlySpan<byte> value)
    {
        if (!value.IsEmpty)
        {
            Message(field, value);
        }
    }

    /// <summary>A message field: written even when empty.</summary>
    public void Message(int field, ReadOnlySpan<byte> value)
    {
        Reserve(value.Length + 20);
        var writer = new ProtoWriter(_bytes.AsSpan(_count));
        writer.Message(field, value);
        _count += writer.Position;
    }

    private void Reserve(int bytes)
    {
        if (_bytes.Length - _count < bytes)
        {
            Array.Resize(ref _bytes, Math.Max(_count + bytes, _bytes.Length * 2));
        }
    }
}
