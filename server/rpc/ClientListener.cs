using Perf.Grpc;
using Perf.Node;
using Perf.Node.Config;
using Perf.Node.Consensus;
using Perf.Rpc.Access;
using Perf.Rpc.Concurrency;
using Perf.Rpc.Http;
using Perf.Rpc.Http.Gateway;
using Perf.Rpc.Http.Health;
using Perf.Rpc.Http.Metrics;
using Perf.Rpc.Http.V2;
using Perf.Rpc.InProcess;
using Perf.Rpc.Reflection;
using Perf.Rpc.Tracing;

namespace Perf.Rpc;

/// <summary>The client port: all services on one router, plain HTTP beside them.</summary>
public sealed class ClientListener : IAsyncDisposable
{
    /// <summary>Above the request limit by this much the transport refuses, before it buffers (SURFACE REQ-08).</summary>
    private const int ReceiveSlackBytes = 512 * 1024;

    private readonly EtcdNode _node;
    private readonly GrpcServer _server;
    private readonly CallTracing? _tracing;
    private readonly IntakeGate _intake;

    public ClientListener(EtcdNode node)
    {
        _node = node;
        node.Pipeline.CompletionScope = new AnswersTogether();
        var services = new GrpcRouter();
        var admission = new Admission(node);
        var proposals = new Proposals(node, admission);
        var health = new HealthService();
        var maintenance = new MaintenanceService(node, admission, proposals, health);
        new KvService(node, admission, proposals).Map(services);
        new WatchService(node, admission).Map(services);
        new LeaseService(node, admission, proposals).Map(services);
        maintenance.Map(services);
        new ClusterService(node, admission).Map(services);
        new AuthService(node, admission, proposals).Map(services);
        new DowngradeService(node, admission).Map(services);
        health.Map(services);
        var local = new LocalClient();
        new LockService(local).Map(services);
        new ElectionService(local).Map(services);
        new ReflectionService(services).Map(services);
        var clients = new ClientVersions();
        _tracing = CallTracing.For(node.Config);
        GrpcRouter router = new AccessGuard(node, admission, clients, _tracing).Around(services);
        local.Router = router;
        if (node.Config.MaxClientCalls > 0)
        {
            // Around everything that comes from outside; what a call itself calls in this process is part of it.
            router = new CallLimit(node.Config.MaxClientCalls).Around(router);
        }

        var calls = new CallStats(node, router);
        var checks = new HealthChecks(node);
        JsonGateway? gateway = node.Config.EnableGrpcGateway ? new JsonGateway(node, router) : null;
        V2Http? v2 = node.Config.EnableV2
            ? new V2Http(node, node.Config.EnableV2V3.Length > 0
                ? new V2OverV3(local, node.Config.EnableV2V3)
                : new ReplicatedV2(node))
            : null;
        var http = new ClientHttp(node, checks, new MetricsPage(node, router, checks, clients, calls), gateway, v2);
        PendingTable pending = node.Pipeline.Pending;
        _intake = new IntakeGate(() => pending.Count >= PendingTable.CrowdedAt, () => pending.Count <= PendingTable.EasedAt);
        pending.Eased = _intake.Open;
        _server = new GrpcServer(
            new GrpcServerOptions
            {
                Endpoints = Endpoints(node, http),
                ReceiveBytesMax = node.Config.MaxRequestBytes + ReceiveSlackBytes,
                StreamsPerConnectionMax = node.Config.MaxConcurrentStreams,
                ConnectionsMax = node.Config.MaxClientConnections is > 0 and int max ? max : int.MaxValue,
                KeepAliveMinTime = node.Config.GrpcKeepAliveMinTime,
                KeepAliveInterval = node.Config.GrpcKeepAliveInterval,
                KeepAliveTimeout = node.Config.GrpcKeepAliveTimeout,
                Intake = _intake,
                ReusePort = node.Config.SocketReusePort,
                ReuseAddress = node.Config.SocketReuseAddress,
                Fallback = http.Serve,
                CallEnded = calls.Ended,
                Trouble = (what, e) => node.Log.Warn(what, ("error", e?.Message)),
            },
            router);
    }

    /// <summary>
    /// Clients' addresses serve gRPC and HTTP together, unless HTTP has addresses of its own; metrics' addresses serve
    /// only what a monitor asks for (SURFACE RPC-12, HTTP-05, HTTP-12).
    /// </summary>
    private static List<ListenEndpoint> Endpoints(EtcdNode node, ClientHttp http)
    {
        ServerConfig config = node.Config;
        bool isApart = config.ListenClientHttpUrls.Count > 0;
        var endpoints = new List<ListenEndpoint>();
        foreach (Uri url in config.ListenClientUrls)
        {
            endpoints.Add(new ListenEndpoint
            {
                Url = url.OriginalString,
                Tls = ListenTls.For(url, node.ClientTls),
                Protocols = isApart ? ServedProtocols.Http2 : ServedProtocols.Both,
            });
        }

        foreach (Uri url in config.ListenClientHttpUrls)
        {
            endpoints.Add(new ListenEndpoint
            {
                Url = url.OriginalString,
                Tls = ListenTls.For(url, node.ClientTls),
                Protocols = ServedProtocols.Http1,
            });
        }

        foreach (Uri url in config.ListenMetricsUrls)
        {
            endpoints.Add(new ListenEndpoint
            {
                Url = url.OriginalString,
                Tls = ListenTls.For(url, node.ClientTls),
                Protocols = ServedProtocols.Http1,
                Fallback = http.ServeMonitoring,
                IsUnlimited = true,
            });
        }

        return endpoints;
    }

    /// <summary>Binds and serves.</summary>
    public async Task StartAsync()
    {
        await _server.StartAsync().ConfigureAwait(false);
        foreach (Uri url in _node.Config.ListenClientUrls)
        {
            _node.Log.Info(
                ListenTls.IsSecure(url)
                    ? "serving client traffic securely"
                    : "serving client traffic insecurely; this is strongly discouraged!",
                ("address", url.Authority));
        }
    }

    /// <summary>Lets calls finish for a moment, then closes.</summary>
    public async ValueTask DisposeAsync()
    {
        await _server.StopAsync(TimeSpan.FromSeconds(1)).ConfigureAwait(false);
        await _server.DisposeAsync().ConfigureAwait(false);
        _node.Pipeline.Pending.Eased = null;
        _intake.Dispose();
        _tracing?.Dispose();
    }

    /// <summary>Requests that were applied together are answered together, one piece a connection.</summary>
    private sealed class AnswersTogether : ICompletionScope
    {
        public void Begin() => OutputBatch.Begin();

        public void End() => OutputBatch.End();
    }
}
