using Etcdserverpb;
using Mvccpb;
using Perf.Store.Watch;
using Xunit;
using static Mvccpb.Event.Types;

namespace Perf.Store.Tests.Watch;

/// <summary>Watches and leases over the real key space: what only shows when the rooms meet.</summary>
public class StoreWatchTests
{
    [Fact]
    public void Wch17_a_revoked_lease_is_deletes_in_key_order_under_one_revision()
    {
        using var bench = new StoreBench();
        RecordingOutput output = Watch(bench, "", "\0");
        bench.Grant(7, 60);
        bench.Put("b", lease: 7);
        bench.Put("a", lease: 7);
        bench.Put("c", lease: 7);
        bench.Put("c");
        bench.Store.Publish();
        PumpAll(bench);
        output.Take();

        bench.Revoke(7);
        bench.Store.Publish();
        PumpAll(bench);
        WatchResponse message = Assert.Single(output.Take());
        Assert.Equal(
            [("a", EventType.Delete, 6L), ("b", EventType.Delete, 6L)],
            message.Events.Select(e => (e.Kv.Key.ToStringUtf8(), e.Type, e.Kv.ModRevision)));
        Assert.True(bench.Has("c"));
        Assert.False(bench.Has("a"));
    }

    [Fact]
    public void Lse12_attachments_come_back_with_the_keys_after_a_restart()
    {
        using var bench = new StoreBench();
        bench.Grant(1, 60);
        bench.Grant(2, 60);
        bench.Put("a", lease: 1);
        bench.Put("b", lease: 1);
        bench.Put("b", lease: 2);
        bench.Put("c", lease: 1);
        bench.Delete("c");
        bench.Store.Publish();
        bench.Restart();
        Assert.Equal(["a"u8.ToArray()], bench.Lessor.KeysOf(1)!);
        Assert.Equal(["b"u8.ToArray()], bench.Lessor.KeysOf(2)!);

        bench.Revoke(1);
        bench.Store.Publish();
        bench.Restart();
        Assert.False(bench.Has("a"));
        Assert.True(bench.Has("b"));
        Assert.Null(bench.Lessor.KeysOf(1));
    }

    [Fact]
    public void Wch21_a_snapshot_brings_its_leases_keys_and_missed_events()
    {
        using var bench = new StoreBench();
        using var leader = new StoreBench();
        foreach (StoreBench member in new[] { bench, leader })
        {
            member.Grant(1, 60);
            member.Put("a", "1", lease: 1);
            member.Store.Publish();
        }
        RecordingOutput output = Watch(bench, "", "\0");
        leader.Grant(2, 60);
        leader.Put("b", "2", lease: 2);
        leader.Revoke(1);
        leader.Put("a", "3", lease: 2);
        leader.Store.Publish();

        bench.Lessor.Promote(TimeSpan.Zero);
        bench.Clock.AdvanceSeconds(60);
        Task settled = bench.Lessor.Renew(1).Settled!;
        bench.Install(leader);
        Assert.True(settled.IsCompleted);
        Assert.False(bench.Lessor.IsPrimary);
        Assert.Equal([2], bench.Lessor.Leases());
        Assert.Equal(["a"u8.ToArray(), "b"u8.ToArray()], bench.Lessor.KeysOf(2)!);

        PumpAll(bench);
        Assert.Equal(
            ["3 Put b", "4 Delete a", "5 Put a"],
            output.Take().SelectMany(m => m.Events).Select(
                e => $"{e.Kv.ModRevision} {e.Type} {e.Kv.Key.ToStringUtf8()}"));
        bench.Put("c");
        bench.Store.Publish();
        PumpAll(bench);
        Assert.Equal(6, Assert.Single(Assert.Single(output.Take()).Events).Kv.ModRevision);
    }

    [Fact]
    public void Regression_18089_and_19179_a_delete_at_the_compacted_revision_is_told()
    {
        using var bench = new StoreBench();
        bench.Put("a");
        bench.Put("a");
        bench.Put("a");
        bench.Delete("a");
        bench.Put("a");
        bench.Store.Publish();
        bench.Compact(5);
        bench.Store.Publish();
        Assert.Equal(
            [(EventType.Delete, 5L), (EventType.Put, 6L)],
            Replay(bench, "a", 5).Select(e => (e.Type, e.Kv.ModRevision)));

        bench.Restart();
        Assert.Equal(
            [(EventType.Delete, 5L), (EventType.Put, 6L)],
            Replay(bench, "a", 5).Select(e => (e.Type, e.Kv.ModRevision)));
    }

    [Fact]
    public void Live_events_and_history_are_the_same_bytes()
    {
        using var bench = new StoreBench();
        RecordingOutput live = Watch(bench, "", "\0", prevKv: true);
        var random = new Random(3);
        for (int i = 0; i < 300; i++)
        {
            if (random.Next(4) == 0)
            {
                bench.Delete($"k{random.Next(10)}", random.Next(3) == 0 ? "k9" : "");
            }
            else
            {
                bench.Put($"k{random.Next(10)}", new string('v', random.Next(100)));
            }
            bench.Store.Publish();
            if (random.Next(10) == 0)
            {
                bench.Backend.CommitAll();
            }
            PumpAll(bench);
        }
        List<Event> told = [.. live.Take().SelectMany(m => m.Events)];
        Assert.True(told.Count > 250);
        Assert.Equal(told, Replay(bench, "", 2, "\0", prevKv: true));
        bench.Restart();
        Assert.Equal(told, Replay(bench, "", 2, "\0", prevKv: true));
    }

    [Fact]
    public async Task Writers_pumps_and_clients_on_their_own_threads_lose_nothing()
    {
        using var bench = new StoreBench(new WatchOptions
        {
            RingRevisionsMax = 32,
            LiveRevisionsMax = 8,
            ScanRevisionsMax = 16,
        });
        int revisions = 0;
        using var opened = new CancellationTokenSource();
        var outputs = new List<ThreadedOutput>();
        using var stop = new CancellationTokenSource();
        Task pump = Task.Run(() =>
        {
            while (!stop.IsCancellationRequested)
            {
                if (!bench.Hub.Pump())
                {
                    Thread.Yield();
                }
            }
        });
        Task writer = Task.Run(() =>
        {
            // Until all clients are there, and then a little longer.
            for (int left = 500; left > 0 || revisions % 3 != 0; revisions++)
            {
                bench.Put($"k{revisions % 7}");
                if (revisions % 3 == 2)
                {
                    bench.Store.Publish();
                }
                if (revisions % 100 == 99)
                {
                    bench.Backend.CommitAll();
                    if (!opened.IsCancellationRequested)
                    {
                        // The pool may be slow to let the clients in: no use in making more than they can read.
                        Thread.Sleep(1);
                    }
                }
                left -= opened.IsCancellationRequested ? 1 : 0;
            }
        });
        for (int i = 0; i < 20; i++)
        {
            var output = new ThreadedOutput(limit: i % 2 == 0 ? 3 : int.MaxValue);
            WatchStream stream = bench.Hub.Open(output);
            stream.TryHandle(WatchBench.CreateRequest("", "\0", start: i % 3 == 0 ? 2 : 0));
            output.Stream = stream;
            outputs.Add(output);
            await Task.Yield();
        }

        // Only a watch that was there before the last revision can be expected to see it.
        while (outputs.Any(o => o.Expected == 0))
        {
            Assert.False(pump.IsFaulted, pump.Exception?.ToString());
            await Task.Delay(1);
        }
        opened.Cancel();
        await writer;

        // Every client reads on until it has seen the last revision.
        var patience = System.Diagnostics.Stopwatch.StartNew();
        while (outputs.Any(o => o.LastRevision < revisions + 1))
        {
            Assert.True(patience.Elapsed < TimeSpan.FromMinutes(2), "an event was lost");
            Assert.False(pump.IsFaulted, pump.Exception?.ToString());
            foreach (ThreadedOutput output in outputs)
            {
                output.Drain();
            }
            await Task.Yield();
        }
        stop.Cancel();
        await pump;
        foreach (ThreadedOutput output in outputs)
        {
            Assert.Equal(
                Enumerable.Range(0, output.Revisions.Count).Select(r => output.Revisions[0] + r), output.Revisions);
            Assert.Equal(output.Expected, output.Revisions[0]);
        }
    }

    private static List<Event> Replay(StoreBench bench, string key, long start, string end = "", bool prevKv = false)
    {
        RecordingOutput output = Watch(bench, key, end, start, prevKv);
        return [.. output.Take().SelectMany(m => m.Events)];
    }

    /// <summary>Opens a stream with one watch; the created message is taken out when nothing is replayed.</summary>
    private static RecordingOutput Watch(
        StoreBench bench, string key, string end = "", long start = 0, bool prevKv = false)
    {
        var output = new RecordingOutput();
        bench.Hub.Open(output).TryHandle(WatchBench.CreateRequest(key, end, start, prevKv: prevKv));
        PumpAll(bench);
        Assert.True(output.Messages[0].Created);
        if (start == 0)
        {
            output.Drain();
        }
        return output;
    }

    private static void PumpAll(StoreBench bench)
    {
        for (int i = 0; bench.Hub.Pump(); i++)
        {
            Assert.True(i < 100_000, "the pump does not come to rest");
        }
    }

    /// <summary>An output that another thread empties.</summary>
    private sealed class ThreadedOutput : IWatchOutput
    {
        private readonly int _limit;
        private readonly System.Buffers.ArrayBufferWriter<byte> _buffer = new();
        private int _waiting;
        private long _lastRevision;
        private long _expected;

        public ThreadedOutput(int limit)
        {
            _limit = limit;
        }

        public WatchStream? Stream { get; set; }

        /// <summary>The revision that the first event must have.</summary>
        public long Expected => Volatile.Read(ref _expected);

        /// <summary>Read it when the pump has stopped.</summary>
        public List<long> Revisions { get; } = [];

        public long LastRevision => Volatile.Read(ref _lastRevision);

        public bool IsFull => Volatile.Read(ref _waiting) >= _limit;

        public System.Buffers.IBufferWriter<byte> StartMessage(int bytes)
        {
            Collect();
            return _buffer;
        }

        public bool TryFlush()
        {
            Collect();
            return true;
        }

        public void Drain()
        {
            Volatile.Write(ref _waiting, 0);
            Stream!.Resume();
        }

        private void Collect()
        {
            if (_buffer.WrittenCount == 0)
            {
                return;
            }
            WatchResponse message = WatchResponse.Parser.ParseFrom(_buffer.WrittenSpan);
            _buffer.ResetWrittenCount();
            Interlocked.Increment(ref _waiting);
            if (message.Created)
            {
                Volatile.Write(ref _expected, message.Header.Revision + 1);
            }
            foreach (Event told in message.Events)
            {
                if (Revisions.Count == 0 && told.Kv.ModRevision < Expected)
                {
                    Volatile.Write(ref _expected, 2);
                }
                Revisions.Add(told.Kv.ModRevision);
                Volatile.Write(ref _lastRevision, told.Kv.ModRevision);
            }
        }
    }
}
