namespace Perf.Grpc;

/// <summary>
/// A call under way. One thread may write while another reads. Disposing it cancels the call unless it has ended.
/// </summary>
public sealed class ClientStream<TRequest, TResponse> : IAsyncDisposable
{
    private readonly ClientMethod<TRequest, TResponse> _method;
    private readonly ClientCall _call;

    internal ClientStream(ClientMethod<TRequest, TResponse> method, ClientCall call)
    {
        _method = method;
        _call = call;
        Current = default!;
    }

    public TResponse Current { get; private set; }

    /// <summary>The response headers, once they came; throws <see cref="RpcException"/> when the call failed before.</summary>
    public Task<Metadata> HeadersAsync => _call.HeadersAsync();

    /// <summary>The trailers; empty until <see cref="MoveNextAsync"/> has returned false or thrown.</summary>
    public Metadata Trailers => _call.Trailers;

    /// <summary>
    /// Sends a message; completes when it was taken over for sending. Throws <see cref="RpcException"/> when the call has ended;
    /// the status it ended with is what <see cref="MoveNextAsync"/> throws.
    /// </summary>
    public ValueTask WriteAsync(TRequest request) => _call.WriteAsync(_method.Encode(request));

    /// <summary>Tells the server that no more messages come. Reading goes on.</summary>
    public ValueTask CompleteAsync() => _call.CompleteAsync();

    /// <summary>
    /// Brings the next response into <see cref="Current"/>; false when the call has ended with status OK. Any other status throws
    /// <see cref="RpcException"/>.
    /// </summary>
    public async ValueTask<bool> MoveNextAsync()
    {
        if (!await _call.ReadAsync())
        {
            return false;
        }

        Current = _method.Decode(_call.Message);
        return true;
    }

    public ValueTask DisposeAsync() => _call.DisposeAsync();
}
