namespace Perf.Simulation;

/// <summary>What is done to a cluster; a run of many seeds counts each kind and fails where one never happened.</summary>
internal enum Fault
{
    Crash,
    CrashAtDiskCall,
    Kill,
    SyncError,
    DiskError,
    DiskFull,
    BitFlip,
    LostWrite,
    MisdirectedWrite,
    Pause,
    ClockSkew,
    ClockJump,
    FullPartition,
    OneWayPartition,
    BridgePartition,
    LeaderCut,
    LateLines,
    Reset,
    Loss,
    Duplicate,
    StaleReplay,
    Reorder,
    LongDelay,
    SlowDisk,
    MemberAdded,
    LearnerAdded,
    LearnerPromoted,
    MemberRemoved,
    RemovalUnheard,
    MemberUpdated,
    MemberReplaced,
    LeaderMoved,
    SnapshotSent,
    SegmentCut,
    Compaction,
    Defragmentation,
    LeaseExpired,
    LeaseRevoked,
    AuthSwitched,
    RoleChanged,
    WatchClogged,
}

/// <summary>
/// A run's shape, drawn from its seed (a swarm: each run has some faults and lacks others, so that none hides
/// another). Times in microseconds.
/// </summary>
internal sealed class Plan
{
    public Plan(ulong seed)
    {
        var dice = new Dice(seed ^ 0x5157);
        Members = dice.Of(1, 3, 3, 3, 3, 5);
        Clients = (int)dice.Between(5, 8);
        ThinkMax = dice.Of(20, 200, 500) * VirtualTime.Millisecond;
        Keys = (int)dice.Between(2, 24);
        HotPercent = dice.Of(20, 40, 70);
        FaultTime = 60 * VirtualTime.Second;
        IsOrdered = dice.Percent(70);
        LossPercent = dice.Of(0, 0, 1, 5, 20);
        DuplicatePercent = dice.Of(0, 0, 1, 10);
        DelayMax = dice.Of(1, 5, 50) * VirtualTime.Millisecond;
        LongDelayPercent = dice.Of(0, 0, 1, 3);
        DiskMax = dice.Of(1, 1, 5, 20) * VirtualTime.Millisecond;
        SlowDiskPercent = dice.Of(0, 0, 1);
        CrashEvery = Often(dice, 5, 40);
        PauseEvery = Often(dice, 5, 40);
        CutEvery = Often(dice, 5, 40);
        SyncErrorEvery = Often(dice, 10, 60);
        SnapshotCount = dice.Of<ulong>(5, 30, 200, 100_000);
        CatchUpEntries = dice.Of<ulong>(1, 10, 100);
        SegmentBytes = dice.Of<long>(4 << 10, 16 << 10, 64 << 10, 1 << 20);
        CompactPercent = dice.Of(0, 1, 5);
        CompactionBatch = dice.Of(1, 7, 1000);
        TickSkewPercent = dice.Of(0, 0, 10);
        MessageBytesMax = dice.Of(1, 200, 1 << 20);
        InflightMax = dice.Of(1, 4, 512);
        CommittedBytesMax = dice.Of(1, 1000, 1 << 20);
        WindowBytes = dice.Of<long>(2 << 10, 64L << 20);
        PreVote = dice.Percent(80);
        Watchers = (int)dice.Between(1, 4);
        LeasePercent = dice.Of(0, 10, 20);
        AuthEvery = dice.Percent(60) ? 0 : dice.Between(300, 3_000) * VirtualTime.Millisecond;
        ChurnEvery = Often(dice, 3, 20);
        DamageEvery = Members < 3 ? 0 : Often(dice, 5, 30);
        DiskErrorEvery = Often(dice, 10, 40);
        DiskFullEvery = Often(dice, 10, 40);
        ClockJumpEvery = Often(dice, 5, 40);
        ResetEvery = Often(dice, 2, 20);
        DefragmentEvery = Often(dice, 3, 20);
        StaleReplayPercent = dice.Of(0, 0, 1, 5);
        LateEvery = Often(dice, 8, 40);
        LullEvery = Often(dice, 4, 20);
    }

    public int Members { get; }

    public int Clients { get; }

    public long ThinkMax { get; }

    public int Keys { get; }

    public long FaultTime { get; init; }

    public bool IsOrdered { get; }

    public int LossPercent { get; }

    public int DuplicatePercent { get; }

    public long DelayMax { get; }

    public int LongDelayPercent { get; }

    public long DiskMax { get; }

    public int SlowDiskPercent { get; }

    /// <summary>Mean time between two of them; 0: never.</summary>
    public long CrashEvery { get; }

    public long PauseEvery { get; }

    public long CutEvery { get; }

    public long SyncErrorEvery { get; }

    public ulong SnapshotCount { get; }

    public ulong CatchUpEntries { get; }

    public long SegmentBytes { get; }

    public int CompactPercent { get; }

    public int CompactionBatch { get; }

    public int TickSkewPercent { get; }

    public int MessageBytesMax { get; }

    public int InflightMax { get; }

    public int CommittedBytesMax { get; }

    public long WindowBytes { get; }

    public bool PreVote { get; }

    /// <summary>Share of requests that go to one key.</summary>
    public int HotPercent { get; }

    public int Watchers { get; }

    public int LeasePercent { get; }

    public long AuthEvery { get; }

    public long ChurnEvery { get; }

    public long DamageEvery { get; }

    public long DiskErrorEvery { get; }

    public long DiskFullEvery { get; }

    public long ClockJumpEvery { get; }

    public long ResetEvery { get; }

    public long DefragmentEvery { get; }

    public int StaleReplayPercent { get; }

    public long LateEvery { get; }

    public long LullEvery { get; }

    /// <inheritdoc/>
    public override string ToString() =>
        $"members={Members} clients={Clients} keys={Keys} think<={ThinkMax} ordered={IsOrdered} loss={LossPercent}%"
        + $" dup={DuplicatePercent}% delay<={DelayMax} disk<={DiskMax} crash={CrashEvery} pause={PauseEvery}"
        + $" cut={CutEvery} eio={SyncErrorEvery} snapshot={SnapshotCount}/{CatchUpEntries} segment={SegmentBytes}"
        + $" compact={CompactPercent}%/{CompactionBatch} message={MessageBytesMax} inflight={InflightMax} handed={CommittedBytesMax}"
        + $" window={WindowBytes} prevote={PreVote} watchers={Watchers} lease={LeasePercent}% auth={AuthEvery}"
        + $" churn={ChurnEvery} damage={DamageEvery} diskerror={DiskErrorEvery} full={DiskFullEvery}"
        + $" jump={ClockJumpEvery} reset={ResetEvery} defrag={DefragmentEvery} replay={StaleReplayPercent}%"
        + $" late={LateEvery} lull={LullEvery}";

    private static long Often(Dice dice, long low, long high) =>
        dice.Percent(40) ? 0 : dice.Between(low, high) * VirtualTime.Second;
}
