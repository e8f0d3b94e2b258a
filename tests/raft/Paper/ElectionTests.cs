using Perf.Raft.Tests.Harness;

namespace Perf.Raft.Tests.Paper;

/// <summary>Raft 5.1, 5.2, 5.4.1 and thesis 3.10, 6.2, 9.6: terms, votes, timeouts.</summary>
public sealed class ElectionTests
{
    private static readonly ulong[] Three = [1, 2, 3];

    [Theory]
    [InlineData(RaftRole.Follower)]
    [InlineData(RaftRole.Candidate)]
    [InlineData(RaftRole.Leader)]
    public void A_newer_term_makes_everybody_a_follower_5_1(RaftRole role)
    {
        var probe = new Probe(1, Three);
        if (role == RaftRole.Candidate)
        {
            probe.Core.Campaign();
        }
        else if (role == RaftRole.Leader)
        {
            probe.BecomeLeader();
        }

        Assert.Equal(StepOutcome.Done, probe.Append(2, 9, 0, 0, 0));

        Assert.Equal((RaftRole.Follower, 9UL, 2UL), (probe.Core.Role, probe.Core.Term, probe.Core.Leader));
    }

    [Fact]
    public void A_message_of_an_earlier_term_is_answered_with_ours_5_1()
    {
        var probe = new Probe(1, Three, hard: new HardState(5, 0, 0));

        Assert.Equal(StepOutcome.Stale, probe.Append(2, 4, 0, 0, 0, Probe.Entry(4, 1)));

        Message answer = Assert.Single(probe.Run());
        Assert.Equal((MessageType.AppResp, 5UL, 2UL), (answer.Type, answer.Term, answer.To));
        Assert.Equal(0UL, probe.Core.LastIndex);
    }

    [Fact]
    public void Timeouts_lie_between_one_and_two_election_times_and_differ_5_2()
    {
        var seen = new HashSet<int>();
        for (ulong seed = 0; seed < 200; seed++)
        {
            var probe = new Probe(1, Three, configure: c => c with { Seed = seed });
            int ticks = 0;
            while (probe.Core.Role == RaftRole.Follower)
            {
                probe.Core.Tick();
                ticks++;
            }

            Assert.InRange(ticks, 10, 19);
            seen.Add(ticks);
        }

        Assert.Equal(10, seen.Count);
    }

    [Theory]
    [InlineData(1, 0, true)]
    [InlineData(3, 1, true)]
    [InlineData(3, 0, false)]
    [InlineData(5, 2, true)]
    [InlineData(5, 1, false)]
    [InlineData(4, 1, false)]
    public void A_majority_of_votes_makes_a_leader_5_2(int voters, int grants, bool wins)
    {
        ulong[] ids = [.. Enumerable.Range(1, voters).Select(i => (ulong)i)];
        var probe = new Probe(1, ids);
        probe.Core.Campaign();
        probe.Run();
        for (int i = 0; i < grants; i++)
        {
            probe.Step(new Message { Type = MessageType.VoteResp, From = (ulong)i + 2, Term = 1 });
        }

        Assert.Equal(wins ? RaftRole.Leader : RaftRole.Candidate, probe.Core.Role);
    }

    [Fact]
    public void A_vote_counts_once_however_often_it_arrives()
    {
        var probe = new Probe(1, [1, 2, 3, 4, 5]);
        probe.Core.Campaign();
        probe.Run();
        for (int i = 0; i < 5; i++)
        {
            probe.Step(new Message { Type = MessageType.VoteResp, From = 2, Term = 1 });
        }

        Assert.Equal(RaftRole.Candidate, probe.Core.Role);
    }

    [Fact]
    public void One_vote_per_term_first_come_first_served_5_2()
    {
        var probe = new Probe(1, Three);

        probe.Step(new Message { Type = MessageType.Vote, From = 2, Term = 4 });
        probe.Step(new Message { Type = MessageType.Vote, From = 3, Term = 4 });
        probe.Step(new Message { Type = MessageType.Vote, From = 2, Term = 4 });

        Assert.Equal([(2UL, false), (3UL, true), (2UL, false)], probe.Run().Select(m => (m.To, m.Reject)));
    }

    /// <summary>Seed 203955: a voter that the one ahead in terms took for a learner never heard of that term.</summary>
    [Fact]
    public void A_candidate_that_is_behind_hears_of_the_term_where_nobody_leads_5_1()
    {
        var probe = new Probe(1, Three, hard: new HardState(7, 0, 0));

        Assert.Equal(StepOutcome.Stale, probe.Step(new Message { Type = MessageType.Vote, From = 2, Term = 4 }));

        Message answer = Assert.Single(probe.Run());
        Assert.Equal((MessageType.VoteResp, 2UL, 7UL, true), (answer.Type, answer.To, answer.Term, answer.Reject));
        probe.Append(3, 7, 0, 0, 0);
        probe.Run();
        probe.Step(new Message { Type = MessageType.Vote, From = 2, Term = 4 });
        Assert.Empty(probe.Run());
    }

    [Fact]
    public void A_vote_survives_a_crash()
    {
        var probe = new Probe(1, Three, hard: new HardState(4, 2, 0));

        probe.Step(new Message { Type = MessageType.Vote, From = 3, Term = 4 });

        Assert.True(Assert.Single(probe.Run()).Reject);
    }

    [Theory]
    [InlineData(2, 2, true)]
    [InlineData(1, 3, true)]
    [InlineData(3, 2, true)]
    [InlineData(1, 2, false)]
    [InlineData(9, 1, false)]
    public void A_vote_goes_only_to_a_log_at_least_as_new_5_4_1(ulong lastIndex, ulong lastTerm, bool isGranted)
    {
        var probe = new Probe(1, Three, [1, 2]);

        probe.Step(new Message { Type = MessageType.Vote, From = 2, Term = 4, Index = lastIndex, LogTerm = lastTerm });

        Assert.Equal(isGranted, !Assert.Single(probe.Run()).Reject);
    }

    [Fact]
    public void A_vote_leaves_only_after_term_and_vote_are_durable()
    {
        var probe = new Probe(1, Three);
        probe.Step(new Message { Type = MessageType.Vote, From = 2, Term = 4 });

        Assert.Empty(probe.Take());
        Assert.Equal(new HardState(4, 2, 0), probe.HardState);
        probe.Core.OnDurable(probe.Batch);

        Assert.Equal(MessageType.VoteResp, Assert.Single(probe.Take()).Type);
    }

    [Fact]
    public void A_candidate_asks_and_counts_only_after_its_own_vote_is_durable()
    {
        var probe = new Probe(1, Three);
        probe.Core.Campaign();

        Assert.Empty(probe.Take());
        probe.Step(new Message { Type = MessageType.VoteResp, From = 2, Term = 1 });
        Assert.Equal(RaftRole.Candidate, probe.Core.Role);
        probe.Core.OnDurable(probe.Batch);

        Assert.Equal(RaftRole.Leader, probe.Core.Role);
        Assert.Equal(2, probe.Take().Count(m => m.Type == MessageType.Vote));
    }

    [Fact]
    public void PreVote_changes_no_term_and_starts_the_election_when_won_thesis_9_6()
    {
        var probe = new Probe(1, Three, configure: c => c with { PreVote = true });
        probe.Core.Campaign();

        List<Message> asked = probe.Run();
        Assert.Equal(0UL, probe.Core.Term);
        Assert.All(asked, m => Assert.Equal((MessageType.PreVote, 1UL), (m.Type, m.Term)));
        probe.Step(new Message { Type = MessageType.PreVoteResp, From = 2, Term = 1 });

        Assert.Equal((RaftRole.Candidate, 1UL), (probe.Core.Role, probe.Core.Term));
    }

    [Fact]
    public void Entries_of_a_term_that_was_lost_beside_them_raise_the_term_and_its_vote_is_spent()
    {
        // The power went inside the group that held both; seed 304 of the simulation.
        var probe = new Probe(1, Three, terms: [4, 5], hard: new HardState(4, 3, 1));

        Assert.Equal(5UL, probe.Core.Term);
        probe.Step(new Message { Type = MessageType.Vote, From = 2, Term = 5, Index = 9, LogTerm = 5 });
        Assert.True(Assert.Single(probe.Run()).Reject);
        Assert.Equal((5UL, 1UL), (probe.HardState!.Value.Term, probe.HardState!.Value.Vote));
    }

    [Fact]
    public void PreVote_is_granted_without_a_promise()
    {
        var probe = new Probe(1, Three, configure: c => c with { PreVote = true });

        probe.Step(new Message { Type = MessageType.PreVote, From = 2, Term = 7 });
        probe.Step(new Message { Type = MessageType.PreVote, From = 3, Term = 7 });

        Assert.All(probe.Run(), m => Assert.Equal((false, 7UL), (m.Reject, m.Term)));
        Assert.Equal(0UL, probe.Core.Term);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void A_member_that_hears_its_leader_ignores_campaigns_thesis_6_2(bool isTransfer)
    {
        var probe = new Probe(1, Three);
        probe.Append(2, 3, 0, 0, 0);
        probe.Run();

        StepOutcome outcome = probe.Step(new Message
        {
            Type = MessageType.Vote,
            From = 3,
            Term = 4,
            Context = isTransfer ? MessageContext.CampaignTransfer : default,
        });

        Assert.Equal(isTransfer ? StepOutcome.Done : StepOutcome.LeaderAlive, outcome);
        Assert.Equal(isTransfer ? 4UL : 3UL, probe.Core.Term);
    }

    [Fact]
    public void A_leader_without_a_quorums_answers_steps_down_within_two_election_times_thesis_6_2()
    {
        var probe = new Probe(1, Three);
        probe.BecomeLeader();
        for (int i = 0; i < 20; i++)
        {
            probe.Core.Tick();
        }

        Assert.Equal((RaftRole.Follower, 0UL), (probe.Core.Role, probe.Core.Leader));
    }

    [Fact]
    public void A_group_that_mixes_PreVote_elects_a_leader_though_one_member_is_stuck_in_a_higher_term()
    {
        // raft 8597361f0: the member with the newest log has a low term and asks first; those in the higher term must
        // tell it, or nobody ever wins.
        var cluster = new SimCluster(2, 5, config => config with { PreVote = config.Id == 1 });
        cluster.Settle();
        cluster.Cut(1, 2);
        cluster.Cut(2, 1);
        for (int i = 0; i < 60; i++)
        {
            cluster.TickAll(1);
        }

        Assert.True(cluster.Members[2].Core.Term > cluster.Members[1].Core.Term);
        cluster.Heal();
        cluster.TickAll(60);

        Assert.NotNull(cluster.Leader);
    }

    [Fact]
    public void Learners_and_strangers_never_campaign_but_learners_vote()
    {
        // raft c84452600: not even when told to.
        var learner = new Probe(4, Three, learners: [4]);
        var stranger = new Probe(9, Three);
        foreach (Probe probe in new[] { learner, stranger })
        {
            probe.Append(2, 1, 0, 0, 0);
            probe.Run();
            probe.Core.Campaign();
            Assert.Equal(
                StepOutcome.NotMyRole,
                probe.Step(new Message { Type = MessageType.TimeoutNow, From = 2, Term = 1 }));
            for (int i = 0; i < 100; i++)
            {
                probe.Core.Tick();
            }

            Assert.Equal((RaftRole.Follower, 1UL), (probe.Core.Role, probe.Core.Term));
        }

        learner.Step(new Message { Type = MessageType.Vote, From = 2, Term = 5 });
        Assert.False(Assert.Single(learner.Run()).Reject);
    }

    [Fact]
    public void A_committed_change_that_is_not_applied_blocks_campaigns_and_holds_votes()
    {
        // ARCHITECTURE.md I9, FORMATS B.3 (7): the change may have removed us or the candidate.
        var probe = new Probe(1, Three);
        probe.Append(2, 1, 0, 0, 1, Probe.Entry(1, 1, new ConfChange(1, ConfChangeType.RemoveNode, 3, default)));
        probe.Take();
        probe.Core.OnDurable(probe.Batch);
        probe.Take();
        for (int i = 0; i < 40; i++)
        {
            probe.Core.Tick();
        }

        Assert.Equal((RaftRole.Follower, 1UL), (probe.Core.Role, probe.Core.Term));
        probe.Step(new Message { Type = MessageType.Vote, From = 2, Term = 2, Index = 1, LogTerm = 1 });
        probe.Take();
        probe.Core.OnDurable(probe.Batch);
        Assert.Empty(probe.Take());

        Assert.Single(probe.Committed);
        probe.Core.ApplyConfChange(new ConfChange(1, ConfChangeType.RemoveNode, 3, default));
        probe.Core.OnApplied(1);

        Assert.Equal([MessageType.AppResp, MessageType.VoteResp], probe.Take().Select(m => m.Type));
    }

    [Fact]
    public void Leadership_is_handed_over_and_a_transfer_that_hangs_is_given_up_thesis_3_10()
    {
        var cluster = new SimCluster(3, 1);
        cluster.TickAll(30);
        SimMember leader = cluster.Leader!;
        SimMember target = cluster.Members.Values.First(m => m != leader);
        Assert.Equal(TransferOutcome.Started, leader.Core.TransferLeader(target.Id));
        Assert.Equal(ProposeOutcome.Transferring, leader.Propose("no"));
        cluster.Settle();
        Assert.Equal(target, cluster.Leader);

        // The next one is told, but does not hear it.
        cluster.Cut(target.Id, leader.Id);
        target.Core.TransferLeader(leader.Id);
        Assert.Equal(TransferOutcome.UnderWay, target.Core.TransferLeader(leader.Id));
        cluster.TickAll(11);

        Assert.Equal(ProposeOutcome.Appended, target.Propose("again"));
    }

    [Fact]
    public void A_follower_passes_a_wish_for_transfer_on()
    {
        var cluster = new SimCluster(3, 1);
        cluster.TickAll(30);
        SimMember target = cluster.Members.Values.First(m => m != cluster.Leader);

        Assert.Equal(TransferOutcome.Forwarded, target.Core.TransferLeader(target.Id));
        cluster.Settle();

        Assert.Equal(target, cluster.Leader);
    }
}
