namespace Perf.Raft;

public sealed partial class RaftCore
{
    public RaftCore(RaftConfig config, RestoredState restored) => throw new NotImplementedException();
    public ulong Id => throw new NotImplementedException();
    public RaftRole Role => throw new NotImplementedException();
    public ulong Term => throw new NotImplementedException();
    public ulong Leader => throw new NotImplementedException();
    public ulong Commit => throw new NotImplementedException();
    public ulong Applied => throw new NotImplementedException();
    public ulong FirstIndex => throw new NotImplementedException();
    public ulong LastIndex => throw new NotImplementedException();
    public ConfState ConfState => throw new NotImplementedException();
    /// <summary>True when <see cref="TakeReady"/> would bring something.</summary>
    public bool HasReady => throw new NotImplementedException();
    /// <summary>Moves everything that is to be done into <paramref name="target"/>.</summary>
    public void TakeReady(Ready target) => throw new NotImplementedException();
    /// <summary>One tick of the owner's clock (etcd: 100 ms).</summary>
    public void Tick() => throw new NotImplementedException();
    /// <summary>Starts an election now, if this member may.</summary>
    public void Campaign() => throw new NotImplementedException();
    /// <summary>Proposes. The payload begins at payloadOffset of buffer, at least EntryCodec.HeadroomBytes; retained if kept.</summary>
    public ProposeOutcome Propose(EntryType type, Memory<byte> buffer, int payloadOffset, IEntryLease? lease) => throw new NotImplementedException();
    /// <summary>A message from a peer. What the core keeps of its entries it retains.</summary>
    public StepOutcome Step(in Message message) => throw new NotImplementedException();
    public ReadIndexOutcome ReadIndex(ulong id) => throw new NotImplementedException();
    public TransferOutcome TransferLeader(ulong target) => throw new NotImplementedException();
    /// <summary>Call for every applied entry of type 1, before OnApplied of its index; NodeId 0 when the change was refused.</summary>
    public ConfState ApplyConfChange(in ConfChange change) => throw new NotImplementedException();
    public void ReportUnreachable(ulong id) => throw new NotImplementedException();
    public void ReportSnapshot(ulong id, bool succeeded) => throw new NotImplementedException();
    /// <summary>A leader gives up leadership (its disk stalls).</summary>
    public void StepDown() => throw new NotImplementedException();
    /// <summary>Batches up to this one are on disk.</summary>
    public void OnDurable(ulong batch) => throw new NotImplementedException();
    /// <summary>Entries up to index are applied.</summary>
    public void OnApplied(ulong index) => throw new NotImplementedException();
    /// <summary>A snapshot (of applied entries) that peers may get from now on.</summary>
    public void SetSnapshot(SnapshotMetadata snapshot) => throw new NotImplementedException();
    /// <summary>Forgets entries up to index (at most the snapshot's).</summary>
    public void Compact(ulong index) => throw new NotImplementedException();
    /// <summary>What ILogReader said Pending for is there.</summary>
    public void LogReadReady() => throw new NotImplementedException();
    public RaftStatus GetStatus() => throw new NotImplementedException();
}
