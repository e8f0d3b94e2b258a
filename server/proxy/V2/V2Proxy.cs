using System.Net;
using System.Text.Json;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.Extensions.Primitives;
using Perf.Grpc;

namespace Perf.Proxy.V2;

/// <summary>
/// The v2 proxy of etcd 3.5: HTTP requests go to some member's client URL, and to the next when that one cannot be
/// reached. Which members there are is asked of their peer URLs now and again, and remembered in a file.
/// </summary>
public sealed class V2Proxy : IAsyncDisposable
{
    private const int RequestBytesMax = 64 << 20;
    private const int AnswerBytesMax = 4 << 20;

    /// <summary>While nobody is known the members are asked this often.</summary>
    private static readonly TimeSpan AnxiousInterval = TimeSpan.FromSeconds(1);

    private static readonly HashSet<string> HopHeaders = new(StringComparer.OrdinalIgnoreCase)
    {
        "Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization", "Te", "Trailers", "Transfer-Encoding",
        "Upgrade", "Host",
    };

    private readonly V2ProxyOptions _options;
    private readonly ProxyLog _log;
    private readonly HttpMessageInvoker _http;
    private readonly GrpcServer _server;
    private readonly CancellationTokenSource _stop = new();
    private volatile Target[] _targets = [];
    private IReadOnlyList<string> _peerUrls;
    private Task _refreshing = Task.CompletedTask;

    public V2Proxy(V2ProxyOptions options, ProxyLog log)
    {
        _options = options;
        _log = log;
        _peerUrls = options.PeerUrls;
        var handler = new SocketsHttpHandler
        {
            UseProxy = false,
            UseCookies = false,
            AllowAutoRedirect = false,
            ConnectTimeout = options.DialTimeout,
            ActivityHeadersPropagator = null,
        };
        if (options.Tls is { } tls)
        {
            handler.SslOptions.LocalCertificateSelectionCallback = (_, _, _, _, _) => tls.ClientCertificate?.Invoke()!;
            handler.SslOptions.RemoteCertificateValidationCallback = tls.SkipVerify ? (_, _, _, _) => true : null;
            if (tls.TrustedRoots is not null)
            {
                handler.SslOptions.CertificateChainPolicy = new System.Security.Cryptography.X509Certificates.X509ChainPolicy
                {
                    TrustMode = System.Security.Cryptography.X509Certificates.X509ChainTrustMode.CustomRootTrust,
                    RevocationMode = System.Security.Cryptography.X509Certificates.X509RevocationMode.NoCheck,
                };
                handler.SslOptions.CertificateChainPolicy.CustomTrustStore.AddRange(tls.TrustedRoots);
            }
        }

        _http = new HttpMessageInvoker(handler);
        _server = new GrpcServer(
            new GrpcServerOptions { Endpoints = options.Listen, Fallback = ServeAsync },
            new GrpcRouter());
    }

    /// <summary>Where it listens; after <see cref="StartAsync"/>.</summary>
    public IReadOnlyList<EndPoint> Addresses => _server.Addresses;

    /// <summary>Asks for the members once, binds and serves. Throws <see cref="IOException"/>.</summary>
    public async Task StartAsync()
    {
        await RefreshAsync().ConfigureAwait(false);
        await _server.StartAsync().ConfigureAwait(false);
        _refreshing = KeepFreshAsync();
        foreach (ListenEndpoint endpoint in _options.Listen)
        {
            _log(false, "v2 proxy started listening on client requests", ("host", endpoint.Url));
        }
    }

    public async ValueTask DisposeAsync()
    {
        await _stop.CancelAsync().ConfigureAwait(false);
        await _server.StopAsync(TimeSpan.FromSeconds(1)).ConfigureAwait(false);
        await _refreshing.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        _http.Dispose();
        _stop.Dispose();
    }

    /// <summary>Peer URLs that a proxy has remembered; null where there is no file.</summary>
    public static IReadOnlyList<string>? Remembered(string clusterFile)
    {
        if (!File.Exists(clusterFile))
        {
            return null;
        }

        using JsonDocument document = JsonDocument.Parse(File.ReadAllBytes(clusterFile));
        return [.. document.RootElement.GetProperty("PeerURLs").EnumerateArray().Select(url => url.GetString() ?? "")];
    }

    private async Task ServeAsync(HttpContext context)
    {
        HttpRequest request = context.Request;
        if (_options.IsReadOnly && request.Method != "GET")
        {
            context.Response.StatusCode = StatusCodes.Status501NotImplemented;
            return;
        }

        if (request.Path == "/v2/config/local/proxy")
        {
            await TellTargetsAsync(context).ConfigureAwait(false);
            return;
        }

        byte[] body;
        try
        {
            body = await BodyAsync(request).ConfigureAwait(false);
        }
        catch (IOException e)
        {
            await FailAsync(context, 500, $"failed to read request body: {e.Message}").ConfigureAwait(false);
            return;
        }

        Target[] targets = [.. _targets.Where(t => t.IsAvailable)];
        if (targets.Length == 0)
        {
            await FailAsync(context, 503, "zero endpoints currently available").ConfigureAwait(false);
            return;
        }

        foreach (Target target in targets)
        {
            HttpResponseMessage? response = await TrySendAsync(context, target, body).ConfigureAwait(false);
            if (context.RequestAborted.IsCancellationRequested)
            {
                response?.Dispose();
                return;
            }

            if (response is not null)
            {
                using (response)
                {
                    await PassOnAsync(context, response).ConfigureAwait(false);
                }

                return;
            }
        }

        await FailAsync(context, 502, $"unable to get response from {targets.Length} endpoint(s)").ConfigureAwait(false);
    }

    private Task TellTargetsAsync(HttpContext context)
    {
        if (!HttpMethods.IsGet(context.Request.Method))
        {
            context.Response.Headers.Allow = "GET";
            context.Response.StatusCode = StatusCodes.Status405MethodNotAllowed;
            return context.Response.WriteAsync("Method Not Allowed\n");
        }

        string[] urls = [.. _targets.Where(t => t.IsAvailable).Select(t => t.Url.OriginalString)];
        return context.Response.WriteAsync(JsonSerializer.Serialize(new { endpoints = urls }) + "\n");
    }

    /// <summary>Null: the member could not be reached, and is left alone for a while.</summary>
    private async Task<HttpResponseMessage?> TrySendAsync(HttpContext context, Target target, byte[] body)
    {
        HttpRequest source = context.Request;
        string raw = context.Features.Get<IHttpRequestFeature>()?.RawTarget is { Length: > 0 } told && told[0] == '/'
            ? told
            : source.Path.ToString() + source.QueryString;
        using var request = new HttpRequestMessage(new HttpMethod(source.Method), new Uri(target.Url, raw))
        {
            Content = body.Length > 0 || source.ContentLength is not null ? new ByteArrayContent(body) : null,
        };
        foreach ((string name, StringValues values) in source.Headers)
        {
            if (!HopHeaders.Contains(name)
                && !request.Headers.TryAddWithoutValidation(name, (IEnumerable<string?>)values)
                && !name.Equals("Content-Length", StringComparison.OrdinalIgnoreCase))
            {
                request.Content?.Headers.TryAddWithoutValidation(name, (IEnumerable<string?>)values);
            }
        }

        string client = context.Connection.RemoteIpAddress?.ToString() ?? "";
        string prior = source.Headers["X-Forwarded-For"].ToString();
        request.Headers.Remove("X-Forwarded-For");
        request.Headers.TryAddWithoutValidation("X-Forwarded-For", prior.Length > 0 ? $"{prior}, {client}" : client);
        using var limit = CancellationTokenSource.CreateLinkedTokenSource(context.RequestAborted, _stop.Token);
        if (_options.ReadTimeout > TimeSpan.Zero)
        {
            // Until the answer's head: connecting, sending and waiting for it.
            limit.CancelAfter(_options.DialTimeout + _options.WriteTimeout + _options.ReadTimeout);
        }

        try
        {
            return await _http.SendAsync(request, limit.Token).ConfigureAwait(false);
        }
        catch (Exception e) when (e is HttpRequestException or OperationCanceledException or IOException)
        {
            if (!context.RequestAborted.IsCancellationRequested && !_stop.IsCancellationRequested)
            {
                _log(true, "failed to direct request", ("url", target.Url), ("error", e.Message));
                target.Fail(_options.FailureWait);
            }

            return null;
        }
    }

    private async Task PassOnAsync(HttpContext context, HttpResponseMessage response)
    {
        context.Response.StatusCode = (int)response.StatusCode;
        foreach ((string name, IEnumerable<string> values) in response.Headers.Concat(response.Content.Headers))
        {
            if (!HopHeaders.Contains(name))
            {
                context.Response.Headers.Append(name, new StringValues([.. values]));
            }
        }

        try
        {
            await context.Response.StartAsync(context.RequestAborted).ConfigureAwait(false);
            await context.Response.Body.FlushAsync(context.RequestAborted).ConfigureAwait(false);
            await using Stream body = await response.Content.ReadAsStreamAsync(context.RequestAborted).ConfigureAwait(false);
            byte[] buffer = new byte[16 * 1024];
            while (true)
            {
                using var limit = CancellationTokenSource.CreateLinkedTokenSource(context.RequestAborted, _stop.Token);
                if (_options.ReadTimeout > TimeSpan.Zero)
                {
                    limit.CancelAfter(_options.ReadTimeout);
                }

                int read = await body.ReadAsync(buffer, limit.Token).ConfigureAwait(false);
                if (read == 0)
                {
                    return;
                }

                // Events of a stream are passed on one by one.
                await context.Response.Body.WriteAsync(buffer.AsMemory(0, read), context.RequestAborted).ConfigureAwait(false);
                await context.Response.Body.FlushAsync(context.RequestAborted).ConfigureAwait(false);
            }
        }
        catch (Exception e) when (e is OperationCanceledException or IOException or HttpRequestException)
        {
            // The client or the member has gone in the middle: so does the other.
            context.Abort();
        }
    }

    private static async Task<byte[]> BodyAsync(HttpRequest request)
    {
        using var body = new MemoryStream();
        byte[] buffer = new byte[16 * 1024];
        int read;
        while ((read = await request.Body.ReadAsync(buffer).ConfigureAwait(false)) > 0)
        {
            body.Write(buffer, 0, read);
            if (body.Length > RequestBytesMax)
            {
                throw new IOException("http: request body too large");
            }
        }

        return body.ToArray();
    }

    private static Task FailAsync(HttpContext context, int status, string message)
    {
        context.Response.StatusCode = status;
        context.Response.ContentType = "application/json";
        return context.Response.WriteAsync(JsonSerializer.Serialize(new { message = "httpproxy: " + message }));
    }

    private async Task KeepFreshAsync()
    {
        while (true)
        {
            bool isAnxious = _targets.Length == 0 && _options.RefreshInterval > AnxiousInterval;
            await Task.Delay(isAnxious ? AnxiousInterval : _options.RefreshInterval, _stop.Token).ConfigureAwait(false);
            await RefreshAsync().ConfigureAwait(false);
        }
    }

    /// <summary>Takes the members as the first peer that answers tells them.</summary>
    private async Task RefreshAsync()
    {
        foreach (string peer in _peerUrls)
        {
            using var limit = CancellationTokenSource.CreateLinkedTokenSource(_stop.Token);
            limit.CancelAfter(_options.DialTimeout + _options.WriteTimeout);
            try
            {
                using var request = new HttpRequestMessage(HttpMethod.Get, new Uri(new Uri(peer), "/members"));
                using HttpResponseMessage response = await _http.SendAsync(request, limit.Token).ConfigureAwait(false);
                await response.Content.LoadIntoBufferAsync(AnswerBytesMax, limit.Token).ConfigureAwait(false);
                using JsonDocument members = JsonDocument.Parse(await response.Content.ReadAsStringAsync(limit.Token).ConfigureAwait(false));
                Take(members.RootElement);
                return;
            }
            catch (Exception e) when (e is HttpRequestException or OperationCanceledException or JsonException or IOException
                or InvalidOperationException or KeyNotFoundException)
            {
                if (_stop.IsCancellationRequested)
                {
                    return;
                }

                _log(true, "failed to get cluster from remote peers", ("peer-url", peer), ("error", e.Message));
            }
        }

        _targets = [];
    }

    private void Take(JsonElement members)
    {
        Target[] old = _targets;
        var urls = new List<string>();
        var peers = new List<string>();
        foreach (JsonElement member in members.EnumerateArray())
        {
            peers.AddRange(member.GetProperty("peerURLs").EnumerateArray().Select(u => u.GetString() ?? ""));
            if (member.TryGetProperty("clientURLs", out JsonElement clients))
            {
                urls.AddRange(clients.EnumerateArray().Select(u => u.GetString() ?? ""));
            }
        }

        Target[] fresh = [.. urls.Select(u => Array.Find(old, t => t.Url.OriginalString == u) ?? new Target(new Uri(u)))];
        Random.Shared.Shuffle(fresh);
        _targets = fresh;
        if (old.Length == 0 && fresh.Length > 0)
        {
            _log(false, "endpoints found", ("endpoints", urls));
        }

        peers.Sort(StringComparer.Ordinal);
        if (!File.Exists(_options.ClusterFile) || !peers.SequenceEqual(_peerUrls))
        {
            _peerUrls = peers;
            string next = _options.ClusterFile + ".bak";
            File.WriteAllText(next, JsonSerializer.Serialize(new { PeerURLs = peers }));
            File.Move(next, _options.ClusterFile, overwrite: true);
        }
    }

    /// <summary>A member's client URL; after a failure it is left alone for a while.</summary>
    private sealed class Target(Uri url)
    {
        private long _restUntil;

        public Uri Url { get; } = url;

        public bool IsAvailable => Environment.TickCount64 >= Volatile.Read(ref _restUntil);

        public void Fail(TimeSpan wait) =>
            Volatile.Write(ref _restUntil, Environment.TickCount64 + (long)wait.TotalMilliseconds);
    }
}
