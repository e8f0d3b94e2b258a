using Perf.Engine.Memory;
using Perf.Raft;

namespace Perf.Node.Consensus;

/// <summary>Ties the life of entries to the slab they lie in. One object a slab, whatever the number of entries.</summary>
internal sealed class EntrySlab(Slab slab) : IEntryLease
{
    /// <inheritdoc/>
    public void Retain() => slab.Retain();

    /// <inheritdoc/>
    public void Release() => slab.Release();
}

/// <summary>
/// Hands out room for entries from slabs, bumping a pointer. For one thread: threads that take requests from clients
/// use <see cref="ForThread"/>. Each piece carries one reference, which its holder releases.
/// </summary>
internal sealed class EntryMemory : IEntryBuffers
{
    /// <summary>
    /// Large enough that the lease object of a slab vanishes in the noise, small enough that a slab kept alive by
    /// one slow follower's entry does not hurt.
    /// </summary>
    private const int SlabBytes = 256 * 1024;

    [ThreadStatic]
    private static EntryMemory? t_forThread;

    private Slab? _slab;
    private EntrySlab? _lease;
    private int _used;

    /// <summary>The allocator of the calling thread.</summary>
    public static EntryMemory ForThread => t_forThread ??= new EntryMemory();

    ~EntryMemory() => _slab?.Release();

    /// <inheritdoc/>
    public Memory<byte> Rent(int bytes, out IEntryLease? lease)
    {
        if (bytes > SlabBytes / 4)
        {
            // A large entry gets a slab of its own, so that it does not keep small neighbours alive.
            Slab own = Slab.Rent(bytes);
            lease = new EntrySlab(own);
            return own.Memory[..bytes];
        }

        if (_slab is null || _slab.Length - _used < bytes)
        {
            _slab?.Release();
            _slab = Slab.Rent(SlabBytes);
            _lease = new EntrySlab(_slab);
            _used = 0;
        }

        _slab.Retain();
        lease = _lease;
        Memory<byte> piece = _slab.Memory.Slice(_used, bytes);
        _used += (bytes + 7) & ~7;
        return piece;
    }
}
