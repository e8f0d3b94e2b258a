using System.Net.Security;
using System.Security.Authentication;
using System.Security.Cryptography.X509Certificates;

namespace Perf.Grpc;

public sealed class GrpcChannelOptions
{
    /// <summary>Null: TLS for https addresses with the system's roots, none for http.</summary>
    public ClientTlsOptions? Tls { get; init; }

    public TimeSpan DialTimeout { get; init; } = TimeSpan.FromSeconds(20);

    /// <summary>Pings after this much silence; null for none.</summary>
    public TimeSpan? KeepAliveInterval { get; init; }

    public TimeSpan KeepAliveTimeout { get; init; } = TimeSpan.FromSeconds(20);

    /// <summary>True pings connections that carry no call, too.</summary>
    public bool KeepAliveWithoutCalls { get; init; }

    public int SendBytesMax { get; init; } = int.MaxValue;

    public int ReceiveBytesMax { get; init; } = int.MaxValue;

    /// <summary>Sent as :authority instead of the address; null for the address itself.</summary>
    public string? Authority { get; init; }

    public string UserAgent { get; init; } = "grpc-perf/3.5.33";

    /// <summary>
    /// True: calls with one request and one response wait on the thread that makes them, and return when they are over. For a
    /// program that makes one call and ends: what it saves is the compilation of awaits.
    /// </summary>
    public bool WaitInPlace { get; init; }
}

/// <summary>How a client proves who it is and decides whom to trust.</summary>
public sealed class ClientTlsOptions
{
    /// <summary>Roots that may have signed the server's certificate; null for the system's.</summary>
    public X509Certificate2Collection? TrustedRoots { get; init; }

    /// <summary>Asked at each handshake for the client's certificate with its key; null for none.</summary>
    public Func<X509Certificate2?>? ClientCertificate { get; init; }

    /// <summary>The name the server's certificate must carry; null for the host of the address.</summary>
    public string? ServerName { get; init; }

    /// <summary>True accepts any certificate.</summary>
    public bool SkipVerify { get; init; }

    public SslProtocols Protocols { get; init; } = SslProtocols.Tls12 | SslProtocols.Tls13;

    /// <summary>Replaces the verification above when set.</summary>
    public RemoteCertificateValidationCallback? Verify { get; init; }
}

/// <summary>What differs from call to call.</summary>
public readonly record struct CallOptions(
    DateTime? Deadline = null, Metadata? Headers = null, CancellationToken Cancellation = default)
{
    /// <summary>Options with a deadline that far from now.</summary>
    public static CallOptions Timeout(TimeSpan timeout, Metadata? headers = null, CancellationToken cancellation = default) =>
        new(DateTime.UtcNow + timeout, headers, cancellation);
}

/// <summary>A method as a client calls it: its path, and how its messages become bytes and back.</summary>
/// <param name="Path">"/package.Service/Method".</param>
/// <param name="Encode">The bytes of a request. The result is not changed afterwards.</param>
/// <param name="Decode">The response in these bytes, which are lent for the time of the call.</param>
public sealed record ClientMethod<TRequest, TResponse>(
    string Path, Func<TRequest, ReadOnlyMemory<byte>> Encode, Func<ReadOnlyMemory<byte>, TResponse> Decode);
