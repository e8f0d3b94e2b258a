using System.Buffers;
using Perf.Engine;
using Perf.Store.Backend;

namespace Perf.Store.Mvcc;

/// <summary>
/// Records that a compaction has taken out of the index and that have yet to leave the file. They are found in the order in
/// which they were superseded, which is any order of the file: deleted like that, each commit would rewrite nearly
/// all of its pages. So they are gathered, in sorted runs, and given out in the order of the file. Apply thread only.
/// </summary>
internal sealed class PendingDeletions
{
    /// <summary>A quarter MiB of deletions: sorting them takes the apply thread less than a millisecond.</summary>
    private const int RunCount = 1 << 14;

    /// <summary>16 MiB: as many as a pass over the file is worth.</summary>
    private const int CountMax = 1 << 20;

    private readonly List<Run> _runs = [];
    private readonly PriorityQueue<int, RecordTable.Deletion> _heads = new();
    private int _count;

    /// <summary>Time to give them out: a further pass over the file costs less than more memory.</summary>
    public bool IsFull => _count >= CountMax;

    /// <summary>They are being given out; <see cref="Add"/> waits until none is left.</summary>
    public bool IsLeaving { get; private set; }

    /// <summary>Takes one in.</summary>
    public void Add(long main, int sub, bool isTombstone)
    {
        Check.That(!IsLeaving);
        if (_runs.Count == 0 || _runs[^1].Count == RunCount)
        {
            _runs.Add(new Run(ArrayPool<RecordTable.Deletion>.Shared.Rent(RunCount)));
        }

        Run run = _runs[^1];
        run.Items[run.Count++] = new RecordTable.Deletion(main, sub, isTombstone);
        _count++;
        if (run.Count == RunCount)
        {
            run.Sort();
        }
    }

    /// <summary>From here on they are given out.</summary>
    public void Leave()
    {
        Check.That(!IsLeaving);
        if (_count == 0)
        {
            return;
        }

        IsLeaving = true;
        if (_runs[^1].Count < RunCount)
        {
            _runs[^1].Sort();
        }

        for (int i = 0; i < _runs.Count; i++)
        {
            _heads.Enqueue(i, _runs[i].Items[0]);
        }
    }

    /// <summary>The next one in the order of the file.</summary>
    public RecordTable.Deletion Take()
    {
        Check.That(IsLeaving);
        Run run = _runs[_heads.Peek()];
        RecordTable.Deletion first = run.Items[run.At++];
        if (run.At < run.Count)
        {
            _heads.DequeueEnqueue(_heads.Peek(), run.Items[run.At]);
        }
        else
        {
            _heads.Dequeue();
        }

        if (--_count == 0)
        {
            Clear();
        }

        return first;
    }

    /// <summary>Forgets all.</summary>
    public void Clear()
    {
        foreach (Run run in _runs)
        {
            ArrayPool<RecordTable.Deletion>.Shared.Return(run.Items);
        }

        _runs.Clear();
        _heads.Clear();
        _count = 0;
        IsLeaving = false;
    }

    /// <summary>Deletions in ascending order, once it is full or leaving.</summary>
    private sealed class Run(RecordTable.Deletion[] items)
    {
        public RecordTable.Deletion[] Items { get; } = items;

        public int Count { get; set; }

        public int At { get; set; }

        public void Sort() => Items.AsSpan(0, Count).Sort();
    }
}
