using System.Globalization;
using Xunit;

namespace Perf.Grpc.Tests;

public sealed class CallTests
{
    [Fact]
    public async Task Unary_call_answers_with_the_handlers_message()
    {
        await using TestServer server = await TestServer.StartAsync();
        Assert.Equal("hello", await server.Channel.UnaryAsync(TestServer.Method(TestServer.Echo), "hello"));
        Assert.Equal("", await server.Channel.UnaryAsync(TestServer.Method(TestServer.Echo), ""));
        GrpcMethod method = server.Router.Methods.Single(m => m.Path == TestServer.Echo);
        Assert.Equal(2, method.Handled(StatusCode.OK));
        Assert.Equal(5, method.BytesReceived);
        Assert.Equal(2, method.MessagesSent);
    }

    [Fact]
    public async Task Large_messages_pass_both_windows()
    {
        await using TestServer server = await TestServer.StartAsync(o => With(o, 8 << 20));
        string large = new('x', 5 << 20);
        Assert.Equal(large, await server.Channel.UnaryAsync(TestServer.Method(TestServer.Echo), large));
    }

    [Fact]
    public async Task Failure_carries_code_message_and_trailers()
    {
        await using TestServer server = await TestServer.StartAsync();
        const string Message = "100% wrong:\n\u00fcber";
        RpcException e = await Assert.ThrowsAsync<RpcException>(
            () => server.Channel.UnaryAsync(TestServer.Method(TestServer.Fail), Message));
        Assert.Equal(StatusCode.FailedPrecondition, e.Code);
        Assert.Equal(Message, e.Message);
        Assert.Equal("because", e.Trailers.Get("why"));
    }

    [Fact]
    public async Task Exception_of_a_handler_is_answered_unknown_with_its_text()
    {
        await using TestServer server = await TestServer.StartAsync();
        RpcException e = await Assert.ThrowsAsync<RpcException>(
            () => server.Channel.UnaryAsync(TestServer.Method(TestServer.Fail), "throw this"));
        Assert.Equal(StatusCode.Unknown, e.Code);
        Assert.Equal("throw this", e.Message);
    }

    [Fact]
    public async Task Unknown_service_and_method_are_unimplemented_in_grpc_gos_words()
    {
        await using TestServer server = await TestServer.StartAsync();
        RpcException service = await Assert.ThrowsAsync<RpcException>(
            () => server.Channel.UnaryAsync(TestServer.Method("/no.Such/Thing"), ""));
        Assert.Equal(StatusCode.Unimplemented, service.Code);
        Assert.Equal("unknown service no.Such", service.Message);
        RpcException method = await Assert.ThrowsAsync<RpcException>(
            () => server.Channel.UnaryAsync(TestServer.Method("/test.Service/Nope"), ""));
        Assert.Equal("unknown method Nope for service test.Service", method.Message);
    }

    [Fact]
    public async Task Server_stream_delivers_every_message_in_order()
    {
        await using TestServer server = await TestServer.StartAsync();
        await using ClientStream<string, string> stream =
            server.Channel.ServerStream(TestServer.Method(TestServer.Count), "1000");
        for (int i = 0; i < 1000; i++)
        {
            Assert.True(await stream.MoveNextAsync());
            Assert.Equal(i.ToString(CultureInfo.InvariantCulture), stream.Current);
        }

        Assert.False(await stream.MoveNextAsync());
        Assert.False(await stream.MoveNextAsync());
    }

    [Fact]
    public async Task Client_stream_is_read_to_its_end()
    {
        await using TestServer server = await TestServer.StartAsync();
        await using ClientStream<string, string> stream = server.Channel.Open(TestServer.Method(TestServer.Sum));
        for (int i = 0; i < 100; i++)
        {
            await stream.WriteAsync(new string('x', i));
        }

        await stream.CompleteAsync();
        Assert.True(await stream.MoveNextAsync());
        Assert.Equal("4950", stream.Current);
        Assert.False(await stream.MoveNextAsync());
    }

    [Fact]
    public async Task Duplex_stream_talks_in_turns()
    {
        await using TestServer server = await TestServer.StartAsync();
        await using ClientStream<string, string> stream = server.Channel.Open(TestServer.Method(TestServer.Chat));
        for (int i = 0; i < 50; i++)
        {
            await stream.WriteAsync($"message {i}");
            Assert.True(await stream.MoveNextAsync());
            Assert.Equal($"re: message {i}", stream.Current);
        }

        await stream.WriteAsync("fail");
        RpcException e = await Assert.ThrowsAsync<RpcException>(async () => await stream.MoveNextAsync());
        Assert.Equal(StatusCode.Aborted, e.Code);
        Assert.Equal("asked to", e.Message);
        RpcException late = await Assert.ThrowsAsync<RpcException>(async () => await stream.WriteAsync("late"));
        Assert.Equal(StatusCode.Aborted, late.Code);
    }

    /// <summary>As a watch does whose stream ends from the server's side: its read is still waiting.</summary>
    [Fact]
    public async Task A_read_left_behind_takes_nothing_from_the_next_call()
    {
        await using TestServer server = await TestServer.StartAsync();
        var mayRead = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        server.Router.Map("/test.Service/Leave", MethodKind.Duplex, call =>
        {
            _ = call.ReadMessageAsync().AsTask();
            return default;
        });
        server.Router.Map("/test.Service/ReadLate", MethodKind.Duplex, async call =>
        {
            await call.SendHeadersAsync();
            await mayRead.Task;
            Assert.True(await call.ReadMessageAsync());
            call.WriteMessage(System.Buffers.BuffersExtensions.ToArray(call.Message));
        });
        await using (ClientStream<string, string> left = server.Channel.Open(TestServer.Method("/test.Service/Leave")))
        {
            Assert.False(await left.MoveNextAsync());
        }

        await using ClientStream<string, string> next = server.Channel.Open(TestServer.Method("/test.Service/ReadLate"));
        await next.HeadersAsync;
        await next.WriteAsync("mine");
        Assert.Equal("there", await server.Channel.UnaryAsync(TestServer.Method(TestServer.Echo), "there"));
        mayRead.SetResult();
        Assert.True(await next.MoveNextAsync().AsTask().WaitAsync(TimeSpan.FromSeconds(60)));
        Assert.Equal("mine", next.Current);
    }

    [Fact]
    public async Task Metadata_travels_both_ways()
    {
        await using TestServer server = await TestServer.StartAsync();
        var headers = new Metadata { { "token", "abc" }, { "hasleader", "true" } };
        headers.Add("raw-bin", [1, 2, 255]);
        await using ClientStream<string, string> stream = server.Channel.ServerStream(
            TestServer.Method(TestServer.Headers), "", new CallOptions(Headers: headers));
        Assert.True(await stream.MoveNextAsync());
        Assert.Equal("hasleader=true;raw-bin=AQL/;token=abc;raw:0102FF", stream.Current);
        Assert.Equal("1", (await stream.HeadersAsync).Get("early"));
        Assert.False(await stream.MoveNextAsync());
        Assert.Equal("2", stream.Trailers.Get("late"));
    }

    [Fact]
    public async Task Deadline_cancels_the_handler_and_fails_the_call()
    {
        await using TestServer server = await TestServer.StartAsync();
        RpcException e = await Assert.ThrowsAsync<RpcException>(() => server.Channel.UnaryAsync(
            TestServer.Method(TestServer.Hang), "", CallOptions.Timeout(TimeSpan.FromMilliseconds(200))));
        Assert.Equal(StatusCode.DeadlineExceeded, e.Code);
        Assert.True(await server.HangEnded.Task.WaitAsync(TimeSpan.FromSeconds(10)));
    }

    [Fact]
    public async Task A_stream_that_is_refused_at_once_does_not_leave_its_writer_waiting()
    {
        await using TestServer server = await TestServer.StartAsync();
        server.Router.Map("/test.Service/Refuse", MethodKind.Duplex, call =>
        {
            call.Fail(StatusCode.PermissionDenied, "not you");
            return default;
        });
        for (int i = 0; i < 200; i++)
        {
            await using ClientStream<string, string> stream = server.Channel.Open(TestServer.Method("/test.Service/Refuse"));

            // The answer may be overtaken by the reset behind it, and the code be lost; the end is not.
            await Assert.ThrowsAsync<RpcException>(() => TalkAsync(stream).WaitAsync(TimeSpan.FromSeconds(60)));
        }

        static async Task TalkAsync(ClientStream<string, string> stream)
        {
            await stream.WriteAsync("hello");
            await stream.MoveNextAsync();
        }
    }

    [Fact]
    public async Task Cancelling_the_client_cancels_the_handler()
    {
        await using TestServer server = await TestServer.StartAsync();
        using var cancel = new CancellationTokenSource();
        Task<string> call = server.Channel.UnaryAsync(
            TestServer.Method(TestServer.Hang), "", new CallOptions(Cancellation: cancel.Token));
        await Task.Delay(100);
        await cancel.CancelAsync();
        RpcException e = await Assert.ThrowsAsync<RpcException>(() => call);
        Assert.Equal(StatusCode.Cancelled, e.Code);
        Assert.True(await server.HangEnded.Task.WaitAsync(TimeSpan.FromSeconds(10)));
    }

    [Fact]
    public async Task Disposing_a_stream_cancels_its_handler()
    {
        await using TestServer server = await TestServer.StartAsync();
        await using (ClientStream<string, string> stream = server.Channel.Open(TestServer.Method(TestServer.Chat)))
        {
            await stream.WriteAsync("one");
            Assert.True(await stream.MoveNextAsync());
        }

        GrpcMethod method = server.Router.Methods.Single(m => m.Path == TestServer.Chat);
        await Eventually.True(() => method.Handled(StatusCode.Cancelled) == 1);
    }

    [Fact]
    public async Task Many_calls_at_once_on_one_channel()
    {
        await using TestServer server = await TestServer.StartAsync();
        Task<string>[] calls = Enumerable.Range(0, 1000)
            .Select(i => server.Channel.UnaryAsync(TestServer.Method(TestServer.Echo), $"call {i}"))
            .ToArray();
        string[] answers = await Task.WhenAll(calls);
        for (int i = 0; i < answers.Length; i++)
        {
            Assert.Equal($"call {i}", answers[i]);
        }
    }

    [Fact]
    public async Task Client_limits_refuse_messages_before_they_travel_or_are_buffered()
    {
        await using TestServer server = await TestServer.StartAsync();
        server.UseChannel(new GrpcChannelOptions { SendBytesMax = 10, ReceiveBytesMax = 10 });
        Assert.Equal("0123456789", await server.Channel.UnaryAsync(TestServer.Method(TestServer.Echo), "0123456789"));
        RpcException send = await Assert.ThrowsAsync<RpcException>(
            () => server.Channel.UnaryAsync(TestServer.Method(TestServer.Echo), "0123456789a"));
        Assert.Equal(StatusCode.ResourceExhausted, send.Code);
        Assert.Equal("trying to send message larger than max (11 vs. 10)", send.Message);
        RpcException receive = await Assert.ThrowsAsync<RpcException>(() => server.Channel.UnaryAsync(
            TestServer.Method(TestServer.Headers), "", new CallOptions(Headers: new Metadata { { "token", "0123456789" } })));
        Assert.Equal(StatusCode.ResourceExhausted, receive.Code);
        Assert.Equal("grpc: received message larger than max (16 vs. 10)", receive.Message);
    }

    [Fact]
    public async Task Refused_connection_is_unavailable_in_grpc_gos_words()
    {
        await using var channel = new GrpcChannel("http://127.0.0.1:31199");
        RpcException e = await Assert.ThrowsAsync<RpcException>(
            () => channel.UnaryAsync(TestServer.Method(TestServer.Echo), ""));
        Assert.Equal(StatusCode.Unavailable, e.Code);
        Assert.Equal(
            "connection error: desc = \"transport: Error while dialing: dial tcp 127.0.0.1:31199: connect: connection refused\"",
            e.Message);
        await using ClientStream<string, string> stream = channel.Open(TestServer.Method(TestServer.Chat));
        Assert.Equal(StatusCode.Unavailable, (await Assert.ThrowsAsync<RpcException>(
            async () => await stream.WriteAsync(""))).Code);
    }

    [Fact]
    public async Task Stopping_the_server_fails_open_calls_as_unavailable_or_cancelled()
    {
        TestServer server = await TestServer.StartAsync();
        await using ClientStream<string, string> stream = server.Channel.Open(TestServer.Method(TestServer.Chat));
        await stream.WriteAsync("one");
        Assert.True(await stream.MoveNextAsync());
        await server.Server.StopAsync(TimeSpan.FromMilliseconds(100));
        RpcException e = await Assert.ThrowsAsync<RpcException>(async () => await stream.MoveNextAsync());
        Assert.True(e.Code is StatusCode.Unavailable or StatusCode.Cancelled or StatusCode.Internal, e.ToString());
        await server.DisposeAsync();
    }

    [Fact]
    public async Task Graceful_stop_lets_a_running_call_finish()
    {
        TestServer server = await TestServer.StartAsync();
        await using ClientStream<string, string> stream = server.Channel.Open(TestServer.Method(TestServer.Chat));
        await stream.WriteAsync("one");
        Assert.True(await stream.MoveNextAsync());
        Task stopping = server.Server.StopAsync(TimeSpan.FromSeconds(20));
        await Task.Delay(100);
        await stream.WriteAsync("two");
        Assert.True(await stream.MoveNextAsync());
        Assert.Equal("re: two", stream.Current);
        await stream.CompleteAsync();
        Assert.False(await stream.MoveNextAsync());
        await stopping.WaitAsync(TimeSpan.FromSeconds(15));
        await server.DisposeAsync();
    }

    private static GrpcServerOptions With(GrpcServerOptions o, int receiveBytesMax) => new()
    {
        Endpoints = o.Endpoints,
        Fallback = o.Fallback,
        ReceiveBytesMax = receiveBytesMax,
    };
}
