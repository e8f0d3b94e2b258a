using Perf.Raft.Tests.Harness;

namespace Perf.Raft.Tests;

/// <summary>The warm path allocates nothing, and what it borrows it gives back.</summary>
public sealed class AllocationTests
{
    [Fact]
    public void Propose_replicate_acknowledge_commit_apply_and_read_allocate_nothing_once_warm()
    {
        // Members 1 (leader) and 2 with their disks at once; 3 does not answer.
        ulong[] voters = [1, 2, 3];
        var leader = new Lane(1, voters);
        var follower = new Lane(2, voters);
        leader.Core.Campaign();
        Converse(leader, follower);
        leader.Core.Step(new Message { Type = MessageType.PreVoteResp, To = 1, From = 3, Term = 1 });
        Converse(leader, follower);
        Assert.Equal(RaftRole.Leader, leader.Core.Role);

        byte[] payload = new byte[EntryCodec.HeadroomBytes + 100];
        for (int i = 0; i < 4_000; i++)
        {
            Turn(leader, follower, payload, i);
        }

        long before = GC.GetAllocatedBytesForCurrentThread();
        for (int i = 0; i < 4_000; i++)
        {
            Turn(leader, follower, payload, i);
        }

        Assert.Equal(0, GC.GetAllocatedBytesForCurrentThread() - before);
        Assert.True(follower.Core.Applied > 60_000);
        Assert.True(leader.Reads > 3_900);
    }

    [Fact]
    public void Every_reference_to_an_entry_is_given_back()
    {
        var lease = new CountingLease();
        var probe = new Probe(1, [1], configure: c => c with { WindowBytesMax = 100 });
        probe.BecomeLeader();
        for (int i = 0; i < 100; i++)
        {
            byte[] buffer = new byte[EntryCodec.HeadroomBytes + 10];
            Assert.Equal(ProposeOutcome.Appended, probe.Core.Propose(EntryType.Normal, buffer, EntryCodec.HeadroomBytes, lease));
            probe.Run();
        }

        // Only the window's own remain.
        Assert.InRange(lease.Count, 1, 6);
        probe.Core.SetSnapshot(new SnapshotMetadata(probe.Core.Applied, 1, new ConfState([1], [])));
        probe.Core.Compact(ulong.MaxValue);
        Assert.Equal(0, lease.Count);

        var follower = new Probe(2, [1, 2]);
        follower.Append(1, 1, 0, 0, 0);
        follower.Run();
        Assert.Equal(
            ProposeOutcome.Forwarded,
            follower.Core.Propose(EntryType.Normal, new byte[60], EntryCodec.HeadroomBytes, lease));
        Assert.Equal(1, lease.Count);
        follower.Core.TakeReady(new Ready());
        Assert.Equal(1, lease.Count);
        follower.Core.TakeReady(new Ready());
        Assert.Equal(0, lease.Count);
    }

    private static void Turn(Lane leader, Lane follower, byte[] payload, int turn)
    {
        // The log refers to the same bytes again and again; nobody reads them here.
        for (int i = 0; i < 8; i++)
        {
            leader.Core.Propose(EntryType.Normal, payload, EntryCodec.HeadroomBytes, null);
        }

        leader.Core.ReadIndex((ulong)turn);
        if (turn % 4 == 0)
        {
            leader.Core.Tick();
            follower.Core.Tick();
        }

        Converse(leader, follower);
    }

    private static void Converse(Lane leader, Lane follower)
    {
        while (leader.Core.HasReady || follower.Core.HasReady)
        {
            leader.Run(follower);
            follower.Run(leader);
        }
    }

    private sealed class Lane(ulong id, ulong[] voters)
    {
        private readonly Ready _ready = new();

        public RaftCore Core { get; } = new(
            new RaftConfig { Id = id, Seed = id, WindowBytesMax = 100_000 },
            new RestoredState(SnapshotMetadata.None, 0, new ConfState(voters, []), 100_000));

        public int Reads { get; private set; }

        public void Run(Lane other)
        {
            Core.TakeReady(_ready);
            foreach (ref readonly Message message in _ready.Messages)
            {
                if (message.To == other.Core.Id)
                {
                    other.Core.Step(message);
                }
            }

            Reads += _ready.ReadStates.Count;
            ulong applied = _ready.Committed.IsEmpty ? 0 : _ready.Committed[^1].Index;
            if (_ready.Batch != 0)
            {
                Core.OnDurable(_ready.Batch);
            }

            Core.OnApplied(applied);
        }
    }

    private sealed class CountingLease : IEntryLease
    {
        public int Count { get; private set; }

        public void Retain() => Count++;

        public void Release()
        {
            Count--;
            Assert.True(Count >= 0);
        }
    }
}
