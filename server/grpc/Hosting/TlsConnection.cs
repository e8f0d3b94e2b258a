using System.IO.Pipelines;
using System.Net;
using System.Net.Security;
using System.Net.Sockets;
using System.Security.Authentication;
using System.Security.Cryptography.X509Certificates;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.AspNetCore.Server.Kestrel.Core.Features;

namespace Perf.Grpc;

/// <summary>A connection under TLS: the socket below, plain bytes above.</summary>
internal sealed class TlsConnection : DefaultConnectionContext, ITlsConnectionFeature, ITlsApplicationProtocolFeature
{
    private static readonly TimeSpan FarewellTimeout = TimeSpan.FromSeconds(1);

    private readonly SslStream _tls;
    private readonly CancellationTokenSource _closed = new();
    private Task? _farewell;
    private int _isDisposed;

    private TlsConnection(SslStream tls, Socket socket)
    {
        _tls = tls;
        ConnectionClosed = _closed.Token;
        ConnectionId = Guid.NewGuid().ToString("N");
        LocalEndPoint = socket.LocalEndPoint;
        RemoteEndPoint = socket.RemoteEndPoint;
        Transport = new DuplexPipe(
            PipeReader.Create(tls, new StreamPipeReaderOptions(bufferSize: 16 << 10, leaveOpen: true)),
            PipeWriter.Create(tls, new StreamPipeWriterOptions(leaveOpen: true)));
        ClientCertificate = tls.RemoteCertificate as X509Certificate2;
        ApplicationProtocol = tls.NegotiatedApplicationProtocol.Protocol;
        Features.Set<ITlsConnectionFeature>(this);
        Features.Set<ITlsApplicationProtocolFeature>(this);
    }

    public bool IsHttp2 => _tls.NegotiatedApplicationProtocol == SslApplicationProtocol.Http2;

    public X509Certificate2? ClientCertificate { get; set; }

    public ReadOnlyMemory<byte> ApplicationProtocol { get; }

    public Task<X509Certificate2?> GetClientCertificateAsync(CancellationToken cancellationToken) =>
        Task.FromResult(ClientCertificate);

    /// <summary>The handshake. On failure the socket stays with the caller.</summary>
    public static async Task<TlsConnection> AcceptAsync(
        Socket socket, TlsOptions options, ServedProtocols protocols, CancellationToken cancellation)
    {
        EndPoint? remote = socket.RemoteEndPoint;
        var tls = new SslStream(new NetworkStream(socket, ownsSocket: true), leaveInnerStreamOpen: false);
        try
        {
            await tls.AuthenticateAsServerAsync(
                (_, hello, _, _) => new(ServerOptions(options, protocols, hello.ServerName, remote)), null, cancellation);
            var connection = new TlsConnection(tls, socket);
            if (!connection.IsHttp2 && (protocols & ServedProtocols.Http1) == 0)
            {
                throw new AuthenticationException("the client did not ask for h2, and this address serves nothing else");
            }

            return connection;
        }
        catch
        {
            await tls.DisposeAsync();
            throw;
        }
    }

    /// <summary>close_notify, so that the peer can tell an end from a cut. Once, however often asked for.</summary>
    public Task SayFarewellAsync() => _farewell ??= FarewellAsync();

    public override void Abort(ConnectionAbortedException abortReason) => _tls.Dispose();

    public override async ValueTask DisposeAsync()
    {
        if (Interlocked.Exchange(ref _isDisposed, 1) == 1)
        {
            return;
        }

        await SayFarewellAsync();
        await _tls.DisposeAsync();
        Cancellation.FireSoon(_closed);
    }

    private async Task FarewellAsync()
    {
        try
        {
            await _tls.ShutdownAsync().WaitAsync(FarewellTimeout);
        }
        catch (Exception e) when (e is IOException or InvalidOperationException or TimeoutException or ObjectDisposedException)
        {
            // The peer is gone already.
        }
    }

    private static SslServerAuthenticationOptions ServerOptions(
        TlsOptions options, ServedProtocols protocols, string? serverName, EndPoint? remote)
    {
        var target = new SslServerAuthenticationOptions
        {
            ServerCertificateContext = options.Certificate(serverName),
            EnabledSslProtocols = options.Protocols,
            ClientCertificateRequired = options.ClientCertificateRequired,
            AllowRenegotiation = false,
            CertificateRevocationCheckMode = X509RevocationMode.NoCheck,
            ApplicationProtocols = protocols switch
            {
                ServedProtocols.Http1 => [SslApplicationProtocol.Http11],
                ServedProtocols.Http2 => [SslApplicationProtocol.Http2],
                _ => [SslApplicationProtocol.Http2, SslApplicationProtocol.Http11],
            },
        };

        if (options.CipherSuites is not null && !OperatingSystem.IsWindows() && !OperatingSystem.IsAndroid())
        {
            target.CipherSuitesPolicy = new CipherSuitesPolicy(options.CipherSuites);
        }

        if (options.ClientCertificateRequired)
        {
            // A resumed session would bring along a certificate that may have been revoked since.
            target.AllowTlsResume = false;
            target.CertificateChainPolicy = new X509ChainPolicy
            {
                RevocationMode = X509RevocationMode.NoCheck,
                DisableCertificateDownloads = true,
            };
            if (options.ClientRoots?.Invoke() is { } roots)
            {
                target.CertificateChainPolicy.TrustMode = X509ChainTrustMode.CustomRootTrust;
                target.CertificateChainPolicy.CustomTrustStore.AddRange(roots);
            }
        }

        if (options.ClientCertificateRequired || options.ClientCertificateCheck is not null)
        {
            target.RemoteCertificateValidationCallback = (_, certificate, chain, errors) =>
            {
                if (options.ClientCertificateRequired && certificate is null)
                {
                    return false;
                }

                return options.ClientCertificateCheck is { } check
                    ? check(new ClientCertificateCheck(certificate as X509Certificate2, chain, errors, remote))
                    : errors == SslPolicyErrors.None;
            };
        }

        return target;
    }

    private sealed class DuplexPipe(PipeReader input, PipeWriter output) : IDuplexPipe
    {
        public PipeReader Input { get; } = input;

        public PipeWriter Output { get; } = output;
    }
}
