using System.Net.Security;
using System.Net.Sockets;

namespace Perf.Node.Peers;

/// <summary>
/// A byte stream to a peer in which every read and write has its time limit. After a limit has passed the connection
/// is of no use any more.
/// </summary>
internal sealed class PeerConnection : IDisposable
{
    private readonly Socket _socket;
    private readonly Stream _stream;
    private readonly string _peer;
    private CancellationTokenSource _readLimit = new();
    private CancellationTokenSource _writeLimit = new();

    private PeerConnection(Socket socket, Stream stream, string peer)
    {
        _socket = socket;
        _stream = stream;
        _peer = peer;
    }

    /// <summary>True while the peer has neither closed nor said anything unasked.</summary>
    public bool IsQuiet
    {
        get
        {
            try
            {
                return !_socket.Poll(0, SelectMode.SelectRead);
            }
            catch (Exception e) when (e is SocketException or ObjectDisposedException)
            {
                return false;
            }
        }
    }

    /// <summary>Connects, with TLS for https. Failures are <see cref="IOException"/>s that name the peer.</summary>
    public static async Task<PeerConnection> ConnectAsync(Uri url, PeerHttpOptions options, CancellationToken cancel)
    {
        bool isTls = url.Scheme == Uri.UriSchemeHttps;
        if (!isTls && url.Scheme != Uri.UriSchemeHttp)
        {
            throw new ArgumentException($"{url}: neither http nor https", nameof(url));
        }

        if (isTls && options.Tls is null)
        {
            throw new IOException($"{url.Authority}: no TLS settings for https");
        }

        using var limit = CancellationTokenSource.CreateLinkedTokenSource(cancel);
        limit.CancelAfter(options.ConnectTimeout);
        var socket = new Socket(SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
        SslStream? tls = null;
        try
        {
            await socket.ConnectAsync(url.IdnHost, url.Port, limit.Token).ConfigureAwait(false);
            socket.SetSocketOption(SocketOptionLevel.Socket, SocketOptionName.KeepAlive, true);
            Stream stream = new NetworkStream(socket, ownsSocket: false);
            if (isTls)
            {
                tls = new SslStream(stream);
                await tls.AuthenticateAsClientAsync(options.Tls!(url.IdnHost), limit.Token).ConfigureAwait(false);
                stream = tls;
            }

            return new PeerConnection(socket, stream, url.Authority);
        }
        catch (Exception e)
        {
            tls?.Dispose();
            socket.Dispose();
            cancel.ThrowIfCancellationRequested();
            throw e switch
            {
                OperationCanceledException => new IOException($"{url.Authority}: no connection within {options.ConnectTimeout}"),
                SocketException or System.Security.Authentication.AuthenticationException =>
                    new IOException($"{url.Authority}: {e.Message}", e),
                _ => new IOException($"{url.Authority}: no connection", e),
            };
        }
    }

    /// <summary>Reads some bytes; 0 at the end.</summary>
    public async ValueTask<int> ReadAsync(Memory<byte> target, TimeSpan limit, CancellationToken cancel)
    {
        using CancellationTokenRegistration outer = cancel.UnsafeRegister(Cancel, _readLimit);
        _readLimit.CancelAfter(limit);
        try
        {
            return await _stream.ReadAsync(target, _readLimit.Token).ConfigureAwait(false);
        }
        catch (OperationCanceledException) when (!cancel.IsCancellationRequested)
        {
            throw new IOException($"{_peer}: nothing came for {limit}");
        }
        catch (ObjectDisposedException e)
        {
            throw new IOException($"{_peer}: the connection is closed", e);
        }
        finally
        {
            Reset(ref _readLimit);
        }
    }

    /// <summary>Writes all of it.</summary>
    public async ValueTask WriteAsync(ReadOnlyMemory<byte> source, TimeSpan limit, CancellationToken cancel)
    {
        using CancellationTokenRegistration outer = cancel.UnsafeRegister(Cancel, _writeLimit);
        _writeLimit.CancelAfter(limit);
        try
        {
            await _stream.WriteAsync(source, _writeLimit.Token).ConfigureAwait(false);
        }
        catch (OperationCanceledException) when (!cancel.IsCancellationRequested)
        {
            throw new IOException($"{_peer}: took nothing for {limit}");
        }
        catch (ObjectDisposedException e)
        {
            throw new IOException($"{_peer}: the connection is closed", e);
        }
        finally
        {
            Reset(ref _writeLimit);
        }
    }

    /// <summary>Closes at once; a read or write under way fails.</summary>
    public void Dispose()
    {
        _stream.Dispose();
        _socket.Dispose();
        _readLimit.Dispose();
        _writeLimit.Dispose();
    }

    private static void Cancel(object? state)
    {
        try
        {
            ((CancellationTokenSource)state!).Cancel();
        }
        catch (ObjectDisposedException)
        {
            // The connection was closed at the same moment.
        }
    }

    private static void Reset(ref CancellationTokenSource limit)
    {
        try
        {
            if (!limit.TryReset())
            {
                limit.Dispose();
                limit = new CancellationTokenSource();
            }
        }
        catch (ObjectDisposedException)
        {
            // Closed from another thread; the next call says so.
        }
    }
}
