using System.Net;
using System.Net.Security;
using System.Security.Authentication;
using System.Security.Cryptography.X509Certificates;
using Microsoft.AspNetCore.Http;

namespace Perf.Grpc;

/// <summary>What an address serves.</summary>
[Flags]
public enum ServedProtocols
{
    /// <summary>HTTP/1.1: every request goes to the fallback.</summary>
    Http1 = 1,

    /// <summary>HTTP/2: gRPC, and the fallback for whatever is not gRPC.</summary>
    Http2 = 2,

    Both = Http1 | Http2,
}

/// <summary>One address to listen on.</summary>
public sealed class ListenEndpoint
{
    /// <summary>
    /// "http://host:port", "https://host:port", "unix://name" or "unixs://name" as etcd writes them: the name of a unix socket is
    /// what follows the two slashes, host, colon and all. Port 0 takes any free one.
    /// </summary>
    public required string Url { get; init; }

    /// <summary>Required for https and unixs, ignored otherwise.</summary>
    public TlsOptions? Tls { get; init; }

    public ServedProtocols Protocols { get; init; } = ServedProtocols.Both;

    /// <summary>Serves what is not gRPC on this address; null for the server's general fallback.</summary>
    public RequestDelegate? Fallback { get; init; }

    /// <summary>Connections here do not count against <see cref="GrpcServerOptions.ConnectionsMax"/>.</summary>
    public bool IsUnlimited { get; init; }

    /// <summary>Free for the owner of the server; readable in fallbacks as feature <see cref="IListenFeature"/>.</summary>
    public object? Tag { get; init; }
}

/// <summary>Tells a request by which address it came.</summary>
public interface IListenFeature
{
    ListenEndpoint Endpoint { get; }
}

/// <summary>What a certificate check may look at.</summary>
public readonly record struct ClientCertificateCheck(
    X509Certificate2? Certificate, X509Chain? Chain, SslPolicyErrors Errors, EndPoint? Remote);

/// <summary>TLS of one address. The functions are asked at each handshake, so what they answer may change while serving.</summary>
public sealed class TlsOptions
{
    /// <summary>The server's certificate for that server name (null or empty when the client sent none).</summary>
    public required Func<string?, SslStreamCertificateContext> Certificate { get; init; }

    /// <summary>True asks the client for a certificate and refuses it without one.</summary>
    public bool ClientCertificateRequired { get; init; }

    /// <summary>Roots that may have signed client certificates; null, itself or its answer, for the system's.</summary>
    public Func<X509Certificate2Collection?>? ClientRoots { get; init; }

    /// <summary>
    /// Decides about a client certificate after the chain was built; null accepts those without errors. May throw
    /// <see cref="AuthenticationException"/> to give a reason.
    /// </summary>
    public Func<ClientCertificateCheck, bool>? ClientCertificateCheck { get; init; }

    public SslProtocols Protocols { get; init; } = SslProtocols.Tls12 | SslProtocols.Tls13;

    /// <summary>Null for the platform's choice.</summary>
    public IReadOnlyList<TlsCipherSuite>? CipherSuites { get; init; }
}

public sealed class GrpcServerOptions
{
    public required IReadOnlyList<ListenEndpoint> Endpoints { get; init; }

    /// <summary>Serves HTTP/1 and what is not gRPC. Null: 415 on HTTP/2, 404 on HTTP/1.</summary>
    public RequestDelegate? Fallback { get; init; }

    /// <summary>Request messages above it end their call with ResourceExhausted before they are buffered.</summary>
    public int ReceiveBytesMax { get; init; } = 4 << 20;

    public uint StreamsPerConnectionMax { get; init; } = uint.MaxValue;

    /// <summary>At this many connections the server stops accepting until one ends.</summary>
    public int ConnectionsMax { get; init; } = int.MaxValue;

    /// <summary>The server pings a silent client after this; zero for never.</summary>
    public TimeSpan KeepAliveInterval { get; init; } = TimeSpan.FromHours(2);

    /// <summary>How long the answer to a ping may take before the connection is closed.</summary>
    public TimeSpan KeepAliveTimeout { get; init; } = TimeSpan.FromSeconds(20);

    /// <summary>Clients that ping more often than this are sent away (too_many_pings); zero lets them.</summary>
    public TimeSpan KeepAliveMinTime { get; init; } = TimeSpan.FromSeconds(5);

    /// <summary>True lets clients ping while they have no call open.</summary>
    public bool KeepAlivePermitWithoutStream { get; init; }

    /// <summary>Frames of one connection that carry nothing: three orders of magnitude above honest clients.</summary>
    public int EmptyFramesPerSecondMax { get; init; } = 2000;

    /// <summary>
    /// Calls that one connection may take back. Kestrel bounds them by its limit of streams, which is none by default.
    /// </summary>
    public int ResetsPerSecondMax { get; init; } = 2000;

    public int HeaderBytesMax { get; init; } = 32 << 10;

    /// <summary>How long a new connection may take to show its protocol, TLS handshake included.</summary>
    public TimeSpan PrefaceTimeout { get; init; } = TimeSpan.FromSeconds(10);

    /// <summary>How long the headers of one request may take.</summary>
    public TimeSpan HeaderTimeout { get; init; } = TimeSpan.FromSeconds(10);

    /// <summary>Silence after which a connection without a request is closed. etcd has none; pings and TCP find the dead.</summary>
    public TimeSpan IdleTimeout { get; init; } = Timeout.InfiniteTimeSpan;

    public int StreamWindowBytes { get; init; } = 768 << 10;

    public int ConnectionWindowBytes { get; init; } = 1 << 20;

    /// <summary>Holds connections back while the work behind the calls is crowded; null: nothing does.</summary>
    public IntakeGate? Intake { get; init; }

    public bool ReusePort { get; init; }

    public bool ReuseAddress { get; init; }

    /// <summary>Told about connections that failed before they could be served (handshake, preface) and about broken handlers.</summary>
    public Action<string, Exception?>? Trouble { get; init; }

    /// <summary>Told of every call when it has ended, on its thread; must not block nor keep anything of the call.</summary>
    public CallEnded? CallEnded { get; init; }
}
