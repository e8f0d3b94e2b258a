using System.Text;

namespace Perf.Client;

/// <summary>
/// A key or a value: bytes, not text. Converts from <see cref="string"/> (as UTF-8), <c>byte[]</c> and
/// <see cref="ReadOnlyMemory{T}"/>; compares by content, in etcd's key order.
/// </summary>
public readonly struct Bytes : IEquatable<Bytes>, IComparable<Bytes>
{
    /// <summary>The empty byte string.</summary>
    public static readonly Bytes Empty;

    /// <summary>As a key: the smallest one. As a range end: "no upper bound".</summary>
    public static readonly Bytes Zero = new(new byte[1]);

    /// <summary>Wraps memory without copying; the caller must not change it afterwards.</summary>
    public Bytes(ReadOnlyMemory<byte> memory) => Memory = memory;

    /// <summary>The bytes themselves.</summary>
    public ReadOnlyMemory<byte> Memory { get; }

    /// <summary>The bytes themselves.</summary>
    public ReadOnlySpan<byte> Span => Memory.Span;

    /// <summary>Number of bytes.</summary>
    public int Length => Memory.Length;

    /// <summary>True when there are no bytes.</summary>
    public bool IsEmpty => Memory.IsEmpty;

    /// <summary>
    /// The end of the range of all keys that start with these bytes: the last byte below 0xff is raised by one and
    /// what follows is cut. When there is none (empty, or all 0xff) the range is open: <see cref="Zero"/>.
    /// </summary>
    public Bytes PrefixEnd()
    {
        byte[] end = Span.ToArray();
        for (int at = end.Length - 1; at >= 0; at--)
        {
            if (end[at] < 0xff)
            {
                end[at]++;
                return new Bytes(end.AsMemory(0, at + 1));
            }
        }

        return Zero;
    }

    /// <summary>The smallest key greater than this one.</summary>
    public Bytes Next()
    {
        byte[] next = new byte[Length + 1];
        Span.CopyTo(next);
        return new Bytes(next);
    }

    /// <inheritdoc/>
    public bool Equals(Bytes other) => Span.SequenceEqual(other.Span);

    /// <inheritdoc/>
    public override bool Equals(object? obj) => obj is Bytes other && Equals(other);

    /// <inheritdoc/>
    public override int GetHashCode()
    {
        var hash = new HashCode();
        hash.AddBytes(Span);
        return hash.ToHashCode();
    }

    /// <inheritdoc/>
    public int CompareTo(Bytes other) => Span.SequenceCompareTo(other.Span);

    /// <summary>The bytes read as UTF-8; what is not UTF-8 becomes U+FFFD.</summary>
    public override string ToString() => Encoding.UTF8.GetString(Span);

    /// <summary>The text's UTF-8.</summary>
    public static implicit operator Bytes(string text) => new(Encoding.UTF8.GetBytes(text));

    /// <summary>The array itself, not a copy: it must not be changed while it is in use.</summary>
    public static implicit operator Bytes(byte[] bytes) => new(bytes);

    /// <summary>The memory itself, not a copy.</summary>
    public static implicit operator Bytes(ReadOnlyMemory<byte> bytes) => new(bytes);

    public static bool operator ==(Bytes left, Bytes right) => left.Equals(right);

    public static bool operator !=(Bytes left, Bytes right) => !left.Equals(right);

    public static bool operator <(Bytes left, Bytes right) => left.CompareTo(right) < 0;

    public static bool operator <=(Bytes left, Bytes right) => left.CompareTo(right) <= 0;

    public static bool operator >(Bytes left, Bytes right) => left.CompareTo(right) > 0;

    public static bool operator >=(Bytes left, Bytes right) => left.CompareTo(right) >= 0;
}
