using System.IO.Pipelines;
using System.Net;
using System.Net.Security;
using System.Security.Authentication;
using System.Security.Cryptography.X509Certificates;
using Microsoft.AspNetCore.Connections;
using Perf.Node.Logging;

namespace Perf.Node.Security;

/// <summary>TLS in front of the peer port: handshake, certificate, address, and only then HTTP.</summary>
internal sealed class PeerTls(TlsSide side, ConnectionDelegate next, Log log)
{
    /// <summary>How long a handshake may take, the check of the address included.</summary>
    private static readonly TimeSpan HandshakeTimeout = TimeSpan.FromSeconds(10);

    private static readonly TimeSpan FarewellTimeout = TimeSpan.FromSeconds(1);

    public async Task ServeAsync(ConnectionContext connection)
    {
        IDuplexPipe plain = connection.Transport;
        var tls = new SslStream(new PipeStream(plain));
        await using (tls.ConfigureAwait(false))
        {
            if (!await IsWelcomeAsync(connection, tls).ConfigureAwait(false))
            {
                return;
            }

            var secure = new SecurePipe(
                PipeReader.Create(tls, new StreamPipeReaderOptions(bufferSize: 16 << 10, leaveOpen: true)),
                PipeWriter.Create(tls, new StreamPipeWriterOptions(leaveOpen: true)));
            connection.Transport = secure;
            try
            {
                await next(connection).ConfigureAwait(false);
            }
            finally
            {
                await secure.Input.CompleteAsync().ConfigureAwait(false);
                await secure.Output.CompleteAsync().ConfigureAwait(false);
                connection.Transport = plain;
                await FarewellAsync(tls).ConfigureAwait(false);
            }
        }
    }

    private async Task<bool> IsWelcomeAsync(ConnectionContext connection, SslStream tls)
    {
        using var limit = CancellationTokenSource.CreateLinkedTokenSource(connection.ConnectionClosed);
        limit.CancelAfter(HandshakeTimeout);
        string? refusal = null;
        try
        {
            await tls.AuthenticateAsServerAsync(side.ForAccepting(connection.RemoteEndPoint), limit.Token).ConfigureAwait(false);
            if (side.ChecksAddress
                && tls.RemoteCertificate is X509Certificate2 certificate
                && connection.RemoteEndPoint is IPEndPoint remote)
            {
                refusal = await PeerAddress.CheckAsync(certificate, remote.Address, limit.Token).ConfigureAwait(false);
            }
        }
        catch (Exception e) when (e is IOException or AuthenticationException or OperationCanceledException or InvalidOperationException)
        {
            refusal = e.Message;
        }

        if (refusal is not null)
        {
            log.Warn("rejected connection", ("remote-addr", connection.RemoteEndPoint?.ToString()), ("error", refusal));
            connection.Abort(new ConnectionAbortedException(refusal));
        }

        return refusal is null;
    }

    /// <summary>close_notify, so that the peer can tell an end from a cut.</summary>
    private static async Task FarewellAsync(SslStream tls)
    {
        try
        {
            await tls.ShutdownAsync().WaitAsync(FarewellTimeout).ConfigureAwait(false);
        }
        catch (Exception e) when (e is IOException or InvalidOperationException or TimeoutException)
        {
            // The peer is gone already.
        }
    }

    private sealed class SecurePipe(PipeReader input, PipeWriter output) : IDuplexPipe
    {
        public PipeReader Input { get; } = input;

        public PipeWriter Output { get; } = output;
    }
}
