using System.Collections.Concurrent;
using System.Net;
using System.Net.Sockets;
using System.Security.Authentication;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Server.Kestrel.Transport.Sockets;
using Microsoft.Extensions.Logging.Abstractions;

namespace Perf.Grpc;

/// <summary>
/// Accepts on one address and finds out which protocol a connection speaks: HTTP/2 is served here, HTTP/1.1 by Kestrel.
/// </summary>
internal sealed class Listener
{
    private readonly ListenEndpoint _endpoint;
    private readonly GrpcServerOptions _options;
    private readonly Socket _socket;
    private readonly GrpcApplication _application;
    private readonly ConnectionGate _gate;
    private readonly SemaphoreSlim? _places;
    private readonly CancellationTokenSource _stopping = new();
    private readonly ListenFeature _feature;
    private readonly ConcurrentDictionary<Http2Connection, Task> _connections = new();
    private readonly SocketConnectionContextFactory _kestrelConnections =
        new(new SocketConnectionFactoryOptions(), NullLogger.Instance);

    private Task _accepting = Task.CompletedTask;

    /// <param name="places">Free places of the whole server; null for no limit.</param>
    public Listener(
        ListenEndpoint endpoint, GrpcServerOptions options, Socket socket, GrpcApplication application, ConnectionGate gate,
        SemaphoreSlim? places)
    {
        _endpoint = endpoint;
        _options = options;
        _socket = socket;
        _application = application;
        _gate = gate;
        _places = places;
        _feature = new ListenFeature(endpoint);
        Address = socket.LocalEndPoint!;
    }

    public EndPoint Address { get; }

    public void Start() => _accepting = AcceptAsync();

    /// <summary>No new connections; those whose protocol is not known yet are closed.</summary>
    public async Task StopAsync()
    {
        await _stopping.CancelAsync();
        _socket.Dispose();
        await _accepting;
        if (Address is UnixDomainSocketEndPoint unix)
        {
            File.Delete(unix.ToString());
        }
    }

    /// <summary>After <see cref="StopAsync"/>: clients are told to go, and cut off when the patience ends.</summary>
    public async Task LeaveAsync(CancellationToken patience)
    {
        foreach (Http2Connection connection in _connections.Keys)
        {
            connection.Leave();
        }

        try
        {
            await Task.WhenAll(_connections.Values).WaitAsync(patience);
        }
        catch (OperationCanceledException)
        {
            foreach (Http2Connection connection in _connections.Keys)
            {
                connection.Abort();
            }

            await Task.WhenAll(_connections.Values);
        }

        _kestrelConnections.Dispose();
    }

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

                _ = ServeAsync(await _socket.AcceptAsync(_stopping.Token));
            }
            catch (Exception e) when (e is OperationCanceledException or ObjectDisposedException)
            {
                return;
            }
            catch (SocketException e)
            {
                if (_stopping.IsCancellationRequested)
                {
                    return;
                }

                _places?.Release();

                // Out of descriptors, mostly. Waiting a little is better than spinning.
                _options.Trouble?.Invoke($"accepting on {_endpoint.Url} failed", e);
                await Task.Delay(50);
            }
        }
    }

    /// <summary>From an accepted socket to its end. Never throws.</summary>
    private async Task ServeAsync(Socket socket)
    {
        // Away from the accept loop at once: a slow greeting must not keep others waiting.
        await Task.CompletedTask.ConfigureAwait(ConfigureAwaitOptions.ForceYielding);
        EndPoint? remote = null;
        try
        {
            remote = socket.RemoteEndPoint;
            Prepare(socket);
            if (_endpoint.Tls is null)
            {
                await GreetAndServeAsync(socket);
            }
            else
            {
                await GreetAndServeTlsAsync(socket, _endpoint.Tls);
            }
        }
        catch (Exception e)
        {
            if (e is not OperationCanceledException || !_stopping.IsCancellationRequested)
            {
                string what = e is AuthenticationException ? "TLS handshake" : "greeting";
                _options.Trouble?.Invoke($"{what} with {remote} on {_endpoint.Url} failed", e);
            }

            socket.Dispose();
        }

        _places?.Release();
    }

    private static void Prepare(Socket socket)
    {
        if (socket.AddressFamily == AddressFamily.Unix)
        {
            return;
        }

        // As Go does by default: nothing is held back for company, and peers that vanished without a word are found.
        socket.NoDelay = true;
        socket.SetSocketOption(SocketOptionLevel.Socket, SocketOptionName.KeepAlive, true);
        socket.SetSocketOption(SocketOptionLevel.Tcp, SocketOptionName.TcpKeepAliveTime, 30);
        socket.SetSocketOption(SocketOptionLevel.Tcp, SocketOptionName.TcpKeepAliveInterval, 30);
    }

    private async Task GreetAndServeTlsAsync(Socket socket, TlsOptions settings)
    {
        TlsConnection tls;
        using (CancellationTokenSource patience = Patience())
        {
            tls = await TlsConnection.AcceptAsync(socket, settings, _endpoint.Protocols, patience.Token);
            if (!tls.IsHttp2)
            {
                await AwaitFirstBytesAsync(tls, patience.Token);
            }
        }

        if (tls.IsHttp2)
        {
            await ServeHttp2Async(socket, new TlsChannel(tls), tls);
        }
        else
        {
            await ServeHttp1Async(tls);
        }
    }

    private async Task GreetAndServeAsync(Socket socket)
    {
        if (_endpoint.Protocols == ServedProtocols.Http1)
        {
            await ServeHttp1Async(_kestrelConnections.Create(socket));
            return;
        }

        var channel = new SocketChannel(socket, Poller.Shared);
        try
        {
            if (_endpoint.Protocols == ServedProtocols.Http2 || await IsHttp2Async(channel))
            {
                await ServeHttp2Async(socket, channel, tls: null);
                return;
            }
        }
        catch
        {
            channel.Detach();
            throw;
        }

        channel.Detach();
        await ServeHttp1Async(_kestrelConnections.Create(socket));
    }

    private CancellationTokenSource Patience()
    {
        var patience = CancellationTokenSource.CreateLinkedTokenSource(_stopping.Token);
        patience.CancelAfter(_options.PrefaceTimeout);
        return patience;
    }

    private async Task ServeHttp2Async(Socket socket, ByteChannel channel, TlsConnection? tls)
    {
        var info = new ConnectionInfo(_endpoint, socket.LocalEndPoint, socket.RemoteEndPoint, tls is not null, tls?.ClientCertificate);
        var connection = new Http2Connection(channel, info, _application, _options);
        Task running = connection.RunAsync();
        _connections[connection] = running;
        if (_stopping.IsCancellationRequested)
        {
            // Whoever tells them all to go may have missed this one.
            connection.Leave();
        }

        await running;
        _connections.TryRemove(connection, out _);
    }

    private async Task ServeHttp1Async(ConnectionContext connection)
    {
        connection.Features.Set<IListenFeature>(_feature);
        var closed = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        connection.ConnectionClosed.UnsafeRegister(static closed => ((TaskCompletionSource)closed!).TrySetResult(), closed);
        if (_gate.TryPass(connection))
        {
            await closed.Task;
        }
        else
        {
            await connection.DisposeAsync();
        }
    }

    /// <summary>Kestrel would wait for a request for ever.</summary>
    private static async ValueTask AwaitFirstBytesAsync(TlsConnection connection, CancellationToken cancellation)
    {
        try
        {
            System.IO.Pipelines.ReadResult result = await connection.Transport.Input.ReadAsync(cancellation);
            connection.Transport.Input.AdvanceTo(result.Buffer.Start);
            if (result.Buffer.IsEmpty)
            {
                throw new IOException("closed before it asked for anything");
            }
        }
        catch
        {
            await connection.DisposeAsync();
            throw;
        }
    }

    /// <summary>Looks at the first bytes and leaves them where they are.</summary>
    private async ValueTask<bool> IsHttp2Async(SocketChannel channel)
    {
        using CancellationTokenSource patience = Patience();
        byte[] start = new byte[Preface.Bytes.Length];
        int count;
        while (!channel.TryPeek(start, out count))
        {
            await channel.ReadAsync(Memory<byte>.Empty).AsTask().WaitAsync(patience.Token);
        }

        while (count > 0 && count < start.Length && Preface.Bytes.StartsWith(start.AsSpan(0, count)))
        {
            // Half a preface. It stays there, so that waiting for something to read would not wait.
            await Task.Delay(2, patience.Token);
            _ = channel.TryPeek(start, out count);
        }

        return count > 0
            ? Preface.Bytes.StartsWith(start.AsSpan(0, count))
            : throw new IOException("closed before it showed its protocol");
    }

    private sealed class ListenFeature(ListenEndpoint endpoint) : IListenFeature
    {
        public ListenEndpoint Endpoint { get; } = endpoint;
    }
}
