using System.Net;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.AspNetCore.Server.Kestrel.Transport.Sockets;

namespace Perf.Grpc;

/// <summary>The listening server: addresses, TLS, protocols, limits.</summary>
public sealed class GrpcServer : IAsyncDisposable
{
    // Kestrel multiplies the limit by four in an int.
    private const int StreamsMax = int.MaxValue / 8;
    private const int Backlog = 1024;
    private static readonly TimeSpan IdleTimeoutMax = TimeSpan.FromDays(365);

    private readonly GrpcServerOptions _options;
    private readonly GrpcApplication _application;
    private readonly ConnectionGate _gate = new();
    private readonly List<Listener> _listeners = [];
    private readonly KestrelParts _kestrel;
    private bool _stopped;

    public GrpcServer(GrpcServerOptions options, GrpcRouter router)
    {
        _options = options;
        _application = new GrpcApplication(router, options);
        _kestrel = new KestrelParts(_gate, Configure, Configure);
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

                IConnectionListener sockets = await _kestrel.Sockets.BindAsync(address, cancellation);
                _listeners.Add(new Listener(endpoint, _options, sockets, _gate, endpoint.IsUnlimited ? null : places));
            }

            await _kestrel.Server.StartAsync(_application, cancellation);
        }
        catch (Exception e)
        {
            await StopAsync(TimeSpan.Zero);
            if (e is System.Net.Sockets.SocketException or AddressInUseException)
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
        await _kestrel.Server.StopAsync(patience.Token);
        foreach (Listener listener in _listeners)
        {
            await listener.ReleaseAsync();
        }

        _kestrel.Dispose();
    }

    public async ValueTask DisposeAsync() => await StopAsync(TimeSpan.Zero);

    private void Configure(SocketTransportOptions sockets)
    {
        sockets.Backlog = Backlog;
        sockets.NoDelay = true;
        sockets.CreateBoundListenSocket = address => ListenSocket.Bind(address, _options);
    }

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
        limits.Http2.MaxRequestHeaderFieldSize = _options.HeaderBytesMax;
        limits.Http2.MaxStreamsPerConnection = (int)Math.Min(_options.StreamsPerConnectionMax, StreamsMax);
        limits.Http2.InitialStreamWindowSize = _options.StreamWindowBytes;
        limits.Http2.InitialConnectionWindowSize = _options.ConnectionWindowBytes;
        limits.Http2.KeepAlivePingDelay =
            _options.KeepAliveInterval > TimeSpan.Zero ? _options.KeepAliveInterval : Timeout.InfiniteTimeSpan;
        limits.Http2.KeepAlivePingTimeout =
            _options.KeepAliveTimeout > TimeSpan.Zero ? _options.KeepAliveTimeout : Timeout.InfiniteTimeSpan;
        kestrel.Listen(_gate.Http1, listen => listen.Protocols = HttpProtocols.Http1);
        kestrel.Listen(_gate.Http2, listen => listen.Protocols = HttpProtocols.Http2);
    }
}
