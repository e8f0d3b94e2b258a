namespace Perf.Grpc;

/// <summary>
/// A client's way to one server address ("http://host:port", "https://host:port", "unix:///path", "unixs:///path"). Connects with the
/// first call, reconnects by itself, may be used by any number of threads. Every call that fails throws <see cref="RpcException"/>.
/// </summary>
public sealed class GrpcChannel : IAsyncDisposable
{
    public GrpcChannel(string address, GrpcChannelOptions? options = null)
    {
        Address = address;
        _ = options;
    }

    public string Address { get; }

    /// <summary>One request, one response.</summary>
    public async Task<TResponse> UnaryAsync<TRequest, TResponse>(
        ClientMethod<TRequest, TResponse> method, TRequest request, CallOptions options = default) =>
        method.Decode(await UnaryAsync(method.Path, method.Encode(request), options));

    /// <summary>One request, one response, as bytes.</summary>
    public Task<ReadOnlyMemory<byte>> UnaryAsync(string path, ReadOnlyMemory<byte> request, CallOptions options = default) =>
        throw new NotImplementedException();

    /// <summary>One request, many responses: read them from the answer and dispose it.</summary>
    public async Task<ClientStream<TRequest, TResponse>> ServerStreamAsync<TRequest, TResponse>(
        ClientMethod<TRequest, TResponse> method, TRequest request, CallOptions options = default)
    {
        ClientStream<TRequest, TResponse> stream = Open(method, options);
        await stream.WriteAsync(request);
        await stream.CompleteAsync();
        return stream;
    }

    /// <summary>A call with any number of messages both ways. Returns at once; failures show when reading or writing.</summary>
    public ClientStream<TRequest, TResponse> Open<TRequest, TResponse>(
        ClientMethod<TRequest, TResponse> method, CallOptions options = default) =>
        throw new NotImplementedException();

    public ValueTask DisposeAsync() => ValueTask.CompletedTask;
}

/// <summary>
/// A call under way. One thread may write while another reads. Disposing it cancels the call unless it has ended.
/// </summary>
public abstract class ClientStream<TRequest, TResponse> : IAsyncDisposable
{
    /// <summary>Sends a message; completes when it was taken over for sending.</summary>
    public abstract ValueTask WriteAsync(TRequest request);

    /// <summary>Tells the server that no more messages come. Reading goes on.</summary>
    public abstract ValueTask CompleteAsync();

    /// <summary>
    /// Brings the next response into <see cref="Current"/>; false when the call has ended with status OK. Any other status throws
    /// <see cref="RpcException"/>.
    /// </summary>
    public abstract ValueTask<bool> MoveNextAsync();

    public abstract TResponse Current { get; }

    /// <summary>The response headers, once they came; throws <see cref="RpcException"/> when the call failed before.</summary>
    public abstract Task<Metadata> HeadersAsync { get; }

    /// <summary>The trailers; empty until <see cref="MoveNextAsync"/> has returned false or thrown.</summary>
    public abstract Metadata Trailers { get; }

    public abstract ValueTask DisposeAsync();
}
