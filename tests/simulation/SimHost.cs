using Perf.Engine;
using Perf.Engine.IO;
using Perf.Node.Cluster;
using Perf.Node.Config;

namespace Perf.Simulation;

/// <summary>A machine with its disk, on which a member's process lives, dies and is started again.</summary>
internal sealed class SimHost
{
    private readonly Simulation _world;

    public SimHost(Simulation world, int number, ulong id, ServerConfig config, Dice luck)
    {
        _world = world;
        Number = number;
        Id = id;
        Config = config;
        Luck = luck;
        Clock = new SimClock(world.Time);
        Disk = new SimDisk();
        Observe();
    }

    public int Number { get; }

    public ulong Id { get; }

    public ServerConfig Config { get; }

    public Dice Luck { get; }

    public SimDisk Disk { get; private set; }

    /// <summary>The process that runs; null when none does.</summary>
    public SimMember? Member { get; private set; }

    public long PausedUntil { get; set; }

    public SimClock Clock { get; }

    /// <summary>It was there when the cluster was founded.</summary>
    public bool IsFounder { get; init; }

    /// <summary>No longer a member, or found damaged: never starts again.</summary>
    public bool IsRetired { get; private set; }

    /// <summary>Something on the disk is not what was written there; the member may notice, and end for good.</summary>
    public long DamagedAt { get; set; }

    /// <summary>The member found the damage and refuses to go on: somebody has to replace it.</summary>
    public bool IsBroken { get; private set; }

    /// <summary>No room for more until then.</summary>
    public long FullUntil { get; set; }

    /// <summary>A disk call has failed: to end is right, whoever notices.</summary>
    public bool IsFailing => _isFailing;

    /// <summary>It stands still, or a call of its disk is going to fail.</summary>
    public bool HasFaultAhead => PausedUntil > _world.Time.Now || FullUntil > _world.Time.Now
        || _isFailing || _isCrashAhead || _syncsLeft > 0 || _callsLeft > 0;

    public int Starts { get; private set; }

    private bool _isFailing;
    private bool _isSyncFailed;
    private bool _isCrashAhead;
    private int _syncsLeft;
    private int _callsLeft;
    private int _pagesLeft;

    public void Start()
    {
        if (Member is not null || IsRetired || IsBroken)
        {
            return;
        }

        Starts++;
        int skew = _world.Plan.TickSkewPercent;
        Clock.RatePercent = (int)Luck.Between(100 - skew, 100 + skew);
        if (Clock.RatePercent != 100)
        {
            _world.Count(Fault.ClockSkew);
        }

        try
        {
            Member = new SimMember(this, _world) { HasDiskFailed = _isSyncFailed };
            _world.Chronicle.Line($"m{Number} started, applied {Member.Pipeline.AppliedIndex}, revision {Member.State.Machine.Kv.Revision}");
        }
        catch (SimCrashException)
        {
            Down("the machine went off while it started");
        }
        catch (IOException e) when (_isFailing || FullUntil > _world.Time.Now)
        {
            Down(e.Message);
        }
        catch (Exception e) when (DamagedAt != 0 && IsRefusal(e))
        {
            Break(e.Message);
        }
    }

    /// <summary>What a member says that has found damage.</summary>
    public static bool IsRefusal(Exception e) =>
        e is CorruptionException or InvalidDataException or StartRefusedException;

    /// <summary>Damage was found: this machine's data is not to be trusted again.</summary>
    public void Break(string why)
    {
        IsBroken = true;
        _world.DamageFound++;
        Down($"damage found: {why}");
    }

    /// <summary>It is no member any more.</summary>
    public void Retire(string why)
    {
        if (!IsRetired)
        {
            IsRetired = true;
            Down(why);
        }
    }

    /// <summary>Power failure: what was not synced may be gone.</summary>
    public void Crash() => Down("power failure");

    /// <summary>kill -9: what was written is still there.</summary>
    public void Kill() => Down("killed", isKill: true);

    /// <summary>The n-th disk call from now on is the machine's last.</summary>
    public void CrashAt(int calls)
    {
        _isCrashAhead = true;
        Disk.FailAt(Disk.Calls + calls, SimFailure.PowerOff);
    }

    /// <summary>The n-th sync from now on fails.</summary>
    public void FailSync(int syncs) => _syncsLeft = syncs;

    /// <summary>The n-th call of whatever kind fails.</summary>
    public void FailCall(int calls) => _callsLeft = calls;

    /// <summary>The n-th write to the data file is lost.</summary>
    public void LoseWrite(int writes) => _pagesLeft = writes;

    /// <summary>All faults of the disk end.</summary>
    public void Heal()
    {
        PausedUntil = 0;
        FullUntil = 0;
        _syncsLeft = 0;
        _callsLeft = 0;
        _pagesLeft = 0;
    }

    private static bool IsGrowing(string call, string path) => call == "fallocate"
        || (call is "pwrite" or "pwritev" && !path.EndsWith(".wal", StringComparison.Ordinal));

    /// <summary>Puts the faults of this host between its disk and whoever uses it.</summary>
    public void Observe()
    {
        SimDisk disk = Disk;
        disk.Observer = (call, path) =>
        {
            bool isSync = call is "fsync" or "fdatasync";
            if (isSync && _world.HasLyingDisks)
            {
                // For proof that the judge sees a loss: a disk that says it was done, and it was not.
                disk.FailAt(disk.Calls + 1, SimFailure.Phantom);
            }

            if (isSync && _syncsLeft > 0 && --_syncsLeft == 0)
            {
                disk.FailAt(disk.Calls + 1, SimFailure.InputOutput);
                _isFailing = true;
                _isSyncFailed = true;
                if (Member is not null)
                {
                    Member.HasDiskFailed = true;
                }

                _world.Count(Fault.SyncError);
                _world.Chronicle.Line($"m{Number} {call} of {path} fails");
            }
            else if (_callsLeft > 0 && --_callsLeft == 0)
            {
                // Whoever goes on after this may: not every call matters. Who ends does so for a reason.
                disk.FailAt(disk.Calls + 1, SimFailure.InputOutput);
                _isFailing = true;
                _world.Count(Fault.DiskError);
                _world.Chronicle.Line($"m{Number} {call} of {path} fails");
            }
            else if (FullUntil > _world.Time.Now && IsGrowing(call, path))
            {
                disk.FailAt(disk.Calls + 1, SimFailure.NoSpace);
                _world.Count(Fault.DiskFull);
                _world.Chronicle.Line($"m{Number} {call} of {path}: no space");
            }
            else if (_pagesLeft > 0 && path.EndsWith("/db", StringComparison.Ordinal)
                && call is "pwrite" or "pwritev" && _world.MayDamage(this) && --_pagesLeft == 0)
            {
                disk.FailAt(disk.Calls + 1, SimFailure.Phantom);
                DamagedAt = _world.Time.Now;
                _world.Count(Fault.LostWrite);
                _world.Chronicle.Line($"m{Number} {call} of {path}: lost");
            }
        };
    }

    public void Down(string why, bool isKill = false)
    {
        _world.Chronicle.Note(5, (ulong)Number, isKill ? 1UL : 0UL);
        _world.Chronicle.Line($"m{Number} down: {why}");
        SimDisk after = isKill ? Disk.KillCopy() : Disk.CrashCopy(Luck.Next());
        Disk.FailAt(Disk.Calls + 1, SimFailure.PowerOff);
        SimMember? member = Member;
        Member = null;
        member?.End();
        Disk = after;
        Observe();
        _isFailing = false;
        _isSyncFailed = false;
        _isCrashAhead = false;
        _callsLeft = 0;
        PausedUntil = 0;
        if (IsRetired || IsBroken)
        {
            return;
        }

        _world.Time.After(Luck.Between(10, _world.IsFaulty ? 6_000 : 500) * VirtualTime.Millisecond, Start);
    }
}
