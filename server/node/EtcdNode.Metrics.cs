using Perf.Node.Metrics;

namespace Perf.Node;

/// <summary>Figures for the metrics page.</summary>
public sealed partial class EtcdNode
{
    private long _slowApplies;

    /// <summary>How long the log's syncs took.</summary>
    public Histogram WalSyncs => Pipeline.WalLoop.SyncTimes;

    /// <summary>How long commits of the data file took.</summary>
    public Histogram BackendCommits => Pipeline.CommitLoop.CommitTimes;

    /// <summary>How long entries took to apply.</summary>
    public ApplyTimes ApplyTimes => Pipeline.ApplyLoop.Times;

    /// <summary>Entries that took longer than --experimental-warning-apply-duration.</summary>
    public long SlowApplies => Volatile.Read(ref _slowApplies);

    /// <summary>Bytes of entries written to the log.</summary>
    public long WalBytes => Pipeline.WalLoop.WrittenBytes;

    /// <summary>How long defragmentations took.</summary>
    public Histogram DefragmentTimes { get; } = new(Histogram.Powers(0.1, 13));

    /// <summary>1 while the data file is defragmented.</summary>
    public int DefragmentsInFlight => _defragment.CurrentCount == 0 ? 1 : 0;

    /// <summary>How long images of the data file were being sent.</summary>
    public Histogram SnapshotTimes { get; } = new(Histogram.Powers(0.01, 17));

    /// <summary>How long hashes of the whole data file took.</summary>
    public Histogram HashTimes { get; } = new(Histogram.Powers(0.01, 15));

    /// <summary>How long hashes of the keys took.</summary>
    public Histogram HashRevisionTimes { get; } = new(Histogram.Powers(0.01, 15));

    /// <summary>How long compactions took.</summary>
    public Histogram CompactionTimes => _housekeeper.CompactionTimes;

    /// <summary>When the last compaction ended, in seconds of Unix; 0 when none has.</summary>
    public long CompactedAt => _housekeeper.CompactedAt;

    /// <summary>Rounds of linearizable reads that had to be asked for again.</summary>
    public long SlowReadRounds => Pipeline.Reads.SlowRounds;

    /// <summary>Linearizable reads that were given up.</summary>
    public long FailedReads => Pipeline.Reads.Failed;

    /// <summary>Readers of the data file that are open.</summary>
    public int OpenDataReaders => State.Backend.File.OpenReaders;
}
