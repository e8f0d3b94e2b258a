using System.Globalization;
using System.Text;
using Perf.Node.Cluster;
using Perf.Node.Config;
using Perf.Store;
using Perf.Store.Commands;

namespace Perf.Simulation;

/// <summary>How a run went.</summary>
internal sealed record RunResult(ulong Seed, string? Failure, ulong Hash, IReadOnlyList<string> Tail)
{
    public required long[] Faults { get; init; }

    public required double SimulatedSeconds { get; init; }

    public required double RecoverySeconds { get; init; }

    public required long Checked { get; init; }

    public required long Acknowledged { get; init; }

    public required long Events { get; init; }

    public required long Digests { get; init; }
}

/// <summary>
/// A cluster in one thread and in virtual time: all that happens follows from the seed. First the time of faults,
/// then all heals, and the members have to come together again.
/// </summary>
internal sealed class Simulation
{
    /// <summary>Twenty of the longest election timeouts, and time to start and to send a snapshot again.</summary>
    private const long RecoveryMax = 45 * VirtualTime.Second;

    private readonly Dice _dice;
    private readonly ulong _seed;
    private readonly long[] _faults = new long[Enum.GetValues<Fault>().Length];
    private readonly List<SimClient> _clients = [];
    private int _markers;
    private int _markersDone;

    private Simulation(ulong seed, Plan plan, bool isTracing, Action<string>? output, bool hasLyingDisks)
    {
        HasLyingDisks = hasLyingDisks;
        _seed = seed;
        _dice = new Dice(seed);
        Plan = plan;
        Time = new VirtualTime();
        Chronicle = new Chronicle(Time, isTracing) { Output = output };
        Judge = new Judge(Chronicle);
        string members = string.Join(',', Enumerable.Range(0, Plan.Members).Select(i => $"m{i}=http://m{i}:2380"));
        Founders = InitialCluster.Parse(members, "simulation");
        Hosts = new SimHost[Plan.Members];
        for (int i = 0; i < Hosts.Length; i++)
        {
            string name = $"m{i}";
            var config = new ServerConfig
            {
                Name = name,
                DataDir = "/data",
                InitialCluster = members,
                InitialClusterToken = "simulation",
                SnapshotCount = Plan.SnapshotCount,
                SnapshotCatchUpEntries = Plan.CatchUpEntries,
                CompactionBatchLimit = Plan.CompactionBatch,
                PreVote = Plan.PreVote,
                MaxSnapshots = 2,
                MaxWals = 2,
                BcryptCost = 4,
            };
            Hosts[i] = new SimHost(this, i, Founders.Find(name)!.Id, config, _dice.Fork());
        }

        Network = new SimNetwork(this, _dice.Fork());
    }

    public Plan Plan { get; }

    public VirtualTime Time { get; }

    public Chronicle Chronicle { get; }

    public Judge Judge { get; }

    public InitialCluster Founders { get; }

    public SimHost[] Hosts { get; }

    public SimNetwork Network { get; }

    /// <summary>Syncs are not done: the run has to fail.</summary>
    public bool HasLyingDisks { get; }

    /// <summary>The time of faults.</summary>
    public bool IsFaulty { get; private set; } = true;

    /// <summary>Clients ask for nothing new.</summary>
    public bool IsOver { get; private set; }

    /// <summary>Runs a seed. <paramref name="output"/> gets each line of the trace; null: the last ones are kept.</summary>
    public static RunResult Run(
        ulong seed, bool isTracing = false, Action<string>? output = null, bool hasLyingDisks = false)
    {
        var world = new Simulation(seed, new Plan(seed), isTracing, output, hasLyingDisks);
        string? failure = null;
        double recovery = 0;
        try
        {
            recovery = world.Run();
        }
        catch (Exception e)
        {
            failure = e is SimulationFailure ? e.Message : e.ToString();
        }

        foreach (SimHost host in world.Hosts)
        {
            host.Member?.End();
        }

        return new RunResult(seed, failure, world.Chronicle.Hash, [.. world.Chronicle.Tail])
        {
            Faults = world._faults,
            SimulatedSeconds = (double)world.Time.Now / VirtualTime.Second,
            RecoverySeconds = recovery,
            Checked = world.Judge.Checked,
            Acknowledged = world.Judge.Acknowledged,
            Events = world.Time.Events,
            Digests = world.Judge.DigestsCompared,
        };
    }

    public void Count(Fault fault) => _faults[(int)fault]++;

    public int NumberOf(ulong id) => Array.FindIndex(Hosts, host => host.Id == id);

    private double Run()
    {
        Chronicle.Line($"seed {_seed}: {Plan}");
        foreach (SimHost host in Hosts)
        {
            Time.After(_dice.Between(0, VirtualTime.Second), host.Start);
        }

        for (int i = 0; i < Plan.Clients; i++)
        {
            var client = new SimClient(this, i, _dice.Fork());
            _clients.Add(client);
            client.Start();
        }

        Every(Plan.CrashEvery, CrashSomebody);
        Every(Plan.PauseEvery, PauseSomebody);
        Every(Plan.CutEvery, CutSomething);
        Every(Plan.SyncErrorEvery, FailASync);
        while (Time.Step(Plan.FaultTime))
        {
        }

        return Recover();
    }

    private void Every(long mean, Action<SimHost> fault)
    {
        if (mean == 0)
        {
            return;
        }

        Dice dice = _dice.Fork();
        Time.After(dice.Between(0, 2 * mean), Again);

        void Again()
        {
            if (IsFaulty)
            {
                fault(Hosts[dice.Below(Hosts.Length)]);
                Time.After(dice.Between(0, 2 * mean), Again);
            }
        }
    }

    private void CrashSomebody(SimHost host)
    {
        if (host.Member is null)
        {
            return;
        }

        switch (_dice.Below(3))
        {
            case 0:
                Count(Fault.Crash);
                host.Crash();
                break;
            case 1:
                Count(Fault.Kill);
                host.Kill();
                break;
            default:
                Count(Fault.CrashAtDiskCall);
                host.CrashAt((int)_dice.Between(1, 300));
                break;
        }

        if (_dice.Percent(15))
        {
            // All at once, as when the power of the house fails.
            foreach (SimHost other in Hosts)
            {
                if (other.Member is not null)
                {
                    Count(Fault.Crash);
                    other.Crash();
                }
            }
        }
    }

    private void FailASync(SimHost host)
    {
        if (host.Member is not null)
        {
            host.FailSync((int)_dice.Between(1, 60));
        }
    }

    private void PauseSomebody(SimHost host)
    {
        if (host.Member is not null)
        {
            Count(Fault.Pause);
            host.PausedUntil = Time.Now + _dice.Between(VirtualTime.Millisecond, 6 * VirtualTime.Second);
            Chronicle.Line($"m{host.Number} paused until {host.PausedUntil / 1e6}");
        }
    }

    private void CutSomething(SimHost host)
    {
        if (Hosts.Length == 1)
        {
            return;
        }

        int kind = _dice.Below(4);
        Count(kind switch { 0 => Fault.OneWayPartition, 1 => Fault.LeaderCut, _ => Fault.FullPartition });
        int[] side = kind switch
        {
            1 => [.. Hosts.Where(h => h.Member?.IsLeader == true).Select(h => h.Number)],
            3 => [.. Hosts.Where(_ => _dice.Percent(50)).Select(h => h.Number)],
            _ => [host.Number],
        };
        foreach (int a in side)
        {
            foreach (SimHost b in Hosts)
            {
                if (Array.IndexOf(side, b.Number) < 0)
                {
                    bool isIn = kind != 0 || _dice.Percent(50);
                    if (isIn)
                    {
                        Network.Cut(b.Number, a);
                    }

                    if (kind != 0 || !isIn)
                    {
                        Network.Cut(a, b.Number);
                    }
                }
            }
        }

        Chronicle.Line($"cut {kind}: {string.Join(',', side)}");
        Time.After(_dice.Between(100, 15_000) * VirtualTime.Millisecond, () =>
        {
            Chronicle.Line($"network heals");
            Network.Heal();
        });
    }

    /// <summary>Seconds until the members were one again; clients go on meanwhile.</summary>
    private double Recover()
    {
        IsFaulty = false;
        Network.Heal();
        foreach (SimHost host in Hosts)
        {
            host.PausedUntil = 0;
            host.Disk.Observer = null;
        }

        Chronicle.Line($"all heals");
        long began = Time.Now;
        long end = began + RecoveryMax;
        Mark();
        while (_markersDone < Hosts.Length)
        {
            Judge.Require(Time.Step(end), $"no progress {RecoveryMax / VirtualTime.Second} s after all was healed:\n{Describe()}");
        }

        double recovery = (Time.Now - began) / 1e6;
        IsOver = true;
        while (!IsSettled())
        {
            Judge.Require(Time.Step(end), $"the members do not come to the same end:\n{Describe()}");
        }

        string? digest = null;
        foreach (SimHost host in Hosts)
        {
            SimMember member = host.Member!;
            string own = member.State.Machine.Digest();
            digest ??= own;
            Judge.Require(own == digest, $"at the end member {host.Number} differs:\n{Describe()}");
            var all = new ProtoBuffer();
            all.Bytes(1, "\0"u8);
            all.Bytes(2, "\x7f"u8);
            Judge.Require(member.Range(all.Written, out RangeAnswer answer) == StoreError.None, "the last read");
            Judge.ReadAll(host.Number, answer);
        }

        Chronicle.Note(9, 0, (ulong)Judge.LastRevision);
        foreach (char c in digest!)
        {
            Chronicle.Note(10, c, 0);
        }

        return recovery;
    }

    /// <summary>One put through each member has to be acknowledged.</summary>
    private void Mark()
    {
        for (int i = 0; i < Hosts.Length; i++)
        {
            Ask(i);
        }

        void Ask(int number)
        {
            SimMember? member = Hosts[number].Member;
            if (member is null)
            {
                Time.After(100 * VirtualTime.Millisecond, () => Ask(number));
                return;
            }

            string value = $"mark{(++_markers).ToString(CultureInfo.InvariantCulture)}";
            var body = new ProtoBuffer();
            body.Bytes(1, "mark"u8);
            body.Bytes(2, Encoding.UTF8.GetBytes(value));
            Judge.Submitted("mark", value);
            long floor = Judge.LastRevision;
            bool isAnswered = false;
            member.Propose(InternalField.Put, body.WrittenMemory, request =>
            {
                if (isAnswered)
                {
                    return;
                }

                isAnswered = true;
                if (request.Error == StoreError.None)
                {
                    Judge.Acked("mark", value, Answers.Write(request.Response).Revision, floor);
                    _markersDone++;
                }
                else
                {
                    Time.After(100 * VirtualTime.Millisecond, () => Ask(number));
                }
            });
            Time.After(VirtualTime.Second, () =>
            {
                if (!isAnswered)
                {
                    isAnswered = true;
                    Ask(number);
                }
            });
        }
    }

    private bool IsSettled()
    {
        ulong applied = 0;
        foreach (SimHost host in Hosts)
        {
            if (host.Member is not { } member)
            {
                return false;
            }

            ulong own = member.Pipeline.AppliedIndex;
            applied = applied == 0 ? own : applied;
            if (own != applied || member.Pipeline.Core.Commit != own || member.Pipeline.Core.LastIndex != own
                || member.Pipeline.Raft.Leader != Hosts[0].Member!.Pipeline.Raft.Leader
                || member.Pipeline.Pending.Count != 0)
            {
                return false;
            }
        }

        return true;
    }

    private string Describe()
    {
        var text = new StringBuilder();
        foreach (SimHost host in Hosts)
        {
            text.AppendLine(host.Member is { } member
                ? $"m{host.Number} {member.Pipeline.Core.GetStatus()} applied {member.Pipeline.AppliedIndex}"
                    + $" revision {member.State.Machine.Kv.Revision} pending {member.Pipeline.Pending.Count}"
                : $"m{host.Number} down");
        }

        return text.ToString();
    }
}
