namespace Perf.Engine.Memory;

/// <summary>
/// Hands out small pieces of big slabs, for one thread. Each piece carries one reference on its slab, which its
/// receiver releases. Slabs start at 64 KiB and double up to 4 MiB while the writer stays busy.
/// </summary>
public sealed class SlabWriter : IDisposable
{
    public const int SlabBytesMin = 64 << 10;
    public const int SlabBytesMax = 4 << 20;

    private Slab? _slab;
    private int _used;
    private int _nextBytes = SlabBytesMin;

    /// <summary>A piece of exactly <paramref name="bytes"/>, 8-byte aligned, contents undefined.</summary>
    public Memory<byte> Allocate(int bytes, out Slab owner)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(bytes);
        if (bytes > SlabBytesMax / 2)
        {
            // Too large to share: its own slab, so that it does not pin a neighbour's.
            owner = Slab.Rent(bytes);
            return owner.Memory[..bytes];
        }

        if (_slab is null || _slab.Length - _used < bytes)
        {
            StartSlab(bytes);
        }

        owner = _slab!;
        owner.Retain();
        Memory<byte> piece = owner.Memory.Slice(_used, bytes);
        _used = Math.Min(owner.Length, (_used + bytes + 7) & ~7);
        return piece;
    }

    /// <summary>Lets go of the slab in use; pieces handed out stay good.</summary>
    public void Reset()
    {
        _slab?.Release();
        _slab = null;
        _used = 0;
        _nextBytes = SlabBytesMin;
    }

    /// <inheritdoc/>
    public void Dispose() => Reset();

    private void StartSlab(int bytes)
    {
        _slab?.Release();
        _slab = null;
        _slab = Slab.Rent(Math.Max(_nextBytes, bytes));
        _used = 0;
        _nextBytes = Math.Min(_nextBytes * 2, SlabBytesMax);
    }
}
