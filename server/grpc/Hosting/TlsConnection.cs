using System.IO.Pipelines;
using System.Net;
using System.Net.Security;
using System.Security.Authentication;
using System.Security.Cryptography.X509Certificates;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.AspNetCore.Server.Kestrel.Core.Features;

namespace Perf.Grpc;

/// <summary>A connection under TLS: the socket's connection below, plain bytes above.</summary>
internal sealed class TlsConnection : ConnectionContext, ITlsConnectionFeature, ITlsApplicationProtocolFeature
{
    private static readonly TimeSpan FarewellTimeout = TimeSpan.FromSeconds(1);

    private readonly ConnectionContext _inner;
    private readonly SslStream _tls;

    private TlsConnection(ConnectionContext inner, SslStream tls)
    {
        _inner = inner;
        _tls = tls;
        Transport = new DuplexPipe(
            PipeReader.Create(tls, new StreamPipeReaderOptions(bufferSize: 16 << 10, leaveOpen: true)),
            PipeWriter.Create(tls, new StreamPipeWriterOptions(leaveOpen: true)));
        ClientCertificate = tls.RemoteCertificate as X509Certificate2;
        ApplicationProtocol = tls.NegotiatedApplicationProtocol.Protocol;
        Features.Set<ITlsConnectionFeature>(this);
        Features.Set<ITlsApplicationProtocolFeature>(this);
    }

    public override IDuplexPipe Transport { get; set; }

    public override string ConnectionId
    {
        get => _inner.ConnectionId;
        set => _inner.ConnectionId = value;
    }

    public override IFeatureCollection Features => _inner.Features;

    public override IDictionary<object, object?> Items
    {
        get => _inner.Items;
        set => _inner.Items = value;
    }

    public override CancellationToken ConnectionClosed
    {
        get => _inner.ConnectionClosed;
        set => _inner.ConnectionClosed = value;
    }

    public override EndPoint? LocalEndPoint
    {
        get => _inner.LocalEndPoint;
        set => _inner.LocalEndPoint = value;
    }

    public override EndPoint? RemoteEndPoint
    {
        get => _inner.RemoteEndPoint;
        set => _inner.RemoteEndPoint = value;
    }

    public X509Certificate2? ClientCertificate { get; set; }

    public ReadOnlyMemory<byte> ApplicationProtocol { get; }

    public Task<X509Certificate2?> GetClientCertificateAsync(CancellationToken cancellationToken) =>
        Task.FromResult(ClientCertificate);

    /// <summary>The handshake. On failure the inner connection stays with the caller.</summary>
    public static async Task<(ConnectionContext Connection, bool Http2)> AcceptAsync(
        ConnectionContext inner, TlsOptions options, ServedProtocols protocols, CancellationToken cancellation)
    {
        var tls = new SslStream(new DuplexStream(inner.Transport.Input, inner.Transport.Output), leaveInnerStreamOpen: false);
        try
        {
            await tls.AuthenticateAsServerAsync(
                (_, hello, _, _) => new(ServerOptions(options, protocols, hello.ServerName, inner.RemoteEndPoint)),
                null,
                cancellation);
        }
        catch
        {
            await tls.DisposeAsync();
            throw;
        }

        bool http2 = tls.NegotiatedApplicationProtocol == SslApplicationProtocol.Http2;
        if (!http2 && (protocols & ServedProtocols.Http1) == 0)
        {
            await tls.DisposeAsync();
            throw new AuthenticationException("the client did not ask for h2, and this address serves nothing else");
        }

        return (new TlsConnection(inner, tls), http2);
    }

    public override void Abort(ConnectionAbortedException abortReason) => _inner.Abort(abortReason);

    public override async ValueTask DisposeAsync()
    {
        await Transport.Input.CompleteAsync();
        await Transport.Output.CompleteAsync();
        try
        {
            // close_notify, so that the peer can tell an end from a cut.
            await _tls.ShutdownAsync().WaitAsync(FarewellTimeout);
        }
        catch (Exception e) when (e is IOException or InvalidOperationException or TimeoutException or ObjectDisposedException)
        {
            // The peer is gone already.
        }

        await _tls.DisposeAsync();
        await _inner.DisposeAsync();
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
