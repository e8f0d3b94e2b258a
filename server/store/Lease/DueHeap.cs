namespace Perf.Store.Lease;

/// <summary>Which due time and which place a heap uses of a lease.</summary>
internal interface IDueSlot
{
    static abstract long Due(LeaseEntry lease);

    static abstract int Position(LeaseEntry lease);

    static abstract void SetPosition(LeaseEntry lease, int position);
}

/// <summary>The heap of expiries.</summary>
internal readonly struct ExpirySlot : IDueSlot
{
    public static long Due(LeaseEntry lease) => lease.ExpiryDueTicks;

    public static int Position(LeaseEntry lease) => lease.ExpiryPosition;

    public static void SetPosition(LeaseEntry lease, int position) => lease.ExpiryPosition = position;
}

/// <summary>The heap of checkpoints.</summary>
internal readonly struct CheckpointSlot : IDueSlot
{
    public static long Due(LeaseEntry lease) => lease.CheckpointDueTicks;

    public static int Position(LeaseEntry lease) => lease.CheckpointPosition;

    public static void SetPosition(LeaseEntry lease, int position) => lease.CheckpointPosition = position;
}

/// <summary>
/// Leases by (due, id), the earliest first; a lease knows its place, so that a renewal moves it instead of leaving
/// a stale entry behind. The id breaks ties: the order depends on nothing else.
/// </summary>
internal sealed class DueHeap<TSlot>
    where TSlot : struct, IDueSlot
{
    private LeaseEntry?[] _items = new LeaseEntry?[16];

    public int Count { get; private set; }

    /// <summary>The lease that is due first. The heap must not be empty.</summary>
    public LeaseEntry Min => _items[0]!;

    /// <summary>Puts the lease in, or to its new place after its due time has changed.</summary>
    public void AddOrMove(LeaseEntry lease)
    {
        int at = TSlot.Position(lease);
        if (at < 0)
        {
            if (Count == _items.Length)
            {
                Array.Resize(ref _items, Count * 2);
            }
            at = Count++;
            Place(lease, at);
        }
        if (!Rise(lease, at))
        {
            Sink(lease, at);
        }
    }

    /// <summary>Takes the lease out; nothing when it is not in.</summary>
    public void Remove(LeaseEntry lease)
    {
        int at = TSlot.Position(lease);
        if (at < 0)
        {
            return;
        }
        TSlot.SetPosition(lease, -1);
        LeaseEntry last = _items[--Count]!;
        _items[Count] = null;
        if (ReferenceEquals(last, lease))
        {
            return;
        }
        Place(last, at);
        if (!Rise(last, at))
        {
            Sink(last, at);
        }
    }

    public void Clear()
    {
        for (int i = 0; i < Count; i++)
        {
            TSlot.SetPosition(_items[i]!, -1);
        }
        _items = new LeaseEntry?[16];
        Count = 0;
    }

    private static bool IsBefore(LeaseEntry x, LeaseEntry y)
    {
        long xDue = TSlot.Due(x);
        long yDue = TSlot.Due(y);
        return xDue < yDue || (xDue == yDue && x.Id < y.Id);
    }

    private void Place(LeaseEntry lease, int at)
    {
        _items[at] = lease;
        TSlot.SetPosition(lease, at);
    }

    private bool Rise(LeaseEntry lease, int at)
    {
        int start = at;
        while (at > 0)
        {
            int parent = (at - 1) / 2;
            if (!IsBefore(lease, _items[parent]!))
            {
                break;
            }
            Place(_items[parent]!, at);
            at = parent;
        }
        Place(lease, at);
        return at != start;
    }

    private void Sink(LeaseEntry lease, int at)
    {
        while (true)
        {
            int child = 2 * at + 1;
            if (child >= Count)
            {
                break;
            }
            if (child + 1 < Count && IsBefore(_items[child + 1]!, _items[child]!))
            {
                child++;
            }
            if (!IsBefore(_items[child]!, lease))
            {
                break;
            }
            Place(_items[child]!, at);
            at = child;
        }
        Place(lease, at);
    }
}
