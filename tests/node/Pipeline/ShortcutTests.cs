using System.Buffers;
using System.Diagnostics;
using Perf.Engine.IO;
using Perf.Engine.Wal;
using Perf.Node.Consensus;
using Perf.Raft;
using Perf.Store;
using Perf.Store.Commands;
using Xunit;

namespace Perf.Node.Tests;

/// <summary>A write that is alone is served by the thread that brought it; anything else by the loops' threads.</summary>
public sealed class ShortcutTests
{
    [Fact]
    public async Task Lone_put_is_answered_before_propose_returns()
    {
        await using NodeHarness harness = await NodeHarness.StartAsync(NewDisk(), NodeHarness.Config("/data/m0"));

        // The threads have to be asleep at that moment; a tick or a commit may keep one awake.
        var patience = Stopwatch.StartNew();
        bool atOnce = false;
        for (int i = 0; !atOnce && patience.Elapsed < TimeSpan.FromSeconds(60); i++)
        {
            using PendingRequest request = Put(harness, $"key{i}");
            atOnce = request.IsFinished;
            await request.Completion;
            Assert.Equal(StoreError.None, request.Error);
            Assert.False(request.Response.IsEmpty);
            await Task.Delay(1);
        }

        Assert.True(atOnce);
    }

    [Fact]
    public void A_loop_that_failed_in_anothers_hands_is_never_turned_again()
    {
        var loop = new FailingLoop();
        int fatals = 0;
        var thread = new LoopThread("test", new Signal(), _ => fatals++, loop);
        thread.Start();
        Assert.True(SpinWait.SpinUntil(thread.TryHold, TimeSpan.FromSeconds(60)));
        loop.Fails = true;
        Assert.False(thread.TurnHeld());
        loop.Fails = false;
        int turns = loop.Turns;
        Assert.False(thread.TurnHeld());
        thread.LetGo();
        thread.Stop();
        Assert.Equal(turns, loop.Turns);
        Assert.Equal(1, fatals);
    }

    [Fact]
    public void A_thread_told_of_a_failure_elsewhere_turns_its_loops_no_more()
    {
        var loop = new FailingLoop();
        var thread = new LoopThread("test", new Signal(), _ => { }, loop);
        thread.Start();
        Assert.True(SpinWait.SpinUntil(thread.TryHold, TimeSpan.FromSeconds(60)));
        int turns = loop.Turns;
        thread.Fail();
        Assert.False(thread.TurnHeld());
        thread.LetGo();
        thread.Stop();
        Assert.Equal(turns, loop.Turns);
    }

    [Fact]
    public async Task Lone_puts_and_crowds_in_turn_lose_nothing()
    {
        await using NodeHarness harness = await NodeHarness.StartAsync(NewDisk(), NodeHarness.Config("/data/m0"));
        long before = harness.Node.State.Machine.Kv.PublishedRevision;
        const int Clients = 4;
        const int Each = 500;
        var clients = new Task[Clients];
        for (int c = 0; c < Clients; c++)
        {
            int client = c;
            clients[c] = Task.Run(async () =>
            {
                // Each client pauses now and then, so that the others are alone, or two, or four.
                for (int i = 0; i < Each; i++)
                {
                    using PendingRequest request = Put(harness, $"{client}/{i}");
                    await request.Completion.AsTask().WaitAsync(TimeSpan.FromSeconds(60));
                    Assert.Equal(StoreError.None, request.Error);
                    if ((i & 15) == client)
                    {
                        await Task.Delay(1);
                    }
                }
            });
        }

        await Task.WhenAll(clients);
        Assert.Equal(before + (Clients * Each), harness.Node.State.Machine.Kv.PublishedRevision);
        Assert.Equal(0, harness.Node.Pipeline.Pending.Count);
    }

    /// <summary>
    /// What a lone voter has answered is committed though its log does not say so yet; not even --force-new-cluster, which drops what
    /// is not committed, may drop it.
    /// </summary>
    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Lone_put_outlives_the_power_whatever_the_log_says_of_its_commit(bool forced)
    {
        for (ulong luck = 0; luck < 20; luck++)
        {
            var disk = new SimDisk();
            Config.ServerConfig config = NodeHarness.Config("/data");
            config.HeartbeatMs = 1000;
            config.ElectionMs = 10_000;
            SimDisk after;
            await using (NodeHarness harness = await NodeHarness.StartAsync(disk, config))
            {
                for (int i = 0; i < 3; i++)
                {
                    Assert.Equal(StoreError.None, await harness.PutAsync($"key{i}", [1]));
                }

                after = disk.CrashCopy(luck);
            }

            Config.ServerConfig again = NodeHarness.Config("/data");
            again.ForceNewCluster = forced;
            await using NodeHarness restarted = await NodeHarness.StartAsync(after, again);
            for (int i = 0; i < 3; i++)
            {
                Assert.Contains($"key{i}", System.Text.Encoding.UTF8.GetString(restarted.Get($"key{i}")), StringComparison.Ordinal);
            }
        }
    }

    [Fact]
    public void Held_back_hard_state_is_written_with_what_comes_next_or_when_it_is_asked_for()
    {
        var disk = new SimDisk();
        disk.CreateDirectory("/data");
        var options = new WalOptions { SegmentBytes = 64 << 10, ZeroFill = false };
        using WalLog log = WalLog.Create(disk, "/data/wal", 1, 2, options);
        var loop = new WalLoop(log, new Signal(), _ => { }, () => { }) { HoldsHardStates = true };
        long calls = disk.Calls;
        Add(loop, term: 1, sync: false);
        Assert.Equal(calls, disk.Calls);
        loop.FlushSoon();
        Assert.True(loop.Turn());
        Assert.Equal(calls + 1, disk.Calls);
        loop.FlushSoon();
        Assert.False(loop.Turn());

        // A vote is synced, held back or not.
        Add(loop, term: 2, sync: true);
        Assert.Equal(calls + 3, disk.Calls);
        loop.HoldsHardStates = false;
        Add(loop, term: 2, sync: false);
        Assert.Equal(calls + 4, disk.Calls);
    }

    private static void Add(WalLoop loop, ulong term, bool sync)
    {
        loop.Queue.Add(new WalWork { Kind = WalWorkKind.HardState, HardState = new HardState(term, 1, 0) });
        loop.Queue.Add(new WalWork { Kind = WalWorkKind.EndOfBatch, Batch = term, MustSync = sync });
        Assert.True(loop.Turn());
    }

    private static PendingRequest Put(NodeHarness harness, string key) => harness.Node.Propose(
        InternalField.Put, new ReadOnlySequence<byte>(NodeHarness.PutRequest(key, [1, 2, 3])), RequestIdentity.None);

    private static SimDisk NewDisk()
    {
        var disk = new SimDisk();
        disk.CreateDirectory("/data");
        disk.SyncDirectory("/");
        return disk;
    }

    private sealed class FailingLoop : ILoop
    {
        public volatile bool Fails;

        public int Turns { get; private set; }

        public bool Turn()
        {
            Turns++;
            return Fails ? throw new IOException("no more") : false;
        }
    }
}
