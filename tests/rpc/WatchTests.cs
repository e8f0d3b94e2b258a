using Etcdserverpb;
using Google.Protobuf;
using Perf.Grpc;
using Xunit;

namespace Perf.Rpc.Tests;

/// <summary>The watch service over the wire, where its stream's room runs out.</summary>
public class WatchTests(RpcServer server) : IClassFixture<RpcServer>
{
    private static readonly TimeSpan _patience = TimeSpan.FromSeconds(60);
    private static readonly ClientMethod<WatchRequest, WatchResponse> _watch =
        new("/etcdserverpb.Watch/Watch", m => m.ToByteArray(), m => WatchResponse.Parser.ParseFrom(m.Span));
    private static readonly ClientMethod<PutRequest, PutResponse> _put =
        new("/etcdserverpb.KV/Put", m => m.ToByteArray(), m => PutResponse.Parser.ParseFrom(m.Span));

    [Fact]
    public async Task A_watch_created_while_the_client_does_not_read_is_answered_when_it_does()
    {
        await using ClientStream<WatchRequest, WatchResponse> stream = server.Channel.Open(_watch);
        await stream.WriteAsync(Create("full"));
        Assert.True((await NextAsync(stream)).Created);

        // One event, larger than all windows: nothing follows it that would take the answer along.
        await server.Channel.UnaryAsync(
            _put, new PutRequest { Key = ByteString.CopyFromUtf8("full"), Value = ByteString.CopyFrom(new byte[1 << 20]) });
        await Eventually(() => server.Node.State.Watches.Counters.EventsTotal > 0);
        await stream.WriteAsync(Create("other"));
        await Eventually(() => server.Node.State.Watches.Counters.Watchers == 2);

        Assert.Single((await NextAsync(stream)).Events);
        WatchResponse answer = await NextAsync(stream);
        Assert.True(answer.Created);
        Assert.Equal(1, answer.WatchId);
    }

    private static WatchRequest Create(string key) =>
        new() { CreateRequest = new WatchCreateRequest { Key = ByteString.CopyFromUtf8(key) } };

    private static async Task<WatchResponse> NextAsync(ClientStream<WatchRequest, WatchResponse> stream)
    {
        Assert.True(await stream.MoveNextAsync().AsTask().WaitAsync(_patience));
        return stream.Current;
    }

    private static async Task Eventually(Func<bool> condition)
    {
        for (long end = Environment.TickCount64 + (long)_patience.TotalMilliseconds; !condition(); await Task.Delay(10))
        {
            Assert.True(Environment.TickCount64 < end, "waited in vain");
        }
    }
}
