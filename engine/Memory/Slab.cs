using System.Buffers;
using System.Numerics;
using System.Runtime.InteropServices;

namespace Perf.Engine.Memory;

/// <summary>
/// A block of unmanaged memory with one reference count. Whoever hands a slice to another thread retains first; the
/// last release returns the block to its pool. Slices travel as <see cref="Memory{T}"/>. Thread-safe. There is no
/// finalizer: a forgotten reference is a leak, and <see cref="Outstanding"/> shows it.
/// </summary>
public sealed unsafe class Slab : MemoryManager<byte>
{
    /// <summary>Blocks of at most this size are kept for the next renter.</summary>
    internal const int PooledBytesMax = 16 << 20;

    private const int SmallestShift = 12;

    /// <summary>Per size class: enough for the working set of one server, small beside its memory goal.</summary>
    private const long KeptBytesMaxPerClass = 32 << 20;

    private const byte Poison = 0xDD;

    private static readonly Shelf[] Shelves = MakeShelves();
    private static long s_outstanding;

    private readonly byte* _start;
    private readonly Shelf? _shelf;
    private int _references;

    private Slab(int bytes, Shelf? shelf)
    {
        Length = bytes;
        _shelf = shelf;
        _start = (byte*)NativeMemory.AlignedAlloc((nuint)bytes, 64);
    }

    /// <summary>Slabs rented and not yet back. Tests and shutdown expect zero.</summary>
    public static long Outstanding => Interlocked.Read(ref s_outstanding);

    /// <summary>Bytes in the block: at least what was asked for (the size class).</summary>
    public int Length { get; }

    /// <summary>The whole block.</summary>
    public Span<byte> Span => GetSpan();

    /// <summary>
    /// A block of at least <paramref name="bytes"/> with one reference, contents undefined. Allocates nothing when
    /// the pool has one.
    /// </summary>
    public static Slab Rent(int bytes)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(bytes);
        Interlocked.Increment(ref s_outstanding);
        if (bytes > PooledBytesMax)
        {
            return new Slab(bytes, null) { _references = 1 };
        }

        int shift = Math.Max(SmallestShift, BitOperations.Log2((uint)Math.Max(bytes, 1) * 2 - 1));
        Shelf shelf = Shelves[shift - SmallestShift];
        Slab slab = shelf.Take() ?? new Slab(1 << shift, shelf);
        slab._references = 1;
        return slab;
    }

    /// <summary>One more user.</summary>
    public void Retain()
    {
        int before = Interlocked.Increment(ref _references) - 1;
        Check.That(before > 0);
    }

    /// <summary>One user less; the last one gives the block back and must not touch it any more.</summary>
    public void Release()
    {
        int after = Interlocked.Decrement(ref _references);
        Check.That(after >= 0);
        if (after > 0)
        {
            return;
        }

        Interlocked.Decrement(ref s_outstanding);
        PoisonInDebug();
        if (_shelf is null || !_shelf.Put(this))
        {
            // SAFETY: the last reference is gone and no shelf holds the block, so this is reached once.
            NativeMemory.AlignedFree(_start);
        }
    }

    /// <inheritdoc/>
    public override Span<byte> GetSpan()
    {
        Check.That(Volatile.Read(ref _references) > 0);

        // SAFETY: _start has Length bytes from the constructor on, and they are freed only after the last release,
        // before which the reference count checked above is positive.
        return new Span<byte>(_start, Length);
    }

    /// <inheritdoc/>
    public override MemoryHandle Pin(int elementIndex = 0)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThan((uint)elementIndex, (uint)Length);

        // SAFETY: unmanaged memory never moves; the index is inside the block.
        return new MemoryHandle(_start + elementIndex);
    }

    /// <inheritdoc/>
    public override void Unpin()
    {
    }

    /// <inheritdoc/>
    protected override void Dispose(bool disposing)
    {
        if (disposing)
        {
            Release();
        }
    }

    [System.Diagnostics.Conditional("DEBUG")]
    private void PoisonInDebug() => new Span<byte>(_start, Length).Fill(Poison);

    private static Shelf[] MakeShelves()
    {
        int classes = BitOperations.Log2(PooledBytesMax) - SmallestShift + 1;
        var shelves = new Shelf[classes];
        for (int i = 0; i < classes; i++)
        {
            shelves[i] = new Shelf((int)(KeptBytesMaxPerClass >> (i + SmallestShift)));
        }

        return shelves;
    }

    /// <summary>The idle blocks of one size.</summary>
    private sealed class Shelf(int slabsMax)
    {
        private readonly Slab[] _idle = new Slab[slabsMax];
        private readonly Lock _lock = new();
        private int _count;

        public Slab? Take()
        {
            lock (_lock)
            {
                return _count == 0 ? null : _idle[--_count];
            }
        }

        public bool Put(Slab slab)
        {
            lock (_lock)
            {
                if (_count == _idle.Length)
                {
                    return false;
                }

                _idle[_count++] = slab;
                return true;
            }
        }
    }
}
