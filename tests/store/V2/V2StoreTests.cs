using System.Text;
using Google.Protobuf;
using Perf.Store.Membership;
using Perf.Store.Tests.Apply;
using Perf.Store.V2;
using Xunit;

namespace Perf.Store.Tests.V2;

public sealed class V2StoreTests
{
    private const long Second = 1_000_000_000;

    private readonly ManualClock _clock = new();
    private readonly V2Store _store;

    public V2StoreTests()
    {
        _store = new V2Store(_clock);
    }

    private long Now => _clock.GetUtcNow().ToUnixTimeSeconds() * Second;

    [Fact]
    public void Set_creates_then_replaces()
    {
        var created = _store.Set("/1/foo", directory: false, "bar", 0).Event!;
        var replaced = _store.Set("/1/foo", directory: false, "baz", 0).Event!;

        Assert.True(created.IsCreated);
        Assert.Null(created.PrevNode);
        Assert.False(replaced.IsCreated);
        Assert.Equal(
            "{\"action\":\"set\",\"node\":{\"key\":\"/foo\",\"value\":\"baz\",\"modifiedIndex\":2,\"createdIndex\":2},"
            + "\"prevNode\":{\"key\":\"/foo\",\"value\":\"bar\",\"modifiedIndex\":1,\"createdIndex\":1}}",
            replaced.ToJson("/1"));
        Assert.Equal(2ul, _store.CurrentIndex);
    }

    [Fact]
    public void Errors_are_those_of_the_v2_api()
    {
        _store.Set("/1/dir/file", directory: false, "v", 0);

        Refused(_store.Get("/1/none", false, false), V2ErrorCode.KeyNotFound, "/1/none");
        Refused(_store.Get("/1/dir/file/below", false, false), V2ErrorCode.NotDir, "/1/dir/file");
        Refused(_store.Create("/1/dir/file", false, "", false, 0), V2ErrorCode.NodeExist, "/1/dir/file");
        Refused(_store.Create("/1/dir/file/below", false, "", false, 0), V2ErrorCode.NotDir, "/1/dir/file");
        Refused(_store.Set("/1/dir", false, "", 0), V2ErrorCode.NotFile, "/1/dir");
        Refused(_store.Set("/1", false, "", 0), V2ErrorCode.RootReadOnly, "/");
        Refused(_store.Delete("/", true, true), V2ErrorCode.RootReadOnly, "/");
        Refused(_store.Delete("/1/dir", false, false), V2ErrorCode.NotFile, "/1/dir");
        Refused(_store.Delete("/1/dir", true, false), V2ErrorCode.DirNotEmpty, "/1/dir");
        Refused(_store.Update("/1/dir", "x", 0), V2ErrorCode.NotFile, "/1/dir");
        Refused(_store.CompareAndSwap("/1/dir", "a", 0, "b", 0), V2ErrorCode.NotFile, "/1/dir");
        Refused(_store.CompareAndSwap("/1/dir/file", "a", 0, "b", 0), V2ErrorCode.TestFailed, "[a != v]");
        Refused(_store.CompareAndSwap("/1/dir/file", "", 9, "b", 0), V2ErrorCode.TestFailed, "[9 != 1]");
        Refused(_store.CompareAndDelete("/1/dir/file", "a", 9), V2ErrorCode.TestFailed, "[a != v] [9 != 1]");
        Assert.Equal(1ul, _store.CurrentIndex);

        var error = _store.Get("/1/none", false, false).Error!;
        Assert.Equal("{\"errorCode\":100,\"message\":\"Key not found\",\"cause\":\"/1/none\",\"index\":1}", error.ToJson());
        Assert.Equal(404, error.HttpStatus);
    }

    [Fact]
    public void Compare_and_swap_and_delete_go_by_value_or_index()
    {
        _store.Set("/1/a", false, "1", 0);

        Assert.Equal(V2Action.CompareAndSwap, _store.CompareAndSwap("/1/a", "1", 0, "2", 0).Event!.Action);
        Assert.Equal("2", _store.CompareAndSwap("/1/a", "", 2, "3", 0).Event!.PrevNode!.Value);
        Assert.Equal(1ul, _store.Get("/1/a", false, false).Event!.Node.CreatedIndex);
        Assert.NotNull(_store.CompareAndDelete("/1/a", "3", 3).Event);
        Refused(_store.Get("/1/a", false, false), V2ErrorCode.KeyNotFound, "/1/a");
    }

    [Fact]
    public void In_order_keys_sort_by_age_and_hidden_ones_are_not_listed()
    {
        _store.Create("/1/queue", false, "a", unique: true, 0);
        _store.Create("/1/queue", false, "b", unique: true, 0);
        _store.Set("/1/queue/_hidden", false, "c", 0);

        var nodes = _store.Get("/1/queue", false, true).Event!.Node.Nodes!;

        Assert.Equal(["/1/queue/00000000000000000001", "/1/queue/00000000000000000002"], nodes.Select(node => node.Key));
        Assert.Equal("c", _store.Get("/1/queue/_hidden", false, false).Event!.Node.Value);
    }

    [Fact]
    public void Keys_with_a_time_go_only_when_a_sync_says_so()
    {
        _store.Set("/1/dir/late", false, "v", Now + (20 * Second));
        _store.Set("/1/dir/soon", false, "v", Now + (10 * Second));
        Assert.True(_store.HasTtlKeys);
        Assert.Equal(10, _store.Get("/1/dir/soon", false, false).Event!.Node.TtlSeconds);

        _clock.Advance(TimeSpan.FromMinutes(1));
        Assert.NotNull(_store.Get("/1/dir/soon", false, false).Event);
        using V2Watcher watcher = Watch("/1/dir", recursive: true);
        _store.DeleteExpired(Now - (45 * Second));

        Assert.True(watcher.Events.TryRead(out V2Event? told));
        Assert.Equal("/1/dir/soon", told.Node.Key);
        Assert.Equal(V2Action.Expire, told.Action);
        Assert.False(watcher.Events.TryRead(out _));
        Assert.True(_store.HasTtlKeys);
        _store.DeleteExpired(Now);
        Assert.False(_store.HasTtlKeys);
        Assert.Equal(4ul, _store.CurrentIndex);
    }

    [Fact]
    public void Deleting_a_directory_takes_its_expiring_children_along()
    {
        _store.Set("/1/dir/a", false, "v", Now + Second);
        _store.Set("/1/dir/b/c", true, "", Now + Second);
        _store.Delete("/1/dir", false, true);

        Assert.False(_store.HasTtlKeys);
        Assert.False(_store.HasUserContent);
    }

    [Fact]
    public void A_refresh_keeps_the_value_and_is_told_to_nobody()
    {
        _store.Set("/1/a", false, "v", Now + Second);
        using V2Watcher watcher = Watch("/1/a", recursive: false);

        _store.Set("/1/a", false, "ignored", Now + (9 * Second), refresh: true);

        Assert.False(watcher.Events.TryRead(out _));
        Assert.Equal("v", _store.Get("/1/a", false, false).Event!.Node.Value);
        Assert.Null(_store.ScanHistory("/1/a", false, 2).Event);
        Refused(_store.Set("/1/none", false, "", 0, refresh: true), V2ErrorCode.KeyNotFound, "/1/none");
    }

    [Fact]
    public void History_answers_for_the_past_until_it_is_cleared()
    {
        for (int i = 0; i < 1001; i++)
        {
            _store.Set("/1/k" + i, false, "v", 0);
        }

        Assert.Equal("/1/k5", _store.ScanHistory("/1/k5", false, 2).Event!.Node.Key);
        Assert.Equal("/1/k9", _store.ScanHistory("/1", true, 10).Event!.Node.Key);
        Assert.Null(_store.ScanHistory("/1/none", false, 2).Event);
        Assert.Equal(default, _store.ScanHistory("/1", true, 5000));
        Refused(_store.ScanHistory("/1", true, 1), V2ErrorCode.EventIndexCleared, "the requested history has been cleared [2/1]");
    }

    [Fact]
    public void A_watcher_sees_its_path_a_recursive_one_everything_below_that_is_not_hidden()
    {
        using V2Watcher one = Watch("/1/dir/a", recursive: false);
        using V2Watcher all = Watch("/1/dir", recursive: true);
        using V2Watcher hidden = Watch("/1/dir/_h", recursive: true);

        _store.Set("/1/dir/a", false, "1", 0);
        _store.Set("/1/dir/b", false, "2", 0);
        _store.Set("/1/dir/_h/c", false, "3", 0);
        _store.Set("/1/other", false, "4", 0);

        Assert.Equal(["/1/dir/a"], Keys(one));
        Assert.Equal(["/1/dir/a", "/1/dir/b"], Keys(all));
        Assert.Equal(["/1/dir/_h/c"], Keys(hidden));
    }

    [Fact]
    public void Whoever_watches_below_a_removed_directory_is_told()
    {
        _store.Set("/1/dir/sub/a", false, "1", 0);
        using V2Watcher below = Watch("/1/dir/sub/a", recursive: false, stream: false);

        _store.Delete("/1/dir", directory: true, recursive: true);

        Assert.Equal(["/1/dir"], Keys(below));
        Assert.True(below.Events.Completion.IsCompleted);
    }

    [Fact]
    public void A_watcher_that_lets_events_lie_is_dropped_and_one_that_does_not_stream_ends_after_one()
    {
        using V2Watcher slow = Watch("/1", recursive: true);
        using V2Watcher once = Watch("/1", recursive: true, stream: false);
        for (int i = 0; i < V2Watcher.EventsMax + 5; i++)
        {
            _store.Set("/1/k", false, "v", 0);
        }

        Assert.Equal(V2Watcher.EventsMax, Keys(slow).Count);
        Assert.True(slow.Events.Completion.IsCompleted);
        Assert.Single(Keys(once));
        Assert.Contains("\"watchers\":0", _store.StatisticsJson(), StringComparison.Ordinal);
    }

    [Fact]
    public void A_watch_of_the_past_gives_what_the_history_has()
    {
        _store.Set("/1/a", false, "1", 0);
        _store.Set("/1/a", false, "2", 0);

        Assert.Null(_store.Watch("/1/a", false, false, 1, out V2Watcher? watcher));
        Assert.True(watcher!.Events.TryRead(out V2Event? first));
        Assert.Equal("1", first.Node.Value);
        Assert.Equal(2ul, watcher.StartIndex);
    }

    [Fact]
    public void A_saved_store_is_the_same_store()
    {
        _store.Set("/1/a b/\u00fc<&>\"", false, "line\nfeed\u2028", 0);
        _store.Set("/1/t", false, "", Now + 123_456_789);
        _store.Create("/1/dir", true, "", false, 0);
        _store.Set("/2/security", false, "v2 auth lives beside", 0);
        _store.Set("/1/deep" + string.Concat(Enumerable.Repeat("/x", 500)), false, "bottom", 0);
        byte[] saved = _store.Save();

        var loaded = new V2Store(_clock);
        loaded.Load(saved);

        Assert.Equal(Encoding.UTF8.GetString(saved), Encoding.UTF8.GetString(loaded.Save()));
        Assert.True(loaded.HasTtlKeys);
        Assert.True(loaded.HasUserContent);
        Assert.Equal("/1/new", loaded.Set("/1/new", false, "v", 0).Event!.Node.Key);
        Assert.Equal(_store.CurrentIndex + 1, loaded.CurrentIndex);
    }

    [Theory]
    [InlineData("")]
    [InlineData("null")]
    [InlineData("[]")]
    [InlineData("{}")]
    [InlineData("{\"Root\":{\"Path\":\"/\",\"Children\":null}}")]
    [InlineData("{\"Root\":{\"Path\":\"/\",\"Children\":{\"a/b\":{}}},\"CurrentIndex\":1}")]
    [InlineData("{\"Root\":{\"Path\":\"/\",\"Children\":{\"a\":{},\"a\":{}}},\"CurrentIndex\":1}")]
    [InlineData("{\"Root\":{\"Path\":\"/\",\"Children\":{\"a\":{\"ExpireTime\":\"soon\"}}},\"CurrentIndex\":1}")]
    [InlineData("{\"Root\":{\"Path\":\"/\",\"Children\":{}},\"CurrentIndex\":-1}")]
    public void Documents_that_are_no_store_are_refused_and_change_nothing(string json)
    {
        _store.Set("/1/a", false, "v", 0);
        byte[] before = _store.Save();

        Assert.Throws<InvalidDataException>(() => _store.Load(Encoding.UTF8.GetBytes(json)));

        Assert.Equal(before, _store.Save());
    }

    [Theory]
    [InlineData("0001-01-01T00:00:00Z", 0L)]
    [InlineData("2026-11-21T10:00:00Z", 1795255200L * Second)]
    [InlineData("2026-11-21T11:00:00.000000001+01:00", (1795255200L * Second) + 1)]
    [InlineData("2026-11-21T10:00:00.5Z", (1795255200L * Second) + 500_000_000)]
    public void Times_are_read_to_the_nanosecond(string text, long expected)
    {
        long nanos = GoJson.ParseTime(text);

        Assert.Equal(expected, nanos);
        Assert.Equal(nanos, GoJson.ParseTime(GoJson.Time(nanos)));
    }

    [FixtureTheory]
    [InlineData("etcd-3.4-3", 3)]
    [InlineData("etcd-3.5-1", 1)]
    [InlineData("etcd-3.6-3", 3)]
    public void Snapshots_of_real_etcds_are_read_and_written_back(string fixture, int members)
    {
        string folder = Fixtures.Unpack(fixture);
        try
        {
            string snap = Directory.GetFiles(Path.Combine(folder, "m0", "member", "snap"), "*.snap").Order().Last();
            string json = Encoding.UTF8.GetString(Fixtures.V2JsonOf(snap));
            var store = new V2Store(_clock);
            store.Load(Encoding.UTF8.GetBytes(json));

            // Watchers and statistics are left out; the rest is the same, byte for byte.
            string expected = json[..json.IndexOf(",\"WatcherHub\"", StringComparison.Ordinal)];
            Assert.StartsWith(expected, Encoding.UTF8.GetString(store.Save()), StringComparison.Ordinal);

            var table = new MembershipStore(new MemoryBuckets(), store);
            table.Recover();
            Assert.Equal(members, table.Current.Members.Count);
            Assert.True(table.IsProjected());
            Assert.Equal("http://127.0.0.1:24301", table.Current.Members.Single(member => member.Name == "m0").PeerUrls[0]);
            Assert.Equal(fixture[5..8] + ".0", table.Current.ClusterVersion.ToString());
        }
        finally
        {
            Directory.Delete(Path.GetDirectoryName(folder)!, recursive: true);
        }
    }

    [Fact]
    public void Bare_requests_are_told_apart_from_internal_ones()
    {
        foreach (string method in new[] { "PUT", "POST", "DELETE", "QGET", "SYNC" })
        {
            Assert.True(V2Request.IsBare(new V2Request { Id = 5, Method = method, Path = "/1/a" }.Encode()));
        }

        Assert.False(V2Request.IsBare(new V2Request { Method = "GET" }.Encode()));
        Assert.False(V2Request.IsBare(default));
        Assert.False(V2Request.IsBare("\u00ff\u00ff\u00ff"u8));
        var internalRequest = new Etcdserverpb.InternalRaftRequest
        {
            ID = 1,
            V2 = new Etcdserverpb.Request { ID = 1, Method = "PUT", Path = "/0/version", Val = "3.5.0" },
        };
        Assert.False(V2Request.IsBare(internalRequest.ToByteArray()));
        var put = new Etcdserverpb.InternalRaftRequest
        {
            Header = new Etcdserverpb.RequestHeader { ID = 7 },
            Put = new Etcdserverpb.PutRequest { Key = ByteString.CopyFromUtf8("PUT") },
        };
        Assert.False(V2Request.IsBare(put.ToByteArray()));
    }

    [Fact]
    public void Requests_are_etcds_messages_zeros_included()
    {
        var request = new V2Request
        {
            Id = 0xFEDCBA9876543210,
            Method = "PUT",
            Path = "/1/\u00fc",
            Value = "v",
            PrevExist = false,
            Expiration = -1,
            Recursive = true,
            Refresh = true,
        };

        var message = Etcdserverpb.Request.Parser.ParseFrom(request.Encode());

        Assert.Equal(request.Id, message.ID);
        Assert.Equal(request.Path, message.Path);
        Assert.Equal(-1, message.Expiration);
        Assert.Equal(message.ToByteArray(), request.Encode());
        Assert.True(V2Request.TryDecode(request.Encode(), out var read));
        Assert.Equal(request, read);
        Assert.False(V2Request.TryDecode("\u0008"u8, out _));
    }

    [Fact]
    public void Replicated_requests_choose_the_operation()
    {
        V2Result Apply(V2Request request)
        {
            Assert.True(_store.TryApply(request, out var result));
            return result;
        }

        var put = new V2Request { Method = "PUT", Path = "/1/a", Value = "1" };
        Assert.Equal(V2Action.Set, Apply(put).Event!.Action);
        Assert.Equal(V2ErrorCode.NodeExist, Apply(put with { PrevExist = false }).Error!.Code);
        Assert.Equal(V2Action.Update, Apply(put with { PrevExist = true }).Event!.Action);
        Assert.Equal(V2Action.CompareAndSwap, Apply(put with { PrevValue = "1" }).Event!.Action);
        Assert.Equal(V2Action.CompareAndSwap, Apply(put with { PrevExist = true, PrevIndex = 3 }).Event!.Action);
        Assert.Equal(V2Action.Create, Apply(new V2Request { Method = "POST", Path = "/1/q", Value = "x" }).Event!.Action);
        Assert.Equal("1", Apply(new V2Request { Method = "QGET", Path = "/1/a" }).Event!.Node.Value);
        Assert.Equal(V2Action.CompareAndDelete, Apply(new V2Request { Method = "DELETE", Path = "/1/a", PrevValue = "1" }).Event!.Action);
        Assert.Equal(V2Action.Delete, Apply(new V2Request { Method = "DELETE", Path = "/1/q", Recursive = true }).Event!.Action);
        Assert.Equal(default, Apply(new V2Request { Method = "SYNC", Time = Now }));
        Assert.False(_store.TryApply(new V2Request { Method = "PATCH" }, out _));
    }

    [Theory]
    [InlineData("/1/../0/members", "/0/members")]
    [InlineData("//1//a/./b/", "/1/a/b")]
    [InlineData("", "/")]
    [InlineData("../..", "/")]
    public void Paths_are_cleaned(string path, string expected) => Assert.Equal(expected, V2Path.Clean(path));

    private void Refused(V2Result result, V2ErrorCode code, string cause)
    {
        Assert.Null(result.Event);
        Assert.Equal(code, result.Error!.Code);
        Assert.Equal(cause, result.Error.Cause);
        Assert.Equal(_store.CurrentIndex, result.Error.Index);
    }

    private V2Watcher Watch(string path, bool recursive, bool stream = true)
    {
        Assert.Null(_store.Watch(path, recursive, stream, 0, out V2Watcher? watcher));
        return watcher!;
    }

    private static List<string> Keys(V2Watcher watcher)
    {
        var keys = new List<string>();
        while (watcher.Events.TryRead(out V2Event? change))
        {
            keys.Add(change.Node.Key);
        }

        return keys;
    }
}
