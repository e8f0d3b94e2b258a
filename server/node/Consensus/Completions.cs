using System.Collections.Concurrent;

namespace Perf.Node.Consensus;

/// <summary>Something whose asker is told on a pool thread.</summary>
public interface ICompletable
{
    /// <summary>Runs the asker's continuation on this thread.</summary>
    void Complete();
}

/// <summary>Put around a batch of askers' continuations, on their thread: what they send may leave together.</summary>
public interface ICompletionScope
{
    /// <summary>Before the first of a batch.</summary>
    void Begin();

    /// <summary>After the last.</summary>
    void End();
}

/// <summary>
/// Delivers finished work in batches: one pool work item runs many continuations, one after the other, so the loop
/// that finished them pays one hand-off a batch and never runs foreign code. For one producing thread.
/// </summary>
internal sealed class Completions(IWorkPool pool)
{
    /// <summary>
    /// Continuations per work item: enough to make the hand-off cheap, few enough that two cores share a large batch.
    /// </summary>
    private const int BatchMax = 64;

    private readonly ConcurrentQueue<Batch> _spare = new();
    private Batch? _open;

    /// <summary>Around each batch; null for none. Any thread.</summary>
    public ICompletionScope? Scope { get; set; }

    /// <summary>Adds to the open batch.</summary>
    public void Add(ICompletable item)
    {
        _open ??= _spare.TryDequeue(out Batch? spare) ? spare : new Batch(this);
        _open.Items[_open.Count++] = item;
        if (_open.Count == BatchMax)
        {
            Flush();
        }
    }

    /// <summary>Sends the open batch off.</summary>
    public void Flush()
    {
        if (_open is not null)
        {
            pool.Queue(_open);
            _open = null;
        }
    }

    private sealed class Batch(Completions owner) : IThreadPoolWorkItem
    {
        public ICompletable[] Items { get; } = new ICompletable[BatchMax];

        public int Count { get; set; }

        public void Execute()
        {
            // The same one at both ends, whoever sets another meanwhile.
            ICompletionScope? scope = owner.Scope;
            scope?.Begin();
            for (int i = 0; i < Count; i++)
            {
                ICompletable item = Items[i];
                Items[i] = null!;
                item.Complete();
            }

            Count = 0;
            scope?.End();
            owner._spare.Enqueue(this);
        }
    }
}
