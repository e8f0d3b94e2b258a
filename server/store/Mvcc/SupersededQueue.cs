using Perf.Engine;

namespace Perf.Store.Mvcc;

/// <summary>
/// What compaction will find work at, in revision order: each change that replaced an older version of its key, and
/// each tombstone. So compacting costs what was superseded, not what is stored. Chunked, so that growing never
/// copies. Apply thread only.
/// </summary>
internal sealed class SupersededQueue
{
    /// <summary>Large enough for the heap of large objects, which the collector does not move: what waits here lives long.</summary>
    private const int ChunkShift = 13;
    private const int ChunkItems = 1 << ChunkShift;

    private readonly List<Item[]> _chunks = [];
    private readonly Stack<Item[]> _idle = new();
    private int _head;
    private int _tail;

    public int Count => _tail - _head;

    /// <summary>Adds a change; revisions come in ascending order.</summary>
    public void Enqueue(long main, uint id)
    {
        if (_tail == _chunks.Count << ChunkShift)
        {
            _chunks.Add(_idle.TryPop(out Item[]? chunk) ? chunk : new Item[ChunkItems]);
        }
        _chunks[_tail >> ChunkShift][_tail & (ChunkItems - 1)] = new Item(main, id);
        _tail++;
    }

    /// <summary>The item so many places behind the head.</summary>
    public Item Peek(int offset)
    {
        Check.That(offset < Count);
        int at = _head + offset;
        return _chunks[at >> ChunkShift][at & (ChunkItems - 1)];
    }

    /// <summary>Drops the head.</summary>
    public void Dequeue()
    {
        Check.That(Count > 0);
        _head++;
        if (_head == ChunkItems * DropChunks)
        {
            // Whole chunks leave together, so that removing from the front of the list stays rare.
            for (int i = 0; i < DropChunks; i++)
            {
                if (_idle.Count < IdleChunksMax)
                {
                    _idle.Push(_chunks[i]);
                }
            }
            _chunks.RemoveRange(0, DropChunks);
            _head -= ChunkItems * DropChunks;
            _tail -= ChunkItems * DropChunks;
        }
    }

    private const int DropChunks = 2;

    /// <summary>Room kept for the next quarter of a million changes: 4 MiB.</summary>
    private const int IdleChunksMax = 32;

    /// <summary>A change at <paramref name="Main"/> of the key with that id.</summary>
    internal readonly record struct Item(long Main, uint Id);
}
