namespace Perf.Node.Consensus;

/// <summary>
/// Which loops share a thread, expressed by the signals they sleep on: loops with the same signal are turned by the
/// same thread. What no loop may run goes to the pool.
/// </summary>
public sealed class Topology
{
    private Topology(Signal core, Signal wal, Signal apply, Signal commit, IWorkPool pool)
    {
        Core = core;
        Wal = wal;
        Apply = apply;
        Commit = commit;
        Pool = pool;
    }

    public Signal Core { get; }

    public Signal Wal { get; }

    public Signal Apply { get; }

    public Signal Commit { get; }

    internal IWorkPool Pool { get; }

    /// <summary>
    /// Few processors: core and apply share a thread, which saves a wake-up per request; more: one thread each.
    /// Log and committer always have their own, since they block in the kernel.
    /// </summary>
    public static Topology For(int processors)
    {
        var core = new Signal();
        return new Topology(core, new Signal(), processors <= 4 ? core : new Signal(), new Signal(), new ProcessPool());
    }

    /// <summary>Everything on one signal: the simulation turns the loops itself, and the pool.</summary>
    internal static Topology Single(IWorkPool pool)
    {
        var signal = new Signal();
        return new Topology(signal, signal, signal, signal, pool);
    }
}
