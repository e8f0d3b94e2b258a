namespace Perf.Node.Consensus;

/// <summary>
/// Many producers, one consumer. Items are taken in whole batches by exchanging two lists, so a busy queue costs one
/// lock per item in and one per batch out, and allocates nothing once its lists have grown. Bounded by count.
/// </summary>
public sealed class EventQueue<T>(Signal signal, int capacity)
{
    private readonly object _gate = new();
    private T[] _filling = new T[256];
    private T[] _draining = new T[256];
    private int _count;

    /// <summary>Items waiting; a snapshot, any thread.</summary>
    public int Count => Volatile.Read(ref _count);

    /// <summary>Adds an item and wakes the consumer; false when the queue is full.</summary>
    public bool TryAdd(in T item)
    {
        if (!TryAddQuietly(item))
        {
            return false;
        }

        signal.Set();
        return true;
    }

    /// <summary>The same without waking the consumer: <see cref="Wake"/> follows, or the caller consumes itself.</summary>
    public bool TryAddQuietly(in T item)
    {
        lock (_gate)
        {
            if (_count >= capacity)
            {
                return false;
            }

            AppendLocked(item);
        }

        return true;
    }

    /// <summary>Wakes the consumer.</summary>
    public void Wake() => signal.Set();

    /// <summary>Adds an item that must not be refused (acknowledgements, control), whatever the bound.</summary>
    public void Add(in T item)
    {
        lock (_gate)
        {
            AppendLocked(item);
        }

        signal.Set();
    }

    /// <summary>Adds several items under one lock, whatever the bound.</summary>
    public void AddRange(ReadOnlySpan<T> items)
    {
        if (items.IsEmpty)
        {
            return;
        }

        lock (_gate)
        {
            foreach (ref readonly T item in items)
            {
                AppendLocked(item);
            }
        }

        signal.Set();
    }

    /// <summary>
    /// Takes everything that waits. The span is good until the next call; the consumer clears references it holds.
    /// </summary>
    public Span<T> Take()
    {
        lock (_gate)
        {
            int count = _count;
            (_filling, _draining) = (_draining, _filling);
            _count = 0;
            return _draining.AsSpan(0, count);
        }
    }

    private void AppendLocked(in T item)
    {
        if (_count == _filling.Length)
        {
            Array.Resize(ref _filling, _filling.Length * 2);
        }

        _filling[_count++] = item;
    }
}
