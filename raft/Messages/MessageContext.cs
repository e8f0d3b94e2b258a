using System.Buffers.Binary;
using System.Diagnostics.CodeAnalysis;
using System.Runtime.CompilerServices;

namespace Perf.Raft;

/// <summary>
/// The context of a message, held in place: 8 bytes of a read round, or etcd's word for a campaign by transfer
/// (16 bytes). Longer ones do not exist; the codec refuses them.
/// </summary>
public struct MessageContext : IEquatable<MessageContext>
{
    /// <summary>The longest context that is accepted.</summary>
    public const int BytesMax = 24;

    private Bytes _bytes;
    private byte _length;

    /// <summary>What a candidate says that campaigns because its leader told it to.</summary>
    public static MessageContext CampaignTransfer { get; } = From("CampaignTransfer"u8);

    public readonly int Length => _length;

    /// <summary>8 bytes, big-endian.</summary>
    public static MessageContext FromUInt64(ulong value)
    {
        MessageContext context = default;
        BinaryPrimitives.WriteUInt64BigEndian(context._bytes, value);
        context._length = sizeof(ulong);
        return context;
    }

    /// <summary>At most <see cref="BytesMax"/> bytes.</summary>
    public static MessageContext From(ReadOnlySpan<byte> source)
    {
        MessageContext context = default;
        source.CopyTo(context._bytes);
        context._length = (byte)source.Length;
        return context;
    }

    public readonly bool TryGetUInt64(out ulong value)
    {
        value = _length == sizeof(ulong) ? BinaryPrimitives.ReadUInt64BigEndian(_bytes) : 0;
        return _length == sizeof(ulong);
    }

    [UnscopedRef]
    public readonly ReadOnlySpan<byte> AsSpan() => ((ReadOnlySpan<byte>)_bytes)[.._length];

    public readonly bool Equals(MessageContext other) => AsSpan().SequenceEqual(other.AsSpan());

    /// <inheritdoc/>
    public override readonly bool Equals(object? obj) => obj is MessageContext other && Equals(other);

    /// <inheritdoc/>
    public override readonly int GetHashCode() => _length + BinaryPrimitives.ReadInt32BigEndian(_bytes);

    [InlineArray(BytesMax)]
    private struct Bytes
    {
        private byte _first;
    }
}
