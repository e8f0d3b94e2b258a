using System.Globalization;
using System.Net;
using System.Net.Sockets;
using Perf.Node.Cluster;
using Perf.Node.Logging;

namespace Perf.Node.Config;

/// <summary>What a member without data must find in --initial-cluster: itself, under the URLs it advertises.</summary>
public static class BootstrapRules
{
    private static readonly TimeSpan ResolvePatience = TimeSpan.FromSeconds(30);
    private static readonly TimeSpan ResolveRetry = TimeSpan.FromSeconds(1);

    /// <summary>Throws <see cref="StartRefusedException"/> with etcd's text.</summary>
    public static void Verify(ServerConfig config, Log log)
    {
        Dictionary<string, SortedSet<string>> members = Parse(config.InitialCluster);
        if (!members.TryGetValue(config.Name, out SortedSet<string>? own))
        {
            throw new StartRefusedException(
                $"couldn't find local name {GoText.Quote(config.Name)} in the initial cluster configuration");
        }

        if (config.NewCluster)
        {
            RequireSame(config, own, log);
        }

        List<string> all = [.. members.Values.SelectMany(urls => urls)];
        if (all.Distinct(StringComparer.Ordinal).Count() != all.Count)
        {
            throw new StartRefusedException($"initial cluster {Show(members)} has duplicate url");
        }
    }

    private static Dictionary<string, SortedSet<string>> Parse(string text)
    {
        var members = new Dictionary<string, SortedSet<string>>(StringComparer.Ordinal);
        foreach (string part in text.Split(',', StringSplitOptions.RemoveEmptyEntries))
        {
            int equals = part.IndexOf('=', StringComparison.Ordinal);
            string name = equals < 0 ? part : part[..equals];
            if (!members.TryGetValue(name, out SortedSet<string>? urls))
            {
                members.Add(name, urls = new SortedSet<string>(StringComparer.Ordinal));
            }

            try
            {
                urls.UnionWith(EtcdUrls.Parse(equals < 0 ? "" : part[(equals + 1)..]));
            }
            catch (FormatException e)
            {
                throw new StartRefusedException($"error setting up initial cluster: {e.Message}");
            }
        }

        return members;
    }

    /// <summary>The same texts, or texts that resolve to the same addresses.</summary>
    private static void RequireSame(ServerConfig config, SortedSet<string> own, Log log)
    {
        List<string> advertised = [.. config.AdvertisePeerUrls.Order(StringComparer.Ordinal)];
        if (own.SetEquals(advertised))
        {
            return;
        }

        string trouble;
        if (advertised.Count != own.Count)
        {
            trouble = $"len({GoText.Quote(advertised)}) != len({GoText.Quote(own)})";
        }
        else
        {
            List<string> resolvedAdvertised = Resolve(advertised, log);
            List<string> resolvedOwn = Resolve(own, log);
            int at = Enumerable.Range(0, own.Count)
                .FirstOrDefault(i => resolvedAdvertised[i] != resolvedOwn[i], -1);
            if (at < 0)
            {
                return;
            }

            trouble = $"resolved urls: {GoText.Quote(resolvedAdvertised[at])} != {GoText.Quote(resolvedOwn[at])}";
        }

        List<string> missing = [.. own.Except(advertised).Select(url => $"{config.Name}={url}")];
        if (missing.Count > 0)
        {
            throw new StartRefusedException(
                $"--initial-cluster has {string.Join(',', missing)} but missing from"
                + $" --initial-advertise-peer-urls={string.Join(',', advertised)} ({trouble})");
        }

        throw new StartRefusedException(
            $"--initial-advertise-peer-urls has {string.Join(',', advertised.Except(own))} but missing from"
            + $" --initial-cluster={string.Join(',', advertised.Select(url => $"{config.Name}={url}"))}");
    }

    private static List<string> Resolve(IEnumerable<string> urls, Log log) =>
        [.. urls.Select(url => Resolve(url, log)).Order(StringComparer.Ordinal)];

    private static string Resolve(string url, Log log)
    {
        string scheme = url[..url.IndexOf(':', StringComparison.Ordinal)];
        if (EtcdUrls.IsUnix(scheme))
        {
            return url;
        }

        string authority = EtcdUrls.Authority(url);
        string host = EtcdUrls.Split(authority, out string port);
        if (host == "localhost")
        {
            return url;
        }

        DateTime end = DateTime.UtcNow + ResolvePatience;
        while (true)
        {
            try
            {
                IPAddress address = IPAddress.TryParse(host, out IPAddress? ip) ? ip : Dns.GetHostAddresses(host)[0];
                return $"{scheme}://{new IPEndPoint(address, int.Parse(port, CultureInfo.InvariantCulture))}";
            }
            catch (SocketException e) when (DateTime.UtcNow < end)
            {
                log.Warn(
                    "failed to resolve URL Host",
                    ("url", url),
                    ("host", authority),
                    ("retry-interval", ResolveRetry),
                    ("error", e));
                Thread.Sleep(ResolveRetry);
            }
            catch (SocketException e)
            {
                throw new StartRefusedException($"failed to resolve {GoText.Quote(url)} ({e.Message})");
            }
        }
    }

    private static string Show(Dictionary<string, SortedSet<string>> members) => string.Join(
        ',',
        members.SelectMany(m => m.Value.Select(url => $"{m.Key}={url}")).Order(StringComparer.Ordinal));
}
