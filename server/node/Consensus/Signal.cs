namespace Perf.Node.Consensus;

/// <summary>
/// Wakes one sleeping loop thread. Any thread may <see cref="Set"/>; one thread waits. A set that comes while the
/// waiter is awake is remembered once.
/// </summary>
public sealed class Signal
{
    private readonly object _gate = new();
    private int _state;

    /// <summary>
    /// Marks work. The producer has made the work visible under a lock before, whose release is a full fence, so the
    /// unlocked look below cannot run ahead of it.
    /// </summary>
    public void Set()
    {
        if (Volatile.Read(ref _state) == 1)
        {
            return;
        }

        lock (_gate)
        {
            _state = 1;
            Monitor.Pulse(_gate);
        }
    }

    /// <summary>Waits for a mark, at most <paramref name="milliseconds"/> (-1: for ever), and clears it.</summary>
    public bool Wait(int milliseconds)
    {
        lock (_gate)
        {
            if (_state == 0)
            {
                Monitor.Wait(_gate, milliseconds);
            }

            bool marked = _state == 1;
            _state = 0;
            return marked;
        }
    }
}
