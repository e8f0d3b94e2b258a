using System.Globalization;
using System.Text;
using Perf.Engine.IO;
using Perf.Node.Cluster;
using Perf.Node.Config;
using Perf.Node.Consensus;
using Perf.Raft;
using Perf.Store;
using Perf.Store.Commands;
using Perf.Store.Membership;

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

    public required long Asked { get; init; }

    public required long AckedOperations { get; init; }

    public required long Ambiguous { get; init; }

    /// <summary>Most clients that were busy with one key at a time.</summary>
    public required int Crowd { get; init; }

    public required long WatchEvents { get; init; }

    public required long WatchProgress { get; init; }

    public required long Renewals { get; init; }

    /// <summary>Members that noticed that their disk was damaged.</summary>
    public required int DamageFound { get; init; }
}

/// <summary>
/// A cluster in one thread and in virtual time: all that happens follows from the seed. First the time of faults,
/// then all heals, and the members have to come together again.
/// </summary>
internal sealed class Simulation
{
    /// <summary>The longest lease, on the slowest clock, and its way through the log.</summary>
    private const long LeaseTimeMax = 40 * VirtualTime.Second;

    /// <summary>Machines there may be in a run, replaced ones included.</summary>
    public const int HostsMax = 16;

    /// <summary>A run goes on until this much was acknowledged and went wrong, but not for ever.</summary>
    private const long AckedMin = 500;

    private const int FaultsMin = 5;

    private const long FaultTimeMax = 300 * VirtualTime.Second;

    private readonly Dice _dice;
    private readonly ulong _seed;
    private readonly long[] _faults = new long[Enum.GetValues<Fault>().Length];
    private readonly List<SimWatcher> _watchers = [];
    private readonly Dictionary<string, int> _busyKeys = new(StringComparer.Ordinal);
    private readonly List<long> _leaseIds = [];
    private readonly Operator _operator;
    private readonly string _founders;
    private int _crowd;
    private int _markers;
    private int _markersAsked;
    private int _markersDone;

    private Simulation(ulong seed, Plan plan, bool isTracing, Action<string>? output, bool hasLyingDisks)
    {
        HasLyingDisks = hasLyingDisks;
        _seed = seed;
        _dice = new Dice(seed);
        Plan = plan;
        Time = new VirtualTime();
        Chronicle = new Chronicle(Time, isTracing) { Output = output };
        Leases = new LeaseLaw(Time, Plan.TickSkewPercent);
        Model = new Model
        {
            LeaseGranted = Leases.Granted,
            LeaseEnded = (lease, _) => Leases.Ended(lease),
            MemberRemoved = id => _operator!.Removed(id),
        };
        Judge = new Judge
        {
            Expected = revision => revision <= Model.Revision ? Model.Transaction(revision) : [],
            Noted = (revision, changes) => Chronicle.Note(1, (ulong)revision, (ulong)changes),
        };
        _founders = string.Join(',', Enumerable.Range(0, Plan.Members).Select(i => $"m{i}=http://m{i}:2380"));
        Founders = InitialCluster.Parse(_founders, "simulation");
        for (int i = 0; i < Plan.Members; i++)
        {
            Hosts.Add(new SimHost(this, i, Founders.Find($"m{i}")!.Id, Config(i), _dice.Fork()) { IsFounder = true });
        }

        _operator = new Operator(this, _dice.Fork());
        Network = new SimNetwork(this, _dice.Fork());
    }

    public Plan Plan { get; }

    public VirtualTime Time { get; }

    public Chronicle Chronicle { get; }

    public Judge Judge { get; }

    public InitialCluster Founders { get; }

    /// <summary>All machines there ever were.</summary>
    public List<SimHost> Hosts { get; } = [];

    public Model Model { get; }

    public LeaseLaw Leases { get; }

    public int DamageFound { get; set; }

    public long Asked { get; set; }

    public long Acked { get; set; }

    public long Ambiguous { get; set; }

    public SimNetwork Network { get; }

    /// <summary>Syncs are not done: the run has to fail.</summary>
    public bool HasLyingDisks { get; }

    /// <summary>Until then one client alone asks for anything.</summary>
    public long LullUntil { get; private set; }

    public int AwakeClient { get; private set; }

    /// <summary>
    /// Until then nothing happens but what is being tried: for what holds only while nothing else goes wrong.
    /// </summary>
    public long CalmUntil { get; private set; }

    /// <summary>New faults may begin.</summary>
    public bool IsRough => IsFaulty && Time.Now >= CalmUntil;

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
            Asked = world.Asked,
            AckedOperations = world.Acked,
            Ambiguous = world.Ambiguous,
            Crowd = world._crowd,
            WatchEvents = world._watchers.Sum(w => w.Events),
            WatchProgress = world._watchers.Sum(w => w.Progress),
            Renewals = world.Leases.Renewals,
            DamageFound = world.DamageFound,
        };
    }

    /// <summary>The disk of a cluster of one, as kill -9 leaves it after a run.</summary>
    public static (SimDisk Disk, ServerConfig Config) DiskOfLoneMember(ulong seed)
    {
        var world = new Simulation(seed, new Plan(seed), isTracing: false, output: null, hasLyingDisks: false);
        world.Run();
        SimHost host = world.Hosts[0];
        SimDisk disk = host.Disk.KillCopy();
        host.Member?.End();
        return (disk, host.Config);
    }

    /// <summary>A machine whose member may be asked.</summary>
    public SimHost AnyHost(Dice dice)
    {
        for (int i = 0; i < 4; i++)
        {
            SimHost host = Hosts[dice.Below(Hosts.Count)];
            if (host is { IsRetired: false, IsBroken: false } && (host.IsFounder || host.Starts > 0))
            {
                return host;
            }
        }

        return Hosts[dice.Below(Hosts.Count)];
    }

    /// <summary>A machine for a member that is to be added.</summary>
    public SimHost AddHost()
    {
        int number = Hosts.Count;
        ulong id = MemberIds.Compute([$"http://m{number}:2380"], "", Time.Now);
        var host = new SimHost(this, number, id, Config(number), _dice.Fork());
        Hosts.Add(host);
        return host;
    }

    /// <summary>A client begins to be busy with a key.</summary>
    public void Enter(string key)
    {
        int busy = _busyKeys.GetValueOrDefault(key) + 1;
        _busyKeys[key] = busy;
        _crowd = Math.Max(_crowd, busy);
    }

    public void Leave(string key) => _busyKeys[key]--;

    /// <summary>An id for a lease that nobody used.</summary>
    public long NewLease(Dice dice)
    {
        _leaseIds.Add(((long)_leaseIds.Count << 8) + 1 + dice.Below(200));
        return _leaseIds[^1];
    }

    /// <summary>A lease that was asked for lately; 0 when there is none.</summary>
    public long SomeLease(Dice dice) => _leaseIds.Count == 0
        ? 0
        : _leaseIds[Math.Max(0, _leaseIds.Count - 1 - dice.Below(6))];

    /// <summary>An answer that came out of the log is what the model says.</summary>
    public void CheckAnswer(PendingRequest request, string text, int? field)
    {
        if (request.Error is StoreError.NoLeader or StoreError.TooManyRequests or StoreError.Timeout or StoreError.Stopped)
        {
            Judge.Require(
                request.Error is StoreError.Timeout or StoreError.Stopped || Model.Answer(request.Id) is null,
                $"{text}: {request.Error}, and it is in the log");
            return;
        }

        Expected? expected = Model.Answer(request.Id);
        Judge.Require(expected is not null, $"{text}: {request.Error}, and it is not in the log");
        if (request.Error == StoreError.AnswerLost)
        {
            // It came with a snapshot, and what it was answered did not.
            return;
        }

        Judge.Require(expected.Error == request.Error, $"{text}: {request.Error}, the model says {expected.Error}");
        if (request.Error != StoreError.None || field is null)
        {
            return;
        }

        if (field == InternalField.Txn)
        {
            (long revision, bool succeeded, List<KeyState> read) = Answers.Txn(request.Response);
            Judge.Require(
                revision == expected.Revision && succeeded == (expected.Second != 0) && read.SequenceEqual(expected.Read),
                $"{text}: {revision} {succeeded} [{string.Join("; ", read)}], the model says"
                + $" {expected.Revision} {expected.Second} [{string.Join("; ", expected.Read)}]");
            return;
        }

        (long at, long second) = Answers.Write(request.Response);
        Judge.Require(
            at == expected.Revision && (field is not (InternalField.DeleteRange or InternalField.LeaseGrant) || second == expected.Second),
            $"{text}: {second} at {at}, the model says {expected.Second} at {expected.Revision}");
    }

    public void Count(Fault fault) => _faults[(int)fault]++;

    public int NumberOf(ulong id) => Hosts.FindIndex(host => host.Id == id);

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
            client.Start();
        }

        for (int i = 0; i < Plan.Watchers; i++)
        {
            var watcher = new SimWatcher(this, i, _dice.Fork());
            _watchers.Add(watcher);
            watcher.Start();
        }

        new Admin(this, _dice.Fork()).Start();
        _operator.Start();

        Every(Plan.CrashEvery, CrashSomebody);
        Every(Plan.PauseEvery, PauseSomebody);
        Every(Plan.CutEvery, CutSomething);
        Every(Plan.SyncErrorEvery, FailASync);
        Every(Plan.LateEvery, MakeLate);
        Every(Plan.LullEvery, _ =>
        {
            AwakeClient = _dice.Below(Plan.Clients);
            LullUntil = Time.Now + _dice.Between(VirtualTime.Second, 5 * VirtualTime.Second);
        });
        Every(Plan.DiskErrorEvery, host => host.FailCall((int)_dice.Between(1, 500)));
        Every(Plan.DiskFullEvery, host =>
            host.FullUntil = Time.Now + _dice.Between(VirtualTime.Second, 10 * VirtualTime.Second));
        Every(Plan.ClockJumpEvery, JumpClock);
        Every(Plan.ResetEvery, ResetConnections);
        Every(Plan.DefragmentEvery, host => host.Member?.Defragment(_dice.Between(VirtualTime.Second, 10 * VirtualTime.Second)));
        Every(Plan.DamageEvery, Damage);
        long end = Plan.FaultTime;
        while (true)
        {
            while (Time.Step(end))
            {
            }

            if ((Acked >= AckedMin && GravePerRun() >= FaultsMin) || end >= FaultTimeMax)
            {
                return Recover();
            }

            end += 10 * VirtualTime.Second;
        }
    }

    private ServerConfig Config(int number) => new()
    {
        Name = $"m{number}",
        DataDir = "/data",
        InitialCluster = _founders,
        InitialClusterToken = "simulation",
        SnapshotCount = Plan.SnapshotCount,
        SnapshotCatchUpEntries = Plan.CatchUpEntries,
        CompactionBatchLimit = Plan.CompactionBatch,
        PreVote = Plan.PreVote,
        MaxSnapshots = 2,
        MaxWals = 2,
        BcryptCost = 4,
    };

    /// <summary>Faults that hit somebody; a lost message alone does not count.</summary>
    private long GravePerRun()
    {
        long sum = 0;
        for (int i = 0; i <= (int)Fault.Reset; i++)
        {
            sum += _faults[i];
        }

        return sum;
    }

    private void JumpClock(SimHost host)
    {
        Count(Fault.ClockJump);
        host.Clock.WallOffset += _dice.Between(-5 * 3600, 5 * 3600) * VirtualTime.Second;
    }

    private void ResetConnections(SimHost host)
    {
        SimHost other = AnyHost(_dice);
        if (other != host)
        {
            Count(Fault.Reset);
            Network.Reset(host, other);
        }
    }

    /// <summary>
    /// Damages one machine's disk, if all others are whole and can do without it: never the last copy of anything.
    /// </summary>
    private void Damage(SimHost host)
    {
        if (!MayDamage(host))
        {
            return;
        }

        switch (_dice.Below(3))
        {
            case 0:
                host.LoseWrite((int)_dice.Between(1, 40));
                break;
            case 1:
                MisdirectPage(host);
                break;
            default:
                FlipBit(host);
                break;
        }
    }

    /// <summary>A page of the data file stands in its neighbour's place too, as found when the member starts again.</summary>
    private void MisdirectPage(SimHost host)
    {
        const int PageBytes = 4096;
        string path = host.Config.DatabasePath;
        if (!host.Disk.FileExists(path) || host.Disk.WrittenBytes(path) < 6 * PageBytes)
        {
            return;
        }

        long pages = host.Disk.WrittenBytes(path) / PageBytes;
        host.Kill();
        Count(Fault.MisdirectedWrite);
        host.DamagedAt = Time.Now;
        long source = _dice.Between(2, pages - 2);
        Chronicle.Line($"m{host.Number} page {source} of {path} also at {source + 1}");
        host.Disk.Observer = null;
        using (IDiskFile file = host.Disk.Open(path, DiskOpen.ReadWrite))
        {
            byte[] page = new byte[PageBytes];
            file.Read(page, source * PageBytes);
            file.Write(page, (source + 1) * PageBytes);
            file.SyncAll();
        }

        host.Observe();
    }

    /// <summary>No new fault for so long, if none is under way.</summary>
    public bool TryCalm(long micros)
    {
        bool isCalm = (IsRough || !IsFaulty) && Network.IsCalm
            && Members.All(host => host is { Member: not null, DamagedAt: 0, HasFaultAhead: false });
        if (isCalm)
        {
            CalmUntil = Time.Now + micros;
        }

        return isCalm;
    }

    /// <summary>The others are whole and enough, now.</summary>
    public bool MayDamage(SimHost host)
    {
        bool isVoter = Model.Members.TryGetValue(host.Id, out bool isLearner) && !isLearner;
        SimHost[] voters = [.. Hosts.Where(h => Model.Members.TryGetValue(h.Id, out bool l) && !l)];
        return IsFaulty && isVoter && voters.Length >= 3 && Model.Members.Count == voters.Length
            && !Hosts.Any(h => h.DamagedAt != 0 && Model.Members.ContainsKey(h.Id))
            && !_operator.IsBusy
            && Hosts.Count + 2 <= HostsMax;
    }

    /// <summary>
    /// In the data file, a .snap, or the log. There, what was written last may be torn for all the log can know:
    /// the flip is put where more has followed.
    /// </summary>
    private void FlipBit(SimHost host)
    {
        string folder = _dice.Below(3) == 0 ? host.Config.WalDirectory : host.Config.SnapDir;
        SimDisk disk = host.Disk;
        if (!disk.DirectoryExists(folder))
        {
            return;
        }

        string[] files = [.. disk.List(folder).Where(f => !f.EndsWith(".tmp", StringComparison.Ordinal))];
        if (files.Length == 0)
        {
            return;
        }

        string path = $"{folder}/{files[_dice.Below(files.Length)]}";
        long length = disk.WrittenBytes(path);
        if (length == 0)
        {
            return;
        }

        long offset = _dice.Between(0, length - 1);
        bool isLog = path.EndsWith(".wal", StringComparison.Ordinal);
        Time.After(isLog ? 3 * VirtualTime.Second : 0, () =>
        {
            if (!host.Disk.FileExists(path) || !MayDamage(host)
                || host.Disk.WrittenBytes(path) < length + (isLog ? 2048 : 0))
            {
                return;
            }

            // Found at rest: what a running member has read and checked stays in the machine's memory.
            host.Kill();
            Count(Fault.BitFlip);
            host.DamagedAt = Time.Now;
            Chronicle.Line($"m{host.Number} bit flipped in {path} at {offset} of {length}");
            host.Disk.FlipBit(path, offset, _dice.Below(8));
        });
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
            if (IsRough)
            {
                fault(AnyHost(dice));
            }

            if (IsFaulty)
            {
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

    /// <summary>
    /// What a member is told gets older and older, until nobody hears it any more: it goes on for a while on answers to
    /// what it had asked long ago, and others may have gone on without it.
    /// </summary>
    private void MakeLate(SimHost host)
    {
        if (Model.Members.Count < 2)
        {
            return;
        }

        Count(Fault.LateLines);
        SimHost target = Array.Find([.. Hosts], h => h.Member?.IsLeader == true) ?? host;
        long late = _dice.Between(VirtualTime.Second, 5 * VirtualTime.Second);
        Chronicle.Line($"m{target.Number} hears others late, up to {late / 1e6} s");
        Network.MakeLate(target.Number, late);
        Time.After(2 * late, () =>
        {
            if (!IsRough)
            {
                return;
            }

            foreach (SimHost other in Hosts)
            {
                if (other != target)
                {
                    Network.Cut(target.Number, other.Number);
                }
            }

            HealLater();
        });
    }

    private void CutSomething(SimHost host)
    {
        if (Model.Members.Count < 2)
        {
            return;
        }

        int kind = _dice.Below(5);
        if (kind == 4)
        {
            // A bridge: two that do not hear each other, while somebody hears both.
            SimHost other = AnyHost(_dice);
            if (other != host)
            {
                Count(Fault.BridgePartition);
                Network.Cut(host.Number, other.Number);
                Network.Cut(other.Number, host.Number);
                HealLater();
            }

            return;
        }

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
        HealLater();
    }

    private void HealLater() => Time.After(_dice.Between(100, 15_000) * VirtualTime.Millisecond, () =>
    {
        Chronicle.Line($"network heals");
        Network.Heal();
    });

    /// <summary>Seconds until the members were one again; clients go on meanwhile.</summary>
    private double Recover()
    {
        IsFaulty = false;
        Network.Heal();
        foreach (SimHost host in Hosts)
        {
            host.Heal();
        }

        Chronicle.Line($"all heals");
        long began = Time.Now;
        var patience = new Patience(this);
        while (!_operator.IsDone)
        {
            Judge.Require(patience.Step(), $"a damaged member was not replaced:\n{Describe()}");
        }

        Mark();
        while (_markersDone < _markersAsked)
        {
            Judge.Require(
                patience.Step(), $"no progress {(Time.Now - began) / VirtualTime.Second} s after all was healed:\n{Describe()}");
        }

        double recovery = (Time.Now - began) / 1e6;
        IsOver = true;
        WaitForLeases();
        patience = new Patience(this);
        while (!IsSettled())
        {
            Judge.Require(patience.Step(), $"the members do not come to the same end:\n{Describe()}");

            // One that was asked for long ago may be granted only now.
            if (Model.Leases.Count > 0)
            {
                WaitForLeases();
                patience = new Patience(this);
            }
        }

        string? digest = null;
        foreach (SimHost host in Members)
        {
            SimMember member = host.Member!;
            CheckMembership(member);
            Judge.Require(member.State.Machine.Leases.Leases().Length == 0, $"member {host.Number} has leases that nobody has");
            Judge.Require(
                member.Pipeline.Core.Log.UncommittedBytes == 0,
                $"member {host.Number} counts {member.Pipeline.Core.Log.UncommittedBytes} bytes that are not committed");
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

        void WaitForLeases()
        {
            var leaseTime = new Patience(this, LeaseTimeMax);
            while (Model.Leases.Count > 0)
            {
                Judge.Require(
                    leaseTime.Step(), $"leases that nobody renews are still there: {string.Join(',', Model.Leases.Keys)}\n{Describe()}");
            }
        }
    }

    /// <summary>One put through each member has to be acknowledged.</summary>
    private void Mark()
    {
        foreach (SimHost host in Members.ToArray())
        {
            _markersAsked++;
            Ask(host.Number);
        }

        void Ask(int number)
        {
            SimMember? member = Hosts[number].Member;
            if (Hosts[number] is { IsRetired: true } or { IsBroken: true })
            {
                // It has met its damage only now, or was removed by a late entry.
                _markersDone++;
                return;
            }

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
            member.Propose(InternalField.Put, body.WrittenMemory, member.Identity("root"), request =>
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
        ulong leader = 0;
        foreach (SimHost host in Members)
        {
            if (host.Member is not { } member)
            {
                return false;
            }

            ulong own = member.Pipeline.AppliedIndex;
            applied = applied == 0 ? own : applied;
            if (own != applied || member.Pipeline.Core.Commit != own || member.Pipeline.Core.LastIndex != own
                || (leader != 0 && member.Pipeline.Raft.Leader != leader)
                || member.Pipeline.Pending.Count != 0
                || member.Pipeline.CoreLoop.Events.Count != 0)
            {
                return false;
            }

            leader = member.Pipeline.Raft.Leader;
        }

        return leader != 0 && _watchers.TrueForAll(w => w.IsCaughtUp);
    }

    /// <summary>Machines whose member belongs to the cluster, as the log says.</summary>
    public IEnumerable<SimHost> Members => Hosts.Where(h => Model.Members.ContainsKey(h.Id));

    /// <summary>One truth about who is a member: the log's, the store's, raft's.</summary>
    private void CheckMembership(SimMember member)
    {
        MembershipView stored = member.State.Machine.Members.Current;
        ConfState raft = member.Pipeline.Core.ConfState;
        ulong[] voters = [.. Model.Members.Where(m => !m.Value).Select(m => m.Key)];
        ulong[] learners = [.. Model.Members.Where(m => m.Value).Select(m => m.Key)];
        Judge.Require(
            stored.VoterIds.SequenceEqual(voters) && stored.LearnerIds.SequenceEqual(learners),
            $"member {member.Number} stores voters [{string.Join(',', stored.VoterIds)}] learners"
            + $" [{string.Join(',', stored.LearnerIds)}], the log says [{string.Join(',', voters)}] [{string.Join(',', learners)}]");
        Judge.Require(
            raft.Voters.ToArray().Order().SequenceEqual(voters) && raft.Learners.ToArray().Order().SequenceEqual(learners),
            $"member {member.Number}: raft has {raft}, the log says [{string.Join(',', voters)}] [{string.Join(',', learners)}]");
    }

    private string Describe()
    {
        var text = new StringBuilder();
        foreach (SimHost host in Hosts)
        {
            text.AppendLine(host.Member is { } member
                ? $"m{host.Number} {member.Pipeline.Core.GetStatus()} applied {member.Pipeline.AppliedIndex}"
                    + $" revision {member.State.Machine.Kv.Revision} pending {member.Pipeline.Pending.Count}"
                : $"m{host.Number} down{(host.IsRetired ? ", retired" : "")}{(host.IsBroken ? ", broken" : "")}");
        }

        text.Append("members: ").AppendJoin(',', Model.Members.Select(m => $"{NumberOf(m.Key)}{(m.Value ? "(learner)" : "")}"));
        foreach (SimWatcher watcher in _watchers)
        {
            text.AppendLine().Append("watch caught up: ").Append(watcher.IsCaughtUp);
        }

        return text.ToString();
    }
}
