using Perf.Engine.IO;
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
        Disk = new SimDisk();
        LetItLie();
    }

    public int Number { get; }

    public ulong Id { get; }

    public ServerConfig Config { get; }

    public Dice Luck { get; }

    public SimDisk Disk { get; private set; }

    /// <summary>The process that runs; null when none does.</summary>
    public SimMember? Member { get; private set; }

    public long PausedUntil { get; set; }

    public int Starts { get; private set; }

    private bool _isFailing;

    public void Start()
    {
        if (Member is not null)
        {
            return;
        }

        Starts++;
        try
        {
            Member = new SimMember(this, _world) { HasDiskFailed = _isFailing };
            _world.Chronicle.Line($"m{Number} started, applied {Member.Pipeline.AppliedIndex}, revision {Member.State.Machine.Kv.Revision}");
        }
        catch (SimCrashException)
        {
            Down("the machine went off while it started");
        }
        catch (IOException e) when (_isFailing)
        {
            Down(e.Message);
        }
    }

    /// <summary>Power failure: what was not synced may be gone.</summary>
    public void Crash() => Down("power failure");

    /// <summary>kill -9: what was written is still there.</summary>
    public void Kill() => Down("killed", isKill: true);

    /// <summary>The n-th disk call from now on is the machine's last.</summary>
    public void CrashAt(int calls) => Disk.FailAt(Disk.Calls + calls, SimFailure.PowerOff);

    /// <summary>The n-th sync from now on fails.</summary>
    public void FailSync(int syncs)
    {
        SimDisk disk = Disk;
        int left = syncs;
        disk.Observer = (call, path) =>
        {
            if (call is not ("fsync" or "fdatasync") || --left != 0)
            {
                return;
            }

            disk.FailAt(disk.Calls + 1, SimFailure.InputOutput);
            disk.Observer = null;
            _isFailing = true;
            if (Member is not null)
            {
                Member.HasDiskFailed = true;
            }

            _world.Count(Fault.SyncError);
            _world.Chronicle.Line($"m{Number} {call} of {path} fails");
        };
    }

    /// <summary>For proof that the judge sees a loss: a disk whose syncs say that they were done, and were not.</summary>
    private void LetItLie()
    {
        if (!_world.HasLyingDisks)
        {
            return;
        }

        SimDisk disk = Disk;
        disk.Observer = (call, _) =>
        {
            if (call is "fsync" or "fdatasync")
            {
                disk.FailAt(disk.Calls + 1, SimFailure.Phantom);
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
        LetItLie();
        _isFailing = false;
        PausedUntil = 0;
        _world.Time.After(Luck.Between(10, _world.IsFaulty ? 6_000 : 500) * VirtualTime.Millisecond, Start);
    }
}
