namespace Perf.Node.Consensus;

/// <summary>
/// Wakes one sleeping loop thread. Any thread may <see cref="Set"/>; one thread waits. A set that comes while the
/// waiter is awake is remembered once. While the waiter sleeps, another thread may hold it in its sleep and do its
/// work in its place (see <see cref="Shortcut"/>): the state below is what makes one of them the owner of the loop's
/// own. One word that all change by compare-and-exchange, and a futex on it: a monitor costs several system calls for
/// each wake-up, and every write has two of those.
/// </summary>
public sealed class Signal
{
    private const int Awake = 0;
    private const int Marked = 1;
    private const int Asleep = 2;
    private const int Held = 3;
    private const int HeldAndMarked = 4;

    private readonly FutexWord _state = new();

    /// <summary>
    /// Marks work. The producer has made the work visible under a lock before, whose release is a full fence, so the
    /// look below cannot run ahead of it.
    /// </summary>
    public void Set()
    {
        while (true)
        {
            int state = _state.Value;
            if (state is Marked or HeldAndMarked)
            {
                return;
            }

            if (_state.TryChange(state, state == Held ? HeldAndMarked : Marked))
            {
                if (state == Asleep)
                {
                    _state.Wake();
                }

                return;
            }
        }
    }

    /// <summary>Waits for a mark and clears it.</summary>
    public void Wait()
    {
        while (true)
        {
            int state = _state.Value;
            switch (state)
            {
                case Marked:
                    if (_state.TryChange(Marked, Awake))
                    {
                        return;
                    }

                    break;
                case Awake:
                    _state.TryChange(Awake, Asleep);
                    break;
                default:
                    _state.WaitWhile(state);
                    break;
            }
        }
    }

    /// <summary>Keeps a waiter that sleeps, with nothing marked, asleep until <see cref="Release"/>; else false.</summary>
    public bool TryHold() => _state.TryChange(Asleep, Held);

    /// <summary>The holder, before it looks for work: marks from here on are for work that it may not have seen.</summary>
    public void Clear() => _state.TryChange(HeldAndMarked, Held);

    /// <summary>The holder is done: the waiter wakes up if there is a mark.</summary>
    public void Release()
    {
        if (!_state.TryChange(Held, Asleep))
        {
            _state.TryChange(HeldAndMarked, Marked);
            _state.Wake();
        }
    }
}
