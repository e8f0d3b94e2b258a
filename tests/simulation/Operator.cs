using System.Globalization;
using Perf.Node.Consensus;
using Perf.Raft;
using Perf.Store;
using ConfChange = Perf.Store.Membership.ConfChange;
using Member = Perf.Store.Membership.Member;

namespace Perf.Simulation;

/// <summary>
/// Somebody who looks after the cluster: adds, promotes, updates and removes members one at a time, moves leadership,
/// and replaces machines whose disks are damaged. What becomes of a change is read from the log.
/// </summary>
internal sealed class Operator(Simulation world, Dice dice)
{
    private const long Patience = 4 * VirtualTime.Second;

    /// <summary>A machine with damage that nobody has noticed is replaced all the same.</summary>
    private const long DamageTime = 15 * VirtualTime.Second;

    /// <summary>What is said of a removal is lost for so long: the removed leader goes on for an election timeout.</summary>
    private const long UnheardMax = 300 * VirtualTime.Millisecond;

    /// <summary>The removal has to be committed within the first half, to be heard of in the second.</summary>
    private const long CalmTime = 4 * VirtualTime.Second;

    /// <summary>A change that nobody answered for may lie in a log for long, and be committed when it is no longer thought of.</summary>
    private const long DoubtTime = 30 * VirtualTime.Second;

    private long _busyUntil;
    private long _doubtUntil;
    private (SimHost Leader, SimHost Other)? _unheard;
    private long _nextChange;
    private int _wanted = world.Plan.Members;

    /// <summary>No member is known to be unfit.</summary>
    public bool IsDone => Members().All(host => host is { IsBroken: false, IsRetired: false });

    /// <summary>A change of members may be under way.</summary>
    public bool IsBusy => world.Time.Now < Math.Max(_busyUntil, _doubtUntil);

    public void Start()
    {
        _nextChange = dice.Between(1, 2 * Math.Max(1, world.Plan.ChurnEvery));
        Turn();
    }

    private IEnumerable<SimHost> Members() =>
        world.Hosts.Where(host => world.Model.Members.ContainsKey(host.Id));

    private void Turn()
    {
        world.Time.After(250 * VirtualTime.Millisecond, Turn);
        foreach (SimHost host in world.Hosts.ToArray())
        {
            if (world.Model.Members.ContainsKey(host.Id) && host is { Starts: 0, IsRetired: false })
            {
                // The cluster has taken it: it may be started.
                host.Start();
            }
            else if (world.Model.IsRemoved(host.Id) && !world.IsFaulty
                && Members().All(h => h.Member?.State.Machine.Members.Current.IsRemoved(host.Id) ?? true))
            {
                // Everybody who is there knows that it is gone.
                host.Retire("switched off after its removal");
            }
        }

        if (world.Time.Now < _busyUntil || world.Model.Members.Count == 0)
        {
            return;
        }

        SimHost[] members = [.. Members()];
        SimHost? unfit = members.FirstOrDefault(h => h.IsBroken)
            ?? members.FirstOrDefault(h => h.DamagedAt != 0 && world.Time.Now - h.DamagedAt > DamageTime);
        KeyValuePair<ulong, bool> learner = world.Model.Members.FirstOrDefault(m => m.Value);
        if (unfit is not null)
        {
            if (Remove(unfit))
            {
                world.Count(Fault.MemberReplaced);
            }
        }
        else if (learner.Key != 0)
        {
            LookAfter(learner.Key);
        }
        else if (members.Length < _wanted && world.Hosts.Count < Simulation.HostsMax)
        {
            Add(isLearner: dice.Percent(70));
        }
        else if (world.IsFaulty && world.Plan.ChurnEvery > 0 && world.Time.Now > _nextChange
            && Array.TrueForAll(members, h => h.DamagedAt == 0))
        {
            _nextChange = world.Time.Now + dice.Between(1, 2 * world.Plan.ChurnEvery);
            Change(members);
        }
    }

    private void Change(SimHost[] members)
    {
        switch (dice.Below(4))
        {
            case 0 when members.Length == 2 && RemoveUnheard(members):
                break;
            case 0 when members.Length > 1:
                Remove(members[dice.Below(members.Length)]);
                break;
            case 1 when _wanted < 5:
                _wanted++;
                break;
            case 2 when _wanted > 1 && members.Length > 1 && world.Plan.DamageEvery == 0:
                _wanted--;
                Remove(members[dice.Below(members.Length)]);
                break;
            case 3:
                MoveLeader(members);
                break;
            default:
                Update(members[dice.Below(members.Length)]);
                break;
        }
    }

    private void LookAfter(ulong id)
    {
        if (dice.Percent(3))
        {
            Remove(world.Hosts.First(h => h.Id == id));
            return;
        }

        if (dice.Percent(5))
        {
            Update(world.Hosts.First(h => h.Id == id));
            return;
        }

        // As the leader decides it: the learner has nine tenths of the log.
        SimHost? leader = world.Hosts.FirstOrDefault(h => h.Member is { IsLeader: true });
        RaftStatus? status = leader?.Member!.Pipeline.Core.GetStatus();
        ProgressView? progress = status?.Progress.Where(p => p.Id == id).Select(p => (ProgressView?)p).FirstOrDefault();
        if (progress is { } known && known.Match >= status!.LastIndex * 0.9 && known.Match > 0)
        {
            Propose(leader!.Member!, ConfChange.Promote(leader.Member!.Pipeline.Ids.Next(), id), Fault.LearnerPromoted);
        }
    }

    private void Add(bool isLearner)
    {
        if (SomeMember() is not { } member)
        {
            return;
        }

        SimHost host = world.AddHost();
        var added = new Member
        {
            Id = host.Id,
            PeerUrls = [$"http://m{host.Number.ToString(CultureInfo.InvariantCulture)}:2380"],
            IsLearner = isLearner,
        };
        Propose(member, ConfChange.Add(member.Pipeline.Ids.Next(), added), isLearner ? Fault.LearnerAdded : Fault.MemberAdded);
    }

    /// <summary>Only when those who stay can go on: they hold everything, and are enough.</summary>
    private bool Remove(SimHost host)
    {
        if (world.Model.Members.TryGetValue(host.Id, out bool isLearner) && !isLearner)
        {
            SimHost[] stay = [.. Members().Where(h => h != host && !world.Model.Members[h.Id])];
            int fit = stay.Count(h => h is { Member: not null, DamagedAt: 0 });
            if (stay.Length == 0 || fit < (stay.Length / 2) + 1)
            {
                return false;
            }

            // Who is left of two and loses what it knew of the commit waits for ever for the vote of who is gone.
            if (stay.Length == 1 && host is { DamagedAt: 0, IsBroken: false } && !world.TryCalm(CalmTime))
            {
                return false;
            }
        }

        return SomeMember() is { } member
            && Propose(member, ConfChange.Remove(member.Pipeline.Ids.Next(), host.Id), Fault.MemberRemoved);
    }

    /// <summary>
    /// Of two members the leader is removed, and what tells the other one of the commit is lost. Without that the other
    /// cannot go on: by what it knows it needs a vote of the one that is gone.
    /// </summary>
    private bool RemoveUnheard(SimHost[] members)
    {
        SimHost? leader = Array.Find(members, h => h.Member is { IsLeader: true });
        SimHost? other = Array.Find(members, h => h != leader);
        if (leader is null || other is null || !world.TryCalm(CalmTime))
        {
            return false;
        }

        _unheard = (leader, other);
        SimMember member = leader.Member!;
        return Propose(member, ConfChange.Remove(member.Pipeline.Ids.Next(), leader.Id), Fault.MemberRemoved);
    }

    /// <summary>The removal of a member is committed: somebody knows, at this moment.</summary>
    public void Removed(ulong id)
    {
        if (_unheard is not { } unheard || unheard.Leader.Id != id || world.CalmUntil - world.Time.Now < CalmTime / 2)
        {
            return;
        }

        (SimHost leader, SimHost other) = unheard;
        _unheard = null;
        world.Count(Fault.RemovalUnheard);
        world.Chronicle.Line($"m{leader.Number} is removed, and m{other.Number} does not hear of it");
        world.Network.Cut(leader.Number, other.Number);
        world.Time.After(
            dice.Between(50 * VirtualTime.Millisecond, UnheardMax), () => world.Network.Mend(leader.Number, other.Number));
    }

    private void Update(SimHost host)
    {
        if (SomeMember() is { } member)
        {
            string url = $"http://m{host.Number}:{dice.Between(1, 60_000)}";
            Propose(member, ConfChange.Update(member.Pipeline.Ids.Next(), host.Id, [url]), Fault.MemberUpdated);
        }
    }

    private void MoveLeader(SimHost[] members)
    {
        SimHost target = members[dice.Below(members.Length)];
        if (Array.Find(members, h => h.Member is { IsLeader: true })?.Member is { } leader)
        {
            world.Count(Fault.LeaderMoved);
            leader.OnCore(core => core.TransferLeader(target.Id));
        }
    }

    private SimMember? SomeMember() => world.AnyHost(dice) is { Member: { } member } host
        && host.PausedUntil <= world.Time.Now ? member : null;

    private bool Propose(SimMember member, ConfChange change, Fault counted)
    {
        long before = _doubtUntil;
        _busyUntil = world.Time.Now + Patience;
        long asked = _busyUntil;
        _doubtUntil = world.Time.Now + DoubtTime;
        long doubted = _doubtUntil;
        string text = $"{change.Kind} {world.NumberOf(change.NodeId)}{(change.IsPromote ? " promoted" : "")}";
        world.Chronicle.Line($"operator m{member.Number} {text}");
        ProposalDraft draft = ProposalDraft.Raw(change.RequestId, EntryType.ConfChange, change.Encode());
        member.Submit(draft, request =>
        {
            world.Chronicle.Line($"operator m{member.Number} {text}: {request.Error}");
            if (request.Error == StoreError.None)
            {
                world.Count(counted);
            }

            if (_busyUntil == asked)
            {
                _busyUntil = world.Time.Now;
            }

            // Another one that is in doubt still counts.
            if (_doubtUntil == doubted && request.Error is not (StoreError.Timeout or StoreError.Stopped))
            {
                _doubtUntil = before;
            }
        });
        return true;
    }
}
