using Google.Protobuf;
using Perf.Grpc;

namespace Perf.Client;

/// <summary>A stream on one member, with the client's exceptions. One thread may send while another receives.</summary>
internal sealed class Duplex<TRequest, TAnswer> : IAsyncDisposable
    where TRequest : class, IMessage<TRequest>
    where TAnswer : class, IMessage<TAnswer>
{
    private readonly Endpoint _endpoint;
    private readonly ClientStream<TRequest, TAnswer> _stream;
    private readonly CancellationToken _cancellation;

    public Duplex(Endpoint endpoint, ClientStream<TRequest, TAnswer> stream, CancellationToken cancellation)
    {
        _endpoint = endpoint;
        _stream = stream;
        _cancellation = cancellation;
    }

    public async ValueTask SendAsync(TRequest request, CancellationToken cancellation)
    {
        cancellation.ThrowIfCancellationRequested();
        try
        {
            await _stream.WriteAsync(request).ConfigureAwait(false);
        }
        catch (RpcException e)
        {
            throw Failure.From(e, _endpoint, _cancellation);
        }
    }

    public async ValueTask CompleteAsync()
    {
        try
        {
            await _stream.CompleteAsync().ConfigureAwait(false);
        }
        catch (RpcException e)
        {
            throw Failure.From(e, _endpoint, _cancellation);
        }
    }

    /// <summary>The next answer, or null when the server has ended the stream well.</summary>
    public async ValueTask<TAnswer?> ReceiveAsync()
    {
        try
        {
            if (!await _stream.MoveNextAsync().ConfigureAwait(false))
            {
                return null;
            }

            _endpoint.Succeeded();
            return _stream.Current;
        }
        catch (RpcException e)
        {
            throw Failure.From(e, _endpoint, _cancellation);
        }
    }

    public ValueTask DisposeAsync() => _stream.DisposeAsync();
}

/// <summary>From the transport's exceptions to the client's.</summary>
internal static class Failure
{
    /// <summary>Throws instead of returning when the caller's own cancellation is the cause.</summary>
    public static EtcdException From(RpcException e, Endpoint endpoint, CancellationToken cancellation)
    {
        cancellation.ThrowIfCancellationRequested();

        // Nobody here has cancelled: the transport has given the connection up, and with it what was being sent.
        if (e.Code == StatusCode.Cancelled && e.InnerException is OperationCanceledException)
        {
            endpoint.Failed();
            return new EtcdException(RpcCode.Unavailable, "transport is closing", e);
        }

        // The transport's words for a connection that never came to be, whatever the reason.
        bool notSent = e.Code == StatusCode.Unavailable
            && e.Message.StartsWith("connection error:", StringComparison.Ordinal);
        if (e.Code == StatusCode.Unavailable && !EtcdErrors.IsKnown(e.Message))
        {
            endpoint.Failed();
        }

        return new EtcdException((RpcCode)e.Code, e.Message, e) { NotSent = notSent };
    }
}
