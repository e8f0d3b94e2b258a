namespace Perf.Node.Consensus;

/// <summary>
/// Request ids as etcd makes them (pkg/idutil): low 16 bits of the member id, 40 bits of unix milliseconds at start,
/// 8 bits of count, then plus one each. Unique over restarts unless more than 256 ids a millisecond were used up
/// before a restart. Any thread.
/// </summary>
public sealed class RequestIds(ulong memberId, DateTimeOffset now)
{
    private ulong _next = ((memberId & 0xFFFF) << 48) | (((ulong)now.ToUnixTimeMilliseconds() & 0xFF_FFFF_FFFF) << 8);

    /// <summary>The next id.</summary>
    public ulong Next() => Interlocked.Increment(ref _next);

    /// <summary>An id for a lease that the client left to us: positive.</summary>
    public long NextLease()
    {
        long id;
        do
        {
            id = (long)(Next() & 0x7FFF_FFFF_FFFF_FFFF);
        }
        while (id == 0);
        return id;
    }
}
