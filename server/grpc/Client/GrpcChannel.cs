using System.Net;
using System.Net.Http.Headers;
using System.Net.Security;
using System.Net.Sockets;
using System.Security.Cryptography.X509Certificates;

namespace Perf.Grpc;

/// <summary>
/// A client's way to one server address ("http://host:port", "https://host:port", "unix://name", "unixs://name"; "host:port" is
/// https when there are TLS options). Connects with the first call, reconnects by itself, may be used by any number of threads.
/// Every call that fails throws <see cref="RpcException"/>.
/// </summary>
public sealed class GrpcChannel : IAsyncDisposable
{
    private readonly HttpMessageInvoker _http;
    private readonly GrpcChannelOptions _options;
    private readonly string? _unixPath;
    private readonly Uri _base;

    public GrpcChannel(string address, GrpcChannelOptions? options = null)
    {
        Address = address;
        _options = options ?? new GrpcChannelOptions();
        int colon = address.IndexOf("://", StringComparison.Ordinal);
        string scheme = colon < 0 ? (_options.Tls is null ? "http" : "https") : address[..colon];
        string rest = (colon < 0 ? address : address[(colon + 3)..]).TrimEnd('/');
        _unixPath = scheme is "unix" or "unixs" ? rest : null;
        bool tls = scheme switch
        {
            "http" or "unix" => false,
            "https" or "unixs" => true,
            _ => throw new FormatException($"{address}: expected http, https, unix or unixs"),
        };
        Target = rest;
        _base = new Uri((tls ? "https://" : "http://") + (_unixPath is null ? rest : "localhost") + "/");
        _http = new HttpMessageInvoker(Handler(tls), disposeHandler: true);
    }

    public string Address { get; }

    /// <summary>What is dialled, for messages.</summary>
    internal string Target { get; }

    internal bool IsUnix => _unixPath is not null;

    internal int ReceiveBytesMax => _options.ReceiveBytesMax;

    /// <summary>One request, one response.</summary>
    public async Task<TResponse> UnaryAsync<TRequest, TResponse>(
        ClientMethod<TRequest, TResponse> method, TRequest request, CallOptions options = default)
    {
        await using var call = new ClientCall(this, method.Path, options, method.Encode(request), _options.WaitInPlace);
        return method.Decode(await call.ReadSingleAsync());
    }

    /// <summary>One request, one response, as bytes.</summary>
    public async Task<ReadOnlyMemory<byte>> UnaryAsync(
        string path, ReadOnlyMemory<byte> request, CallOptions options = default)
    {
        await using var call = new ClientCall(this, path, options, request, _options.WaitInPlace);
        return (await call.ReadSingleAsync()).ToArray();
    }

    /// <summary>One request, many responses: read them from the answer and dispose it.</summary>
    public ClientStream<TRequest, TResponse> ServerStream<TRequest, TResponse>(
        ClientMethod<TRequest, TResponse> method, TRequest request, CallOptions options = default) =>
        new(method, new ClientCall(this, method.Path, options, method.Encode(request)));

    /// <summary>A call with any number of messages both ways. Returns at once; failures show when reading or writing.</summary>
    public ClientStream<TRequest, TResponse> Open<TRequest, TResponse>(
        ClientMethod<TRequest, TResponse> method, CallOptions options = default) =>
        new(method, new ClientCall(this, method.Path, options, single: null));

    /// <summary>Closes the connections; calls under way fail.</summary>
    public ValueTask DisposeAsync()
    {
        _http.Dispose();
        return ValueTask.CompletedTask;
    }

    internal Task<HttpResponseMessage> SendAsync(
        string path, HttpContent content, in CallOptions options, TimeSpan? timeout, CancellationToken cancellation)
    {
        var request = new HttpRequestMessage(HttpMethod.Post, new Uri(_base, path))
        {
            Version = HttpVersion.Version20,
            VersionPolicy = HttpVersionPolicy.RequestVersionExact,
            Content = content,
        };
        HttpRequestHeaders headers = request.Headers;
        headers.TryAddWithoutValidation("te", "trailers");
        headers.TryAddWithoutValidation("user-agent", _options.UserAgent);

        // The handler takes the name to verify from the host header, and so does grpc-go the other way round.
        headers.Host = _options.Authority ?? _options.Tls?.ServerName;

        if (timeout is not null)
        {
            headers.TryAddWithoutValidation("grpc-timeout", WireText.FormatTimeout(timeout.Value));
        }

        if (options.Headers is not null)
        {
            foreach ((string name, string value) in options.Headers)
            {
                headers.TryAddWithoutValidation(name, value);
            }
        }

        return _http.SendAsync(request, cancellation);
    }

    internal void CheckSend(int bytes)
    {
        if (bytes > _options.SendBytesMax)
        {
            throw new RpcException(
                StatusCode.ResourceExhausted,
                $"trying to send message larger than max ({bytes} vs. {_options.SendBytesMax})");
        }
    }

    private SocketsHttpHandler Handler(bool tls)
    {
        var handler = new SocketsHttpHandler
        {
            UseProxy = false,
            UseCookies = false,
            AllowAutoRedirect = false,
            EnableMultipleHttp2Connections = true,
            ActivityHeadersPropagator = null,
            ConnectTimeout = _options.DialTimeout,
            PooledConnectionIdleTimeout = Timeout.InfiniteTimeSpan,
            PooledConnectionLifetime = Timeout.InfiniteTimeSpan,
            ConnectCallback = ConnectAsync,
        };
        if (_options.KeepAliveInterval is { } interval)
        {
            handler.KeepAlivePingDelay = interval;
            handler.KeepAlivePingTimeout = _options.KeepAliveTimeout;
            handler.KeepAlivePingPolicy = _options.KeepAliveWithoutCalls
                ? HttpKeepAlivePingPolicy.Always
                : HttpKeepAlivePingPolicy.WithActiveRequests;
        }

        if (tls)
        {
            handler.SslOptions = SslOptions(_options.Tls ?? new ClientTlsOptions());
        }

        return handler;
    }

    private static SslClientAuthenticationOptions SslOptions(ClientTlsOptions tls)
    {
        var ssl = new SslClientAuthenticationOptions
        {
            EnabledSslProtocols = tls.Protocols,
            CertificateRevocationCheckMode = X509RevocationMode.NoCheck,
        };
        if (tls.TrustedRoots is not null)
        {
            ssl.CertificateChainPolicy = new X509ChainPolicy
            {
                TrustMode = X509ChainTrustMode.CustomRootTrust,
                RevocationMode = X509RevocationMode.NoCheck,
                DisableCertificateDownloads = true,
            };
            ssl.CertificateChainPolicy.CustomTrustStore.AddRange(tls.TrustedRoots);
        }

        if (tls.ClientCertificate is { } certificate)
        {
            ssl.LocalCertificateSelectionCallback = (_, _, _, _, _) => certificate()!;
        }

        if (tls.Verify is not null)
        {
            ssl.RemoteCertificateValidationCallback = tls.Verify;
        }
        else if (tls.SkipVerify)
        {
            // Asked for by name (--insecure-skip-tls-verify).
            ssl.RemoteCertificateValidationCallback = (_, _, _, _) => true;
        }

        return ssl;
    }

    private async ValueTask<Stream> ConnectAsync(SocketsHttpConnectionContext context, CancellationToken cancellation)
    {
        // An address in digits needs no resolver, and the start of a short program is noticeably quicker without one.
        EndPoint? plain = _unixPath is null ? Literal(context.DnsEndPoint) : new UnixDomainSocketEndPoint(_unixPath);
        Socket socket = plain switch
        {
            null => new Socket(SocketType.Stream, ProtocolType.Tcp) { NoDelay = true },
            IPEndPoint => new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp) { NoDelay = true },
            _ => new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified),
        };
        try
        {
            await socket.ConnectAsync(plain ?? context.DnsEndPoint, cancellation).AsTask().ConfigureAwait(false);
            return new NetworkStream(socket, ownsSocket: true);
        }
        catch
        {
            socket.Dispose();
            throw;
        }
    }

    /// <summary>The end point when its host is an IPv4 address in four decimal numbers; null for everything else.</summary>
    internal static IPEndPoint? Literal(DnsEndPoint target)
    {
        Span<byte> address = stackalloc byte[4];
        int part = 0;
        int number = -1;
        foreach (char c in target.Host)
        {
            if (c is >= '0' and <= '9' && number != 0)
            {
                number = (Math.Max(number, 0) * 10) + (c - '0');
            }
            else if (c == '.' && number >= 0 && part < 3)
            {
                address[part++] = (byte)number;
                number = -1;
            }
            else
            {
                return null;
            }

            if (number > byte.MaxValue)
            {
                return null;
            }
        }

        if (part < 3 || number < 0)
        {
            return null;
        }

        address[part] = (byte)number;
        return new IPEndPoint(new IPAddress(address), target.Port);
    }
}
