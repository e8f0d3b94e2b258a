namespace Perf.Raft.Tests.Harness;

/// <summary>What survives a crash of a member: log, hard state, and the state machine as of its last commit.</summary>
internal sealed class SimDisk
{
    /// <summary>The entry before the first of <see cref="Log"/>.</summary>
    public SnapshotMetadata LogStart { get; set; } = SnapshotMetadata.None;

    public List<Entry> Log { get; } = [];

    public HardState HardState { get; set; }

    public StateMachine Machine { get; set; } = new();

    public ulong LastIndex => Log.Count == 0 ? LogStart.Index : Log[^1].Index;

    public Entry this[ulong index] => Log[(int)(index - LogStart.Index - 1)];

    public void Append(in Entry entry)
    {
        int at = (int)(entry.Index - LogStart.Index - 1);
        Assert.InRange(at, 0, Log.Count);
        Log.RemoveRange(at, Log.Count - at);
        Log.Add(entry);
    }

    public void Install(SnapshotMetadata snapshot, StateMachine machine)
    {
        Log.Clear();
        LogStart = snapshot;
        Machine = machine;
    }

    public void DropUpTo(ulong index)
    {
        int count = (int)(index - LogStart.Index);
        Entry last = Log[count - 1];
        LogStart = new SnapshotMetadata(last.Index, last.Term, LogStart.ConfState);
        Log.RemoveRange(0, count);
    }
}

/// <summary>Applies entries: a hash over all of them, in order, and the configuration.</summary>
internal sealed record StateMachine
{
    public ulong Index { get; init; }

    public ulong Term { get; init; }

    public ulong Hash { get; init; }

    public ConfState ConfState { get; init; } = ConfState.Empty;

    public StateMachine After(in Entry entry, ConfState confState)
    {
        ulong hash = (Hash * 0x100000001B3) ^ entry.Term;
        foreach (byte b in entry.Data.Span)
        {
            hash = (hash * 0x100000001B3) ^ b;
        }

        return new StateMachine { Index = entry.Index, Term = entry.Term, Hash = hash, ConfState = confState };
    }

    public byte[] Save() => [.. BitConverter.GetBytes(Hash)];

    public static StateMachine Load(Snapshot snapshot) => new()
    {
        Index = snapshot.Metadata.Index,
        Term = snapshot.Metadata.Term,
        Hash = BitConverter.ToUInt64(snapshot.Data.Span),
        ConfState = snapshot.Metadata.ConfState,
    };
}
