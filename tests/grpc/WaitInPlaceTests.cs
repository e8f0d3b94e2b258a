using System.Net;
using Xunit;

namespace Perf.Grpc.Tests;

public sealed class WaitInPlaceTests
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(60);

    [Fact]
    public async Task A_call_is_over_when_it_returns()
    {
        await using TestServer server = await StartAsync();
        Task<string> call = await OnThreadAsync(() => server.Channel.UnaryAsync(TestServer.Method(TestServer.Echo), "hello"));
        Assert.True(call.IsCompletedSuccessfully);
        Assert.Equal("hello", await call);

        string large = new('x', 3 << 20);
        Task<string> second = await OnThreadAsync(() => server.Channel.UnaryAsync(TestServer.Method(TestServer.Echo), large));
        Assert.True(second.IsCompletedSuccessfully);
        Assert.Equal(large, await second);
    }

    [Fact]
    public async Task Failures_are_those_of_awaited_calls()
    {
        await using TestServer server = await StartAsync();
        RpcException failed = await Assert.ThrowsAsync<RpcException>(async () => await await OnThreadAsync(
            () => server.Channel.UnaryAsync(TestServer.Method(TestServer.Fail), "wrong")));
        Assert.Equal(StatusCode.FailedPrecondition, failed.Code);
        Assert.Equal("wrong", failed.Message);
        Assert.Equal("because", failed.Trailers.Get("why"));

        RpcException late = await Assert.ThrowsAsync<RpcException>(async () => await await OnThreadAsync(
            () => server.Channel.UnaryAsync(
                TestServer.Method(TestServer.Hang), "", CallOptions.Timeout(TimeSpan.FromMilliseconds(200)))));
        Assert.Equal(StatusCode.DeadlineExceeded, late.Code);

        await using var nobody = new GrpcChannel("http://127.0.0.1:31199", new GrpcChannelOptions { WaitInPlace = true });
        RpcException refused = await Assert.ThrowsAsync<RpcException>(async () => await await OnThreadAsync(
            () => nobody.UnaryAsync(TestServer.Method(TestServer.Echo), "")));
        Assert.Equal(StatusCode.Unavailable, refused.Code);
        Assert.EndsWith("dial tcp 127.0.0.1:31199: connect: connection refused\"", refused.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Another_thread_can_cancel_it()
    {
        await using TestServer server = await StartAsync();
        using var cancel = new CancellationTokenSource();
        Task<Task<string>> call = OnThreadAsync(() => server.Channel.UnaryAsync(
            TestServer.Method(TestServer.Hang), "", new CallOptions(Cancellation: cancel.Token)));
        await cancel.CancelAsync();
        RpcException e = await Assert.ThrowsAsync<RpcException>(async () => await await call);
        Assert.Equal(StatusCode.Cancelled, e.Code);
    }

    [Fact]
    public async Task Streams_are_awaited_all_the_same()
    {
        await using TestServer server = await StartAsync();
        await using ClientStream<string, string> chat = server.Channel.Open(TestServer.Method(TestServer.Chat));
        Task<bool> silent = chat.MoveNextAsync().AsTask();
        await chat.WriteAsync("one");
        Assert.True(await silent.WaitAsync(Patience));
        Assert.Equal("re: one", chat.Current);

        await using ClientStream<string, string> hung = server.Channel.ServerStream(TestServer.Method(TestServer.Hang), "");
        Assert.False(hung.MoveNextAsync().IsCompleted);
    }

    [Theory]
    [InlineData("127.0.0.1", true)]
    [InlineData("0.10.100.255", true)]
    [InlineData("127.0.0.256", false)]
    [InlineData("127.0.0.4294967297", false)]
    [InlineData("127.0.0.01", false)]
    [InlineData("0x7f.0.0.1", false)]
    [InlineData("127.0.1", false)]
    [InlineData("127.0.0.1.1", false)]
    [InlineData("127.0.0.", false)]
    [InlineData("127..0.1", false)]
    [InlineData(".127.0.0", false)]
    [InlineData("localhost", false)]
    [InlineData("::1", false)]
    public void Only_four_plain_numbers_are_an_address_without_asking(string host, bool plain)
    {
        IPEndPoint? found = GrpcChannel.Literal(new DnsEndPoint(host, 2379));
        Assert.Equal(plain ? new IPEndPoint(IPAddress.Parse(host), 2379) : null, found);
    }

    private static async Task<TestServer> StartAsync()
    {
        TestServer server = await TestServer.StartAsync();
        server.UseChannel(new GrpcChannelOptions { WaitInPlace = true });
        return server;
    }

    /// <summary>On a thread of its own, so that waiting there takes none from the pool.</summary>
    private static Task<T> OnThreadAsync<T>(Func<T> work) => Task.Factory.StartNew(
        work, CancellationToken.None, TaskCreationOptions.LongRunning, TaskScheduler.Default).WaitAsync(Patience);
}
