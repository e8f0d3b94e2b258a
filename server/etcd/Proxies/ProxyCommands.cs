using System.Globalization;
using System.Net;
using System.Net.Sockets;
using Perf.Client;
using Perf.Grpc;
using Perf.Node.Cluster;
using Perf.Node.Config;
using Perf.Node.Logging;
using Perf.Node.Security;
using Perf.Proxy;
using Perf.Proxy.Gateway;
using Perf.Proxy.Grpc;
using Perf.Rpc;

namespace Perf.Etcd.Proxies;

/// <summary>`etcd gateway start` and `etcd grpc-proxy start` (SURFACE 4.6).</summary>
internal static class ProxyCommands
{
    private const int SendBytesMax = 1_572_864;

    /// <summary>True when the first argument names a proxy and not the server.</summary>
    public static bool Owns(IReadOnlyList<string> arguments) => arguments is ["gateway" or "grpc-proxy", ..];

    /// <summary>Runs until a signal asks for the end; the process's exit code.</summary>
    public static async Task<int> RunAsync(IReadOnlyList<string> arguments, IReadOnlyDictionary<string, string> environment)
    {
        bool isGateway = arguments[0] == "gateway";
        ProxyFlags flags = isGateway ? GatewayFlags() : GrpcFlags();
        try
        {
            if (arguments.Count == 1 || arguments[1] is "-h" or "--help")
            {
                Console.Out.Write(isGateway
                    ? "gateway related command\n\nUsage:\n  etcd gateway [command]\n\nAvailable Commands:\n  start       start the gateway\n"
                    : "grpc-proxy related command\n\nUsage:\n  etcd grpc-proxy [command]\n\nAvailable Commands:\n  start       start the grpc proxy\n");
                return 0;
            }

            if (arguments[1] != "start")
            {
                throw new ProxyUsageException($"unknown command \"{arguments[1]}\" for \"etcd {arguments[0]}\"");
            }

            if (!flags.Read([.. arguments.Skip(2)]))
            {
                Console.Out.Write($"Usage:\n  etcd {arguments[0]} start [flags]\n\nFlags:\n{flags.Describe()}");
                return 0;
            }

            Log log = LogOutputs.OpenDefault(TimeProvider.System);
            log.Info("Running: ", ("args", new[] { "etcd" }.Concat(arguments)));
            return await (isGateway
                ? RunGatewayAsync(flags, log, environment)
                : RunGrpcAsync(flags, log, environment)).ConfigureAwait(false);
        }
        catch (Exception e) when (e is ProxyUsageException or SocketException or IOException or SrvLookupException
            or StartRefusedException or FormatException or ConfigException or System.Security.Cryptography.CryptographicException)
        {
            await Console.Error.WriteLineAsync($"Error: {e.Message}").ConfigureAwait(false);
            return 1;
        }
    }

    private static ProxyFlags GatewayFlags() => Discovery(new ProxyFlags()
        .Text("listen-addr", "127.0.0.1:23790", "listen address")
        .Texts("endpoints", "127.0.0.1:2379", "comma separated etcd cluster endpoints")
        .Text("trusted-ca-file", "", "CA that the discovered endpoints' certificates must be of; those without TLS are left out")
        .Duration("retry-delay", "1m0s", "how long an endpoint that failed is left alone"));

    private static ProxyFlags GrpcFlags() => Discovery(new ProxyFlags()
        .Text("listen-addr", "127.0.0.1:23790", "listen address")
        .Texts("endpoints", "127.0.0.1:2379", "comma separated etcd cluster endpoints")
        .Duration("endpoints-auto-sync-interval", "0s", "how often the endpoints are asked for anew (0: never)")
        .Duration("dial-keepalive-time", "0s", "silence after which a connection to the cluster is probed (0: never)")
        .Duration("dial-keepalive-timeout", "20s", "how long such a probe may stay unanswered")
        .Switch("permit-without-stream", false, "probe connections that carry no call, too")
        .Text("metrics-addr", "", "a further URL for /metrics and /health")
        .Text("advertise-client-url", "127.0.0.1:23790", "address that clients reach this proxy by")
        .Text("resolver-prefix", "", "prefix under which proxies register themselves")
        .Number("resolver-ttl", 0, "seconds that a registration outlives its proxy")
        .Text("namespace", "", "prefix put before all keys")
        .Text("data-dir", "default.proxy", "where the certificates of --auto-tls are kept")
        .Number("max-send-bytes", SendBytesMax, "largest request sent to the cluster")
        .Number("max-recv-bytes", int.MaxValue, "largest answer taken from the cluster")
        .Number("max-concurrent-streams", uint.MaxValue, "streams that a client may open on a connection")
        .Duration("grpc-keepalive-min-time", "5s", "shortest time between a client's pings")
        .Duration("grpc-keepalive-interval", "2h0m0s", "silence after which a client is pinged (0: never)")
        .Duration("grpc-keepalive-timeout", "20s", "how long such a ping may stay unanswered")
        .Text("cert", "", "certificate shown to the cluster")
        .Text("key", "", "its key")
        .Text("cacert", "", "CA that the cluster's certificates must be of")
        .Switch("insecure-skip-tls-verify", false, "do not check the cluster's certificates (tests only)")
        .Text("cert-file", "", "certificate shown to clients")
        .Text("key-file", "", "its key")
        .Text("trusted-ca-file", "", "CA that clients' certificates must be of")
        .Texts("listen-cipher-suites", "", "cipher suites towards clients")
        .Switch("auto-tls", false, "TLS towards clients with a certificate made here")
        .Text("client-crl-file", "", "certificates of clients that are revoked")
        .Number("self-signed-cert-validity", 1, "years that the certificate of --auto-tls is good for")
        .Text("tls-min-version", "TLS1.2", "lowest TLS version towards clients")
        .Text("tls-max-version", "", "highest TLS version towards clients")
        .Switch("enable-pprof", false, "accepted; a .NET process has its own tools")
        .Switch("debug", false, "log more")
        .Switch("experimental-serializable-ordering", false, "no serializable read is older than one before it")
        .Text("experimental-leasing-prefix", "", "not served")
        .Switch("experimental-enable-grpc-logging", false, "accepted, without effect"));

    private static ProxyFlags Discovery(ProxyFlags flags) => flags
        .Text("discovery-srv", "", "DNS domain whose SRV records name the endpoints")
        .Text("discovery-srv-name", "", "suffix of the service names asked for")
        .Switch("insecure-discovery", false, "take records of services without TLS");

    private static async Task<int> RunGatewayAsync(ProxyFlags flags, Log log, IReadOnlyDictionary<string, string> environment)
    {
        IReadOnlyList<SrvRecord> endpoints = await GatewayEndpointsAsync(flags, environment).ConfigureAwait(false);
        IPEndPoint listen = await ResolveAsync(flags["listen-addr"], "listen").ConfigureAwait(false);
        foreach (SrvRecord endpoint in endpoints.Where(e => e.Port == listen.Port))
        {
            IPAddress[] addresses = await Dns.GetHostAddressesAsync(endpoint.Target).ConfigureAwait(false);
            if (addresses.Contains(listen.Address))
            {
                throw new ProxyUsageException(
                    $"SRV or endpoint ({endpoint.HostPort}) should not resolve to the gateway listen addr ({flags["listen-addr"]})");
            }
        }

        await using var gateway = new TcpGateway(
            new GatewayOptions { Listen = listen, Endpoints = endpoints, RetryDelay = flags.Time("retry-delay") }, Into(log));
        gateway.Start();
        SystemdNotice.Ready(environment, log);
        return await UntilStoppedAsync(log).ConfigureAwait(false);
    }

    private static async Task<IReadOnlyList<SrvRecord>> GatewayEndpointsAsync(
        ProxyFlags flags, IReadOnlyDictionary<string, string> environment)
    {
        if (flags["discovery-srv"].Length > 0)
        {
            SrvResolver resolver = Resolver(environment);
            var records = new List<SrvRecord>();
            bool plainToo = flags.IsOn("insecure-discovery") || flags["trusted-ca-file"].Length == 0;
            SrvLookupException? failure = null;
            foreach (bool secure in plainToo ? (bool[])[true, false] : [true])
            {
                try
                {
                    records.AddRange(await resolver.LookupAsync(
                        SrvResolver.ServiceName("etcd-client", flags["discovery-srv-name"], secure), flags["discovery-srv"])
                        .ConfigureAwait(false));
                }
                catch (SrvLookupException e)
                {
                    failure = e;
                }
            }

            return records.Count > 0 ? records : throw failure!;
        }

        var endpoints = new List<SrvRecord>();
        foreach (string endpoint in flags.List("endpoints"))
        {
            int scheme = endpoint.IndexOf("://", StringComparison.Ordinal);
            string address = (scheme < 0 ? endpoint : endpoint[(scheme + 3)..]).TrimEnd('/');
            int colon = address.LastIndexOf(':');
            if (colon <= 0 || !ushort.TryParse(address[(colon + 1)..], NumberStyles.None, CultureInfo.InvariantCulture, out ushort port))
            {
                throw new ProxyUsageException($"error parsing endpoint \"{endpoint}\"");
            }

            endpoints.Add(new SrvRecord(0, 0, port, address[..colon].Trim('[', ']')));
        }

        return endpoints.Count > 0 ? endpoints : throw new ProxyUsageException("no endpoints found");
    }

    private static async Task<int> RunGrpcAsync(ProxyFlags flags, Log log, IReadOnlyDictionary<string, string> environment)
    {
        Check(flags);
        IReadOnlyList<string> endpoints = flags["discovery-srv"].Length > 0
            ? await DiscoveredAsync(flags, environment).ConfigureAwait(false)
            : flags.List("endpoints");
        if (endpoints.Count == 0)
        {
            throw new ProxyUsageException("no endpoints found");
        }

        bool isSecure = flags["cacert"].Length + flags["cert"].Length + flags["key"].Length > 0
            || flags.IsOn("insecure-skip-tls-verify");
        RequireEmptyCommonName(flags["cert"]);
        var options = new GrpcProxyOptions
        {
            Listen = flags["listen-addr"],
            Tls = ListenSide(flags, log),
            Cluster = new EtcdClientOptions
            {
                Endpoints = endpoints,
                Tls = isSecure
                    ? EtcdTls.FromFiles(flags["cacert"], flags["cert"], flags["key"]) with
                    {
                        SkipVerify = flags.IsOn("insecure-skip-tls-verify"),
                    }
                    : null,
                KeepAliveTime = flags.Time("dial-keepalive-time"),
                KeepAliveTimeout = flags.Time("dial-keepalive-timeout"),
                ReceiveBytesMax = flags.CountInt("max-recv-bytes"),
            },
            MetricsUrl = flags["metrics-addr"],
            Namespace = flags["namespace"],
            ResolverPrefix = flags["resolver-prefix"].TrimEnd('/'),
            ResolverTtlSeconds = flags.CountInt("resolver-ttl"),
            AdvertiseClientUrl = flags["advertise-client-url"],
            SerializableOrdering = flags.IsOn("experimental-serializable-ordering"),
            AutoSyncInterval = flags.Time("endpoints-auto-sync-interval"),
            StreamsPerConnectionMax = (uint)Math.Clamp(flags.Count("max-concurrent-streams"), 1, uint.MaxValue),
            KeepAliveMinTime = flags.Time("grpc-keepalive-min-time"),
            KeepAliveInterval = flags.Time("grpc-keepalive-interval"),
            KeepAliveTimeout = flags.Time("grpc-keepalive-timeout"),
        };
        await using var proxy = new GrpcProxyServer(options, Into(log));
        await proxy.StartAsync().ConfigureAwait(false);
        SystemdNotice.Ready(environment, log);
        return await UntilStoppedAsync(log).ConfigureAwait(false);
    }

    private static void Check(ProxyFlags flags)
    {
        bool hasPrefix = flags["resolver-prefix"].Length > 0;
        if (hasPrefix && flags.Count("resolver-ttl") < 1)
        {
            throw new ProxyUsageException($"invalid resolver-ttl {flags["resolver-ttl"]}");
        }

        if (!hasPrefix && flags.Count("resolver-ttl") > 0)
        {
            throw new ProxyUsageException("invalid resolver-prefix \"\"");
        }

        if (hasPrefix && flags["advertise-client-url"].Length == 0)
        {
            throw new ProxyUsageException("invalid advertise-client-url \"\"");
        }

        if (flags["experimental-leasing-prefix"].Length > 0)
        {
            // Writing beside others' leased keys would make their copies lie.
            throw new ProxyUsageException("--experimental-leasing-prefix: leasing is not served by this proxy");
        }
    }

    /// <summary>With a name in its certificate the proxy would speak for all its clients.</summary>
    private static void RequireEmptyCommonName(string certFile)
    {
        if (certFile.Length == 0)
        {
            return;
        }

        using var certificate = System.Security.Cryptography.X509Certificates.X509Certificate2.CreateFromPem(File.ReadAllText(certFile));
        string name = CertificateNames.CommonName(certificate);
        if (name.Length > 0)
        {
            throw new ProxyUsageException($"cert has non empty Common Name ({name}): {certFile}");
        }
    }

    private static TlsOptions? ListenSide(ProxyFlags flags, Log log)
    {
        if (flags["cert-file"].Length == 0 && !flags.IsOn("auto-tls"))
        {
            return null;
        }

        var url = new Uri("https://" + flags["listen-addr"]);
        var config = new ServerConfig
        {
            DataDir = Path.Combine(flags["data-dir"]),
            ListenClientUrls = [url],
            SelfSignedCertValidityYears = flags.CountInt("self-signed-cert-validity"),
            CipherSuites = flags.List("listen-cipher-suites"),
            TlsMinVersion = flags["tls-min-version"],
            TlsMaxVersion = flags["tls-max-version"],
        };
        config.ClientTls.CertFile = flags["cert-file"];
        config.ClientTls.KeyFile = flags["key-file"];
        config.ClientTls.TrustedCaFile = flags["trusted-ca-file"];
        config.ClientTls.CrlFile = flags["client-crl-file"];
        config.ClientTls.AutoTls = flags.IsOn("auto-tls");
        return ListenTls.For(url, TlsSide.OpenForClients(config, log, TimeProvider.System));
    }

    private static async Task<IReadOnlyList<string>> DiscoveredAsync(
        ProxyFlags flags, IReadOnlyDictionary<string, string> environment)
    {
        IReadOnlyList<string> found = await Resolver(environment)
            .ClientEndpointsAsync(flags["discovery-srv"], flags["discovery-srv-name"]).ConfigureAwait(false);
        return flags.IsOn("insecure-discovery") || flags["cacert"].Length == 0
            ? found
            : [.. found.Where(e => e.StartsWith("https:", StringComparison.Ordinal))];
    }

    private static SrvResolver Resolver(IReadOnlyDictionary<string, string> environment) =>
        SrvResolver.FromVariable(environment.GetValueOrDefault(SrvResolver.ServerVariable) ?? "");

    private static async Task<IPEndPoint> ResolveAsync(string address, string what)
    {
        int colon = address.LastIndexOf(':');
        if (colon < 0 || !ushort.TryParse(address[(colon + 1)..], NumberStyles.None, CultureInfo.InvariantCulture, out ushort port))
        {
            throw new ProxyUsageException($"failed to validate {what} address: {address}");
        }

        string host = address[..colon].Trim('[', ']');
        if (host.Length == 0)
        {
            return new IPEndPoint(IPAddress.IPv6Any, port);
        }

        IPAddress[] addresses = await Dns.GetHostAddressesAsync(host).ConfigureAwait(false);
        return new IPEndPoint(addresses[0], port);
    }

    private static async Task<int> UntilStoppedAsync(Log log)
    {
        using var signals = new StopSignals(log);
        await signals.Stopped.ConfigureAwait(false);
        return 0;
    }

    private static ProxyLog Into(Log log) => (isWarning, message, fields) =>
        log.Write(isWarning ? LogLevel.Warn : LogLevel.Info, message, fields);
}
