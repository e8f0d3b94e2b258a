using Perf.Raft.Tests.Harness;

namespace Perf.Raft.Tests;

/// <summary>Whatever a peer sends: an outcome, never an exception, and nothing changes that should not.</summary>
public sealed class HostilePeerTests
{
    private static readonly ulong[] Three = [1, 2, 3];

    [Fact]
    public void What_cannot_be_true_is_refused_and_leaves_no_trace()
    {
        (StepOutcome Expected, Message Message)[] cases =
        [
            (StepOutcome.NotForUs, new Message { Type = MessageType.App, To = 7, From = 2, Term = 1 }),
            (StepOutcome.FromSelf, new Message { Type = MessageType.App, From = 1, Term = 9 }),
            (StepOutcome.Malformed, new Message { Type = MessageType.App, From = 0, Term = 9 }),
            (StepOutcome.UnknownType, new Message { Type = 0, From = 2, Term = 9 }),
            (StepOutcome.UnknownType, new Message { Type = (MessageType)11, From = 2, Term = 9 }),
            (StepOutcome.UnknownType, new Message { Type = (MessageType)255, From = 2, Term = 9 }),
            (StepOutcome.Malformed, new Message { Type = MessageType.Heartbeat, From = 2, Term = 0 }),
            (StepOutcome.Malformed, new Message { Type = MessageType.Vote, From = 2, Term = ulong.MaxValue }),
            (StepOutcome.Malformed, new Message { Type = MessageType.Vote, From = 2, Term = 1UL << 40 }),
            (StepOutcome.Malformed, new Message { Type = MessageType.App, From = 2, Term = 3, Index = ulong.MaxValue, LogTerm = 3 }),
            (StepOutcome.Malformed, new Message { Type = MessageType.App, From = 2, Term = 3, Index = 2, LogTerm = 0 }),
            (StepOutcome.Malformed, new Message { Type = MessageType.App, From = 2, Term = 3, Index = 0, LogTerm = 1 }),
            (StepOutcome.Malformed, new Message { Type = MessageType.App, From = 2, Term = 3, Index = 2, LogTerm = 4 }),
            (StepOutcome.Malformed, App(Probe.Entry(3, 5))),
            (StepOutcome.Malformed, App(Probe.Entry(1, 4))),
            (StepOutcome.Malformed, App(Probe.Entry(4, 4))),
            (StepOutcome.Malformed, App(Probe.Entry(3, 4), Probe.Entry(2, 5))),
            (StepOutcome.Malformed, App(Probe.Entry(3, 4, EntryType.ConfChange, "\u0001"))),
            (StepOutcome.Malformed, new Message { Type = MessageType.Snap, From = 2, Term = 3 }),
            (StepOutcome.Malformed, new Message { Type = MessageType.Prop, From = 2 }),
            (StepOutcome.UnknownMember, new Message { Type = MessageType.AppResp, From = 9, Term = 9 }),
            (StepOutcome.UnknownMember, new Message { Type = MessageType.VoteResp, From = 9, Term = 9, Reject = true }),
            (StepOutcome.UnknownMember, new Message { Type = MessageType.TimeoutNow, From = 9, Term = 9 }),
            (StepOutcome.UnknownMember, new Message { Type = MessageType.ReadIndex, From = 9 }),
            (StepOutcome.UnknownMember, new Message { Type = MessageType.PreVote, From = 9, Term = 9 }),
        ];
        foreach ((StepOutcome expected, Message message) in cases)
        {
            var probe = new Probe(1, Three, [2, 2, 2], new HardState(2, 0, 2), applied: 2);
            Assert.Equal(expected, probe.Step(message));
            Assert.Empty(probe.Run());
            Assert.Equal((2UL, 3UL, 2UL), (probe.Core.Term, probe.Core.LastIndex, probe.Core.Commit));
        }
    }

    [Fact]
    public void What_contradicts_the_committed_log_is_isolated()
    {
        var probe = new Probe(1, Three, [2, 2, 2], new HardState(3, 0, 3), applied: 2);

        // Overwriting a committed entry: the leader would have to agree with us there.
        Assert.Equal(StepOutcome.Stale, probe.Append(2, 3, 1, 2, 0, Probe.Entry(3, 2)));
        Assert.Equal(
            StepOutcome.Contradiction,
            probe.Step(new Message { Type = MessageType.Heartbeat, From = 2, Term = 3, Commit = 4 }));
        Assert.Equal(3UL, probe.Core.Commit);

        // A commit beyond the entries that came with it reaches as far as they do.
        Assert.Equal(StepOutcome.Done, probe.Append(2, 3, 3, 2, 1_000_000, Probe.Entry(3, 4)));
        Assert.Equal(4UL, probe.Core.Commit);
    }

    [Fact]
    public void A_second_leader_of_a_term_is_not_listened_to()
    {
        var probe = new Probe(1, Three);
        probe.Append(2, 1, 0, 0, 0);
        Assert.Equal(StepOutcome.SecondLeader, probe.Append(3, 1, 0, 0, 0, Probe.Entry(1, 1)));

        var leader = new Probe(1, Three);
        leader.BecomeLeader();
        Assert.Equal(StepOutcome.SecondLeader, leader.Append(3, 1, 0, 0, 0));
        Assert.Equal(RaftRole.Leader, leader.Core.Role);
    }

    [Fact]
    public void An_acknowledgement_of_what_does_not_exist_commits_nothing()
    {
        var probe = new Probe(1, Three);
        probe.BecomeLeader();
        probe.Run();

        Assert.Equal(StepOutcome.Contradiction, probe.Accept(2, 1_000));
        Assert.Equal(0UL, probe.Core.Commit);
    }

    [Fact]
    public void A_disk_that_stands_still_while_peers_keep_asking_fills_no_memory()
    {
        var probe = new Probe(1, Three);
        for (ulong i = 0; i < 20_000; i++)
        {
            probe.Step(new Message { Type = MessageType.Vote, From = 2 + (i % 2), Term = 1 + (i / 4) });
            probe.Take();
        }

        probe.Core.OnDurable(probe.Batch);
        Assert.InRange(probe.Take().Count, 1, 4096);
    }

    [Fact]
    public void A_flood_of_entries_that_are_not_applied_is_refused_at_a_limit()
    {
        var probe = new Probe(1, Three, configure: c => c with { WindowBytesMax = 10_000, UncommittedBytesMax = 10_000 });
        StepOutcome outcome = StepOutcome.Done;
        for (ulong i = 1; i < 10_000 && outcome == StepOutcome.Done; i++)
        {
            outcome = probe.Append(2, 1, i - 1, i == 1 ? 0UL : 1, i, Probe.Entry(1, i));
        }

        Assert.Equal(StepOutcome.Busy, outcome);
        probe.Run();
        Assert.Equal(StepOutcome.Done, probe.Append(2, 1, probe.Core.LastIndex, 1, 0, Probe.Entry(1, probe.Core.LastIndex + 1)));
    }

    [Fact]
    public void Random_messages_in_every_role_never_throw()
    {
        for (int seed = 0; seed < 60; seed++)
        {
            var random = new Random(seed);
            var probe = new Probe(1, Three, [1, 1, 2], new HardState(2, 0, 1), [4], configure: c => c with { PreVote = seed % 2 == 0 });
            for (int i = 0; i < 400; i++)
            {
                switch (random.Next(12))
                {
                    case 0:
                        probe.Core.Tick();
                        break;
                    case 1:
                        probe.Run();
                        break;
                    case 2:
                        probe.Propose("a");
                        break;
                    case 3:
                        probe.Core.ReadIndex(1);
                        break;
                    case 4 when random.Next(20) == 0:
                        probe.Core.Campaign();
                        break;
                    default:
                        probe.Step(AnyMessage(random, probe.Core));
                        break;
                }
            }

            probe.Run();
        }
    }

    private static Message App(params Entry[] entries) => new()
    {
        Type = MessageType.App,
        From = 2,
        Term = 3,
        Index = 3,
        LogTerm = 2,
        Entries = entries,
    };

    // Near what is true now, so that much of it gets far.
    private static Message AnyMessage(Random random, RaftCore core)
    {
        ulong index = core.LastIndex + (ulong)random.Next(3) - (ulong)Math.Min(random.Next(3), (int)core.LastIndex);
        core.Log.TryGetTerm(index, out ulong logTerm);
        ulong term = core.Term + (ulong)(random.Next(10) == 0 ? 1 : 0);
        var message = new Message
        {
            Type = (MessageType)random.Next(20),
            To = 1,
            From = (ulong)random.Next(2, 6),
            Term = term,
            Index = index,
            LogTerm = logTerm,
            Commit = (ulong)random.Next((int)core.LastIndex + 2),
            Reject = random.Next(2) == 0,
            RejectHint = (ulong)random.Next(6),
            Context = random.Next(2) == 0 ? MessageContext.FromUInt64((ulong)random.Next(4)) : default,
        };
        if (message.Type is MessageType.App or MessageType.Prop)
        {
            message.Entries = Probe.Entries(index + 1, [.. Enumerable.Repeat(term, random.Next(3))]);
        }

        if (message.Type == MessageType.Snap && term > 0)
        {
            message.Snapshot = new Snapshot(new SnapshotMetadata(index, term, new ConfState([1, 2, 3], [4])), default);
        }

        return message;
    }
}
