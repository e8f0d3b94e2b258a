using FsCheck;
using FsCheck.Fluent;
using Perf.Raft.Tests.Harness;

namespace Perf.Raft.Tests;

/// <summary>Majorities, terms and windows against the naive way to count them.</summary>
public sealed class QuorumTests
{
    [Fact]
    public void Reached_is_the_highest_index_that_a_naive_count_finds() =>
        Prop.ForAll<byte[]>(values =>
        {
            ulong[] matches = [.. values.Select(v => (ulong)v)];
            ulong naive = 0;
            foreach (ulong candidate in matches)
            {
                if (matches.Count(m => m >= candidate) * 2 > matches.Length)
                {
                    naive = Math.Max(naive, candidate);
                }
            }

            return Majority.Reached([.. matches]) == naive;
        }).QuickCheckThrowOnFailure();

    [Fact]
    public void Tally_agrees_with_a_naive_count()
    {
        for (int voters = 0; voters <= 9; voters++)
        {
            for (int granted = 0; granted <= voters; granted++)
            {
                for (int rejected = 0; rejected + granted <= voters; rejected++)
                {
                    VoteResult naive = granted * 2 > voters ? VoteResult.Won
                        : (voters - rejected) * 2 > voters ? VoteResult.Pending
                        : VoteResult.Lost;
                    Assert.Equal(naive, Majority.Tally(voters, granted, rejected));
                }
            }
        }
    }

    [Fact]
    public void The_log_agrees_with_a_list()
    {
        for (int seed = 0; seed < 60; seed++)
        {
            var random = new System.Random(seed);
            var log = new RaftLog(0, 0, 0, windowBytesMax: 200);
            var model = new List<ulong> { 0 };
            int start = 0;
            for (int step = 0; step < 300; step++)
            {
                switch (random.Next(6))
                {
                    case 0 when model.Count - 1 > (int)log.Committed:
                        int from = random.Next((int)log.Committed + 1, model.Count);
                        log.TruncateFrom((ulong)from);
                        model.RemoveRange(from, model.Count - from);
                        break;
                    case 1:
                        log.MarkDurable((ulong)(model.Count - 1));
                        log.CommitTo((ulong)random.Next((int)log.Committed, model.Count));
                        log.MarkHanded(log.Committed);
                        log.MarkApplied(log.Handed);
                        log.Trim();
                        break;
                    case 2 when random.Next(4) == 0:
                        start = random.Next(start, (int)log.Applied + 1);
                        log.CompactTo((ulong)start);
                        break;
                    default:
                        ulong term = model[^1] + (ulong)(random.Next(4) == 0 ? random.Next(3) : 0);
                        term = Math.Max(1, term);
                        log.Append(Probe.Entry(term, (ulong)model.Count));
                        model.Add(term);
                        break;
                }

                Compare(log, model, start, random);
            }
        }
    }

    private static void Compare(RaftLog log, List<ulong> model, int start, System.Random random)
    {
        Assert.Equal((ulong)(model.Count - 1), log.LastIndex);
        Assert.Equal(model[^1], log.LastTerm);
        Assert.Equal((ulong)start, log.StartIndex);
        for (int i = 0; i < model.Count + 2; i++)
        {
            bool isKnown = i >= start && i < model.Count;
            Assert.Equal(isKnown, log.TryGetTerm((ulong)i, out ulong term));
            Assert.Equal(isKnown ? model[i] : 0, term);
        }

        long bytes = 0;
        long uncommitted = 0;
        for (ulong i = log.WindowFirst; i <= log.LastIndex; i++)
        {
            Assert.Equal((i, model[(int)i]), (log[i].Index, log[i].Term));
            bytes += log[i].Encoded.Length;
            uncommitted += i > log.Committed ? log[i].Encoded.Length : 0;
        }

        Assert.Equal(bytes, log.WindowBytes);
        Assert.Equal(uncommitted, log.UncommittedBytes);

        int hint = random.Next(start, model.Count);
        ulong limit = (ulong)random.Next(6);
        int naive = hint;
        while (naive >= start && model[naive] > limit)
        {
            naive--;
        }

        Assert.Equal((ulong)Math.Max(0, naive), log.FindConflict((ulong)hint, limit));
    }
}
