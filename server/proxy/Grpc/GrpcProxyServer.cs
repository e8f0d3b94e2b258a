using System.Net;
using System.Text.Json;
using Etcdserverpb;
using Google.Protobuf;
using Microsoft.AspNetCore.Http;
using Perf.Client;
using Perf.Grpc;
using Endpoint = Perf.Client.Endpoint;
using Metadata = Perf.Grpc.Metadata;

namespace Perf.Proxy.Grpc;

/// <summary>The gRPC proxy: all services of a member, in front of a cluster, and HTTP for those who watch over it.</summary>
public sealed class GrpcProxyServer : IAsyncDisposable
{
    private static readonly TimeSpan HealthPatience = TimeSpan.FromSeconds(5);

    private readonly GrpcProxyOptions _options;
    private readonly ProxyLog _log;
    private readonly Upstream _upstream;
    private readonly ClusterProxy _cluster;
    private readonly ProxyFigures _figures = new();
    private readonly GrpcRouter _router = new();
    private readonly GrpcServer _server;
    private readonly HttpClient _http;
    private readonly CancellationTokenSource _stop = new();
    private Task _syncing = Task.CompletedTask;

    public GrpcProxyServer(GrpcProxyOptions options, ProxyLog log)
    {
        _options = options;
        _log = log;
        _upstream = new Upstream(options.Cluster);
        var keys = new KeyNamespace(options.Namespace);
        var kv = new KvProxy(_upstream, keys, _figures, options.SerializableOrdering);
        _figures.CacheKeys = () => kv.Cache.Count;
        kv.Map(_router);
        Watches = new WatchProxy(_upstream, keys, _figures);
        Watches.Map(_router);
        new LeaseProxy(_upstream).Map(_router);
        new ForwardProxy(_upstream, keys).Map(_router);
        _cluster = new ClusterProxy(_upstream, options, log);
        _cluster.Map(_router);
        _http = new HttpClient(Handler(options.Cluster.Tls)) { Timeout = HealthPatience };
        var endpoints = new List<ListenEndpoint>
        {
            new() { Url = (options.Tls is null ? "http://" : "https://") + options.Listen, Tls = options.Tls },
        };
        if (options.MetricsUrl.Length > 0)
        {
            bool isSecure = options.MetricsUrl.StartsWith("https:", StringComparison.Ordinal);
            endpoints.Add(new ListenEndpoint
            {
                Url = options.MetricsUrl,
                Tls = isSecure ? options.Tls : null,
                Protocols = ServedProtocols.Http1,
            });
        }

        _server = new GrpcServer(
            new GrpcServerOptions
            {
                Endpoints = endpoints,
                ReceiveBytesMax = int.MaxValue,
                StreamsPerConnectionMax = options.StreamsPerConnectionMax,
                KeepAliveMinTime = options.KeepAliveMinTime,
                KeepAliveInterval = options.KeepAliveInterval,
                KeepAliveTimeout = options.KeepAliveTimeout,
                Fallback = ServeAsync,
                Trouble = (what, e) => log(true, what, ("error", e?.Message)),
            },
            _router);
    }

    /// <summary>Where it listens; after <see cref="StartAsync"/>.</summary>
    public EndPoint Address => _server.Addresses[0];

    internal WatchProxy Watches { get; }

    internal ProxyFigures Figures => _figures;

    /// <summary>Binds and serves. Throws <see cref="IOException"/> when an address cannot be bound.</summary>
    public async Task StartAsync()
    {
        await _server.StartAsync().ConfigureAwait(false);
        _cluster.Start();
        if (_options.AutoSyncInterval > TimeSpan.Zero)
        {
            _syncing = SyncAsync();
        }

        _log(false, "started gRPC proxy", ("address", _options.Listen));
    }

    public async ValueTask DisposeAsync()
    {
        await _stop.CancelAsync().ConfigureAwait(false);
        await _cluster.DisposeAsync().ConfigureAwait(false);
        await _syncing.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        await _server.StopAsync(TimeSpan.FromSeconds(1)).ConfigureAwait(false);
        await _upstream.DisposeAsync().ConfigureAwait(false);
        _http.Dispose();
        _stop.Dispose();
    }

    private static SocketsHttpHandler Handler(EtcdTls? tls)
    {
        var handler = new SocketsHttpHandler { UseProxy = false };
        if (tls is not null)
        {
            handler.SslOptions.RemoteCertificateValidationCallback = (_, certificate, chain, errors) =>
            {
                if (tls.SkipVerify || errors == System.Net.Security.SslPolicyErrors.None)
                {
                    return true;
                }

                if (tls.TrustedRoots is null || certificate is null || chain is null
                    || errors.HasFlag(System.Net.Security.SslPolicyErrors.RemoteCertificateNameMismatch))
                {
                    return false;
                }

                chain.ChainPolicy.TrustMode = System.Security.Cryptography.X509Certificates.X509ChainTrustMode.CustomRootTrust;
                chain.ChainPolicy.CustomTrustStore.AddRange(tls.TrustedRoots);
                chain.ChainPolicy.RevocationMode = System.Security.Cryptography.X509Certificates.X509RevocationMode.NoCheck;
                return chain.Build((System.Security.Cryptography.X509Certificates.X509Certificate2)certificate);
            };
            handler.SslOptions.LocalCertificateSelectionCallback = (_, _, _, _, _) => tls.ClientCertificate?.Invoke()!;
        }

        return handler;
    }

    private Task ServeAsync(HttpContext context)
    {
        string path = context.Request.Path.Value ?? "";
        if (path is "/health" or "/proxy/health" && !HttpMethods.IsGet(context.Request.Method))
        {
            context.Response.Headers.Allow = "GET";
            return AnswerAsync(context, 405, "Method Not Allowed\n");
        }

        return path switch
        {
            "/metrics" => MetricsAsync(context),
            "/health" => HealthAsync(context, _upstream.Endpoints.Count > 0),
            "/proxy/metrics" => AnswerAsync(context, 200, _figures.Page(_router), "text/plain; version=0.0.4; charset=utf-8"),
            "/proxy/health" => HealthAsync(context, _options.AdvertiseClientUrl.Length > 0),
            _ => AnswerAsync(context, 404, "404 page not found\n"),
        };
    }

    /// <summary>What the first member that answers says of itself.</summary>
    private async Task MetricsAsync(HttpContext context)
    {
        string trouble = "no endpoints";
        foreach (string endpoint in _upstream.Endpoints)
        {
            (string address, _) = Endpoint.Interpret(endpoint, _options.Cluster.Tls is not null);
            try
            {
                string page = await _http.GetStringAsync(new Uri(address + "/metrics"), context.RequestAborted).ConfigureAwait(false);
                await AnswerAsync(context, 200, page, "text/plain; version=0.0.4; charset=utf-8").ConfigureAwait(false);
                return;
            }
            catch (Exception e) when (e is HttpRequestException or OperationCanceledException or UriFormatException)
            {
                trouble = e.Message;
            }
        }

        await AnswerAsync(context, 500, trouble + "\n").ConfigureAwait(false);
    }

    /// <summary>A linearizable read through everything. Who may not read is answered by a healthy cluster all the same.</summary>
    private async Task HealthAsync(HttpContext context, bool isChecked)
    {
        string reason = isChecked ? "" : "no endpoint to check";
        if (isChecked)
        {
            try
            {
                await _upstream.CallAsync<RangeResponse>(
                    "/etcdserverpb.KV/Range",
                    new RangeRequest { Key = ByteString.CopyFromUtf8("health") },
                    Metadata.Empty,
                    DateTime.UtcNow + HealthPatience,
                    mayRepeat: true,
                    context.RequestAborted).ConfigureAwait(false);
            }
            catch (RpcException e) when (e.Code is StatusCode.PermissionDenied || e.Message == "etcdserver: user name is empty")
            {
                // The cluster has decided something: it is there.
            }
            catch (Exception e) when (e is RpcException or OperationCanceledException)
            {
                reason = $"RANGE ERROR:{e.Message}";
            }
        }

        string body = JsonSerializer.Serialize(new { health = reason.Length == 0 ? "true" : "false", reason });
        await AnswerAsync(context, reason.Length == 0 ? 200 : 503, body).ConfigureAwait(false);
    }

    private async Task SyncAsync()
    {
        using var timer = new PeriodicTimer(_options.AutoSyncInterval);
        while (await timer.WaitForNextTickAsync(_stop.Token).ConfigureAwait(false))
        {
            try
            {
                MemberListResponse members = await _upstream.CallAsync<MemberListResponse>(
                    "/etcdserverpb.Cluster/MemberList",
                    new MemberListRequest(),
                    Metadata.Empty,
                    DateTime.UtcNow + HealthPatience,
                    mayRepeat: true,
                    _stop.Token).ConfigureAwait(false);
                string[] urls = [.. members.Members.Where(m => m.Name.Length > 0 && !m.IsLearner).SelectMany(m => m.ClientURLs)];
                if (urls.Length > 0)
                {
                    _upstream.Replace(urls);
                }
            }
            catch (RpcException e)
            {
                _log(true, "failed to sync the endpoints", ("error", e.Message));
            }
        }
    }

    private static Task AnswerAsync(HttpContext context, int status, string text, string type = "text/plain; charset=utf-8")
    {
        context.Response.StatusCode = status;
        context.Response.ContentType = type;
        return context.Response.WriteAsync(text);
    }
}
