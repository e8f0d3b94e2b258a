using System.Text;

namespace Perf.Raft.Tests.Harness;

/// <summary>
/// One member: the core with a disk that takes its time and a state machine that does too. Each step of either is a
/// call from outside, so that a script or a seed decides what happens when.
/// </summary>
internal sealed class SimMember : ILogReader
{
    private readonly Queue<WriteBatch> _writes = new();
    private readonly Queue<Entry> _toApply = new();
    private readonly Ready _ready = new();
    private readonly Func<RaftConfig, RaftConfig> _configure;
    private ulong _reads;
    private ulong _starts;

    /// <param name="founders">The members that found the cluster, this one among them; none: it joins later.</param>
    public SimMember(ulong id, ReadOnlySpan<ulong> founders, Func<RaftConfig, RaftConfig>? configure = null)
    {
        Id = id;
        _configure = configure ?? (static c => c);

        // As etcd does it: the first entries add the founders, and count as committed from the start.
        foreach (ulong founder in founders)
        {
            var change = new ConfChange(0, ConfChangeType.AddNode, founder, default);
            byte[] data = new byte[ConfChangeCodec.Bytes(change)];
            ConfChangeCodec.Write(change, data);
            ulong index = Disk.LastIndex + 1;
            byte[] encoded = new byte[EntryCodec.Bytes(1, index, data.Length)];
            Disk.Append(EntryCodec.Write(encoded, EntryType.ConfChange, 1, index, data, hasData: true, null));
            Disk.HardState = new HardState(1, 0, index);
        }

        Core = Start();
    }

    public ulong Id { get; }

    public SimDisk Disk { get; } = new();

    public RaftCore Core { get; private set; }

    public StateMachine Machine { get; private set; } = new();

    public bool IsUp { get; private set; } = true;

    public int WritesInFlight => _writes.Count;

    public int EntriesToApply => _toApply.Count;

    /// <summary>Every second read of older entries is answered late.</summary>
    public bool SlowReads { get; set; }

    public bool HasReadPending { get; private set; }

    /// <summary>Called for each applied entry with the state behind it.</summary>
    public Action<SimMember, Entry>? Applied { get; set; }

    /// <summary>Called for each Ready after its writes are queued.</summary>
    public Action<SimMember, Ready>? Taken { get; set; }

    public static byte[] Padded(ReadOnlySpan<byte> payload)
    {
        byte[] buffer = new byte[EntryCodec.HeadroomBytes + payload.Length];
        payload.CopyTo(buffer.AsSpan(EntryCodec.HeadroomBytes));
        return buffer;
    }

    public ProposeOutcome Propose(string text) => Propose(EntryType.Normal, Encoding.ASCII.GetBytes(text));

    public ProposeOutcome Propose(in ConfChange change)
    {
        byte[] data = new byte[ConfChangeCodec.Bytes(change)];
        ConfChangeCodec.Write(change, data);
        return Propose(EntryType.ConfChange, data);
    }

    public ProposeOutcome Propose(EntryType type, byte[] payload) =>
        Core.Propose(type, Padded(payload), EntryCodec.HeadroomBytes, null);

    /// <summary>Takes what the core wants done. False when there was nothing.</summary>
    public bool TakeReady()
    {
        if (!IsUp || !Core.HasReady)
        {
            return false;
        }

        Core.TakeReady(_ready);
        if (_ready.Batch != 0)
        {
            _writes.Enqueue(new WriteBatch(
                _ready.Batch, _ready.Snapshot, _ready.Entries.ToArray(), _ready.HardState, _ready.MustSync));
        }

        foreach (ref readonly Entry entry in _ready.Committed)
        {
            _toApply.Enqueue(entry);
        }

        Taken?.Invoke(this, _ready);
        return true;
    }

    /// <summary>The oldest write reaches the disk; the core hears of it.</summary>
    public void CompleteWrite()
    {
        WriteBatch batch = _writes.Dequeue();
        Store(batch, batch.Entries.Length, withHardState: true);
        Core.OnDurable(batch.Number);
        if (batch.Snapshot is not null)
        {
            Machine = Disk.Machine;
            _toApply.Clear();
            Core.OnApplied(Machine.Index);
        }
    }

    public void ApplyOne()
    {
        Entry entry = _toApply.Dequeue();
        if (entry.Index <= Machine.Index)
        {
            return;
        }

        Assert.Equal(Machine.Index + 1, entry.Index);
        ConfState confState = Machine.ConfState;
        if (entry.Type == EntryType.ConfChange)
        {
            Assert.Equal(System.Buffers.OperationStatus.Done, ConfChangeCodec.TryRead(entry.Data, out ConfChange change));
            confState = Core.ApplyConfChange(change);
        }

        Machine = Machine.After(entry, confState);
        Core.OnApplied(entry.Index);
        Applied?.Invoke(this, entry);
    }

    /// <summary>The state machine's pages reach the disk. It never gets ahead of the log there.</summary>
    public void CommitMachine()
    {
        if (Machine.Index > Disk.Machine.Index)
        {
            Assert.True(Machine.Index <= Disk.LastIndex);
            Disk.Machine = Machine;
        }
    }

    /// <summary>A snapshot of the state machine, and the log forgotten but for the last entries.</summary>
    public void Compact(ulong keep)
    {
        CommitMachine();
        if (Disk.Machine.Index <= Disk.LogStart.Index || _writes.Any(w => w.Snapshot is not null))
        {
            return;
        }

        var metadata = new SnapshotMetadata(Disk.Machine.Index, Disk.Machine.Term, Disk.Machine.ConfState);
        Core.SetSnapshot(metadata);
        if (metadata.Index > keep + Disk.LogStart.Index)
        {
            Core.Compact(metadata.Index - keep);
            Disk.DropUpTo(metadata.Index - keep);
        }
    }

    /// <summary>What a MsgSnap of the core leaves with: the state machine as of its last commit, which is not older.</summary>
    public Snapshot CurrentSnapshot(Snapshot asked)
    {
        CommitMachine();
        Assert.True(Disk.Machine.Index >= asked.Metadata.Index);
        return new Snapshot(
            new SnapshotMetadata(Disk.Machine.Index, Disk.Machine.Term, Disk.Machine.ConfState), Disk.Machine.Save());
    }

    /// <summary>Stops. Of the writes in flight a prefix survives: whole batches, then entries of the next one.</summary>
    public void Crash(Random random)
    {
        IsUp = false;
        while (_writes.Count > 0 && random.Next(2) == 0)
        {
            WriteBatch batch = _writes.Dequeue();
            bool isWhole = batch.Entries.Length == 0 || random.Next(2) == 0;
            Store(batch, isWhole ? batch.Entries.Length : random.Next(batch.Entries.Length), isWhole);
            if (!isWhole)
            {
                break;
            }
        }

        _writes.Clear();
        _toApply.Clear();
    }

    public void Restart()
    {
        Core = Start();
        IsUp = true;
        HasReadPending = false;
    }

    public LogRead Read(ulong lo, ulong hi, int bytesMax, EntryBuffer target)
    {
        if (lo <= Disk.LogStart.Index)
        {
            return LogRead.Compacted;
        }

        if (SlowReads && _reads++ % 2 == 0)
        {
            HasReadPending = true;
            return LogRead.Pending;
        }

        long bytes = 0;
        for (ulong i = lo; i < hi && i <= Disk.LastIndex; i++)
        {
            Entry entry = Disk[i];
            bytes += entry.Encoded.Length;
            if (i > lo && bytes > bytesMax)
            {
                break;
            }

            target.Add(entry);
        }

        return LogRead.Done;
    }

    public void FinishReads()
    {
        HasReadPending = false;
        Core.LogReadReady();
    }

    private void Store(WriteBatch batch, int entries, bool withHardState)
    {
        if (batch.Snapshot is not null)
        {
            Disk.Install(batch.Snapshot.Metadata, StateMachine.Load(batch.Snapshot));
        }

        foreach (Entry entry in batch.Entries.AsSpan(0, entries))
        {
            Disk.Append(entry);
        }

        if (withHardState && batch.HardState is HardState state)
        {
            Disk.HardState = state;
        }
    }

    private RaftCore Start()
    {
        RaftConfig config = _configure(new RaftConfig
        {
            Id = Id,
            Seed = (Id * 1_000_003) + ++_starts,
            LogReader = this,
        });
        Machine = Disk.Machine;
        var restored = new RestoredState(Disk.LogStart, Machine.Index, Machine.ConfState, config.WindowBytesMax)
        {
            HardState = Disk.HardState,
        };
        if (Machine.Index > Disk.LogStart.Index)
        {
            restored.SetSnapshot(new SnapshotMetadata(Machine.Index, Machine.Term, Machine.ConfState));
        }
        else
        {
            restored.SetSnapshot(Disk.LogStart with { ConfState = Machine.ConfState });
        }

        foreach (Entry entry in Disk.Log)
        {
            restored.Append(entry);
        }

        return new RaftCore(config, restored);
    }

    private sealed record WriteBatch(
        ulong Number, Snapshot? Snapshot, Entry[] Entries, HardState? HardState, bool MustSync);
}
