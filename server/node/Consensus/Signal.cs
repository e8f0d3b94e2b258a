namespace Perf.Node.Consensus;

/// <summary>
/// Wakes one sleeping loop thread. Any thread may <see cref="Set"/>; one thread waits. A set that comes while the
/// waiter is awake is remembered once. While the waiter sleeps, another thread may hold it in its sleep and do its
/// work in its place (see <see cref="Shortcut"/>): this lock is what makes one of them the owner of the loop's state.
/// </summary>
public sealed class Signal
{
    private readonly object _gate = new();
    private int _state;
    private bool _sleeps;
    private bool _held;

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
            if (!_held)
            {
                Monitor.Pulse(_gate);
            }
        }
    }

    /// <summary>Waits for a mark and clears it.</summary>
    public void Wait()
    {
        lock (_gate)
        {
            _sleeps = true;
            while (_state == 0 || _held)
            {
                Monitor.Wait(_gate);
            }

            _sleeps = false;
            _state = 0;
        }
    }

    /// <summary>Keeps a waiter that sleeps, with nothing marked, asleep until <see cref="Release"/>; else false.</summary>
    public bool TryHold()
    {
        lock (_gate)
        {
            if (!_sleeps || _held || _state == 1)
            {
                return false;
            }

            _held = true;
            return true;
        }
    }

    /// <summary>The holder, before it looks for work: marks from here on are for work that it may not have seen.</summary>
    public void Clear()
    {
        lock (_gate)
        {
            _state = 0;
        }
    }

    /// <summary>The holder is done: the waiter wakes up if there is a mark.</summary>
    public void Release()
    {
        lock (_gate)
        {
            _held = false;
            if (_state == 1)
            {
                Monitor.Pulse(_gate);
            }
        }
    }
}
