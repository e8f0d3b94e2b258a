using System.Net;

namespace Perf.Grpc;

/// <summary>The listening server: addresses, TLS, protocols, limits.</summary>
public sealed class GrpcServer : IAsyncDisposable
{
    public GrpcServer(GrpcServerOptions options, GrpcRouter router)
    {
        _ = options;
        _ = router;
    }

    /// <summary>The bound addresses in the order of the options; after <see cref="StartAsync"/>.</summary>
    public IReadOnlyList<EndPoint> Addresses => [];

    /// <summary>Binds and serves. Throws <see cref="IOException"/> when an address cannot be bound; nothing stays bound then.</summary>
    public Task StartAsync(CancellationToken cancellation = default) => throw new NotImplementedException();

    /// <summary>
    /// Stops accepting, tells clients to go (GOAWAY), waits for their calls at most <paramref name="grace"/>, then cancels them.
    /// </summary>
    public Task StopAsync(TimeSpan grace) => Task.CompletedTask;

    public ValueTask DisposeAsync() => ValueTask.CompletedTask;
}
