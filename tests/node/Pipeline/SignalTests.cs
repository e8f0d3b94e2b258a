using Perf.Node.Consensus;
using Xunit;

namespace Perf.Node.Tests;

/// <summary>Whoever marks work is never slept through, also while another thread does the sleeper's work.</summary>
public sealed class SignalTests
{
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

    [Fact]
    public void No_mark_is_lost_between_producers_sleeper_and_holder()
    {
        const int Producers = 3;
        const int Each = 20_000;
        var signal = new Signal();
        var gate = new object();
        int added = 0;
        int waiting = 0;
        int done = 0;
        int inside = 0;

        // Work is done by one at a time: the sleeper awake, or who holds it in its sleep.
        bool Work()
        {
            Assert.Equal(1, Interlocked.Increment(ref inside));
            int taken;
            lock (gate)
            {
                (taken, waiting) = (waiting, 0);
            }

            Assert.Equal(0, Interlocked.Decrement(ref inside));
            return Interlocked.Add(ref done, taken) == Producers * Each;
        }

        var failures = new List<Exception>();
        Thread Started(Action body)
        {
            var thread = new Thread(() =>
            {
                try
                {
                    body();
                }
                catch (Exception e)
                {
                    lock (failures)
                    {
                        failures.Add(e);
                    }
                }
            })
            { IsBackground = true };
            thread.Start();
            return thread;
        }

        Thread sleeper = Started(() =>
        {
            while (!Work())
            {
                signal.Wait();
            }
        });
        var producers = Enumerable.Range(0, Producers).Select(producer => Started(() =>
        {
            for (int i = 0; i < Each; i++)
            {
                int ticket;
                lock (gate)
                {
                    waiting++;
                    ticket = ++added;
                }

                if (producer == 0 && signal.TryHold())
                {
                    signal.Clear();
                    Work();
                    signal.Release();
                }

                signal.Set();

                // Nobody else marks anything once all producers wait here: a lost mark stays lost.
                while (Volatile.Read(ref done) < ticket)
                {
                    Thread.Yield();
                }
            }
        })).ToList();
        Assert.All(producers, producer => Assert.True(producer.Join(TimeSpan.FromSeconds(60))));

        // The holder may have done the last of the work, which does not end the sleeper.
        signal.Set();
        Assert.True(sleeper.Join(TimeSpan.FromSeconds(60)));
        Assert.Empty(failures);
        Assert.Equal(Producers * Each, done);
    }
}
