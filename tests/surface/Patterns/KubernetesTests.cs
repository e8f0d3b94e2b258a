using System.Diagnostics;
using Etcdserverpb;
using Google.Protobuf;
using Mvccpb;
using Perf.Cluster.Tests.Harness;
using Perf.Grpc;
using Perf.Surface.Tests.Differential;
using Xunit;

namespace Perf.Surface.Tests.Patterns;

/// <summary>What the Kubernetes apiserver does with its etcd, as its storage layer does it.</summary>
public sealed class KubernetesTests : IAsyncLifetime
{
    private const string Pods = "/registry/pods/";
    private const string CompactRevisionKey = "compact_rev_key";

    private static readonly TimeSpan _patience = TimeSpan.FromSeconds(60);

    private readonly TempDirectory _directory = new();
    private PerfProcess? _server;
    private Caller? _caller;
    private GrpcChannel? _channel;

    private Caller Api => _caller!;

    public Task InitializeAsync()
    {
        _server = PerfProcess.Start(_directory["data"], FreePort.NextPair());
        _caller = new Caller(_server);
        _channel = new GrpcChannel(_server.Url);
        return Task.CompletedTask;
    }

    public async Task DisposeAsync()
    {
        await Api.DisposeAsync();
        await _channel!.DisposeAsync();
        _server!.Dispose();
        _directory.Dispose();
    }

    [Fact]
    public async Task Creates_and_guarded_updates_lose_nothing()
    {
        const int Writers = 4;
        const int Updates = 100;
        long created = await CreateAsync(Pods + "a", "0");
        Assert.True(created > 0);
        Assert.Equal(-created, await CreateAsync(Pods + "a", "again"));

        // Several apiservers count one object up; who has read an old one tries again with the answer's.
        int refused = 0;
        await Task.WhenAll(Enumerable.Range(0, Writers).Select(_ => Task.Run(async () =>
        {
            KeyValue seen = await GetAsync(Pods + "a");
            for (int done = 0; done < Updates;)
            {
                string next = (int.Parse(seen.Value.ToStringUtf8()) + 1).ToString();
                TxnResponse answer = await UpdateAsync(Pods + "a", next, seen.ModRevision);
                if (answer.Succeeded)
                {
                    done++;
                    seen = new KeyValue { Value = ByteString.CopyFromUtf8(next), ModRevision = answer.Header.Revision };
                }
                else
                {
                    Interlocked.Increment(ref refused);
                    seen = answer.Responses[0].ResponseRange.Kvs[0];
                }
            }
        })));
        KeyValue last = await GetAsync(Pods + "a");
        Assert.Equal((Writers * Updates).ToString(), last.Value.ToStringUtf8());
        Assert.Equal((Writers * Updates) + 1, last.Version);
        Assert.Equal(created, last.CreateRevision);
        Assert.Equal(created + (Writers * Updates), last.ModRevision);

        // A guarded delete: not what has changed meanwhile, and only once.
        Assert.False((await DeleteAsync(Pods + "a", last.ModRevision - 1)).Succeeded);
        Assert.True((await DeleteAsync(Pods + "a", last.ModRevision)).Succeeded);
        Assert.False((await DeleteAsync(Pods + "a", last.ModRevision)).Succeeded);
        Assert.True(await CreateAsync(Pods + "a", "new") > last.ModRevision);
    }

    [Theory]
    [InlineData(99)]
    [InlineData(100)]
    [InlineData(101)]
    public async Task A_paged_list_is_of_one_revision_whatever_is_written_meanwhile(int objects)
    {
        const int PageObjects = 20;
        for (int i = 0; i < objects; i++)
        {
            await CreateAsync($"{Pods}{i:0000}", "first");
        }

        var listed = new List<KeyValue>();
        long revision = 0;
        ByteString from = ByteString.CopyFromUtf8(Pods);
        int pages = 0;
        RangeResponse page;
        do
        {
            page = await ListAsync(from, revision, PageObjects);
            Assert.Equal(objects - listed.Count, page.Count);
            listed.AddRange(page.Kvs);
            pages++;
            Assert.Equal(listed.Count < objects, page.More);
            if (revision == 0)
            {
                revision = page.Header.Revision;
            }
            else
            {
                Assert.True(page.Header.Revision > revision);
            }

            // Between the pages objects change, come and go, before and behind the place.
            await Api.PutAsync($"{Pods}{0:0000}", "changed");
            await Api.PutAsync($"{Pods}{objects - 1:0000}", "changed");
            await CreateAsync($"{Pods}new{pages}", "new");
            await Api.DeleteAsync(new DeleteRangeRequest { Key = ByteString.CopyFromUtf8($"{Pods}{objects / 2:0000}") });
            from = ByteString.CopyFrom([.. page.Kvs[^1].Key.Span, 0]);
        }
        while (page.More);

        Assert.Equal((objects + PageObjects - 1) / PageObjects, pages);
        Assert.Equal(Enumerable.Range(0, objects).Select(i => $"{Pods}{i:0000}"), listed.Select(kv => kv.Key.ToStringUtf8()));
        Assert.All(listed, kv => Assert.Equal("first", kv.Value.ToStringUtf8()));

        // A continue key whose revision has been compacted is gone, and the client begins anew.
        await Api.CompactAsync(new CompactionRequest { Revision = page.Header.Revision });
        RpcException gone = await Assert.ThrowsAsync<RpcException>(() => ListAsync(from, revision, PageObjects));
        Assert.Equal(StatusCode.OutOfRange, gone.Code);
        Assert.Equal("etcdserver: mvcc: required revision has been compacted", gone.Message);
        Assert.True((await ListAsync(ByteString.CopyFromUtf8(Pods), 0, 0)).Count > 0);
    }

    [Fact]
    public async Task A_watch_tells_what_was_before_and_how_far_it_is_across_compaction()
    {
        await CreateAsync(Pods + "a", "1");
        long listed = (await ListAsync(ByteString.CopyFromUtf8(Pods), 0, 0)).Header.Revision;
        await using var watch = new WatchRecorder(_channel!);
        long id = (await watch.CreateAsync(WatchFrom(listed + 1))).WatchId;

        await Api.PutAsync(Pods + "a", "2");
        await CreateAsync(Pods + "b", "1");
        await Api.DeleteAsync(new DeleteRangeRequest { Key = ByteString.CopyFromUtf8(Pods + "a") });
        List<Event> events = await watch.TakeAsync(id, 3);
        Assert.Equal(["1", null, "2"], events.Select(e => e.PrevKv?.Value.ToStringUtf8()));
        Assert.Equal([false, true, false], events.Select(e => e.Type == Event.Types.EventType.Put && e.Kv.CreateRevision == e.Kv.ModRevision));
        Assert.Equal(Event.Types.EventType.Delete, events[2].Type);

        // What is written elsewhere moves the watch's place only by progress; the apiserver's consistent reads need it.
        await Api.PutAsync("/registry/other", "x");
        long now = (await Api.RangeAsync(new RangeRequest { Key = ByteString.CopyFromUtf8("none") })).Header.Revision;
        Assert.Equal(now, await ProgressAsync(watch, now));

        // Compaction behind its back does not disturb a watch that has seen everything.
        await Api.CompactAsync(new CompactionRequest { Revision = now, Physical = true });
        await Api.PutAsync(Pods + "b", "2");
        Event after = Assert.Single(await watch.TakeAsync(id, 1));
        Assert.Equal("1", after.PrevKv.Value.ToStringUtf8());
        Assert.Equal(after.Kv.ModRevision, await ProgressAsync(watch, after.Kv.ModRevision));

        // One that begins below it is ended with the revision to list at.
        await using var late = new WatchRecorder(_channel!);
        Assert.True((await late.CreateAsync(WatchFrom(listed + 1))).Created);
        WatchResponse ended = await late.ControlAsync(1);
        Assert.True(ended.Canceled);
        Assert.Equal(now, ended.CompactRevision);
    }

    [Fact]
    public async Task Of_two_apiservers_one_compacts_in_each_round()
    {
        const int Rounds = 20;
        var left = new Compactor(Api);
        var right = new Compactor(Api);
        await left.RunAsync();
        await right.RunAsync();
        int compactions = left.Compactions + right.Compactions;
        for (int round = 0; round < Rounds; round++)
        {
            await Api.PutAsync(Pods + "a", round.ToString());
            await Task.WhenAll(left.RunAsync(), right.RunAsync());
            compactions++;
            Assert.Equal(compactions, left.Compactions + right.Compactions);
        }

        Assert.Equal(Rounds, compactions);
        KeyValue key = await GetAsync(CompactRevisionKey);
        long compacted = long.Parse(key.Value.ToStringUtf8());
        RpcException below = await Assert.ThrowsAsync<RpcException>(() => ListAsync(ByteString.CopyFromUtf8(Pods), compacted - 1, 0));
        Assert.Equal(StatusCode.OutOfRange, below.Code);
        Assert.Equal(1, (await ListAsync(ByteString.CopyFromUtf8(Pods), compacted, 0)).Count);
    }

    [Fact]
    public async Task Events_share_leases_and_go_with_them()
    {
        const int Events = 50;
        const string Prefix = "/registry/events/";
        await using var watch = new WatchRecorder(_channel!);
        long id = (await watch.CreateAsync(WatchFrom(0, Prefix))).WatchId;
        long longLease = (await Api.GrantAsync(new LeaseGrantRequest { TTL = 3600 })).ID;
        long shortLease = (await Api.GrantAsync(new LeaseGrantRequest { TTL = 5 })).ID;
        await Task.WhenAll(Enumerable.Range(0, Events).Select(i => Api.PutAsync(new PutRequest
        {
            Key = ByteString.CopyFromUtf8($"{Prefix}{i:00}"),
            Value = ByteString.CopyFromUtf8("happened"),
            Lease = i % 2 == 0 ? shortLease : longLease,
        })));

        List<Event> events = await watch.TakeAsync(id, Events + (Events / 2));
        Event[] gone = [.. events.Skip(Events)];
        Assert.All(gone, e => Assert.Equal(Event.Types.EventType.Delete, e.Type));
        Assert.Single(gone.Select(e => e.Kv.ModRevision).Distinct());
        Assert.Equal(
            Enumerable.Range(0, Events / 2).Select(i => $"{Prefix}{2 * i:00}"), gone.Select(e => e.Kv.Key.ToStringUtf8()));
        Assert.Equal(Events / 2, (await Api.RangeAsync(Range(Prefix))).Count);
    }

    private static RangeRequest Range(string prefix) => new()
    {
        Key = ByteString.CopyFromUtf8(prefix),
        RangeEnd = EndOf(prefix),
    };

    private static ByteString EndOf(string prefix) => ByteString.CopyFromUtf8(prefix[..^1] + (char)(prefix[^1] + 1));

    private static WatchCreateRequest WatchFrom(long revision, string prefix = Pods) => new()
    {
        Key = ByteString.CopyFromUtf8(prefix),
        RangeEnd = EndOf(prefix),
        StartRevision = revision,
        PrevKv = true,
        ProgressNotify = true,
    };

    /// <summary>Asks until the answer has come that far: while a watcher is behind there is none.</summary>
    private static async Task<long> ProgressAsync(WatchRecorder watch, long revision)
    {
        for (var waited = Stopwatch.StartNew(); waited.Elapsed < _patience; await Task.Delay(50))
        {
            await watch.SendAsync(new WatchRequest { ProgressRequest = new() });
            WatchResponse last = await watch.ControlAsync(watch.ControlCount - 1);
            if (last.WatchId == -1 && last.Header.Revision >= revision)
            {
                return last.Header.Revision;
            }
        }

        throw new TimeoutException($"no progress to {revision}");
    }

    private Task<RangeResponse> ListAsync(ByteString from, long revision, int limit) => Api.RangeAsync(new RangeRequest
    {
        Key = from,
        RangeEnd = EndOf(Pods),
        Revision = revision,
        Limit = limit,
    });

    private async Task<KeyValue> GetAsync(string key) =>
        Assert.Single((await Api.RangeAsync(new RangeRequest { Key = ByteString.CopyFromUtf8(key) })).Kvs);

    /// <summary>The revision of the creation; of another's, negative, when the key is there already.</summary>
    private async Task<long> CreateAsync(string key, string value)
    {
        TxnResponse answer = await UpdateAsync(key, value, 0);
        return answer.Succeeded ? answer.Header.Revision : -answer.Responses[0].ResponseRange.Kvs[0].CreateRevision;
    }

    private Task<TxnResponse> UpdateAsync(string key, string value, long revision) => GuardedAsync(key, revision, new RequestOp
    {
        RequestPut = new() { Key = ByteString.CopyFromUtf8(key), Value = ByteString.CopyFromUtf8(value) },
    });

    private Task<TxnResponse> DeleteAsync(string key, long revision) => GuardedAsync(key, revision, new RequestOp
    {
        RequestDeleteRange = new() { Key = ByteString.CopyFromUtf8(key), PrevKv = true },
    });

    private Task<TxnResponse> GuardedAsync(string key, long revision, RequestOp change)
    {
        ByteString name = ByteString.CopyFromUtf8(key);
        return Api.TxnAsync(new TxnRequest
        {
            Compare = { new Compare { Key = name, Target = Compare.Types.CompareTarget.Mod, ModRevision = revision } },
            Success = { change },
            Failure = { new RequestOp { RequestRange = new() { Key = name } } },
        });
    }

    /// <summary>The apiserver's compactor: whoever moves the key's version on compacts to the revision of the round before.</summary>
    private sealed class Compactor(Caller api)
    {
        private long _time;
        private long _revision;

        public int Compactions { get; private set; }

        public async Task RunAsync()
        {
            ByteString key = ByteString.CopyFromUtf8(CompactRevisionKey);
            TxnResponse answer = await api.TxnAsync(new TxnRequest
            {
                Compare = { new Compare { Key = key, Target = Compare.Types.CompareTarget.Version, Version = _time } },
                Success = { new RequestOp { RequestPut = new() { Key = key, Value = ByteString.CopyFromUtf8(_revision.ToString()) } } },
                Failure = { new RequestOp { RequestRange = new() { Key = key } } },
            });
            long previous = _revision;
            _revision = answer.Header.Revision;
            if (!answer.Succeeded)
            {
                _time = answer.Responses[0].ResponseRange.Kvs[0].Version;
                return;
            }

            _time++;
            if (previous > 0)
            {
                await api.CompactAsync(new CompactionRequest { Revision = previous });
                Compactions++;
            }
        }
    }
}
