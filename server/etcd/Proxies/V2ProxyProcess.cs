using Perf.Client;
using Perf.Etcd.Bootstrap;
using Perf.Grpc;
using Perf.Node.Cluster;
using Perf.Node.Config;
using Perf.Node.Logging;
using Perf.Node.Security;
using Perf.Proxy.V2;
using Perf.Rpc;

namespace Perf.Etcd.Proxies;

/// <summary>`etcd --proxy on|readonly`, and what is left for a member whose discovered cluster is full.</summary>
internal static class V2ProxyProcess
{
    public static async Task<int> RunAsync(
        ServerConfig config,
        DataDirectory directory,
        Log log,
        IReadOnlyDictionary<string, string> environment,
        StopSignals signals)
    {
        log.Info("v2 API proxy starting");
        directory.PrepareProxy();
        string clusterFile = Path.Combine(directory.ProxyDirectory, "cluster");
        IReadOnlyList<string> peers = V2Proxy.Remembered(clusterFile) is { } remembered
            ? Recall(config, remembered, clusterFile, log)
            : await FindAsync(config, log, environment).ConfigureAwait(false);
        TlsSettings tls = config.ClientTls.IsEmpty && config.ClientTls.TrustedCaFile.Length == 0 ? config.PeerTls : config.ClientTls;
        TlsSide side = TlsSide.OpenForClients(config, log, TimeProvider.System);
        await using var proxy = new V2Proxy(
            new V2ProxyOptions
            {
                Listen =
                [
                    .. config.ListenClientUrls.Select(url => new ListenEndpoint
                    {
                        Url = url.OriginalString,
                        Tls = ListenTls.For(url, side),
                        Protocols = ServedProtocols.Http1,
                    }),
                ],
                PeerUrls = peers,
                ClusterFile = clusterFile,
                Tls = EtcdTls.FromFiles(tls.TrustedCaFile, tls.CertFile, tls.KeyFile) with { SkipVerify = tls.AutoTls },
                IsReadOnly = config.Proxy.Mode == "readonly",
                FailureWait = TimeSpan.FromMilliseconds(config.Proxy.FailureWaitMs),
                RefreshInterval = TimeSpan.FromMilliseconds(Math.Max(1, config.Proxy.RefreshIntervalMs)),
                DialTimeout = TimeSpan.FromMilliseconds(Math.Max(1, config.Proxy.DialTimeoutMs)),
                WriteTimeout = TimeSpan.FromMilliseconds(config.Proxy.WriteTimeoutMs),
                ReadTimeout = TimeSpan.FromMilliseconds(config.Proxy.ReadTimeoutMs),
            },
            (isWarning, message, fields) => log.Write(isWarning ? LogLevel.Warn : LogLevel.Info, message, fields));
        await proxy.StartAsync().ConfigureAwait(false);
        SystemdNotice.Ready(environment, log);
        await signals.Stopped.ConfigureAwait(false);
        return 0;
    }

    private static IReadOnlyList<string> Recall(
        ServerConfig config, IReadOnlyList<string> remembered, string clusterFile, Log log)
    {
        if (config.Discovery.Url.Length > 0 || config.Discovery.SrvDomain.Length > 0)
        {
            log.Warn(
                "discovery ignored since the proxy has already been initialized; valid cluster file found",
                ("cluster-file", clusterFile));
        }

        log.Info("proxy using peer URLS from cluster file", ("peer-urls", remembered), ("cluster-file", clusterFile));
        return remembered;
    }

    private static async Task<IReadOnlyList<string>> FindAsync(
        ServerConfig config, Log log, IReadOnlyDictionary<string, string> environment)
    {
        if (config.Discovery.Url.Length > 0)
        {
            using var discovery = new DiscoveryV2(config.Discovery.Url, config.Discovery.Proxy, "", log);
            config.InitialCluster = await discovery.LookAsync(CancellationToken.None).ConfigureAwait(false);
        }
        else if (config.Discovery.SrvDomain.Length > 0)
        {
            SrvResolver resolver = SrvResolver.FromVariable(environment.GetValueOrDefault(SrvResolver.ServerVariable) ?? "");
            config.InitialCluster = await new DiscoveryDns(config, resolver, log)
                .FindAsync(isMember: false, CancellationToken.None).ConfigureAwait(false);
        }

        string[] peers =
        [
            .. InitialCluster.Parse(config.InitialCluster, config.InitialClusterToken).Members.SelectMany(m => m.PeerUrls),
        ];
        log.Info("proxy using peer URLS", ("peer-urls", peers));
        return peers;
    }
}
