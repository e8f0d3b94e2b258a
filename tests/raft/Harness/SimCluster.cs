using System.Buffers;
using System.Globalization;
using System.Text;

namespace Perf.Raft.Tests.Harness;

/// <summary>
/// Members, a network between them that loses, doubles, delays and reorders, and what must hold at every step:
/// one leader per term, the same entry at the same index everywhere, nothing said before it is on disk, no read older
/// than what was applied when it was asked. Everything comes from one seed.
/// </summary>
internal sealed class SimCluster
{
    private readonly Func<RaftConfig, RaftConfig>? _configure;
    private readonly List<(ulong From, ulong To, byte[] Bytes)> _wire = [];
    private readonly Dictionary<ulong, ulong> _leaders = [];
    private readonly Dictionary<ulong, StateMachine> _history = [];
    private readonly Dictionary<ulong, (ulong Term, ulong Hash)> _entries = [];
    private readonly Dictionary<ulong, ulong> _reads = [];
    private readonly HashSet<(ulong, ulong)> _cut = [];
    private ulong _readId;

    public SimCluster(int voters, int seed, Func<RaftConfig, RaftConfig>? configure = null)
    {
        _configure = configure;
        Random = new Random(seed);
        ulong[] ids = [.. Enumerable.Range(1, voters).Select(i => (ulong)i)];
        foreach (ulong id in ids)
        {
            Add(id, ids);
        }
    }

    public Random Random { get; }

    public SortedDictionary<ulong, SimMember> Members { get; } = [];

    public int Loss { get; set; }

    public int Duplication { get; set; }

    public int Confirmed { get; private set; }

    public int Snapshots { get; private set; }

    public ulong HighestApplied { get; private set; }

    public ulong Fingerprint { get; private set; }

    public SimMember? Leader => Members.Values
        .Where(m => m.IsUp && m.Core.Role == RaftRole.Leader).OrderByDescending(m => m.Core.Term).FirstOrDefault();

    public SimMember Add(ulong id, ReadOnlySpan<ulong> founders)
    {
        var member = new SimMember(id, founders, _configure) { SlowReads = true };
        member.Taken = OnTaken;
        member.Applied = OnApplied;
        Members.Add(id, member);
        return member;
    }

    public void Cut(ulong from, ulong to) => _cut.Add((from, to));

    public void Heal() => _cut.Clear();

    /// <summary>One thing happens, chosen by the seed.</summary>
    public void Step()
    {
        SimMember member = Members.Values.ElementAt(Random.Next(Members.Count));
        int what = Random.Next(100);
        if (what < 50)
        {
            DeliverOne();
        }
        else if (!member.IsUp)
        {
            if (what < 60)
            {
                member.Restart();
            }
        }
        else if (what < 75)
        {
            member.TakeReady();
        }
        else if (what < 85)
        {
            if (member.WritesInFlight > 0)
            {
                member.CompleteWrite();
            }
        }
        else if (what < 93)
        {
            if (member.EntriesToApply > 0)
            {
                member.ApplyOne();
            }
        }
        else if (what < 95)
        {
            member.CommitMachine();
        }
        else if (what < 98)
        {
            member.Core.Tick();
        }
        else if (member.HasReadPending)
        {
            member.FinishReads();
        }

        Check(member);
    }

    /// <summary>Runs everybody without chance until nothing is left to do; time stands still.</summary>
    public void Settle()
    {
        for (int round = 0; round < 10_000; round++)
        {
            bool isBusy = false;
            foreach (SimMember member in Members.Values)
            {
                if (!member.IsUp)
                {
                    continue;
                }

                isBusy |= member.TakeReady();
                while (member.WritesInFlight > 0)
                {
                    member.CompleteWrite();
                    isBusy = true;
                }

                while (member.EntriesToApply > 0)
                {
                    member.ApplyOne();
                    isBusy = true;
                }

                if (member.HasReadPending)
                {
                    member.FinishReads();
                    isBusy = true;
                }

                Check(member);
            }

            while (_wire.Count > 0)
            {
                Deliver(0);
                isBusy = true;
            }

            if (!isBusy)
            {
                return;
            }
        }

        Assert.Fail("does not settle");
    }

    public void TickAll(int ticks)
    {
        for (int i = 0; i < ticks; i++)
        {
            foreach (SimMember member in Members.Values.Where(m => m.IsUp))
            {
                member.Core.Tick();
            }

            Settle();
        }
    }

    public void Read(SimMember member)
    {
        ulong id = ++_readId;
        if (member.Core.ReadIndex(id) == ReadIndexOutcome.Queued)
        {
            _reads.Add(id, HighestApplied);
        }
    }

    /// <summary>Where everybody stands, for the message of a failed run.</summary>
    public string Describe()
    {
        var text = new StringBuilder();
        foreach (SimMember member in Members.Values)
        {
            RaftStatus status = member.Core.GetStatus();
            text.AppendLine(CultureInfo.InvariantCulture, $"{(member.IsUp ? "" : "down ")}{status} {status.ConfState}");
            foreach (ProgressView progress in status.Progress)
            {
                text.AppendLine(CultureInfo.InvariantCulture, $"   {progress}");
            }
        }

        return text.ToString();
    }

    private void DeliverOne()
    {
        if (_wire.Count == 0)
        {
            return;
        }

        // Mostly in order, sometimes not.
        int at = Random.Next(4) == 0 ? Random.Next(_wire.Count) : 0;
        if (Random.Next(100) < Duplication)
        {
            _wire.Add(_wire[at]);
        }

        Deliver(at);
    }

    private void Deliver(int at)
    {
        (ulong from, ulong to, byte[] bytes) = _wire[at];
        _wire.RemoveAt(at);
        if (!Members.TryGetValue(to, out SimMember? member) || !member.IsUp || _cut.Contains((from, to)))
        {
            return;
        }

        var entries = new EntryBuffer();
        Assert.Equal(OperationStatus.Done, MessageCodec.TryRead(bytes, null, entries, out Message message));
        StepOutcome outcome = member.Core.Step(message);
        Assert.NotEqual(StepOutcome.Contradiction, outcome);
        Assert.NotEqual(StepOutcome.SecondLeader, outcome);
        Assert.NotEqual(StepOutcome.Malformed, outcome);
        Mix(((ulong)outcome * 31) + message.Index);
        Check(member);
    }

    private void OnTaken(SimMember member, Ready ready)
    {
        foreach (ref readonly Message message in ready.Messages)
        {
            CheckDurable(member, message);
            Message sent = message;
            if (message.Type == MessageType.Snap)
            {
                sent.Snapshot = member.CurrentSnapshot(message.Snapshot!);
                Snapshots++;
            }

            bool isLost = Random.Next(100) < Loss;
            if (message.Type == MessageType.Snap)
            {
                // The transport's word comes before the next step; it does not know whether the message got through.
                member.Core.ReportSnapshot(message.To, !isLost);
            }

            if (isLost)
            {
                if (Random.Next(3) == 0)
                {
                    member.Core.ReportUnreachable(message.To);
                }

                continue;
            }

            byte[] bytes = new byte[MessageCodec.Bytes(sent)];
            Assert.Equal(bytes.Length, MessageCodec.Write(sent, bytes));
            _wire.Add((message.From, message.To, bytes));
        }

        foreach (ReadState read in ready.ReadStates)
        {
            Assert.True(_reads.Remove(read.Id, out ulong applied));
            if (read.Confirmed)
            {
                Confirmed++;
                Assert.True(read.Index >= applied, $"a read at {read.Index} after {applied} was applied");
            }
        }
    }

    private static void CheckDurable(SimMember member, in Message message)
    {
        HardState disk = member.Disk.HardState;
        switch (message.Type)
        {
            case MessageType.Vote:
            case MessageType.App:
            case MessageType.Snap:
                Assert.True(disk.Term >= message.Term);
                Assert.True(message.Type != MessageType.Vote || disk.Term > message.Term || disk.Vote == member.Id);
                break;

            case MessageType.VoteResp when !message.Reject:
                Assert.True(disk.Term > message.Term || (disk.Term == message.Term && disk.Vote == message.To));
                break;

            case MessageType.AppResp:
                Assert.True(disk.Term >= message.Term);
                Assert.True(message.Reject || disk.Term > message.Term || member.Disk.LastIndex >= message.Index);
                break;

            case MessageType.HeartbeatResp:
                Assert.True(disk.Term >= message.Term);
                break;

            default:
                break;
        }
    }

    private void OnApplied(SimMember member, Entry entry)
    {
        // Nobody applies what is not on its own disk.
        Assert.True(member.Disk.LastIndex >= entry.Index);
        Assert.Equal(member.Disk[entry.Index].Term, entry.Term);
        StateMachine now = member.Machine;
        if (_history.TryGetValue(now.Index, out StateMachine? known))
        {
            Assert.Equal(known.Hash, now.Hash);
            Assert.True(
                known.ConfState.SameAs(now.ConfState),
                $"member {member.Id} at {now.Index}: {now.ConfState}, others {known.ConfState}");
        }
        else
        {
            _history.Add(now.Index, now);
        }

        _entries[entry.Index] = (entry.Term, now.Hash);
        HighestApplied = Math.Max(HighestApplied, entry.Index);
        Mix(now.Hash);
    }

    // What must hold of a member whenever one looks.
    private void Check(SimMember member)
    {
        if (!member.IsUp || member.Core.Role != RaftRole.Leader)
        {
            return;
        }

        RaftCore core = member.Core;
        if (!_leaders.TryGetValue(core.Term, out ulong leader))
        {
            _leaders.Add(core.Term, core.Id);

            // Leader completeness: whatever was applied anywhere before is in the log of every later leader.
            foreach ((ulong index, (ulong term, _)) in _entries)
            {
                if (index >= core.FirstIndex)
                {
                    Assert.True(core.Log.Matches(index, term), $"leader {core.Id} of term {core.Term} lacks {term}/{index}");
                }
            }
        }
        else
        {
            Assert.Equal(leader, core.Id);
        }
    }

    private void Mix(ulong value) => Fingerprint = (Fingerprint * 0x100000001B3) ^ value;
}
