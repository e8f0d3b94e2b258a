using Etcdserverpb;
using Google.Protobuf;
using Perf.Grpc;
using Perf.Node.Config;
using Xunit;

namespace Perf.Rpc.Tests.Security;

/// <summary>Limits that the operator sets: calls, streams, connections.</summary>
public sealed class LimitTests
{
    private const string Range = "/etcdserverpb.KV/Range";

    private static readonly ClientMethod<WatchRequest, WatchResponse> WatchMethod = new(
        "/etcdserverpb.Watch/Watch", m => m.ToByteArray(), bytes => WatchResponse.Parser.ParseFrom(bytes.Span));

    private static readonly RangeRequest Request = new() { Key = ByteString.CopyFromUtf8("a") };

    [Fact]
    public async Task Calls_above_the_limit_are_refused_and_the_next_is_served_when_one_has_ended()
    {
        await WithAsync(c => c.MaxClientCalls = 2, async server =>
        {
            ClientStream<WatchRequest, WatchResponse> first = await WatchAsync(server);
            await using ClientStream<WatchRequest, WatchResponse> second = await WatchAsync(server);
            Assert.Equal(
                (StatusCode.ResourceExhausted, "etcdserver: too many requests"), await server.StatusAsync(Range, Request));
            Assert.Equal(429, (await server.PostAsync("/v3/kv/range", """{"key":"YQ=="}""")).Status);

            await first.DisposeAsync();
            await UntilServedAsync(server);
        });
    }

    [Fact]
    public async Task Streams_of_one_connection_have_their_limit()
    {
        await WithAsync(c => c.MaxConcurrentStreams = 2, async server =>
        {
            ClientStream<WatchRequest, WatchResponse> first = await WatchAsync(server);
            await using ClientStream<WatchRequest, WatchResponse> second = await WatchAsync(server);

            // A client that knows the limit waits for its turn, as grpc-go does.
            Task<(StatusCode Code, string Text)> third = server.StatusAsync(Range, Request);
            Assert.Equal(200, (await server.PostAsync("/v3/kv/range", """{"key":"YQ=="}""")).Status);
            await first.DisposeAsync();
            Assert.Equal(StatusCode.OK, (await third).Code);
        });
    }

    [Fact]
    public async Task Connections_above_the_limit_wait_for_a_place()
    {
        await WithAsync(c => c.MaxClientConnections = 1, async server =>
        {
            Assert.Equal(StatusCode.OK, (await server.StatusAsync(Range, Request)).Code);
            await using var other = new GrpcChannel(server.Url.OriginalString, new GrpcChannelOptions());
            await Assert.ThrowsAsync<RpcException>(() => other.UnaryAsync(
                Range, Request.ToByteArray(), CallOptions.Timeout(TimeSpan.FromMilliseconds(300))));
            await server.Channel.DisposeAsync();
            await other.UnaryAsync(Range, Request.ToByteArray(), CallOptions.Timeout(TimeSpan.FromSeconds(30)));
        });
    }

    private static async Task WithAsync(Action<ServerConfig> configure, Func<RpcServer, Task> test)
    {
        RpcServer server = await RpcServer.StartAsync(configure);
        try
        {
            await test(server);
        }
        finally
        {
            await server.DisposeAsync();
        }
    }

    private static async Task<ClientStream<WatchRequest, WatchResponse>> WatchAsync(RpcServer server)
    {
        ClientStream<WatchRequest, WatchResponse> stream = server.Channel.Open(WatchMethod, RpcServer.Options());
        await stream.WriteAsync(new WatchRequest { CreateRequest = new WatchCreateRequest { Key = Request.Key } });
        Assert.True(await stream.MoveNextAsync());
        return stream;
    }

    private static async Task UntilServedAsync(RpcServer server)
    {
        long end = Environment.TickCount64 + 30_000;
        while ((await server.StatusAsync(Range, Request)).Code != StatusCode.OK)
        {
            Assert.True(Environment.TickCount64 < end, "no place becomes free");
            await Task.Delay(20);
        }
    }
}
