using Perf.Client;
using Perf.Node.Config;
using Perf.Node.Logging;
using Perf.Store.Membership;

namespace Perf.Etcd.Bootstrap;

/// <summary>How a member without data finds those it founds a cluster with, when it was not told.</summary>
internal static class MemberDiscovery
{
    /// <summary>
    /// Fills in --initial-cluster (and, with a discovery service, the token that ids are made with). Throws
    /// <see cref="DiscoveryException"/>; does nothing where the members are named.
    /// </summary>
    public static async Task FindAsync(
        ServerConfig config, Log log, IReadOnlyDictionary<string, string> environment, CancellationToken cancelled)
    {
        DiscoverySettings settings = config.Discovery;
        string contents = string.Join(',', config.AdvertisePeerUrls.Select(url => $"{config.Name}={url}"));
        if (settings.Url.Length > 0)
        {
            config.InitialClusterToken = settings.Url;
            using var discovery = new DiscoveryV2(settings.Url, settings.Proxy, SelfId(config), log);
            config.InitialCluster = await discovery.JoinAsync(contents, cancelled).ConfigureAwait(false);
        }
        else if (settings.Endpoints.Count > 0)
        {
            config.InitialClusterToken = settings.Token;
            config.InitialCluster = await new DiscoveryV3(settings, SelfId(config), log)
                .JoinAsync(contents, cancelled).ConfigureAwait(false);
        }
        else if (settings.SrvDomain.Length > 0)
        {
            SrvResolver resolver = SrvResolver.FromVariable(environment.GetValueOrDefault(SrvResolver.ServerVariable) ?? "");
            config.InitialCluster = await new DiscoveryDns(config, resolver, log).FindAsync(isMember: true, cancelled)
                .ConfigureAwait(false);
        }
    }

    /// <summary>The id this member will have, by the token that is set (SURFACE DSC-02).</summary>
    private static string SelfId(ServerConfig config) => MemberIds.Hex(MemberIds.Compute(
        [.. config.AdvertisePeerUrls.Order(StringComparer.Ordinal)], config.InitialClusterToken));
}
