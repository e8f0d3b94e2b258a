using Perf.Raft.Tests.Harness;

namespace Perf.Raft.Tests.Paper;

/// <summary>Thesis 4: single-step changes; Raft 7: snapshots.</summary>
public sealed class MembershipTests
{
    private static readonly ulong[] Three = [1, 2, 3];

    [Fact]
    public void One_change_at_a_time_thesis_4_1()
    {
        var probe = new Probe(1, [1]);
        probe.BecomeLeader();
        probe.Run();
        Assert.Equal(ProposeOutcome.Appended, probe.Propose(new ConfChange(1, ConfChangeType.AddLearnerNode, 2, default)));
        Assert.Equal(ProposeOutcome.ConfChangePending, probe.Propose(new ConfChange(2, ConfChangeType.AddNode, 3, default)));
        probe.Run();

        Assert.Equal("voters=[1] learners=[2]", probe.Core.ConfState.ToString());
        Assert.Equal(ProposeOutcome.Appended, probe.Propose(new ConfChange(2, ConfChangeType.AddNode, 2, default)));
        probe.Run();
        Assert.Equal("voters=[1 2] learners=[]", probe.Core.ConfState.ToString());
    }

    [Fact]
    public void A_change_of_an_earlier_leader_still_counts_as_pending()
    {
        var probe = new Probe(1, Three);
        probe.Append(2, 1, 0, 0, 0, Probe.Entry(1, 1, new ConfChange(1, ConfChangeType.AddNode, 4, default)));
        probe.Run();
        probe.BecomeLeader();

        Assert.Equal(ProposeOutcome.ConfChangePending, probe.Propose(new ConfChange(2, ConfChangeType.AddNode, 5, default)));
    }

    [Fact]
    public void Joint_consensus_is_refused_everywhere()
    {
        var probe = new Probe(1, Three);
        Assert.Equal(
            ProposeOutcome.Invalid,
            probe.Core.Propose(EntryType.ConfChangeV2, new byte[EntryCodec.HeadroomBytes], EntryCodec.HeadroomBytes, null));
        Assert.Equal(
            StepOutcome.Malformed,
            probe.Append(2, 1, 0, 0, 0, Probe.Entry(1, 1, EntryType.ConfChangeV2)));
        Assert.Equal(0UL, probe.Core.LastIndex);
    }

    [Fact]
    public void A_refused_change_changes_nothing_and_the_last_voter_stays()
    {
        var probe = new Probe(1, [1], learners: [2]);

        Assert.Equal("voters=[1] learners=[2]", probe.Core.ApplyConfChange(default).ToString());
        Assert.Equal(
            "voters=[1] learners=[2]",
            probe.Core.ApplyConfChange(new ConfChange(1, ConfChangeType.RemoveNode, 1, default)).ToString());
        Assert.Equal(
            "voters=[1] learners=[2]",
            probe.Core.ApplyConfChange(new ConfChange(1, ConfChangeType.UpdateNode, 2, default)).ToString());
    }

    [Fact]
    public void A_removed_leader_tells_of_the_commit_and_steps_down_and_the_rest_goes_on_thesis_4_2_2()
    {
        var cluster = new SimCluster(3, 1);
        cluster.TickAll(30);
        SimMember leader = cluster.Leader!;
        leader.Propose(new ConfChange(1, ConfChangeType.RemoveNode, leader.Id, default));
        cluster.Settle();

        Assert.All(cluster.Members.Values, m => Assert.Equal(2, m.Core.ConfState.Voters.Length));
        cluster.TickAll(60);
        Assert.Equal(RaftRole.Follower, leader.Core.Role);
        Assert.NotNull(cluster.Leader);
        Assert.NotEqual(leader, cluster.Leader);
    }

    [Fact]
    public void The_one_that_stays_of_two_learns_of_the_removal_though_the_first_word_is_lost()
    {
        int tried = 0;
        for (int seed = 1; seed <= 40; seed++)
        {
            var cluster = new SimCluster(2, seed);
            cluster.TickAll(30);
            SimMember leader = cluster.Leader!;
            SimMember other = cluster.Members.Values.Single(m => m.Id != leader.Id);
            leader.Propose(new ConfChange(1, ConfChangeType.RemoveNode, leader.Id, default));
            for (int i = 0; i < 100_000 && leader.Core.ConfState.IsVoter(leader.Id); i++)
            {
                cluster.Step();
            }

            cluster.Cut(leader.Id, other.Id);
            cluster.Settle();
            if (other.Core.ConfState.Voters.Length < 2)
            {
                // Here the first word had arrived.
                continue;
            }

            tried++;
            cluster.Heal();
            cluster.TickAll(5);
            Assert.Single(other.Core.ConfState.Voters.ToArray());
        }

        Assert.True(tried > 0);
    }

    [Fact]
    public void A_removed_member_cannot_disturb_thesis_4_2_3()
    {
        var cluster = new SimCluster(3, 2, c => c with { PreVote = false, CheckQuorum = false });
        cluster.TickAll(30);
        SimMember leader = cluster.Leader!;
        SimMember victim = cluster.Members.Values.First(m => m != leader);
        cluster.Cut(leader.Id, victim.Id);
        leader.Propose(new ConfChange(1, ConfChangeType.RemoveNode, victim.Id, default));
        cluster.Settle();
        ulong term = leader.Core.Term;
        cluster.TickAll(100);

        Assert.True(victim.Core.Term > term);
        Assert.Equal((RaftRole.Leader, term), (leader.Core.Role, leader.Core.Term));
    }

    [Fact]
    public void A_stranger_does_not_raise_our_term_unless_its_log_may_hold_the_change_that_adds_it()
    {
        var probe = new Probe(1, Three, [1, 1, 1], new HardState(1, 0, 3), applied: 3);

        Assert.Equal(StepOutcome.UnknownMember, Vote(probe, from: 9, term: 50, lastIndex: 3, lastTerm: 1));
        Assert.Equal(StepOutcome.UnknownMember, Vote(probe, from: 9, term: 50, lastIndex: 9, lastTerm: 0));
        Assert.Equal(1UL, probe.Core.Term);
        Assert.Equal(StepOutcome.Done, Vote(probe, from: 9, term: 50, lastIndex: 4, lastTerm: 1));
        Assert.Equal(50UL, probe.Core.Term);
    }

    [Fact]
    public void A_new_member_follows_a_leader_that_it_does_not_know_yet()
    {
        var probe = new Probe(4, []);
        Entry[] log = [.. Three.Select((id, i) => Probe.Entry(1, (ulong)i + 1, new ConfChange(0, ConfChangeType.AddNode, id, default)))];

        Assert.Equal(StepOutcome.Done, probe.Append(1, 3, 0, 0, 3, log));
        probe.Run();

        Assert.Equal((3UL, 1UL), (probe.Core.Applied, probe.Core.Leader));
        Assert.Equal(Three, probe.Core.ConfState.Voters.ToArray());
    }

    [Fact]
    public void Removing_a_dead_member_lets_a_stuck_commit_through()
    {
        var probe = new Probe(1, [1, 2, 3, 4]);
        probe.BecomeLeader();
        probe.Run();
        probe.Accept(2, 1);
        probe.Accept(3, 1);
        probe.Run();
        probe.Propose(new ConfChange(1, ConfChangeType.RemoveNode, 4, default));
        probe.Propose("a");
        probe.Run();
        probe.Accept(2, 3);
        Assert.Equal(1UL, probe.Core.Commit);
        probe.Accept(3, 2);
        probe.Run();

        Assert.Equal(3UL, probe.Core.Commit);
    }

    [Fact]
    public void A_follower_below_the_start_of_the_log_gets_a_snapshot_and_never_a_term_of_0()
    {
        // raft 76f1249: the leader compacts past a throttled follower.
        Probe probe = CompactedLeader();
        probe.Step(new Message { Type = MessageType.HeartbeatResp, From = 3, Term = 1 });
        List<Message> messages = probe.Run();

        Assert.DoesNotContain(messages, m => m.Type == MessageType.App && m.To == 3);
        Message snap = Assert.Single(messages, m => m.Type == MessageType.Snap);
        Assert.Equal((3UL, 11UL, 1UL), (snap.To, snap.Snapshot!.Metadata.Index, snap.Snapshot.Metadata.Term));
        Assert.Equal(Three, snap.Snapshot.Metadata.ConfState.Voters.ToArray());

        var follower = new Probe(3, Three);
        Assert.Equal(StepOutcome.Malformed, follower.Append(1, 1, 5, 0, 0));
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void After_a_snapshot_the_follower_is_probed_where_it_stands(bool succeeded)
    {
        Probe probe = CompactedLeader();
        probe.Step(new Message { Type = MessageType.HeartbeatResp, From = 3, Term = 1 });
        probe.Run();
        probe.Core.ReportSnapshot(3, succeeded);
        Assert.DoesNotContain(probe.Run(), m => m.To == 3);
        probe.Step(new Message { Type = MessageType.HeartbeatResp, From = 3, Term = 1 });

        Message next = Assert.Single(probe.Run(), m => m.To == 3);
        Assert.Equal(succeeded ? MessageType.App : MessageType.Snap, next.Type);
    }

    [Fact]
    public void A_snapshot_replaces_the_log_and_is_confirmed_only_when_installed()
    {
        var probe = new Probe(3, Three, [1, 1], new HardState(1, 0, 1), applied: 1);
        var metadata = new SnapshotMetadata(10, 2, new ConfState([1, 3], [4]));
        var snap = new Message
        {
            Type = MessageType.Snap,
            From = 1,
            Term = 2,
            Snapshot = new Snapshot(metadata, default),
        };
        Assert.Equal(StepOutcome.Done, probe.Step(snap));

        Assert.Empty(probe.Take());
        Assert.Equal(10UL, probe.Snapshot!.Metadata.Index);
        Assert.Equal((11UL, 10UL, 10UL), (probe.Core.FirstIndex, probe.Core.LastIndex, probe.Core.Commit));
        snap.Snapshot = new Snapshot(metadata with { Index = 12 }, default);
        Assert.Equal(StepOutcome.Busy, probe.Step(snap));
        probe.Append(1, 2, 10, 2, 11, Probe.Entry(2, 11));
        probe.Take();
        Assert.Empty(probe.Committed);

        probe.Core.OnDurable(probe.Batch);
        Assert.Contains(probe.Take(), m => m.Type == MessageType.AppResp && m.Index == 11);
        Assert.Equal(Three, probe.Core.ConfState.Voters.ToArray());
        probe.Core.OnApplied(10);
        Assert.Equal("voters=[1 3] learners=[4]", probe.Core.ConfState.ToString());
        Assert.Equal(11UL, Assert.Single(probe.Committed).Index);
    }

    [Fact]
    public void An_older_snapshot_is_answered_with_where_we_are()
    {
        var probe = new Probe(3, Three, [1, 1, 1], new HardState(1, 0, 3), applied: 3);

        Assert.Equal(StepOutcome.Stale, probe.Step(new Message
        {
            Type = MessageType.Snap,
            From = 1,
            Term = 1,
            Snapshot = new Snapshot(new SnapshotMetadata(2, 1, new ConfState(Three, [])), default),
        }));
        Assert.Equal(3UL, Assert.Single(probe.Run()).Index);
    }

    private static StepOutcome Vote(Probe probe, ulong from, ulong term, ulong lastIndex, ulong lastTerm) =>
        probe.Step(new Message { Type = MessageType.Vote, From = from, Term = term, Index = lastIndex, LogTerm = lastTerm });

    // Members 1 and 2 went on to entry 11 without 3, and the log before it is gone.
    private static Probe CompactedLeader()
    {
        var probe = new Probe(1, Three, configure: c => c with { InflightMessagesMax = 1 });
        probe.BecomeLeader();
        probe.Run();
        for (int i = 0; i < 10; i++)
        {
            probe.Propose("a");
            probe.Run();
            probe.Accept(2, probe.Core.LastIndex);
            probe.Run();
        }

        probe.Core.SetSnapshot(new SnapshotMetadata(11, 1, new ConfState(Three, [])));
        probe.Core.Compact(11);
        Assert.Equal(12UL, probe.Core.FirstIndex);
        return probe;
    }
}
