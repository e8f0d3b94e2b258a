using System.Collections.Concurrent;
using Perf.Store;

namespace Perf.Node.Consensus;

/// <summary>
/// Requests that wait for their entry to be applied, found by request id. Ids are handed out in sequence, so a ring
/// addressed by the id's low bits serves: a slot is taken by the asker and cleared by whoever completes the request
/// (apply, time-out, shutdown); the exchange decides who that is. Any thread, no allocation when warm.
/// </summary>
public sealed class PendingTable
{
    /// <summary>Requests that may be under way at once on one member; above it the asker is refused.</summary>
    public const int Capacity = 1 << 16;

    /// <summary>
    /// With so many under way more gain nothing: the log and the apply loop take what is there in batches long since. Whoever
    /// can leave requests with their clients does.
    /// </summary>
    public const int CrowdedAt = 1024;

    /// <summary>Then more are wanted, before there are none.</summary>
    public const int EasedAt = 512;

    /// <summary>
    /// Objects kept for reuse: a tenth of a second at a hundred thousand a second, since what waits behind a slow disk must
    /// not be new as well (a collection follows, then another queue).
    /// </summary>
    public const int KeptMax = 1 << 14;

    private readonly IWorkPool _workers;
    private readonly PendingRequest?[] _slots = new PendingRequest?[Capacity];
    private readonly ConcurrentQueue<PendingRequest> _pool = new();
    private int _count;
    private long _expired;

    internal PendingTable(IWorkPool workers)
    {
        _workers = workers;
    }

    /// <summary>Requests under way.</summary>
    public int Count => Volatile.Read(ref _count);

    /// <summary>Called each time the requests under way have fallen to <see cref="EasedAt"/>, by whoever completes them: be short.</summary>
    public Action? Eased { get; set; }

    /// <summary>Requests given up. Any thread.</summary>
    public long Expired => Volatile.Read(ref _expired);

    /// <summary>Registers a request; null when the table is full around this id.</summary>
    public PendingRequest? TryRegister(ulong id, long deadlineTicks)
    {
        PendingRequest request = Rent();
        request.Id = id;
        request.DeadlineTicks = deadlineTicks;
        if (Interlocked.CompareExchange(ref _slots[id & (Capacity - 1)], request, null) is not null)
        {
            Return(request);
            return null;
        }

        Interlocked.Increment(ref _count);
        return request;
    }

    /// <summary>True while somebody waits for this id (so that an answer is worth encoding).</summary>
    public PendingRequest? Peek(ulong id)
    {
        PendingRequest? request = Volatile.Read(ref _slots[id & (Capacity - 1)]);
        return request is not null && request.Id == id ? request : null;
    }

    /// <summary>Takes the right to complete the request; null when there is none or another was first.</summary>
    public PendingRequest? TryTake(ulong id)
    {
        ref PendingRequest? slot = ref _slots[id & (Capacity - 1)];
        PendingRequest? request = Volatile.Read(ref slot);
        if (request is null || request.Id != id
            || !ReferenceEquals(Interlocked.CompareExchange(ref slot, null, request), request))
        {
            return null;
        }

        if (request.Id != id)
        {
            // Between the look and the exchange the object went round the pool and came back under an id that is a
            // whole table ahead. It is not ours: give it its slot back.
            Volatile.Write(ref slot, request);
            return null;
        }

        if (Interlocked.Decrement(ref _count) == EasedAt)
        {
            Eased?.Invoke();
        }

        return request;
    }

    /// <summary>Completes everything whose deadline has passed (or everything) with an error.</summary>
    public void Expire(long nowTicks, StoreError error)
    {
        if (Count == 0)
        {
            return;
        }

        for (int i = 0; i < Capacity; i++)
        {
            PendingRequest? request = Volatile.Read(ref _slots[i]);
            if (request is null || request.DeadlineTicks > nowTicks)
            {
                continue;
            }

            PendingRequest? taken = TryTake(request.Id);
            if (taken is not null)
            {
                taken.Buffer.Clear();
                taken.Error = error;
                Interlocked.Increment(ref _expired);
                _workers.Queue(taken);
            }
        }
    }

    /// <summary>A request that is refused before it began: finished already.</summary>
    internal PendingRequest Refused(StoreError error)
    {
        PendingRequest request = Rent();
        request.Error = error;
        request.Complete();
        return request;
    }

    internal void Return(PendingRequest request)
    {
        request.Reset();
        if (_pool.Count < KeptMax)
        {
            _pool.Enqueue(request);
        }
    }

    private PendingRequest Rent() => _pool.TryDequeue(out PendingRequest? request) ? request : new PendingRequest(this);
}
