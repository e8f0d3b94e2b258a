using System.Text;
using Etcdserverpb;
using Google.Protobuf;
using Mvccpb;
using Perf.Store.Watch;
using Xunit;
using static Etcdserverpb.WatchCreateRequest.Types;
using static Mvccpb.Event.Types;

namespace Perf.Store.Tests.Watch;

/// <summary>SURFACE 1.7, line by line. The names carry the line's number.</summary>
public class WatchTests
{
    private const string CompactedReason = "etcdserver: mvcc: required revision has been compacted";

    [Fact]
    public void Wch01_created_comes_first_and_carries_the_present_revision()
    {
        var bench = new WatchBench();
        bench.Put("a");
        bench.Put("a");
        List<WatchResponse> messages = bench.Create("a", start: 2);

        Assert.True(messages[0].Created);
        Assert.Empty(messages[0].Events);
        Assert.Equal(3, messages[0].Header.Revision);
        Assert.Equal(7UL, messages[0].Header.ClusterId);
        Assert.Equal(9UL, messages[0].Header.MemberId);
        Assert.Equal(3UL, messages[0].Header.RaftTerm);
        Assert.Equal(2, messages.Skip(1).Sum(m => m.Events.Count));
        Assert.All(messages.Skip(1), m => Assert.False(m.Created));
    }

    [Fact]
    public void Wch02_ids_are_assigned_from_zero_and_given_ones_are_used()
    {
        var bench = new WatchBench();
        Assert.Equal(0, bench.Create("a")[0].WatchId);
        Assert.Equal(1, bench.Create("a")[0].WatchId);
        Assert.Equal(2, bench.Create("a", id: 2)[0].WatchId);
        Assert.Equal(77, bench.Create("a", id: 77)[0].WatchId);
        Assert.Equal(3, bench.Create("a")[0].WatchId);
    }

    [Fact]
    public void Wch02_an_id_in_use_is_refused_and_the_stream_goes_on()
    {
        var bench = new WatchBench();
        bench.Create("a", id: 5);
        WatchResponse refused = Assert.Single(bench.Create("b", id: 5));
        Assert.True(refused.Created);
        Assert.True(refused.Canceled);
        Assert.Equal(-1, refused.WatchId);
        Assert.Equal("mvcc: duplicate watch ID provided on the WatchStream", refused.CancelReason);

        bench.Put("a");
        Assert.Equal(5, Assert.Single(bench.PumpAndTake()).WatchId);
    }

    [Fact]
    public void Wch03_an_empty_key_is_the_smallest_key()
    {
        var bench = new WatchBench();
        bench.Create("", end: "\0");
        bench.Put("\0");
        bench.Put("zzz");
        Assert.Equal(2, bench.PumpAndTake().Sum(m => m.Events.Count));
    }

    [Theory]
    [InlineData("b", "a")]
    [InlineData("b", "b")]
    public void Wch03_an_empty_range_is_refused(string key, string end)
    {
        WatchResponse refused = Assert.Single(new WatchBench().Create(key, end));
        Assert.True(refused.Created);
        Assert.True(refused.Canceled);
        Assert.Equal(-1, refused.WatchId);
        Assert.Equal("mvcc: watcher range is empty", refused.CancelReason);
    }

    [Fact]
    public void Wch04_start_zero_sees_only_what_comes()
    {
        var bench = new WatchBench();
        bench.Put("a");
        Assert.Single(bench.Create("a"));
        bench.Put("a", "new");
        WatchResponse message = Assert.Single(bench.PumpAndTake());
        Assert.Equal("new", Assert.Single(message.Events).Kv.Value.ToStringUtf8());
    }

    [Fact]
    public void Wch04_a_start_in_the_past_replays_then_goes_live_without_gap_or_repetition()
    {
        var bench = new WatchBench(new WatchOptions { LiveRevisionsMax = 3, ScanRevisionsMax = 5 });
        for (int i = 0; i < 50; i++)
        {
            bench.Put("a");
        }
        bench.Stream.TryHandle(WatchBench.CreateRequest("a", start: 2));
        for (int i = 0; i < 50; i++)
        {
            bench.Put("a");
            bench.Hub.Pump();
        }
        bench.PumpAll();
        Assert.Equal(Enumerable.Range(2, 100).Select(r => (long)r), Revisions(bench.Output.Take()));
    }

    [Fact]
    public void Wch04_and_regression_20221_a_start_in_the_future_is_silent_until_then()
    {
        var bench = new WatchBench();
        bench.Create("a", start: 10, progress: true);
        for (int i = 0; i < 7; i++)
        {
            bench.Put("a");
            bench.Stream.RequestProgress();
            bench.Stream.ReportProgress();
            Assert.Empty(bench.PumpAndTake());
        }
        Assert.Equal(8, bench.Store.CurrentRevision);
        bench.Put("a");
        bench.Put("a");
        bench.Put("a");
        Assert.Equal([10L, 11L], Revisions(bench.PumpAndTake()));
    }

    [Fact]
    public void Regression_20221_a_snapshot_does_not_wake_a_watch_of_the_future()
    {
        var bench = new WatchBench();
        bench.Create("a", start: 50);
        bench.Store.InstallSnapshot(store =>
        {
            while (store.Applied < 40)
            {
                store.Put("a");
            }
        });
        bench.Stream.RequestProgress();
        Assert.Empty(bench.PumpAndTake());
        while (bench.Store.Applied < 51)
        {
            bench.Put("a");
        }
        Assert.Equal([50L, 51L], Revisions(bench.PumpAndTake()));
    }

    [Fact]
    public void Wch04_a_negative_start_is_refused_as_compacted()
    {
        WatchResponse refused = Assert.Single(new WatchBench().Create("a", start: -1));
        Assert.True(refused.Created);
        Assert.True(refused.Canceled);
        Assert.Equal(-1, refused.WatchId);
        Assert.Equal(CompactedReason, refused.CancelReason);
        Assert.Equal(0, refused.CompactRevision);
    }

    [Fact]
    public void Wch05_a_start_below_the_compaction_is_created_and_then_canceled_without_a_reason()
    {
        var bench = new WatchBench();
        for (int i = 0; i < 5; i++)
        {
            bench.Put("a");
        }
        bench.Store.Compact(4);
        List<WatchResponse> messages = bench.Create("a", start: 3);

        Assert.Equal(2, messages.Count);
        Assert.True(messages[0].Created);
        Assert.False(messages[0].Canceled);
        Assert.True(messages[1].Canceled);
        Assert.Equal(0, messages[1].WatchId);
        Assert.Equal(4, messages[1].CompactRevision);
        Assert.Equal("", messages[1].CancelReason);
        Assert.Equal(0, messages[1].Header.Revision);
        Assert.Equal(7UL, messages[1].Header.ClusterId);

        // The stream goes on, and the compacted revision itself is accepted.
        Assert.Equal([4L, 5L, 6L], Revisions(bench.Create("a", start: 4)));
    }

    [Fact]
    public void Wch05_a_watch_that_compaction_has_ended_keeps_its_id_until_it_is_canceled()
    {
        var bench = new WatchBench();
        for (int i = 0; i < 5; i++)
        {
            bench.Put("a");
        }
        bench.Store.Compact(4);
        Assert.Equal(2, bench.Create("a", id: 3, start: 2).Count);
        Assert.Equal(-1, Assert.Single(bench.Create("a", id: 3)).WatchId);

        bench.Stream.Cancel(3);
        WatchResponse canceled = Assert.Single(bench.PumpAndTake());
        Assert.Equal((3L, true, 0L), (canceled.WatchId, canceled.Canceled, canceled.CompactRevision));
        Assert.Equal(bench.Store.CurrentRevision, canceled.Header.Revision);

        bench.Stream.Cancel(3);
        Assert.Empty(bench.PumpAndTake());
        Assert.Equal(3, Assert.Single(bench.Create("a", id: 3)).WatchId);
    }

    [Fact]
    public void Wch06_a_slow_watch_that_a_compaction_overtakes_is_told_so()
    {
        var bench = new WatchBench(new WatchOptions { RingRevisionsMax = 2 });
        bench.Output.Capacity = 1;
        bench.Create("a");
        for (int i = 0; i < 10; i++)
        {
            bench.Put("a");
            bench.PumpAll();
        }
        bench.Store.Compact(bench.Store.CurrentRevision);
        bench.PumpAll();
        Assert.Equal([2L], Revisions(bench.Output.Take()));

        bench.Stream.Resume();
        WatchResponse canceled = Assert.Single(bench.PumpAndTake());
        Assert.True(canceled.Canceled);
        Assert.Equal(bench.Store.CurrentRevision, canceled.CompactRevision);
        Assert.Equal(0, bench.Hub.Counters.Watchers);
    }

    [Fact]
    public void An_answer_written_to_a_full_output_leaves_when_there_is_room_again()
    {
        var bench = new WatchBench();
        bench.Output.Capacity = 1;
        bench.Create("a");
        bench.Put("a");
        bench.PumpAll();
        Assert.True(bench.Stream.TryHandle(WatchBench.CreateRequest("b")));
        bench.PumpAll();
        Assert.Equal([2L], Revisions(bench.Output.Take()));
        Assert.Empty(bench.Output.Take());

        // Nothing else happens: the room alone brings the answer.
        bench.Stream.Resume();
        WatchResponse created = Assert.Single(bench.PumpAndTake());
        Assert.True(created.Created);
        Assert.Equal(1, created.WatchId);
    }

    [Fact]
    public void Wch07_a_transaction_is_one_response_however_large()
    {
        var bench = new WatchBench(new WatchOptions { MessageBytesMax = 100, TurnBytesMax = 100 });
        bench.Create("k", end: "l");
        bench.Store.Apply([.. Enumerable.Range(0, 500).Select(i => ($"k{i:d4}", (string?)new string('x', 1000)))]);
        bench.Store.Publish();
        WatchResponse message = Assert.Single(bench.PumpAndTake());
        Assert.Equal(500, message.Events.Count);
        Assert.False(message.Fragment);

        // The same from the history.
        message = Assert.Single(bench.Create("k", end: "l", start: 2).Skip(1));
        Assert.Equal(500, message.Events.Count);
    }

    [Fact]
    public void Wch07_fragments_split_by_size_and_the_last_one_says_so()
    {
        var bench = new WatchBench(new WatchOptions { FragmentBytesMax = 1000 });
        bench.Create("k", end: "l", fragment: true);
        bench.Store.Apply([.. Enumerable.Range(0, 10).Select(i => ($"k{i}", (string?)new string('x', 300)))]);
        bench.Store.Apply(("k", new string('y', 5000)));
        bench.Store.Publish();
        List<WatchResponse> messages = bench.PumpAndTake();

        List<WatchResponse> first = messages.TakeWhile(m => m.Fragment).ToList();
        first.Add(messages[first.Count]);
        Assert.All(first.SkipLast(1), m => Assert.InRange(m.CalculateSize(), 300, 999));
        Assert.Equal([3, 3, 3, 1], first.SkipLast(1).Select(m => m.Events.Count));
        Assert.False(messages[^1].Fragment);
        Assert.Equal(11, messages.Sum(m => m.Events.Count));
        Assert.Equal(
            Enumerable.Range(0, 10).Select(i => $"k{i}").Append("k"),
            messages.SelectMany(m => m.Events).Select(e => e.Kv.Key.ToStringUtf8()));
    }

    [Fact]
    public void Wch07_without_the_option_nothing_is_fragmented()
    {
        var bench = new WatchBench(new WatchOptions { FragmentBytesMax = 1000 });
        bench.Create("k", end: "l");
        bench.Store.Apply([.. Enumerable.Range(0, 10).Select(i => ($"k{i}", (string?)new string('x', 300)))]);
        bench.Store.Publish();
        Assert.Equal(10, Assert.Single(bench.PumpAndTake()).Events.Count);
    }

    [Fact]
    public void Wch08_order_is_by_revision_and_within_one_by_sub_revision()
    {
        var bench = new WatchBench();
        bench.Create("a", end: "z");
        bench.Store.Apply(("c", "1"), ("b", "1"), ("a", "1"));
        bench.Store.Apply(("a", null), ("b", null));
        bench.Store.Publish();
        Assert.Equal(
            ["2 c", "2 b", "2 a", "3 a", "3 b"],
            bench.PumpAndTake().SelectMany(m => m.Events).Select(e => $"{e.Kv.ModRevision} {e.Kv.Key.ToStringUtf8()}"));
    }

    [Fact]
    public void Wch09_filters_drop_events_and_what_is_dropped_counts_as_progress()
    {
        var bench = new WatchBench();
        bench.Create("a", filters: FilterType.Noput);
        bench.Create("a", filters: FilterType.Nodelete);
        bench.Create("a", progress: true, filters: [FilterType.Noput, FilterType.Nodelete]);
        bench.Put("a");
        bench.Delete("a");
        List<WatchResponse> messages = bench.PumpAndTake();
        Assert.Equal(
            ["0 Delete", "1 Put"],
            messages.Select(m => $"{m.WatchId} {Assert.Single(m.Events).Type}").Order());

        bench.Stream.ReportProgress();
        WatchResponse progress = Assert.Single(bench.PumpAndTake());
        Assert.Equal((2L, 3L), (progress.WatchId, progress.Header.Revision));
    }

    [Fact]
    public void Wch10_prev_kv_is_the_value_before_absent_for_creates_and_where_compacted()
    {
        var bench = new WatchBench();
        bench.Create("a", prevKv: true);
        bench.Create("a");
        bench.Put("a", "1");
        bench.Put("a", "2");
        bench.Delete("a");
        bench.Put("a", "4");
        List<WatchResponse> messages = bench.PumpAndTake();
        Assert.Equal(
            [null, "1", "2", null],
            messages.Where(m => m.WatchId == 0).SelectMany(m => m.Events).Select(e => e.PrevKv?.Value.ToStringUtf8()));
        Assert.All(messages.Where(m => m.WatchId == 1).SelectMany(m => m.Events), e => Assert.Null(e.PrevKv));

        bench.Put("a", "5");
        bench.Store.Compact(6);
        Assert.Null(Assert.Single(bench.Create("a", start: 6, prevKv: true)[1].Events).PrevKv);
    }

    [Fact]
    public void Wch11_cancel_is_answered_without_a_reason_and_an_unknown_id_not_at_all()
    {
        var bench = new WatchBench();
        bench.Create("a");
        bench.Stream.TryHandle(Request(new WatchRequest { CancelRequest = new WatchCancelRequest { WatchId = 4 } }));
        Assert.Empty(bench.PumpAndTake());

        bench.Stream.TryHandle(Request(new WatchRequest { CancelRequest = new WatchCancelRequest() }));
        WatchResponse canceled = Assert.Single(bench.PumpAndTake());
        Assert.True(canceled.Canceled);
        Assert.Equal(0, canceled.WatchId);
        Assert.Equal("", canceled.CancelReason);

        bench.Put("a");
        Assert.Empty(bench.PumpAndTake());
        Assert.Equal(0, bench.Hub.Counters.Watchers);
    }

    [Fact]
    public void Wch12_progress_answers_for_the_whole_stream_behind_all_events()
    {
        var bench = new WatchBench();
        bench.Create("a");
        bench.Create("b");
        bench.Put("a");
        bench.Put("x");
        bench.Stream.TryHandle(Request(new WatchRequest { ProgressRequest = new WatchProgressRequest() }));
        List<WatchResponse> messages = bench.PumpAndTake();
        Assert.Equal(2, messages.Count);
        Assert.Single(messages[0].Events);
        Assert.Equal((-1L, 3L), (messages[1].WatchId, messages[1].Header.Revision));
        Assert.Empty(messages[1].Events);
    }

    [Fact]
    public void Wch12_no_progress_while_a_watch_is_behind_and_none_without_watches()
    {
        var bench = new WatchBench();
        bench.Stream.RequestProgress();
        Assert.Empty(bench.PumpAndTake());

        bench.Output.Capacity = 2;
        bench.Create("a");
        bench.Create("b");
        bench.Put("a");
        bench.PumpAll();
        bench.Put("a");
        bench.PumpAll();
        bench.Put("a");
        bench.PumpAll();
        bench.Stream.RequestProgress();
        List<WatchResponse> messages = bench.PumpAndTake();
        Assert.DoesNotContain(messages, m => m.WatchId == -1);
        Assert.Equal(1, bench.Hub.Counters.SlowWatchers);

        bench.Stream.Resume();
        Assert.Equal([4L], Revisions(bench.PumpAndTake()));
        bench.Stream.RequestProgress();
        Assert.Equal(-1, Assert.Single(bench.PumpAndTake()).WatchId);
    }

    [Fact]
    public void Regression_15220_progress_never_overtakes_events()
    {
        var bench = new WatchBench(new WatchOptions { LiveRevisionsMax = 2, TurnBytesMax = 10 });
        bench.Create("a");
        long told = 0;
        var random = new Random(15220);
        for (int step = 0; step < 2000; step++)
        {
            if (random.Next(2) == 0)
            {
                bench.Put("a");
            }
            bench.Stream.RequestProgress();
            bench.Hub.Pump();
            bench.Output.Capacity = random.Next(1, 4);
            foreach (WatchResponse message in random.Next(3) == 0 ? bench.Output.Take() : [])
            {
                Assert.All(message.Events, e => Assert.True(e.Kv.ModRevision > told));
                if (message.Events.Count == 0)
                {
                    told = message.Header.Revision;
                }
            }
        }
        Assert.True(told > 100);
    }

    [Fact]
    public void Wch13_progress_notify_comes_only_after_an_interval_without_events()
    {
        var bench = new WatchBench();
        bench.Create("a", progress: true);
        bench.Create("a");
        bench.Put("a");
        bench.PumpAndTake();

        bench.Stream.ReportProgress();
        Assert.Empty(bench.PumpAndTake());
        bench.Stream.ReportProgress();
        WatchResponse progress = Assert.Single(bench.PumpAndTake());
        Assert.Equal((0L, 2L), (progress.WatchId, progress.Header.Revision));
    }

    [Fact]
    public void Wch15_a_refused_permission_cancels_with_its_text_and_the_stream_goes_on()
    {
        const string Denied = "rpc error: code = PermissionDenied desc = etcdserver: permission denied";
        string? askedEnd = null;
        var bench = new WatchBench(permission: (key, end) =>
        {
            askedEnd = Encoding.UTF8.GetString(end);
            return key.SequenceEqual("mine"u8) ? null : Denied;
        });
        WatchResponse refused = Assert.Single(bench.Create("other"));
        Assert.True(refused.Created);
        Assert.True(refused.Canceled);
        Assert.Equal(-1, refused.WatchId);
        Assert.Equal(Denied, refused.CancelReason);
        Assert.False(Assert.Single(bench.Create("mine")).Canceled);

        // Wch16: the check sees the end as the client sent it.
        bench.Create("mine", end: "\0");
        Assert.Equal("\0", askedEnd);
    }

    [Fact]
    public void Wch18_a_closed_stream_lets_go_of_its_output_and_its_watches()
    {
        var bench = new WatchBench();
        bench.Create("a");
        bench.Create("a", end: "z");
        bench.Put("a");
        bench.PumpAndTake();
        bench.Stream.Close();
        Assert.False(bench.Stream.Completed.IsCompleted);
        bench.PumpAll();
        Assert.True(bench.Stream.Completed.IsCompleted);
        bench.Put("a");
        Assert.Empty(bench.PumpAndTake());
        Assert.Equal(new WatchCounters(0, 0, 0, 0, 2), bench.Hub.Counters);
    }

    [Fact]
    public void Wch19_an_unknown_request_is_ignored_and_a_damaged_one_reported()
    {
        var bench = new WatchBench();
        Assert.True(bench.Stream.TryHandle([]));
        Assert.True(bench.Stream.TryHandle([0x7A, 1, 0]));
        Assert.False(bench.Stream.TryHandle([0x0A, 5, 1]));
        Assert.Single(bench.Create("a"));
    }

    [Fact]
    public void Wch20_a_slow_stream_blocks_nobody_and_misses_nothing()
    {
        var bench = new WatchBench(new WatchOptions { RingRevisionsMax = 8, ScanRevisionsMax = 16 });
        var quick = new RecordingOutput();
        WatchStream quickStream = bench.Hub.Open(quick);
        quickStream.TryHandle(WatchBench.CreateRequest("a"));
        bench.Output.Capacity = 3;
        bench.Create("a");
        for (int i = 0; i < 100; i++)
        {
            bench.Put("a");
            bench.PumpAll();
        }
        Assert.Equal(100, quick.Take().Sum(m => m.Events.Count));
        Assert.Equal(1, bench.Hub.Counters.SlowWatchers);

        List<WatchResponse> slow = [];
        while (bench.Hub.Counters.SlowWatchers > 0)
        {
            slow.AddRange(bench.Output.Take());
            bench.Stream.Resume();
            bench.PumpAll();
        }
        slow.AddRange(bench.Output.Take());
        Assert.Equal(Enumerable.Range(2, 100).Select(r => (long)r), Revisions(slow));
    }

    [Fact]
    public void Regression_17529_a_stream_with_many_watches_gets_every_event_of_each()
    {
        var bench = new WatchBench(new WatchOptions { RingRevisionsMax = 16, ScanRevisionsMax = 32 });
        bench.Output.Capacity = 50;
        for (int i = 0; i < 300; i++)
        {
            bench.Stream.TryHandle(WatchBench.CreateRequest("a", end: "b"));
        }
        bench.PumpAll();
        bench.Output.Take();
        var received = new Dictionary<long, List<long>>();
        for (int i = 0; i < 400; i++)
        {
            if (i < 200)
            {
                bench.Put("a");
            }
            bench.Hub.Pump();
            if (i % 3 == 0)
            {
                Collect(received, bench.Output.Take());
                bench.Stream.Resume();
            }
        }
        while (bench.Hub.Counters.SlowWatchers > 0)
        {
            Collect(received, bench.Output.Take());
            bench.Stream.Resume();
            bench.PumpAll();
        }
        Collect(received, bench.Output.Take());
        Assert.Equal(300, received.Count);
        Assert.All(received.Values, revisions => Assert.Equal(Enumerable.Range(2, 200).Select(r => (long)r), revisions));
    }

    [Fact]
    public void Wch21_and_regression_15271_watches_live_through_a_snapshot_without_loss_or_time_travel()
    {
        var bench = new WatchBench();
        bench.Create("a", end: "c");
        bench.Put("a");
        bench.Put("b");
        Assert.Equal([2L, 3L], Revisions(bench.PumpAndTake()));

        // Published but not yet pumped, then a snapshot on top.
        bench.Put("a");
        bench.Store.InstallSnapshot(store =>
        {
            store.Put("b");
            store.Put("x");
            store.Delete("a");
        });
        bench.Put("a");
        Assert.Equal([4L, 5L, 7L, 8L], Revisions(bench.PumpAndTake()));
    }

    [Fact]
    public void Regression_15271_a_snapshot_that_is_compacted_above_the_watch_cancels_it()
    {
        var bench = new WatchBench();
        bench.Create("a");
        bench.Create("a", start: 100);
        bench.Put("a");
        bench.PumpAndTake();
        bench.Store.InstallSnapshot(
            store =>
            {
                store.Put("a");
                store.Put("a");
                store.Put("a");
            },
            compacted: 5);
        WatchResponse canceled = Assert.Single(bench.PumpAndTake());
        Assert.True(canceled.Canceled);
        Assert.Equal((0L, 5L), (canceled.WatchId, canceled.CompactRevision));
        Assert.Equal(1, bench.Hub.Counters.Watchers);
    }

    [Fact]
    public void Regression_18089_a_delete_at_the_compacted_revision_is_told()
    {
        var bench = new WatchBench();
        bench.Put("a");
        bench.Put("a");
        bench.Put("a");
        bench.Delete("a");
        bench.Put("a");
        bench.Store.Compact(5);
        Event[] events = [.. bench.Create("a", start: 5).SelectMany(m => m.Events)];
        Assert.Equal(
            [(EventType.Delete, 5L), (EventType.Put, 6L)],
            events.Select(e => (e.Type, e.Kv.ModRevision)));
        Assert.Equal(0, events[0].Kv.CreateRevision);
        Assert.Equal(0, events[0].Kv.Version);
    }

    [Fact]
    public void Regression_19179_a_watch_opened_while_its_revision_is_compacted_sees_the_delete()
    {
        var bench = new WatchBench(new WatchOptions { RingRevisionsMax = 1 });
        bench.Put("a");
        bench.Delete("a");
        bench.Put("b");
        bench.Store.DuringScan = () => bench.Store.Compact(3);
        Assert.Equal([3L], Revisions(bench.Create("a", start: 3)));
    }

    [Fact]
    public void A_scan_that_a_compaction_overtakes_is_thrown_away()
    {
        var bench = new WatchBench(new WatchOptions { RingRevisionsMax = 1 });
        for (int i = 0; i < 5; i++)
        {
            bench.Put("a");
        }
        bench.Store.DuringScan = () => bench.Store.Compact(5);
        List<WatchResponse> messages = bench.Create("a", start: 2);
        Assert.Equal(2, messages.Count);
        Assert.Equal(5, messages[1].CompactRevision);
    }

    [Fact]
    public void Regression_17247_nothing_is_told_twice_when_history_ring_and_snapshot_meet()
    {
        var bench = new WatchBench(new WatchOptions { RingRevisionsMax = 4, ScanRevisionsMax = 3, LiveRevisionsMax = 2 });
        var random = new Random(17247);
        bench.Create("a", end: "z");
        for (int i = 0; i < 500; i++)
        {
            bench.Store.Apply(($"k{random.Next(5)}", "v"), ($"l{random.Next(5)}", random.Next(2) == 0 ? null : "w"));
            switch (random.Next(6))
            {
                case 0:
                    bench.Store.InstallSnapshot(store => store.Put("m"));
                    break;
                case 1:
                    bench.Output.Capacity = random.Next(1, 3);
                    break;
                case 2:
                    bench.Output.Drain();
                    break;
                default:
                    bench.Store.Publish();
                    break;
            }
            bench.Hub.Pump();
        }
        bench.Store.Publish();
        bench.Output.Capacity = int.MaxValue;
        bench.PumpAll();
        List<Event> told = [.. bench.Output.Messages.SelectMany(m => m.Events)];
        Assert.Equal(
            bench.Store.All.Select(e => (e.Revision, FakeStore.Text(e.Event.Kv.Key))),
            told.Select(e => (e.Kv.ModRevision, FakeStore.Text(e.Kv.Key))));
    }

    [Fact]
    public void I7_nothing_is_told_before_it_is_published()
    {
        var bench = new WatchBench();
        bench.Create("a");
        bench.Store.Put("a");
        bench.Store.Put("a");
        Assert.Empty(bench.PumpAndTake());
        bench.Store.Publish();
        Assert.Equal([2L, 3L], Revisions(bench.PumpAndTake()));
    }

    [Fact]
    public void Revisions_that_wait_together_travel_together_within_the_limit()
    {
        var bench = new WatchBench(new WatchOptions { MessageBytesMax = 100 });
        bench.Create("a");
        for (int i = 0; i < 10; i++)
        {
            bench.Put("a", new string('x', 20));
        }
        List<WatchResponse> messages = bench.PumpAndTake();
        Assert.InRange(messages.Count, 4, 6);
        Assert.All(messages, m => Assert.Equal(m.Events[^1].Kv.ModRevision, m.Header.Revision));
        Assert.Equal(Enumerable.Range(2, 10).Select(r => (long)r), Revisions(messages));
    }

    [Fact]
    public void An_output_that_throws_ends_its_stream_and_no_other()
    {
        var bench = new WatchBench();
        bench.Create("a");
        bench.Create("a", end: "b");
        var other = new RecordingOutput();
        bench.Hub.Open(other).TryHandle(WatchBench.CreateRequest("a"));
        bench.PumpAll();
        other.Take();

        bench.Output.Failure = new IOException("gone");
        bench.Put("a");
        bench.PumpAll();
        Assert.True(bench.Stream.Completed.IsCompleted);
        Assert.Equal(1, bench.Hub.Counters.Watchers);
        bench.Put("a");
        bench.PumpAll();
        Assert.Equal([2L, 3L], Revisions(other.Take()));
    }

    [Fact]
    public void A_pump_at_rest_is_woken_once_and_only_when_there_is_work()
    {
        var bench = new WatchBench();
        bench.PumpAll();
        int wakes = bench.Wakes;
        bench.Put("a");
        Assert.Equal(wakes, bench.Wakes);
        bench.Create("a");
        wakes = bench.Wakes;
        bench.Put("a");
        bench.Put("a");
        Assert.Equal(wakes + 1, bench.Wakes);
        bench.PumpAll();
        bench.Put("a");
        Assert.Equal(wakes + 2, bench.Wakes);
        bench.PumpAndTake();
        Assert.Equal(0, bench.Hub.Counters.PendingEvents);
    }

    [Fact]
    public void Streams_are_spread_over_shards_and_each_is_complete()
    {
        var bench = new WatchBench(new WatchOptions { Shards = 3 });
        RecordingOutput[] outputs = [.. Enumerable.Range(0, 7).Select(_ => new RecordingOutput())];
        foreach (RecordingOutput output in outputs)
        {
            bench.Hub.Open(output).TryHandle(WatchBench.CreateRequest("a"));
        }
        bench.PumpAll();
        for (int i = 0; i < 20; i++)
        {
            bench.Put("a");
        }
        bench.PumpAll();
        Assert.All(
            outputs, o => Assert.Equal(Enumerable.Range(2, 20).Select(r => (long)r), Revisions(o.Take())));
        Assert.Equal(7, bench.Hub.Counters.Watchers);
    }

    private static IEnumerable<long> Revisions(IEnumerable<WatchResponse> messages) =>
        messages.SelectMany(m => m.Events).Select(e => e.Kv.ModRevision);

    private static byte[] Request(WatchRequest request) => request.ToByteArray();

    private static void Collect(Dictionary<long, List<long>> received, List<WatchResponse> messages)
    {
        foreach (WatchResponse message in messages)
        {
            if (!received.TryGetValue(message.WatchId, out List<long>? revisions))
            {
                received[message.WatchId] = revisions = [];
            }
            revisions.AddRange(message.Events.Select(e => e.Kv.ModRevision));
        }
    }
}
