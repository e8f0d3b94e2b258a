namespace Perf.Raft.Tests.Harness;

/// <summary>A single core on the bench: a log of given terms, messages in by hand, messages out as a list.</summary>
internal sealed class Probe
{
    private readonly Ready _ready = new();

    /// <param name="terms">Terms of entries 1, 2, ...: all durable.</param>
    public Probe(
        ulong id,
        ulong[] voters,
        ulong[]? terms = null,
        HardState hard = default,
        ulong[]? learners = null,
        ulong applied = 0,
        Func<RaftConfig, RaftConfig>? configure = null)
    {
        var config = new RaftConfig { Id = id, Seed = id, PreVote = false };
        config = configure?.Invoke(config) ?? config;
        var restored = new RestoredState(
            SnapshotMetadata.None, applied, new ConfState(voters, learners ?? []), config.WindowBytesMax);
        ulong index = 0;
        foreach (ulong term in terms ?? [])
        {
            restored.Append(Entry(term, ++index));
        }

        restored.HardState = hard.Term == 0 && terms is { Length: > 0 } ? hard with { Term = terms[^1] } : hard;
        Core = new RaftCore(config, restored);
    }

    public RaftCore Core { get; }

    /// <summary>The last batch taken.</summary>
    public ulong Batch { get; private set; }

    public List<Entry> Committed { get; } = [];

    public List<ReadState> Reads { get; } = [];

    public HardState? HardState { get; private set; }

    public Snapshot? Snapshot { get; private set; }

    public static Entry Entry(ulong term, ulong index, EntryType type = EntryType.Normal, string data = "x")
    {
        byte[] bytes = System.Text.Encoding.ASCII.GetBytes(data);
        return EntryCodec.Write(
            new byte[bytes.Length + EntryCodec.HeadroomBytes], type, term, index, bytes, hasData: true, null);
    }

    public static Entry Entry(ulong term, ulong index, in ConfChange change)
    {
        byte[] data = new byte[ConfChangeCodec.Bytes(change)];
        ConfChangeCodec.Write(change, data);
        return EntryCodec.Write(
            new byte[data.Length + EntryCodec.HeadroomBytes], EntryType.ConfChange, term, index, data, hasData: true, null);
    }

    public static Entry[] Entries(ulong first, params ulong[] terms) =>
        [.. terms.Select((term, i) => Entry(term, first + (ulong)i))];

    public ProposeOutcome Propose(string text) => Core.Propose(
        EntryType.Normal,
        SimMember.Padded(System.Text.Encoding.ASCII.GetBytes(text)),
        EntryCodec.HeadroomBytes,
        null);

    public ProposeOutcome Propose(in ConfChange change)
    {
        byte[] data = new byte[ConfChangeCodec.Bytes(change)];
        ConfChangeCodec.Write(change, data);
        return Core.Propose(EntryType.ConfChange, SimMember.Padded(data), EntryCodec.HeadroomBytes, null);
    }

    public StepOutcome Step(Message message)
    {
        message.To = message.To == 0 ? Core.Id : message.To;
        return Core.Step(message);
    }

    /// <summary>An append from <paramref name="from"/>.</summary>
    public StepOutcome Append(
        ulong from, ulong term, ulong index, ulong logTerm, ulong commit, params Entry[] entries) => Step(new Message
        {
            Type = MessageType.App,
            From = from,
            Term = term,
            Index = index,
            LogTerm = logTerm,
            Commit = commit,
            Entries = entries,
        });

    public StepOutcome Accept(ulong from, ulong index) => Step(new Message
    {
        Type = MessageType.AppResp,
        From = from,
        Term = Core.Term,
        Index = index,
    });

    /// <summary>Takes one Ready; nothing reaches the disk.</summary>
    public List<Message> Take()
    {
        var messages = new List<Message>();
        while (Core.HasReady)
        {
            Core.TakeReady(_ready);
            Batch = Math.Max(Batch, _ready.Batch);
            HardState = _ready.HardState ?? HardState;
            Snapshot = _ready.Snapshot ?? Snapshot;
            foreach (ref readonly Message message in _ready.Messages)
            {
                Message copy = message;
                copy.Entries = message.Entries.ToArray();
                messages.Add(copy);
            }

            Committed.AddRange(_ready.Committed.ToArray());
            Reads.AddRange(_ready.ReadStates);
        }

        return messages;
    }

    /// <summary>Takes everything; the disk is quick, and entries are applied at once.</summary>
    public List<Message> Run()
    {
        var messages = new List<Message>();
        do
        {
            messages.AddRange(Take());
            Core.OnDurable(Batch);
            foreach (Entry entry in Committed.Where(e => e.Index > Core.Applied).ToArray())
            {
                if (entry.Type == EntryType.ConfChange)
                {
                    ConfChangeCodec.TryRead(entry.Data, out ConfChange change);
                    Core.ApplyConfChange(change);
                }

                Core.OnApplied(entry.Index);
            }
        }
        while (Core.HasReady);
        return messages;
    }

    /// <summary>Elects this member with the votes of all others; its empty entry is appended, not committed.</summary>
    public void BecomeLeader()
    {
        Core.Campaign();
        Run();
        foreach (ulong voter in Core.ConfState.Voters.ToArray())
        {
            if (voter != Core.Id && Core.Role == RaftRole.Candidate)
            {
                Step(new Message { Type = MessageType.VoteResp, From = voter, Term = Core.Term });
            }
        }

        Assert.Equal(RaftRole.Leader, Core.Role);
    }
}
