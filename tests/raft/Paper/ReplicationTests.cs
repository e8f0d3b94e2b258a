using Perf.Raft.Tests.Harness;

namespace Perf.Raft.Tests.Paper;

/// <summary>Raft 5.3, 5.4.2 and thesis 10.2: the log, commit, and a disk that is not waited for.</summary>
public sealed class ReplicationTests
{
    private static readonly ulong[] Three = [1, 2, 3];

    [Fact]
    public void A_lone_voter_commits_only_what_is_durable()
    {
        // etcd 14370.
        var probe = new Probe(1, [1]);
        probe.BecomeLeader();
        probe.Run();
        ulong committed = probe.Core.Commit;
        probe.Propose("a");

        probe.Take();
        Assert.Equal(committed, probe.Core.Commit);
        Assert.Equal((int)committed, probe.Committed.Count);
        probe.Core.OnDurable(probe.Batch);
        probe.Take();

        Assert.Equal(committed + 1, probe.Core.Commit);
        Assert.Equal("a"u8.ToArray(), probe.Committed[^1].Data.ToArray());
    }

    [Fact]
    public void Entries_leave_for_the_peers_before_the_leaders_own_sync_and_a_quorum_without_it_commits()
    {
        var probe = new Probe(1, Three);
        probe.BecomeLeader();
        probe.Run();
        probe.Accept(2, 1);
        probe.Accept(3, 1);
        probe.Run();
        probe.Propose("a");

        Assert.Equal(2, probe.Take().Count(m => m.Type == MessageType.App && m.Entries.Length == 1));
        probe.Accept(2, 2);
        Assert.Equal(1UL, probe.Core.Commit);
        probe.Accept(3, 2);

        // Committed, but handed out only once our own disk has it: the state machine never runs ahead of the WAL.
        Assert.Equal(2UL, probe.Core.Commit);
        probe.Take();
        Assert.Single(probe.Committed);
        probe.Core.OnDurable(probe.Batch);
        probe.Take();
        Assert.Equal(2, probe.Committed.Count);
    }

    [Fact]
    public void A_turn_of_proposals_becomes_one_message_per_peer()
    {
        var probe = new Probe(1, Three);
        probe.BecomeLeader();
        probe.Run();
        probe.Accept(2, 1);
        probe.Accept(3, 1);
        probe.Run();
        for (int i = 0; i < 10; i++)
        {
            probe.Propose("a");
        }

        Assert.Equal([10, 10], probe.Take().Where(m => m.Type == MessageType.App).Select(m => m.Entries.Length));
    }

    [Fact]
    public void Entries_of_earlier_terms_commit_only_under_one_of_the_leaders_own_5_4_2()
    {
        // Figure 8: a majority has entry 2 of term 2, and a later leader might still overwrite it.
        var probe = new Probe(1, Three, [1, 2], new HardState(2, 0, 0));
        probe.BecomeLeader();
        probe.Run();

        probe.Accept(2, 2);
        Assert.Equal(0UL, probe.Core.Commit);
        probe.Accept(2, 3);
        Assert.Equal(3UL, probe.Core.Commit);
    }

    [Theory]
    [InlineData(new ulong[] { 1, 1, 1, 4, 4, 5, 5, 6, 6 })]
    [InlineData(new ulong[] { 1, 1, 1, 4 })]
    [InlineData(new ulong[] { 1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 6 })]
    [InlineData(new ulong[] { 1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 7, 7 })]
    [InlineData(new ulong[] { 1, 1, 1, 4, 4, 4, 4 })]
    [InlineData(new ulong[] { 1, 1, 1, 2, 2, 2, 3, 3, 3, 3, 3 })]
    public void The_leader_brings_followers_logs_to_its_own_figure_7(ulong[] terms)
    {
        ulong[] own = [1, 1, 1, 4, 4, 5, 5, 6, 6, 6];
        var leader = new Probe(1, Three, own, new HardState(8, 0, 0));
        var follower = new Probe(2, Three, terms, new HardState(8, 0, 0));
        leader.BecomeLeader();
        int rounds = Converse(leader, follower);

        Assert.Equal(leader.Core.LastIndex, follower.Core.LastIndex);
        for (ulong i = 1; i <= leader.Core.LastIndex; i++)
        {
            Assert.True(leader.Core.Log.TryGetTerm(i, out ulong term));
            Assert.True(follower.Core.Log.Matches(i, term));
        }

        // A conflict costs a round per term, not per entry.
        Assert.InRange(rounds, 1, 6);
    }

    [Fact]
    public void The_simple_hint_of_older_peers_is_understood()
    {
        var probe = new Probe(1, Three, [1, 1, 1, 1, 1], new HardState(1, 0, 0));
        probe.BecomeLeader();
        probe.Run();

        probe.Step(new Message { Type = MessageType.AppResp, From = 2, Term = 2, Index = 5, Reject = true, RejectHint = 2 });

        Message next = Assert.Single(probe.Run(), m => m.To == 2);
        Assert.Equal((2UL, 1UL, 4), (next.Index, next.LogTerm, next.Entries.Length));
    }

    [Fact]
    public void Old_answers_among_the_rejections_of_a_lost_window_do_not_send_it_again_and_again()
    {
        // One entry a message; the first of a whole window is lost, so the others are rejected. In between come answers
        // to copies of what had been there before.
        var probe = new Probe(1, Three, configure: c => c with { MessageBytesMax = 1 });
        probe.BecomeLeader();
        probe.Run();
        probe.Accept(2, 1);
        probe.Accept(3, 1);
        probe.Run();
        for (int i = 0; i < 50; i++)
        {
            probe.Propose("a");
        }

        Assert.Equal(50, probe.Run().Count(IsAppendToTwo));
        int sent = 0;
        for (ulong index = 2; index < 50; index++)
        {
            probe.Step(new Message { Type = MessageType.AppResp, From = 2, Term = 1, Index = index, Reject = true, RejectHint = 1 });
            probe.Accept(2, 1);
            sent += probe.Run().Count(IsAppendToTwo);
        }

        Assert.Equal(1, sent);

        // The answer to the one that was sent again brings the rest.
        probe.Accept(2, 2);
        Assert.Equal(49, probe.Run().Count(IsAppendToTwo));

        static bool IsAppendToTwo(Message message) => message.Type == MessageType.App && message.To == 2;
    }

    [Fact]
    public void A_rejection_from_the_past_changes_nothing()
    {
        var probe = new Probe(1, Three, [1, 1, 1], new HardState(1, 0, 0));
        probe.BecomeLeader();
        probe.Run();
        probe.Accept(2, 4);
        probe.Run();

        Assert.Equal(
            StepOutcome.Stale,
            probe.Step(new Message { Type = MessageType.AppResp, From = 2, Term = 2, Index = 3, Reject = true }));
        Assert.Equal(ProgressState.Replicate, probe.Core.GetStatus().Progress[1].State);
    }

    [Fact]
    public void AppResp_waits_for_the_disk_and_several_become_one()
    {
        var probe = new Probe(2, Three);
        probe.Append(1, 1, 0, 0, 0, Probe.Entries(1, 1, 1));
        probe.Append(1, 1, 2, 1, 0, Probe.Entries(3, 1));

        Assert.Empty(probe.Take());
        probe.Core.OnDurable(probe.Batch);

        Assert.Equal(3UL, Assert.Single(probe.Take()).Index);
    }

    [Fact]
    public void An_old_write_that_a_newer_one_will_overwrite_does_not_count_though_index_and_term_come_back()
    {
        // raft's ABA: entries 1-2 of term 1 in write A, of term 2 in write B, of term 1 again in write C. With A on
        // disk, C's entries look durable by (index, term); B is still to come over them.
        var probe = new Probe(2, [1, 2, 3, 4, 5]);
        probe.Append(1, 1, 0, 0, 0, Probe.Entries(1, 1, 1));
        probe.Take();
        ulong a = probe.Batch;
        probe.Append(3, 2, 0, 0, 0, Probe.Entries(1, 2, 2));
        probe.Take();
        probe.Append(4, 3, 0, 0, 2, Probe.Entries(1, 1, 1));
        probe.Take();
        ulong c = probe.Batch;

        probe.Core.OnDurable(a);
        Assert.Equal(0UL, probe.Core.GetStatus().Durable);
        Assert.DoesNotContain(probe.Take(), m => m.Type == MessageType.AppResp && m.Term == 3);
        Assert.Empty(probe.Committed);

        probe.Core.OnDurable(c);
        Assert.Equal(2UL, probe.Core.GetStatus().Durable);
        Assert.Contains(probe.Take(), m => m.Type == MessageType.AppResp && m.Term == 3 && m.Index == 2);
    }

    [Fact]
    public void Pages_of_one_byte_hand_out_every_entry_once_and_in_order()
    {
        // raft 7a8ab37bf, 2e0653d: paging must not let the commit index go back or skip entries.
        var probe = new Probe(1, [1], configure: c => c with { CommittedBytesMax = 1, WindowBytesMax = 1 });
        probe.BecomeLeader();
        for (int i = 0; i < 50; i++)
        {
            probe.Propose(new string('x', i));
            if (i % 7 == 0)
            {
                probe.Run();
            }
        }

        probe.Run();
        Assert.Equal(Enumerable.Range(1, 51).Select(i => (ulong)i), probe.Committed.Select(e => e.Index));
    }

    [Fact]
    public void The_window_in_flight_is_bounded_by_count_and_by_bytes()
    {
        foreach (bool byBytes in new[] { false, true })
        {
            var probe = new Probe(1, Three, configure: c => c with
            {
                InflightMessagesMax = byBytes ? 512 : 3,
                InflightBytesMax = byBytes ? 30 : 1 << 20,
                MessageBytesMax = 1,
            });
            probe.BecomeLeader();
            probe.Run();
            probe.Accept(2, 1);
            probe.Run();
            for (int i = 0; i < 20; i++)
            {
                probe.Propose("0123");
            }

            // Each entry is 12 bytes: three messages reach or pass 30.
            Assert.Equal(3, probe.Take().Count(m => m.To == 2));
            probe.Accept(2, 2);
            Assert.Equal(1, probe.Take().Count(m => m.To == 2 && m.Entries.Length == 1));
        }
    }

    [Fact]
    public void A_full_window_whose_messages_got_lost_is_opened_again_by_a_heartbeats_answer()
    {
        var probe = new Probe(1, Three, configure: c => c with { InflightMessagesMax = 1 });
        probe.BecomeLeader();
        probe.Run();
        probe.Accept(2, 1);
        probe.Run();
        probe.Propose("lost");
        probe.Run();
        probe.Propose("waits");
        Assert.DoesNotContain(probe.Run(), m => m.To == 2);

        probe.Step(new Message { Type = MessageType.HeartbeatResp, From = 2, Term = 1 });
        Message empty = Assert.Single(probe.Run(), m => m.To == 2);
        Assert.Equal((2UL, 0), (empty.Index, empty.Entries.Length));
        probe.Step(new Message
        {
            Type = MessageType.AppResp,
            From = 2,
            Term = 1,
            Index = 2,
            Reject = true,
            RejectHint = 1,
            LogTerm = 1,
        });

        Message again = Assert.Single(probe.Run(), m => m.To == 2);
        Assert.Equal((1UL, 2), (again.Index, again.Entries.Length));
    }

    [Fact]
    public void An_unreachable_peer_is_probed_with_one_message_at_a_time()
    {
        var probe = new Probe(1, Three);
        probe.BecomeLeader();
        probe.Run();
        probe.Accept(2, 1);
        probe.Run();
        probe.Core.ReportUnreachable(2);

        Assert.Single(probe.Run(), m => m.To == 2);
        probe.Propose("a");
        Assert.DoesNotContain(probe.Run(), m => m.To == 2);
        probe.Step(new Message { Type = MessageType.HeartbeatResp, From = 2, Term = 1 });
        Assert.Single(probe.Run(), m => m.To == 2 && m.Type == MessageType.App);
    }

    [Fact]
    public void Heartbeats_promise_no_more_than_the_follower_is_known_to_have()
    {
        var probe = new Probe(1, Three);
        probe.BecomeLeader();
        probe.Run();
        probe.Accept(2, 1);
        probe.Run();
        probe.Core.Tick();

        Assert.Equal([(2UL, 1UL), (3UL, 0UL)], probe.Run().Select(m => (m.To, m.Commit)));
    }

    [Fact]
    public void Proposals_to_a_follower_travel_in_one_message_and_keep_their_bytes()
    {
        var follower = new Probe(2, Three);
        follower.Append(1, 1, 0, 0, 0);
        follower.Run();
        Assert.Equal(ProposeOutcome.Forwarded, follower.Propose("a"));
        Assert.Equal(ProposeOutcome.Forwarded, follower.Propose("b"));

        Message forwarded = Assert.Single(follower.Take());
        Assert.Equal((MessageType.Prop, 1UL, 0UL, 2), (forwarded.Type, forwarded.To, forwarded.Term, forwarded.Entries.Length));
        Assert.Equal("0800100018002201" + "61", Convert.ToHexString(forwarded.Entries.Span[0].Encoded.Span));

        var leader = new Probe(1, Three);
        leader.BecomeLeader();
        leader.Run();
        Assert.Equal(StepOutcome.Done, leader.Step(forwarded));
        leader.Accept(2, 3);
        leader.Run();
        Assert.Equal("ab", string.Concat(leader.Committed.Skip(1).Select(e => (char)e.Data.Span[0])));
    }

    [Fact]
    public void Without_a_leader_proposals_are_refused()
    {
        Assert.Equal(ProposeOutcome.NoLeader, new Probe(2, Three).Propose("a"));
        Assert.Equal(ReadIndexOutcome.NoLeader, new Probe(2, Three).Core.ReadIndex(1));
        Assert.Equal(TransferOutcome.NoLeader, new Probe(2, Three).Core.TransferLeader(1));
    }

    [Fact]
    public void What_waits_for_a_quorum_is_bounded_and_the_bound_does_not_leak()
    {
        // raft ad49c8fd9, e419ba5: byte counters that leak until every proposal is refused.
        var probe = new Probe(1, Three, configure: c => c with { UncommittedBytesMax = 100 });
        probe.BecomeLeader();
        probe.Run();
        for (int round = 0; round < 100; round++)
        {
            while (probe.Propose("0123456789") == ProposeOutcome.Appended)
            {
            }

            Assert.InRange(probe.Core.Log.UncommittedBytes, 80, 130);
            probe.Run();
            probe.Accept(2, probe.Core.LastIndex);
            probe.Run();
            Assert.Equal(0, probe.Core.Log.UncommittedBytes);
        }
    }

    [Fact]
    public void A_leader_with_a_stalled_disk_steps_down_when_told()
    {
        var probe = new Probe(1, Three);
        probe.BecomeLeader();
        probe.Core.ReadIndex(7);
        probe.Core.StepDown();
        probe.Take();

        Assert.Equal((RaftRole.Follower, 0UL, 1UL), (probe.Core.Role, probe.Core.Leader, probe.Core.Term));
        Assert.Equal(new ReadState(7, 0, false), Assert.Single(probe.Reads));
    }

    private static int Converse(Probe leader, Probe follower)
    {
        int rounds = 0;
        List<Message> toFollower = leader.Run();
        while (toFollower.Any(m => m.To == follower.Core.Id))
        {
            rounds++;
            foreach (Message message in toFollower.Where(m => m.To == follower.Core.Id))
            {
                follower.Step(message);
            }

            foreach (Message answer in follower.Run())
            {
                leader.Step(answer);
            }

            toFollower = leader.Run();
            Assert.True(rounds < 50);
        }

        return rounds;
    }
}
