using System.Net;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Options;

namespace Perf.Grpc;

/// <summary>The listening server: addresses, TLS, protocols, limits.</summary>
public sealed class GrpcServer : IAsyncDisposable
{
    private static readonly TimeSpan IdleTimeoutMax = TimeSpan.FromDays(365);

    private readonly GrpcServerOptions _options;
    private readonly GrpcApplication _application;
    private readonly ConnectionGate _gate = new();
    private readonly List<Listener> _listeners = [];
    private readonly KestrelServer _kestrel;
    private bool _stopped;

    public GrpcServer(GrpcServerOptions options, GrpcRouter router)
    {
        _options = options;
        _application = new GrpcApplication(router, options);
        var kestrel = new KestrelServerOptions();
        Configure(kestrel);
        _kestrel = new KestrelServer(Options.Create(kestrel), _gate, NullLoggerFactory.Instance);
    }

    /// <summary>The bound addresses in the order of the options; after <see cref="StartAsync"/>.</summary>
    public IReadOnlyList<EndPoint> Addresses { get; private set; } = [];

    /// <summary>
    /// Binds and serves. Throws <see cref="IOException"/> when an address cannot be bound, <see cref="FormatException"/> when one is
    /// none; nothing stays bound then.
    /// </summary>
    public async Task StartAsync(CancellationToken cancellation = default)
    {
        try
        {
            SemaphoreSlim? places = _options.ConnectionsMax == int.MaxValue ? null : new(_options.ConnectionsMax);
            foreach (ListenEndpoint endpoint in _options.Endpoints)
            {
                (EndPoint address, bool tls) = ListenSocket.Parse(endpoint.Url);
                if (tls != endpoint.Tls is not null)
                {
                    throw new FormatException($"{endpoint.Url}: TLS options {(tls ? "are missing" : "without a TLS address")}");
                }

                _listeners.Add(new Listener(
                    endpoint, _options, ListenSocket.Listen(address, _options), _application, _gate, endpoint.IsUnlimited ? null : places));
            }

            await _kestrel.StartAsync(_application, cancellation);
        }
        catch (Exception e)
        {
            await StopAsync(TimeSpan.Zero);
            if (e is System.Net.Sockets.SocketException)
            {
                throw new IOException(e.Message, e);
            }

            throw;
        }

        Addresses = _listeners.ConvertAll(listener => listener.Address);
        foreach (Listener listener in _listeners)
        {
            listener.Start();
        }
    }

    /// <summary>
    /// Stops accepting, tells clients to go (GOAWAY), waits for their calls at most <paramref name="grace"/>, then cancels them.
    /// </summary>
    public async Task StopAsync(TimeSpan grace)
    {
        if (_stopped)
        {
            return;
        }

        _stopped = true;
        foreach (Listener listener in _listeners)
        {
            await listener.StopAsync();
        }

        using var patience = new CancellationTokenSource(grace);
        Task http1 = _kestrel.StopAsync(patience.Token);
        foreach (Listener listener in _listeners)
        {
            await listener.LeaveAsync(patience.Token);
        }

        await http1;
        _kestrel.Dispose();
    }

    public async ValueTask DisposeAsync() => await StopAsync(TimeSpan.Zero);

    private void Configure(KestrelServerOptions kestrel)
    {
        kestrel.AddServerHeader = false;
        kestrel.AllowAlternateSchemes = true;
        KestrelServerLimits limits = kestrel.Limits;

        // Streams live for days and are silent for most of it; their sizes are ours to bound.
        limits.MaxRequestBodySize = null;
        limits.MinRequestBodyDataRate = null;
        limits.MinResponseDataRate = null;

        // Kestrel makes the longest time span of an infinite one, and its clock overflows on that: the connection was
        // closed at the next beat, some time in its first second of silence.
        limits.KeepAliveTimeout = _options.IdleTimeout < IdleTimeoutMax && _options.IdleTimeout > TimeSpan.Zero
            ? _options.IdleTimeout
            : IdleTimeoutMax;
        limits.RequestHeadersTimeout = _options.HeaderTimeout;
        limits.MaxRequestHeadersTotalSize = _options.HeaderBytesMax;
        kestrel.Listen(_gate.Address, listen => listen.Protocols = HttpProtocols.Http1);
    }
}
