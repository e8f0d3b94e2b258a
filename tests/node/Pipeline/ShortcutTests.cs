using System.Buffers;
using System.Diagnostics;
using Perf.Engine.IO;
using Perf.Node.Consensus;
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

    [Fact]
    public void Held_waiter_sleeps_through_marks_until_it_is_released()
    {
        var signal = new Signal();
        Assert.False(signal.TryHold());
        using var woke = new ManualResetEventSlim();
        var thread = new Thread(() =>
        {
            signal.Wait();
            woke.Set();
        })
        { IsBackground = true };
        thread.Start();
        Assert.True(SpinWait.SpinUntil(signal.TryHold, TimeSpan.FromSeconds(60)));
        Assert.False(signal.TryHold());
        signal.Set();
        signal.Clear();
        signal.Set();
        Assert.False(woke.Wait(50));
        signal.Release();
        Assert.True(woke.Wait(TimeSpan.FromSeconds(60)));
        thread.Join();
        Assert.False(signal.TryHold());
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
