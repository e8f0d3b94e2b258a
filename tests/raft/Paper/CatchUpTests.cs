using Perf.Raft.Tests.Harness;
using Xunit.Abstractions;

namespace Perf.Raft.Tests.Paper;

/// <summary>
/// How fast a follower that lacks much catches up where messages are small, few may be on the way, and the lines are
/// slow: in entries a mean round trip. On lines that keep order it gets about the window. On lines that do not, an append
/// that has overtaken another is rejected, the leader looks anew with one entry, and the rejections of what else was under
/// way bring it back there; so do etcd's rules (tracker.Progress.MaybeDecrTo). That the answer to an old copy ends the
/// looking too makes etcd's quicker here (2.1 where ours has 1.8, 9.5 where ours has 3.8) and is what a storm is made of.
/// </summary>
public sealed class CatchUpTests(ITestOutputHelper output)
{
    private const ulong Behind = 1_000;
    private const long DelayMax = 50_000;
    private const long TickEvery = 100_000;

    [Theory]
    [InlineData(1, true, 0.8)]
    [InlineData(4, true, 2.8)]
    [InlineData(64, true, 25.0)]
    [InlineData(1, false, 0.9)]
    [InlineData(4, false, 1.6)]
    [InlineData(64, false, 3.0)]
    public void A_follower_far_behind_gets_on_by_so_many_entries_a_round_trip(int inflight, bool isOrdered, double atLeast)
    {
        (double rate, long messages) = CatchUp(inflight, isOrdered, seed: 1);

        string figures = $"{rate:F2} entries a round trip, {(double)messages / Behind:F1} messages an entry";
        output.WriteLine(figures);
        Assert.True(rate >= atLeast, figures);
    }

    private static (double Rate, long Messages) CatchUp(int inflight, bool isOrdered, int seed)
    {
        var random = new Random(seed);
        ulong[] voters = [1, 2];
        var leader = new Probe(1, voters, [.. Enumerable.Repeat(1UL, (int)Behind)], configure: c => c with
        {
            MessageBytesMax = 1,
            InflightMessagesMax = inflight,
        });
        var follower = new Probe(2, voters, [1]);
        leader.BecomeLeader();
        var wire = new PriorityQueue<(Probe To, Message Message), long>();
        long[] last = new long[3];
        long now = 0;
        long nextTick = TickEvery;
        long messages = 0;
        Send(leader);
        while (follower.Core.LastIndex < Behind)
        {
            if (!wire.TryPeek(out _, out long at) || at >= nextTick)
            {
                now = nextTick;
                nextTick += TickEvery;
                leader.Core.Tick();
                Send(leader);
                continue;
            }

            now = at;
            (Probe to, Message message) = wire.Dequeue();
            to.Step(message);
            Send(to);
            Assert.True(messages < 200 * (long)Behind, $"a storm: {messages} messages at {follower.Core.LastIndex}");
        }

        // Two lines of half the longest delay on average.
        return (Behind / ((double)now / DelayMax), messages);

        void Send(Probe from)
        {
            foreach (Message message in from.Run())
            {
                long at = now + random.NextInt64(100, DelayMax);
                at = isOrdered ? Math.Max(at, last[message.To] + 1) : at;
                last[message.To] = at;
                messages++;
                wire.Enqueue((message.To == 1 ? leader : follower, message), at);
            }
        }
    }
}
