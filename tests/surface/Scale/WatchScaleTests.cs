using System.Collections.Concurrent;
using System.Diagnostics;
using System.Globalization;
using Etcdserverpb;
using Google.Protobuf;
using Mvccpb;
using Perf.Cluster.Tests.Harness;
using Perf.Grpc;
using Perf.Surface.Tests.Differential;
using Perf.Surface.Tests.Stacks;
using Xunit;
using Xunit.Abstractions;

namespace Perf.Surface.Tests.Scale;

/// <summary>
/// A thousand watchers on one stream and a thousand streams with one each, beside a reader that does not read and is
/// overtaken by compaction. Each of the two thousand gets exactly its events, and the server's memory stays bounded.
/// </summary>
[Collection(OtherStacks.Name)]
public sealed class WatchScaleTests(ITestOutputHelper output)
{
    private const int Watchers = 1000;
    private const int Writers = 8;
    private const int ValueBytes = 1024;
    private const int Revisions = 24_000;
    private const int ChangesPerRevision = 2;

    /// <summary>What is written in all is about 50 MiB; a server that kept a copy for each watcher would need far more.</summary>
    private const long GrowthBytesMax = 600L << 20;

    private static readonly TimeSpan _patience = TimeSpan.FromSeconds(60);

    [Fact]
    public async Task Two_thousand_watchers_and_a_reader_that_sleeps()
    {
        using var directory = new TempDirectory();
        using PerfProcess server = PerfProcess.Start(directory["data"], FreePort.NextPair(), "--log-level", "error");
        await using var channel = new GrpcChannel(server.Url);
        await using var caller = new Caller(server);
        await caller.PutAsync("warm", "up");

        // On one stream: one watcher a key, all keys together in the first.
        await using var one = new WatchRecorder(channel);
        long everything = (await one.CreateAsync(Create(0, isAll: true))).WatchId;
        long[] ids = new long[Watchers];
        for (int i = 0; i < Watchers; i++)
        {
            ids[i] = (await one.CreateAsync(Create(i))).WatchId;
        }

        // A thousand streams, with and without the value before.
        WatchRecorder[] many = [.. Enumerable.Range(0, Watchers).Select(_ => new WatchRecorder(channel))];
        await Task.WhenAll(many.Select((w, i) => w.CreateAsync(Create(i, prevKv: i % 2 == 0))));
        await using SleepingReader sleeper = await SleepingReader.OpenAsync(server);
        long before = ResidentBytes(server);

        var clock = Stopwatch.StartNew();
        long half = await WriteAsync(channel, 0, Revisions / 2);

        // The sleeper has been told the first few: everything it lacks up to here is taken away.
        await caller.CompactAsync(new CompactionRequest { Revision = half - 10, Physical = true });
        long last = await WriteAsync(channel, Revisions / 2, Revisions);
        TimeSpan written = clock.Elapsed;
        await one.ReachedAsync(everything, last);
        List<Event> history = await one.TakeAsync(everything, Revisions * ChangesPerRevision);
        Assert.Equal(Revisions * ChangesPerRevision, history.Count);
        long after = ResidentBytes(server);

        ILookup<string, Event> byKey = history.ToLookup(e => e.Kv.Key.ToStringUtf8());
        for (int i = 0; i < Watchers; i++)
        {
            Event[] expected = [.. byKey[Key(i)]];
            Assert.Equal(expected, await one.TakeAsync(ids[i], expected.Length));
            List<Event> alone = await many[i].TakeAsync(0, expected.Length);
            Assert.Equal(expected, alone.Select(e => new Event { Type = e.Type, Kv = e.Kv }));
            if (i % 2 == 0)
            {
                CheckPrevious(alone);
            }
        }

        output.WriteLine(
            $"{Revisions} revisions of {ChangesPerRevision} keys in {written.TotalSeconds:f1} s, all seen after "
            + $"{clock.Elapsed.TotalSeconds:f1} s; resident {before >> 20} MiB, then {after >> 20} MiB");
        Assert.True(after - before < GrowthBytesMax, $"resident memory grew from {before} to {after} bytes");

        // Now it reads: what it gets is without a gap, and then the end with the revision that was compacted.
        (long seen, long compacted) = await sleeper.WakeAsync(history);
        Assert.True(seen < half - 10, $"the sleeper has been sent {seen} of {half - 10}: it was not overtaken");
        Assert.Equal(half - 10, compacted);

        await CheckRangesAsync(caller, history, half, last);
        await Task.WhenAll(many.Select(w => w.DisposeAsync().AsTask()));
        await WaitForWatchersAsync(server, Watchers + 1);
    }

    private static string Key(int i) => string.Create(CultureInfo.InvariantCulture, $"scale/{i:0000}");

    private static WatchCreateRequest Create(int i, bool isAll = false, bool prevKv = false) => new()
    {
        Key = ByteString.CopyFromUtf8(isAll ? "scale/" : Key(i)),
        RangeEnd = isAll ? ByteString.CopyFromUtf8("scale0") : ByteString.Empty,
        PrevKv = prevKv,
    };

    /// <summary>Transactions from several writers, each of two keys far apart; the last revision.</summary>
    private static async Task<long> WriteAsync(GrpcChannel channel, int from, int to)
    {
        var revisions = new ConcurrentBag<long>();
        await Task.WhenAll(Enumerable.Range(0, Writers).Select(writer => Task.Run(async () =>
        {
            var dice = new Random(from + writer);
            byte[] value = new byte[ValueBytes];
            for (int n = from + writer; n < to; n += Writers)
            {
                dice.NextBytes(value);
                int key = dice.Next(Watchers);
                int second = (key + 1 + dice.Next(Watchers - 1)) % Watchers;
                var txn = new TxnRequest { Success = { Put(key, value), Put(second, value) } };
                ReadOnlyMemory<byte> answer = await channel.UnaryAsync(
                    "/etcdserverpb.KV/Txn", txn.ToByteArray(), CallOptions.Timeout(_patience));
                revisions.Add(TxnResponse.Parser.ParseFrom(answer.Span).Header.Revision);
            }
        })));
        return revisions.Max();
    }

    private static RequestOp Put(int key, byte[] value) => new()
    {
        RequestPut = new() { Key = ByteString.CopyFromUtf8(Key(key)), Value = ByteString.CopyFrom(value) },
    };

    /// <summary>The value before is the one of the event before, unless compaction has taken it.</summary>
    private static void CheckPrevious(List<Event> events)
    {
        for (int i = 0; i < events.Count; i++)
        {
            if (i == 0)
            {
                Assert.Null(events[i].PrevKv);
            }
            else if (events[i].PrevKv is { } previous)
            {
                Assert.Equal(events[i - 1].Kv, previous);
            }
        }
    }

    /// <summary>Old revisions read as they were, below the compacted one not at all.</summary>
    private static async Task CheckRangesAsync(Caller caller, List<Event> history, long half, long last)
    {
        foreach (long revision in new[] { half - 10, half, (half + last) / 2, last })
        {
            var expected = new SortedDictionary<string, KeyValue>(StringComparer.Ordinal);
            foreach (Event e in history.TakeWhile(e => e.Kv.ModRevision <= revision))
            {
                expected[e.Kv.Key.ToStringUtf8()] = e.Kv;
            }

            RangeResponse found = await caller.RangeAsync(All(revision));
            Assert.Equal(expected.Values, found.Kvs);
            Assert.Equal(last, found.Header.Revision);
        }

        RpcException below = await Assert.ThrowsAsync<RpcException>(() => caller.RangeAsync(All(half - 11)));
        Assert.Equal("etcdserver: mvcc: required revision has been compacted", below.Message);

        static RangeRequest All(long revision) => new()
        {
            Key = ByteString.CopyFromUtf8("scale/"),
            RangeEnd = ByteString.CopyFromUtf8("scale0"),
            Revision = revision,
        };
    }

    private static long ResidentBytes(EtcdProcess server)
    {
        string line = File.ReadLines($"/proc/{server.Id}/status").First(l => l.StartsWith("VmRSS:", StringComparison.Ordinal));
        return long.Parse(line.Split(' ', StringSplitOptions.RemoveEmptyEntries)[^2], CultureInfo.InvariantCulture) << 10;
    }

    /// <summary>Streams that have gone leave no watchers behind.</summary>
    private static async Task WaitForWatchersAsync(EtcdProcess server, int expected)
    {
        using var http = new HttpClient();
        string line = "";
        for (var waited = Stopwatch.StartNew(); waited.Elapsed < _patience; await Task.Delay(100))
        {
            string page = await http.GetStringAsync(server.Url + "/metrics");
            line = page.Split('\n').First(l => l.StartsWith("etcd_debugging_mvcc_watcher_total ", StringComparison.Ordinal));
            if (line == $"etcd_debugging_mvcc_watcher_total {expected}")
            {
                return;
            }
        }

        Assert.Fail($"expected {expected} watchers: {line}");
    }

    /// <summary>A watcher on everything whose answers nobody reads until it is woken.</summary>
    private sealed class SleepingReader : IAsyncDisposable
    {
        private static readonly ClientMethod<WatchRequest, WatchResponse> _watch =
            new("/etcdserverpb.Watch/Watch", m => m.ToByteArray(), m => WatchResponse.Parser.ParseFrom(m.Span));

        private readonly GrpcChannel _channel;
        private readonly ClientStream<WatchRequest, WatchResponse> _stream;

        private SleepingReader(GrpcChannel channel)
        {
            _channel = channel;
            _stream = channel.Open(_watch);
        }

        public static async Task<SleepingReader> OpenAsync(EtcdProcess server)
        {
            var reader = new SleepingReader(new GrpcChannel(server.Url));
            await reader._stream.WriteAsync(new WatchRequest { CreateRequest = Create(0, isAll: true) });
            Assert.True(await reader._stream.MoveNextAsync());
            Assert.True(reader._stream.Current.Created);
            return reader;
        }

        /// <summary>Reads to the end that compaction has made; the last revision before it, and the one it names.</summary>
        public async Task<(long Seen, long Compacted)> WakeAsync(List<Event> history)
        {
            int at = 0;
            while (await _stream.MoveNextAsync().AsTask().WaitAsync(_patience))
            {
                WatchResponse answer = _stream.Current;
                if (answer.Canceled)
                {
                    return (at == 0 ? 0 : history[at - 1].Kv.ModRevision, answer.CompactRevision);
                }

                foreach (Event e in answer.Events)
                {
                    Assert.Equal(history[at], e);
                    at++;
                }
            }

            throw new InvalidOperationException("the stream has ended");
        }

        public async ValueTask DisposeAsync()
        {
            await _stream.DisposeAsync();
            await _channel.DisposeAsync();
        }
    }
}
