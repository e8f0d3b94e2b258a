using Perf.Raft.Tests.Harness;

namespace Perf.Raft.Tests.Paper;

/// <summary>Thesis 6.4: reads that are not older than their question.</summary>
public sealed class ReadIndexTests
{
    private static readonly ulong[] Three = [1, 2, 3];

    [Fact]
    public void A_read_waits_for_a_committed_entry_of_the_leaders_own_term()
    {
        // etcd 14258: until then the leader does not know what is committed.
        var probe = new Probe(1, Three, [1, 1], new HardState(1, 0, 1));
        probe.BecomeLeader();
        probe.Core.ReadIndex(7);
        Assert.DoesNotContain(probe.Run(), m => m.Context.Length > 0);

        probe.Accept(2, 3);
        Message round = probe.Run().First(m => m.Type == MessageType.Heartbeat && m.To == 2);
        Assert.Empty(probe.Reads);
        Echo(probe, 2, round);
        probe.Run();

        Assert.Equal(new ReadState(7, 3, true), Assert.Single(probe.Reads));
    }

    [Fact]
    public void A_lone_voter_answers_at_once_but_not_before_its_first_commit()
    {
        var probe = new Probe(1, [1], [1, 1], new HardState(1, 0, 0));
        probe.Core.Campaign();
        probe.Take();
        probe.Core.OnDurable(probe.Batch);
        Assert.Equal(RaftRole.Leader, probe.Core.Role);
        probe.Core.ReadIndex(7);
        probe.Take();
        Assert.Empty(probe.Reads);

        probe.Run();
        Assert.Equal(new ReadState(7, 3, true), Assert.Single(probe.Reads));
    }

    [Fact]
    public void An_accepted_entry_from_after_the_round_began_confirms_it_and_an_older_one_does_not()
    {
        Probe probe = Leader();
        probe.Propose("before");
        probe.Run();
        probe.Core.ReadIndex(7);
        probe.Run();
        probe.Propose("after");
        probe.Run();

        probe.Accept(2, 2);
        probe.Run();
        Assert.Empty(probe.Reads);
        probe.Accept(2, 3);
        probe.Run();

        Assert.Equal(new ReadState(7, 1, true), Assert.Single(probe.Reads));
    }

    [Fact]
    public void A_majority_must_echo()
    {
        var probe = new Probe(1, [1, 2, 3, 4, 5]);
        probe.BecomeLeader();
        probe.Run();
        probe.Accept(2, 1);
        probe.Accept(3, 1);
        probe.Run();
        probe.Core.ReadIndex(7);
        Message round = probe.Run().First(m => m.Type == MessageType.Heartbeat);

        Echo(probe, 2, round);
        Echo(probe, 2, round);
        probe.Run();
        Assert.Empty(probe.Reads);
        Echo(probe, 3, round);
        probe.Run();
        Assert.Single(probe.Reads);
    }

    [Fact]
    public void An_echo_of_an_earlier_round_does_not_confirm_a_later_one_and_a_later_echo_confirms_both()
    {
        Probe probe = Leader();
        probe.Core.ReadIndex(1);
        Message first = probe.Run().First(m => m.Type == MessageType.Heartbeat);
        probe.Core.ReadIndex(2);
        Message second = probe.Run().First(m => m.Type == MessageType.Heartbeat);
        Assert.NotEqual(first.Context, second.Context);

        Echo(probe, 2, second);
        probe.Run();
        Assert.Equal([1UL, 2UL], probe.Reads.Select(r => r.Id));

        probe.Reads.Clear();
        probe.Core.ReadIndex(3);
        probe.Run();
        Echo(probe, 2, first);
        Echo(probe, 3, second);
        probe.Run();
        Assert.Empty(probe.Reads);
    }

    [Fact]
    public void Rounds_are_retried_by_heartbeats_with_a_fresh_context_and_at_most_four_are_under_way()
    {
        Probe probe = Leader();
        for (ulong id = 1; id <= 6; id++)
        {
            probe.Core.ReadIndex(id);
            probe.Take();
        }

        probe.Core.Tick();
        Message retry = probe.Take().First(m => m.Type == MessageType.Heartbeat);
        Assert.Equal(MessageContext.FromUInt64(RaftCore.ReadRoundsMax + 1), retry.Context);
        Echo(probe, 3, retry);
        Message last = probe.Take().First(m => m.Type == MessageType.Heartbeat);

        Assert.Equal([1UL, 2, 3, 4], probe.Reads.Select(r => r.Id));
        Echo(probe, 3, last);
        probe.Take();
        Assert.Equal(6, probe.Reads.Count);
    }

    [Fact]
    public void An_echo_of_what_was_never_sent_confirms_nothing()
    {
        Probe probe = Leader();
        probe.Core.ReadIndex(1);
        probe.Run();
        probe.Step(new Message
        {
            Type = MessageType.HeartbeatResp,
            From = 2,
            Term = 1,
            Context = MessageContext.FromUInt64(ulong.MaxValue),
        });
        probe.Run();

        Assert.Empty(probe.Reads);
    }

    [Fact]
    public void A_paused_leader_that_was_replaced_serves_no_old_value_whatever_arrives_late()
    {
        // etcd 20418, 21378; raft 397.
        Probe old = Leader();
        old.Core.ReadIndex(1);
        Message round = old.Run().First(m => m.Type == MessageType.Heartbeat);

        // Elsewhere a leader of term 2 was elected and wrote. Its word arrives first, then the late echo.
        old.Append(2, 2, 1, 1, 0);
        Echo(old, 3, round);
        old.Core.ReadIndex(2);
        old.Run();

        Assert.Equal(new ReadState(1, 0, false), Assert.Single(old.Reads));
    }

    [Fact]
    public void A_follower_asks_the_leader_and_a_change_of_leader_drops_the_question()
    {
        var probe = new Probe(2, Three);
        probe.Append(1, 1, 0, 0, 0);
        probe.Run();
        probe.Core.ReadIndex(1);
        probe.Core.ReadIndex(2);
        List<Message> asked = probe.Run();
        Assert.All(asked, m => Assert.Equal((MessageType.ReadIndex, 1UL, 0UL, 8), (m.Type, m.To, m.Term, m.Context.Length)));
        probe.Step(new Message
        {
            Type = MessageType.ReadIndexResp,
            From = 1,
            Term = 1,
            Index = 9,
            Context = asked[1].Context,
        });
        probe.Append(3, 2, 0, 0, 0);
        probe.Run();

        Assert.Equal([new ReadState(2, 9, true), new ReadState(1, 0, false)], probe.Reads);
    }

    [Fact]
    public void A_question_that_got_lost_is_dropped_after_an_election_time()
    {
        var probe = new Probe(2, Three);
        probe.Append(1, 1, 0, 0, 0);
        probe.Core.ReadIndex(1);
        for (int i = 0; i < 11; i++)
        {
            probe.Step(new Message { Type = MessageType.Heartbeat, From = 1, Term = 1 });
            probe.Core.Tick();
        }

        probe.Run();
        Assert.Equal(new ReadState(1, 0, false), Assert.Single(probe.Reads));
    }

    [Fact]
    public void Contexts_of_two_lives_of_a_member_do_not_meet()
    {
        MessageContext[] contexts = [.. new ulong[] { 1, 2 }.Select(seed =>
        {
            var probe = new Probe(2, Three, configure: c => c with { Seed = seed });
            probe.Append(1, 1, 0, 0, 0);
            probe.Run();
            probe.Core.ReadIndex(1);
            return Assert.Single(probe.Run()).Context;
        })];

        Assert.NotEqual(contexts[0], contexts[1]);
    }

    [Fact]
    public void A_peers_question_is_answered_with_its_own_context_whatever_that_is()
    {
        Probe probe = Leader();
        MessageContext context = MessageContext.From("opaque"u8);
        probe.Step(new Message { Type = MessageType.ReadIndex, From = 3, Context = context });
        Message round = probe.Run().First(m => m.Type == MessageType.Heartbeat);
        Echo(probe, 2, round);

        Message answer = Assert.Single(probe.Run(), m => m.Type == MessageType.ReadIndexResp);
        Assert.Equal((3UL, 1UL, context), (answer.To, answer.Index, answer.Context));
    }

    [Fact]
    public void Too_many_questions_are_refused()
    {
        Probe probe = Leader();
        int queued = 0;
        while (probe.Core.ReadIndex(1) == ReadIndexOutcome.Queued)
        {
            queued++;
        }

        Assert.Equal(4096, queued);
    }

    private static Probe Leader()
    {
        var probe = new Probe(1, Three);
        probe.BecomeLeader();
        probe.Run();
        probe.Accept(2, 1);
        probe.Accept(3, 1);
        probe.Run();
        return probe;
    }

    private static void Echo(Probe probe, ulong from, in Message heartbeat) => probe.Step(new Message
    {
        Type = MessageType.HeartbeatResp,
        From = from,
        Term = heartbeat.Term,
        Context = heartbeat.Context,
    });
}
