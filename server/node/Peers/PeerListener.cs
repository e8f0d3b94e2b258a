using System.Net;
using System.Net.Sockets;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.AspNetCore.Server.Kestrel.Transport.Sockets;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Options;
using Perf.Node.Logging;
using Perf.Node.Security;

namespace Perf.Node.Peers;

/// <summary>
/// The peer port: HTTP/1.1 alone, streams that never end, snapshots of any size. What a path answers is
/// <see cref="PeerRequests"/>'s.
/// </summary>
internal sealed class PeerListener : IAsyncDisposable
{
    private const int HeaderBytesMax = 64 << 10;
    private readonly KestrelServer _kestrel;
    private readonly PeerRequests _requests;

    public PeerListener(IReadOnlyList<Uri> urls, PeerRequests requests, TlsSide tls, Log log)
    {
        _requests = requests;
        var options = new KestrelServerOptions { AddServerHeader = false };
        KestrelServerLimits limits = options.Limits;
        limits.MaxRequestBodySize = null;
        limits.MinRequestBodyDataRate = null;
        limits.MinResponseDataRate = null;
        limits.MaxRequestHeadersTotalSize = HeaderBytesMax;
        limits.RequestHeadersTimeout = TimeSpan.FromSeconds(10);

        // A connection that idles between two requests is nobody's stream.
        limits.KeepAliveTimeout = TimeSpan.FromMinutes(2);
        foreach (Uri url in urls)
        {
            foreach (IPAddress address in Addresses(url))
            {
                options.Listen(address, url.Port, listen =>
                {
                    listen.Protocols = HttpProtocols.Http1;
                    if (url.Scheme == Uri.UriSchemeHttps)
                    {
                        listen.Use(next => new PeerTls(tls, next, log).ServeAsync);
                    }
                });
            }
        }

        var sockets = new SocketTransportFactory(
            Options.Create(new SocketTransportOptions { NoDelay = true }), NullLoggerFactory.Instance);
        _kestrel = new KestrelServer(Options.Create(options), sockets, NullLoggerFactory.Instance);
    }

    /// <summary>Binds and serves. Throws <see cref="IOException"/> when an address is taken.</summary>
    public Task StartAsync() => _kestrel.StartAsync(new Application(_requests), CancellationToken.None);

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        // Streams do not end by themselves.
        using var now = new CancellationTokenSource();
        await now.CancelAsync().ConfigureAwait(false);
        await _kestrel.StopAsync(now.Token).ConfigureAwait(false);
        _kestrel.Dispose();
    }

    private static IPAddress[] Addresses(Uri url)
    {
        string host = url.IdnHost;
        if (IPAddress.TryParse(host, out IPAddress? address))
        {
            return [address];
        }

        if (host == "localhost")
        {
            return Socket.OSSupportsIPv6 ? [IPAddress.Loopback, IPAddress.IPv6Loopback] : [IPAddress.Loopback];
        }

        throw new Cluster.StartRefusedException(
            $"expected IP in URL for binding ({url.OriginalString.TrimEnd('/')})");
    }

    private sealed class Application(PeerRequests requests) : IHttpApplication<HttpContext>
    {
        public HttpContext CreateContext(IFeatureCollection contextFeatures) => new DefaultHttpContext(contextFeatures);

        public void DisposeContext(HttpContext context, Exception? exception)
        {
        }

        public Task ProcessRequestAsync(HttpContext context) => requests.ServeAsync(context);
    }
}
