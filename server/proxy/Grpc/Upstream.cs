using Google.Protobuf;
using Perf.Client;
using Perf.Grpc;

namespace Perf.Proxy.Grpc;

/// <summary>The cluster behind the proxy: calls in the name of the proxy's client, with its token, to some member.</summary>
internal sealed class Upstream(EtcdClientOptions options) : IAsyncDisposable
{
    /// <summary>Calls that could not be sent are made again at other members so often, then the client is told.</summary>
    private const int AttemptsMax = 20;

    private readonly Balancer _balancer = new(options);

    public IReadOnlyList<string> Endpoints => _balancer.Names;

    /// <summary>Replaces the members.</summary>
    public void Replace(IReadOnlyList<string> endpoints) => _balancer.Replace(endpoints);

    /// <summary>
    /// One request, one answer, as bytes. A member that cannot be reached is left for another; with
    /// <paramref name="mayRepeat"/> also one that was reached and says that it is unavailable. Throws
    /// <see cref="RpcException"/>.
    /// </summary>
    public async Task<ReadOnlyMemory<byte>> CallAsync(
        string path, ReadOnlyMemory<byte> request, Metadata headers, DateTime? deadline, bool mayRepeat, CancellationToken cancelled)
    {
        for (int attempt = 1; ; attempt++)
        {
            Endpoint picked = await _balancer.PickAsync(null, cancelled).ConfigureAwait(false);
            try
            {
                ReadOnlyMemory<byte> answer = await picked.Channel.UnaryAsync(
                    path, request, new CallOptions(deadline, headers, cancelled)).ConfigureAwait(false);
                picked.Succeeded();
                return answer;
            }
            catch (RpcException e) when (attempt < AttemptsMax && MayGoOn(e, picked, mayRepeat) && !cancelled.IsCancellationRequested)
            {
                // Another member may do.
            }
        }
    }

    /// <summary>The same with messages.</summary>
    public async Task<T> CallAsync<T>(
        string path, IMessage request, Metadata headers, DateTime? deadline, bool mayRepeat, CancellationToken cancelled)
        where T : IMessage<T>, new()
    {
        ReadOnlyMemory<byte> answer = await CallAsync(
            path, request.ToByteArray(), headers, deadline, mayRepeat, cancelled).ConfigureAwait(false);
        var message = new T();
        message.MergeFrom(answer.Span);
        return message;
    }

    /// <summary>A stream to some member. That it cannot be opened shows when it is used.</summary>
    public async Task<ClientStream<ReadOnlyMemory<byte>, ReadOnlyMemory<byte>>> OpenAsync(
        string path, Metadata headers, CancellationToken cancelled)
    {
        Endpoint picked = await _balancer.PickAsync(null, cancelled).ConfigureAwait(false);
        var method = new ClientMethod<ReadOnlyMemory<byte>, ReadOnlyMemory<byte>>(
            path, request => request, answer => answer.ToArray());
        return picked.Channel.Open(method, new CallOptions(null, headers, cancelled));
    }

    public ValueTask DisposeAsync() => _balancer.DisposeAsync();

    /// <summary>The client's metadata, as the members are to see it.</summary>
    public static Metadata Headers(ServerCall call)
    {
        var headers = new Metadata();
        foreach ((string name, string value) in call.GetHeaders())
        {
            if (name is "token" or "authorization" or "hasleader" or "client-api-version")
            {
                headers.Add(name, value);
            }
        }

        return headers;
    }

    private static bool MayGoOn(RpcException e, Endpoint picked, bool mayRepeat)
    {
        if (e.Code != StatusCode.Unavailable)
        {
            return false;
        }

        if (e.Message.StartsWith("connection error:", StringComparison.Ordinal))
        {
            picked.Failed();
            return true;
        }

        return mayRepeat && !e.Message.StartsWith("etcdserver: rpc not supported", StringComparison.Ordinal);
    }
}
