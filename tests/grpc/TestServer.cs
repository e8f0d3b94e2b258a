using System.Net;
using System.Text;
using Microsoft.AspNetCore.Http;

namespace Perf.Grpc.Tests;

/// <summary>A server with a few methods that between them use every way of answering, and a client for it.</summary>
internal sealed class TestServer : IAsyncDisposable
{
    public const string Echo = "/test.Service/Echo";
    public const string Fail = "/test.Service/Fail";
    public const string Count = "/test.Service/Count";
    public const string Sum = "/test.Service/Sum";
    public const string Chat = "/test.Service/Chat";
    public const string Hang = "/test.Service/Hang";
    public const string Headers = "/test.Service/Headers";

    private static int _port = 31100;

    private readonly GrpcServer _server;
    private readonly string _url;

    private TestServer(GrpcServer server, string url)
    {
        _server = server;
        _url = url;
        Channel = new GrpcChannel(url);
    }

    public GrpcChannel Channel { get; private set; }

    public GrpcServer Server => _server;

    public GrpcRouter Router { get; private init; } = new();

    public string Url => _url;

    public int Port => ((IPEndPoint)_server.Addresses[0]).Port;

    /// <summary>Set when a hanging handler was cancelled.</summary>
    public TaskCompletionSource<bool> HangEnded { get; private init; } = new(TaskCreationOptions.RunContinuationsAsynchronously);

    public static ClientMethod<string, string> Method(string path) =>
        new(path, text => Encoding.UTF8.GetBytes(text), bytes => Encoding.UTF8.GetString(bytes.Span));

    public static int NextPort() => 31100 + (Interlocked.Increment(ref _port) % 90);

    public static async Task<TestServer> StartAsync(
        Func<GrpcServerOptions, GrpcServerOptions>? change = null, string? url = null, TlsOptions? tls = null)
    {
        var router = new GrpcRouter();
        var hangEnded = new TaskCompletionSource<bool>(TaskCreationOptions.RunContinuationsAsynchronously);
        MapMethods(router, hangEnded);
        for (int attempt = 0; ; attempt++)
        {
            string address = url ?? $"http://127.0.0.1:{NextPort()}";
            var options = new GrpcServerOptions
            {
                Endpoints = [new ListenEndpoint { Url = address, Tls = tls }],
                Fallback = context => context.Response.WriteAsync($"fallback {context.Request.Path}"),
            };
            var server = new GrpcServer(change is null ? options : change(options), router);
            try
            {
                await server.StartAsync();
                return new TestServer(server, address) { Router = router, HangEnded = hangEnded };
            }
            catch (IOException) when (attempt < 20 && url is null)
            {
                // Somebody has that port; try the next.
            }
        }
    }

    public void UseChannel(GrpcChannelOptions options) => Channel = new GrpcChannel(_url, options);

    public async ValueTask DisposeAsync()
    {
        await Channel.DisposeAsync();
        await _server.StopAsync(TimeSpan.FromSeconds(1));
    }

    private static void MapMethods(GrpcRouter router, TaskCompletionSource<bool> hangEnded)
    {
        router.Map(Echo, MethodKind.Unary, call =>
        {
            System.Buffers.IBufferWriter<byte> answer = call.StartMessage((int)call.Message.Length);
            foreach (ReadOnlyMemory<byte> part in call.Message)
            {
                System.Buffers.BuffersExtensions.Write(answer, part.Span);
            }

            return default;
        });
        router.Map(Fail, MethodKind.Unary, async call =>
        {
            string text = Text(call);
            if (text.StartsWith("throw", StringComparison.Ordinal))
            {
                await Task.Yield();
                throw new InvalidOperationException(text);
            }

            call.AddTrailer("why", "because");
            call.Fail(StatusCode.FailedPrecondition, text);
        });
        router.Map(Count, MethodKind.ServerStream, async call =>
        {
            int count = int.Parse(Text(call), System.Globalization.CultureInfo.InvariantCulture);
            for (int i = 0; i < count; i++)
            {
                call.WriteMessage(Encoding.UTF8.GetBytes(i.ToString(System.Globalization.CultureInfo.InvariantCulture)));
                await call.FlushAsync();
            }
        });
        router.Map(Sum, MethodKind.ClientStream, async call =>
        {
            long sum = 0;
            while (await call.ReadMessageAsync())
            {
                sum += call.Message.Length;
            }

            call.WriteMessage(Encoding.UTF8.GetBytes(sum.ToString(System.Globalization.CultureInfo.InvariantCulture)));
        });
        router.Map(Chat, MethodKind.Duplex, async call =>
        {
            while (await call.ReadMessageAsync())
            {
                string text = Text(call);
                if (text == "fail")
                {
                    call.Fail(StatusCode.Aborted, "asked to");
                    return;
                }

                call.WriteMessage(Encoding.UTF8.GetBytes("re: " + text));
                await call.FlushAsync();
            }
        });
        router.Map(Hang, MethodKind.Unary, async call =>
        {
            try
            {
                await Task.Delay(Timeout.Infinite, call.Cancelled);
            }
            finally
            {
                hangEnded.TrySetResult(true);
            }
        });
        router.Map(Headers, MethodKind.Unary, call =>
        {
            call.AddHeader("early", "1");
            call.AddTrailer("late", "2");
            string text = string.Join(
                ';',
                call.GetHeaders().Select(h => h.Key + "=" + h.Value).Order(StringComparer.Ordinal));
            if (call.TryGetBinaryHeader("raw-bin", out byte[] raw))
            {
                text += ";raw:" + Convert.ToHexString(raw);
            }

            call.WriteMessage(Encoding.UTF8.GetBytes(text));
            return default;
        });
    }

    private static string Text(ServerCall call)
    {
        byte[] bytes = System.Buffers.BuffersExtensions.ToArray(call.Message);
        return Encoding.UTF8.GetString(bytes);
    }
}
