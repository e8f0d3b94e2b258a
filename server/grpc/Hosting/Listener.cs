using System.IO.Pipelines;
using System.Net.Sockets;
using System.Security.Authentication;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Connections.Features;

namespace Perf.Grpc;

/// <summary>Accepts on one address, finds out which protocol a connection speaks, and passes it on.</summary>
internal sealed class Listener
{
    private readonly ListenEndpoint _endpoint;
    private readonly GrpcServerOptions _options;
    private readonly IConnectionListener _sockets;
    private readonly ConnectionGate _gate;
    private readonly SemaphoreSlim? _places;
    private readonly CancellationTokenSource _stopping = new();
    private readonly ListenFeature _feature;
    private Task _accepting = Task.CompletedTask;

    /// <param name="places">Free places of the whole server; null for no limit.</param>
    public Listener(
        ListenEndpoint endpoint, GrpcServerOptions options, IConnectionListener sockets, ConnectionGate gate, SemaphoreSlim? places)
    {
        _endpoint = endpoint;
        _options = options;
        _sockets = sockets;
        _gate = gate;
        _places = places;
        _feature = new ListenFeature(endpoint);
    }

    public System.Net.EndPoint Address => _sockets.EndPoint;

    public void Start() => _accepting = AcceptAsync();

    /// <summary>No new connections; those whose protocol is not known yet are closed.</summary>
    public async Task StopAsync()
    {
        await _stopping.CancelAsync();
        await _sockets.UnbindAsync();
        await _accepting;
    }

    /// <summary>After the last connection has ended: the buffers of all of them go too.</summary>
    public ValueTask ReleaseAsync() => _sockets.DisposeAsync();

    private async Task AcceptAsync()
    {
        while (!_stopping.IsCancellationRequested)
        {
            try
            {
                if (_places is not null)
                {
                    await _places.WaitAsync(_stopping.Token);
                }

                ConnectionContext? connection = await _sockets.AcceptAsync(_stopping.Token);
                if (connection is null)
                {
                    return;
                }

                if (_places is not null)
                {
                    connection.ConnectionClosed.UnsafeRegister(static places => ((SemaphoreSlim)places!).Release(), _places);
                }

                _ = GreetAsync(connection);
            }
            catch (OperationCanceledException)
            {
                return;
            }
            catch (Exception e) when (e is IOException or SocketException)
            {
                // Out of descriptors, mostly. Waiting a little is better than spinning.
                _options.Trouble?.Invoke($"accepting on {_endpoint.Url} failed", e);
                await Task.Delay(50);
            }
        }
    }

    /// <summary>From an accepted socket to Kestrel, within the preface timeout. Never throws.</summary>
    private async Task GreetAsync(ConnectionContext connection)
    {
        // Away from the accept loop at once: a slow greeting must not keep others waiting.
        await Task.CompletedTask.ConfigureAwait(ConfigureAwaitOptions.ForceYielding);
        try
        {
            connection.Features.Set<IListenFeature>(_feature);
            if (connection.Features.Get<IConnectionSocketFeature>()?.Socket is { AddressFamily: not AddressFamily.Unix } socket)
            {
                // As Go does by default: finds peers that vanished without a word.
                socket.SetSocketOption(SocketOptionLevel.Socket, SocketOptionName.KeepAlive, true);
                socket.SetSocketOption(SocketOptionLevel.Tcp, SocketOptionName.TcpKeepAliveTime, 30);
                socket.SetSocketOption(SocketOptionLevel.Tcp, SocketOptionName.TcpKeepAliveInterval, 30);
            }

            using var patience = CancellationTokenSource.CreateLinkedTokenSource(_stopping.Token);
            patience.CancelAfter(_options.PrefaceTimeout);
            bool http2;
            if (_endpoint.Tls is not null)
            {
                (connection, http2) = await TlsConnection.AcceptAsync(
                    connection, _endpoint.Tls, _endpoint.Protocols, patience.Token);
                await AwaitFirstBytesAsync(connection.Transport.Input, patience.Token);
            }
            else
            {
                http2 = _endpoint.Protocols == ServedProtocols.Both
                    ? await IsHttp2Async(connection.Transport.Input, patience.Token)
                    : _endpoint.Protocols == ServedProtocols.Http2;
            }

            if (http2)
            {
                FrameGuard.Install(connection, _options);
            }

            if (!_gate.TryPass(connection, http2))
            {
                await connection.DisposeAsync();
            }
        }
        catch (Exception e)
        {
            if (e is not OperationCanceledException || !_stopping.IsCancellationRequested)
            {
                string what = e is AuthenticationException ? "TLS handshake" : "greeting";
                _options.Trouble?.Invoke($"{what} with {connection.RemoteEndPoint} on {_endpoint.Url} failed", e);
            }

            connection.Abort(new ConnectionAbortedException("the connection did not show its protocol", e));
            await connection.DisposeAsync();
        }
    }

    /// <summary>Kestrel would wait for a preface for as long as for the next request: for ever.</summary>
    private static async ValueTask AwaitFirstBytesAsync(PipeReader input, CancellationToken cancellation)
    {
        ReadResult result = await input.ReadAsync(cancellation);
        input.AdvanceTo(result.Buffer.Start);
        if (result.Buffer.IsEmpty)
        {
            throw new IOException("closed before it asked for anything");
        }
    }

    private static async ValueTask<bool> IsHttp2Async(PipeReader input, CancellationToken cancellation)
    {
        while (true)
        {
            ReadResult result = await input.ReadAsync(cancellation);
            bool? decided = Preface.IsHttp2(result.Buffer);
            if (decided is not null)
            {
                // Nothing consumed, nothing examined: Kestrel sees the same bytes at once.
                input.AdvanceTo(result.Buffer.Start);
                return decided.Value;
            }

            input.AdvanceTo(result.Buffer.Start, result.Buffer.End);
            if (result.IsCompleted)
            {
                throw new IOException("closed before it showed its protocol");
            }
        }
    }

    private sealed class ListenFeature(ListenEndpoint endpoint) : IListenFeature
    {
        public ListenEndpoint Endpoint { get; } = endpoint;
    }
}
