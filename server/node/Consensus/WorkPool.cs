namespace Perf.Node.Consensus;

/// <summary>Takes work that must not run on a loop: the thread pool here, a queue by hand in the simulation.</summary>
internal interface IWorkPool
{
    /// <summary>Has the item executed soon, elsewhere. Any thread.</summary>
    void Queue(IThreadPoolWorkItem item);

    /// <summary>The same for what is not on a hot path.</summary>
    void Queue(Action work) => Queue(new Job(work));

    private sealed class Job(Action work) : IThreadPoolWorkItem
    {
        public void Execute() => work();
    }
}

/// <summary>The thread pool of the process.</summary>
internal sealed class ProcessPool : IWorkPool
{
    /// <inheritdoc/>
    public void Queue(IThreadPoolWorkItem item) => ThreadPool.UnsafeQueueUserWorkItem(item, preferLocal: false);
}
