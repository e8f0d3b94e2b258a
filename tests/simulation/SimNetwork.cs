using System.Buffers;
using Perf.Node.Consensus;
using Perf.Raft;

namespace Perf.Simulation;

/// <summary>
/// What lies between the members: bytes that arrive late, in another order, twice, or not at all, and lines that are
/// cut in one direction or both. A forwarded proposal is never doubled: streams do not do that, and raft would put
/// it into the log twice.
/// </summary>
internal sealed class SimNetwork(Simulation world, Dice dice)
{
    private readonly bool[,] _cut = new bool[Simulation.HostsMax, Simulation.HostsMax];
    private readonly long[,,] _last = new long[Simulation.HostsMax, Simulation.HostsMax, 2];

    private readonly long[] _lateMax = new long[Simulation.HostsMax];
    private readonly long[] _lateSince = new long[Simulation.HostsMax];

    private readonly int[,] _epochs = new int[Simulation.HostsMax, Simulation.HostsMax];

    public long Delivered { get; private set; }

    /// <summary>No line is cut or late.</summary>
    public bool IsCalm => !_cut.Cast<bool>().Contains(true) && Array.TrueForAll(_lateMax, late => late == 0)
        && _last.Cast<long>().Max() <= world.Time.Now + world.Plan.DelayMax;

    public void Cut(int from, int to) => _cut[from, to] = true;

    public void Mend(int from, int to) => _cut[from, to] = false;

    /// <summary>What goes to a member takes longer and longer, up to so long; in order, as in a queue that fills.</summary>
    public void MakeLate(int to, long lateMax)
    {
        _lateMax[to] = lateMax;
        _lateSince[to] = world.Time.Now;
    }

    public void Heal()
    {
        Array.Clear(_cut);
        Array.Clear(_lateMax);
    }

    /// <summary>The connections between two members break: what is under way is gone, and both notice.</summary>
    public void Reset(SimHost a, SimHost b)
    {
        _epochs[a.Number, b.Number]++;
        _epochs[b.Number, a.Number]++;
        a.Member?.OnCore(core => core.ReportUnreachable(b.Id));
        b.Member?.OnCore(core => core.ReportUnreachable(a.Id));
    }

    public void Send(SimMember from, in Message message)
    {
        int to = world.NumberOf(message.To);
        if (to < 0)
        {
            return;
        }

        if (message.Type == MessageType.Snap)
        {
            SendSnapshot(from, to, message);
            return;
        }

        byte[] bytes = new byte[MessageCodec.Bytes(message)];
        MessageCodec.Write(message, bytes);
        world.Chronicle.Line($"m{from.Number}->m{to} {message}");
        if (IsLost(from.Number, to))
        {
            if (dice.Percent(20))
            {
                ulong id = message.To;
                world.Time.After(dice.Between(1, 1000), () =>
                {
                    if (from.IsAlive)
                    {
                        from.OnCore(core => core.ReportUnreachable(id));
                    }
                });
            }

            return;
        }

        int stream = message.Type == MessageType.App ? 0 : 1;
        Schedule(from.Number, to, stream, bytes);
        if (message.Type != MessageType.Prop && dice.Percent(world.IsFaulty ? world.Plan.DuplicatePercent : 0))
        {
            world.Count(Fault.Duplicate);
            Schedule(from.Number, to, stream, bytes);
        }

        if (message.Type != MessageType.Prop && dice.Percent(world.IsFaulty ? world.Plan.StaleReplayPercent : 0))
        {
            // An old message comes again, when much else has happened.
            world.Count(Fault.StaleReplay);
            int epoch = _epochs[from.Number, to];
            world.Time.After(
                dice.Between(VirtualTime.Second, 8 * VirtualTime.Second), () => Deliver(from.Number, to, epoch, bytes));
        }
    }

    private void Schedule(int from, int to, int stream, byte[] bytes)
    {
        long at = world.Time.Now + dice.Between(100, world.Plan.DelayMax);
        at += Math.Min(_lateMax[to], (world.Time.Now - _lateSince[to]) / 2);
        if (world.IsRough && dice.Percent(world.Plan.LongDelayPercent))
        {
            world.Count(Fault.LongDelay);
            at += dice.Between(0, 3 * VirtualTime.Second);
        }

        if (world.Plan.IsOrdered)
        {
            at = Math.Max(at, _last[from, to, stream] + 1);
            _last[from, to, stream] = at;
        }
        else if (at < _last[from, to, stream])
        {
            world.Count(Fault.Reorder);
        }
        else
        {
            _last[from, to, stream] = at;
        }

        int epoch = _epochs[from, to];
        world.Time.At(at, () => Deliver(from, to, epoch, bytes));
    }

    private void Deliver(int from, int to, int epoch, byte[] bytes)
    {
        SimHost host = world.Hosts[to];
        if (_cut[from, to] || host.Member is null || epoch != _epochs[from, to])
        {
            return;
        }

        if (host.PausedUntil > world.Time.Now)
        {
            // The kernel goes on receiving for a stopped process.
            world.Time.At(host.PausedUntil + dice.Between(1, 1000), () => Deliver(from, to, epoch, bytes));
            return;
        }

        var entries = new EntryBuffer();
        Judge.Require(
            MessageCodec.TryRead(bytes, null, entries, out Message message) == OperationStatus.Done, "a malformed message");
        Delivered++;
        world.Chronicle.Note(6, (ulong)((from * 256) + to), ((ulong)message.Type << 32) + message.Index);
        host.Member.Receive(new Arrived(message));
    }

    private void SendSnapshot(SimMember from, int to, Message message)
    {
        ulong id = message.To;
        from.CaptureSnapshot(message, Answer, (full, database) =>
        {
            world.Count(Fault.SnapshotSent);
            world.Chronicle.Line($"m{from.Number}->m{to} snapshot {full.Snapshot!.Metadata.Index}, {database.Length} bytes");
            byte[] bytes = new byte[MessageCodec.Bytes(full)];
            MessageCodec.Write(full, bytes);
            bool isLost = IsLost(from.Number, to);
            world.Time.After(dice.Between(1, 200) * VirtualTime.Millisecond, () =>
            {
                SimMember? target = world.Hosts[to].Member;
                if (isLost || target is null || _cut[from.Number, to])
                {
                    Answer(false);
                    return;
                }

                var entries = new EntryBuffer();
                Judge.Require(
                    MessageCodec.TryRead(bytes, null, entries, out Message arrived) == OperationStatus.Done,
                    "a malformed message");
                target.ReceiveSnapshot(arrived, database, world.Hosts[from.Number].DamagedAt == 0, Answer);
                if (!target.IsAlive)
                {
                    Answer(false);
                }
            });
        });

        void Answer(bool succeeded) => world.Time.After(dice.Between(100, world.Plan.DelayMax), () =>
        {
            if (from.IsAlive)
            {
                from.SnapshotAnswered(id, succeeded);
            }
        });
    }

    private bool IsLost(int from, int to)
    {
        if (_cut[from, to])
        {
            return true;
        }

        if (!dice.Percent(world.IsRough ? world.Plan.LossPercent : 0))
        {
            return false;
        }

        world.Count(Fault.Loss);
        return true;
    }

    private sealed class Arrived : InboundMessage
    {
        public Arrived(in Message message)
        {
            Message = message;
        }

        public override void Release() => Judge.Require(
            Outcome is not (StepOutcome.Contradiction or StepOutcome.SecondLeader or StepOutcome.Malformed),
            $"{Message}: {Outcome}");
    }
}
