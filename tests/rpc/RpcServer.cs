using System.Net;
using System.Text;
using System.Text.Json;
using Google.Protobuf;
using Perf.Grpc;
using Perf.Node;
using Perf.Node.Config;
using Perf.Node.Logging;
using Xunit;

namespace Perf.Rpc.Tests;

/// <summary>A member with one client port in this process, with quick ticks, and a client of each kind to it.</summary>
public class RpcServer : IAsyncLifetime
{
    private static int s_nextPort = 31600;

    private readonly string _directory = Directory.CreateTempSubdirectory("perf-rpc-").FullName;
    private EtcdNode? _node;
    private ClientListener? _listener;

    public EtcdNode Node => _node!;

    public Uri Url { get; private set; } = null!;

    public HttpClient Http { get; private set; } = null!;

    public GrpcChannel Channel { get; private set; } = null!;

    /// <summary>Changes settings before the start.</summary>
    public Action<ServerConfig>? Configure { get; init; }

    public static async Task<RpcServer> StartAsync(Action<ServerConfig>? configure = null)
    {
        var server = new RpcServer { Configure = configure };
        await server.InitializeAsync();
        return server;
    }

    public async Task InitializeAsync()
    {
        int port = Interlocked.Increment(ref s_nextPort);
        Url = new Uri($"http://127.0.0.1:{port}");
        var config = new ServerConfig
        {
            DataDir = Path.Combine(_directory, "data"),
            HeartbeatMs = 10,
            ElectionMs = 100,
            ListenPeerUrls = [new Uri("http://127.0.0.1:0")],
            ListenClientUrls = [Url],
            AdvertiseClientUrls = [Url.OriginalString],
            BcryptCost = 4,
            UnsafeNoFsync = true,
        };
        Configure?.Invoke(config);
        _node = EtcdNode.Start(config, Log.None, TimeProvider.System);
        await _node.Ready.WaitAsync(TimeSpan.FromSeconds(30));
        _listener = new ClientListener(_node);
        await _listener.StartAsync();
        Http = new HttpClient { BaseAddress = Url, DefaultRequestVersion = HttpVersion.Version11 };
        Channel = new GrpcChannel((await FrontAsync(Url)).OriginalString, new GrpcChannelOptions());
    }

    public async Task DisposeAsync()
    {
        await StopAsync();
        Directory.Delete(_directory, recursive: true);
    }

    /// <summary>Where gRPC clients go; another place when something stands before the member.</summary>
    protected virtual Task<Uri> FrontAsync(Uri member) => Task.FromResult(member);

    /// <summary>Ends the member; its files stay until the end of the test.</summary>
    public virtual async Task StopAsync()
    {
        if (_listener is null)
        {
            return;
        }

        Http.Dispose();
        await Channel.DisposeAsync();
        await _listener.DisposeAsync();
        await _node!.DisposeAsync();
        _listener = null;
    }

    /// <summary>A unary call over gRPC; throws <see cref="RpcException"/>.</summary>
    public async Task<T> CallAsync<T>(string path, IMessage request, string? token = null)
        where T : IMessage<T>, new()
    {
        ReadOnlyMemory<byte> answer = await Channel.UnaryAsync(path, request.ToByteArray(), Options(token));
        return new MessageParser<T>(() => new T()).ParseFrom(answer.Span);
    }

    /// <summary>The status a unary call ends with, and its text.</summary>
    public async Task<(StatusCode Code, string Text)> StatusAsync(string path, IMessage request, string? token = null)
    {
        try
        {
            await Channel.UnaryAsync(path, request.ToByteArray(), Options(token));
            return (StatusCode.OK, "");
        }
        catch (RpcException e)
        {
            return (e.Code, e.Message);
        }
    }

    /// <summary>Metadata with a token, and a limit no test should meet.</summary>
    public static CallOptions Options(string? token = null)
    {
        var headers = new Metadata();
        if (token is not null)
        {
            headers.Add("token", token);
        }

        return CallOptions.Timeout(TimeSpan.FromSeconds(20), headers);
    }

    /// <summary>A call through the gateway: status and body.</summary>
    public async Task<(int Status, string Body)> PostAsync(string path, string json, string? token = null)
    {
        using var request = new HttpRequestMessage(HttpMethod.Post, path)
        {
            Content = new StringContent(json, Encoding.UTF8, "application/json"),
        };
        if (token is not null)
        {
            request.Headers.TryAddWithoutValidation("Authorization", token);
        }

        using HttpResponseMessage response = await Http.SendAsync(request);
        return ((int)response.StatusCode, await response.Content.ReadAsStringAsync());
    }

    public async Task<JsonElement> JsonAsync(string path, string json, string? token = null)
    {
        (int status, string body) = await PostAsync(path, json, token);
        Assert.True(status == 200, $"{path}: {status} {body}");
        return JsonDocument.Parse(body).RootElement;
    }
}
