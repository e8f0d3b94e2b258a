using System.Net;
using System.Net.Sockets;
using Perf.Client;

namespace Perf.Proxy.Gateway;

/// <summary>
/// Forwards connections, byte for byte, to the endpoints of the best priority that can be reached, by weight and else
/// in turn. One that cannot be reached is left alone for a while.
/// </summary>
public sealed class TcpGateway : IAsyncDisposable
{
    private readonly GatewayOptions _options;
    private readonly ProxyLog _log;
    private readonly TcpListener _listener;
    private readonly CancellationTokenSource _stop = new();
    private readonly Lock _gate = new();
    private readonly Remote[] _remotes;
    private uint _turn;
    private Task _running = Task.CompletedTask;

    public TcpGateway(GatewayOptions options, ProxyLog log)
    {
        _options = options;
        _log = log;
        _listener = new TcpListener(options.Listen);
        _remotes = [.. options.Endpoints.Select(e => new Remote(e))];
    }

    /// <summary>Where it listens; after <see cref="Start"/>.</summary>
    public IPEndPoint Address => (IPEndPoint)_listener.LocalEndpoint;

    /// <summary>Binds and serves. Throws <see cref="SocketException"/> when the address cannot be bound.</summary>
    public void Start()
    {
        _listener.Start();
        _log(false, "ready to proxy client requests", ("endpoints", _remotes.Select(r => r.Record.HostPort)));
        _running = Task.WhenAll(AcceptAsync(), ReviveAsync());
    }

    /// <summary>Stops accepting and ends the connections.</summary>
    public async ValueTask DisposeAsync()
    {
        await _stop.CancelAsync().ConfigureAwait(false);
        _listener.Dispose();
        await _running.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        _stop.Dispose();
    }

    private async Task AcceptAsync()
    {
        while (!_stop.IsCancellationRequested)
        {
            Socket incoming;
            try
            {
                incoming = await _listener.AcceptSocketAsync(_stop.Token).ConfigureAwait(false);
            }
            catch (SocketException e)
            {
                // One connection less; out of descriptors, say.
                _log(true, "failed to accept a connection", ("error", e.Message));
                await Task.Delay(TimeSpan.FromMilliseconds(50), _stop.Token).ConfigureAwait(false);
                continue;
            }

            _ = ServeAsync(incoming);
        }
    }

    private async Task ServeAsync(Socket incoming)
    {
        using (incoming)
        {
            try
            {
                using Socket? outgoing = await ConnectAsync().ConfigureAwait(false);
                if (outgoing is null)
                {
                    return;
                }

                incoming.NoDelay = true;
                using var client = new NetworkStream(incoming);
                using var server = new NetworkStream(outgoing);
                using var ended = CancellationTokenSource.CreateLinkedTokenSource(_stop.Token);

                // Whichever side ends, ends both, as in etcd: neither HTTP needs half of a connection.
                Task first = await Task.WhenAny(
                    client.CopyToAsync(server, ended.Token), server.CopyToAsync(client, ended.Token)).ConfigureAwait(false);
                await ended.CancelAsync().ConfigureAwait(false);
                await first.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            }
            catch (OperationCanceledException)
            {
                // The gateway stops.
            }
        }
    }

    private async Task<Socket?> ConnectAsync()
    {
        while (Pick() is { } remote)
        {
            var socket = new Socket(SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
            using var limit = CancellationTokenSource.CreateLinkedTokenSource(_stop.Token);
            limit.CancelAfter(_options.DialTimeout);
            try
            {
                await socket.ConnectAsync(remote.Record.Target, remote.Record.Port, limit.Token).ConfigureAwait(false);
                return socket;
            }
            catch (Exception e) when (e is SocketException or OperationCanceledException && !_stop.IsCancellationRequested)
            {
                socket.Dispose();
                remote.IsActive = false;
                _log(
                    true,
                    "deactivated endpoint",
                    ("address", remote.Record.HostPort),
                    ("interval", _options.RetryDelay),
                    ("error", e.Message));
            }
        }

        return null;
    }

    /// <summary>Null when all are left alone.</summary>
    private Remote? Pick()
    {
        lock (_gate)
        {
            List<Remote> active = [.. _remotes.Where(r => r.IsActive)];
            if (active.Count == 0)
            {
                return null;
            }

            int best = active.Min(r => r.Record.Priority);
            active.RemoveAll(r => r.Record.Priority != best);
            List<Remote> weighted = [.. active.Where(r => r.Record.Weight > 0)];
            if (weighted.Count == 0)
            {
                return active[(int)(_turn++ % (uint)active.Count)];
            }

            // Records without a weight have a small chance beside those with one (RFC 2782).
            List<Remote> light = [.. active.Where(r => r.Record.Weight == 0)];
            if (light.Count > 0 && Random.Shared.Next(100) == 0)
            {
                return light[(int)(_turn++ % (uint)light.Count)];
            }

            int point = Random.Shared.Next(weighted.Sum(r => r.Record.Weight));
            return weighted.First(r => (point -= r.Record.Weight) < 0);
        }
    }

    private async Task ReviveAsync()
    {
        using var timer = new PeriodicTimer(_options.RetryDelay);
        while (await timer.WaitForNextTickAsync(_stop.Token).ConfigureAwait(false))
        {
            foreach (Remote remote in _remotes.Where(r => !r.IsActive))
            {
                using var probe = new Socket(SocketType.Stream, ProtocolType.Tcp);
                using var limit = CancellationTokenSource.CreateLinkedTokenSource(_stop.Token);
                limit.CancelAfter(_options.DialTimeout);
                try
                {
                    await probe.ConnectAsync(remote.Record.Target, remote.Record.Port, limit.Token).ConfigureAwait(false);
                    remote.IsActive = true;
                    _log(false, "activated", ("address", remote.Record.HostPort));
                }
                catch (Exception e) when (e is SocketException or OperationCanceledException && !_stop.IsCancellationRequested)
                {
                    _log(
                        true,
                        "failed to activate endpoint (stay inactive for another interval)",
                        ("address", remote.Record.HostPort),
                        ("interval", _options.RetryDelay),
                        ("error", e.Message));
                }
            }
        }
    }

    private sealed class Remote(SrvRecord record)
    {
        private volatile bool _isActive = true;

        public SrvRecord Record { get; } = record;

        public bool IsActive
        {
            get => _isActive;
            set => _isActive = value;
        }
    }
}
