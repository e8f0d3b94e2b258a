using Perf.Node.Metrics;

namespace Perf.Node;

/// <summary>Figures for the metrics page.</summary>
public sealed partial class EtcdNode
{
    /// <summary>How long the log's syncs took.</summary>
    public Histogram WalSyncs => Pipeline.WalLoop.SyncTimes;

    /// <summary>How long commits of the data file took.</summary>
    public Histogram BackendCommits => Pipeline.CommitLoop.CommitTimes;

    /// <summary>Rounds of linearizable reads that had to be asked for again.</summary>
    public long SlowReadRounds => Pipeline.Reads.SlowRounds;

    /// <summary>Linearizable reads that were given up.</summary>
    public long FailedReads => Pipeline.Reads.Failed;

    /// <summary>Readers of the data file that are open.</summary>
    public int OpenDataReaders => State.Backend.File.OpenReaders;
}
