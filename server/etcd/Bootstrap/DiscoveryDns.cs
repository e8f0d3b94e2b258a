using System.Net;
using System.Net.Sockets;
using Perf.Client;
using Perf.Node.Config;
using Perf.Node.Logging;

namespace Perf.Etcd.Bootstrap;

/// <summary>The founders as a DNS domain's SRV records name them (SURFACE 5.4).</summary>
internal sealed class DiscoveryDns(ServerConfig config, SrvResolver resolver, Log log)
{
    /// <summary>
    /// The value of --initial-cluster; this member under its name, the others numbered. Only a member must be among them.
    /// </summary>
    public async Task<string> FindAsync(bool isMember, CancellationToken cancelled)
    {
        var own = new Dictionary<string, string>(StringComparer.Ordinal);
        foreach (string url in config.AdvertisePeerUrls)
        {
            var parsed = new Uri(url);
            foreach (string address in await ResolveAsync(parsed.Host, parsed.Port, cancelled).ConfigureAwait(false))
            {
                own[address] = parsed.Scheme;
            }
        }

        var founders = new List<string>();
        var troubles = new List<string>();
        foreach ((bool secure, string scheme) in new[] { (true, "https"), (false, "http") })
        {
            string service = SrvResolver.ServiceName("etcd-server", config.Discovery.SrvName, secure);
            try
            {
                int number = 0;
                foreach (SrvRecord record in await resolver
                    .LookupAsync(service, config.Discovery.SrvDomain, cancelled).ConfigureAwait(false))
                {
                    IReadOnlyList<string> addresses = await ResolveAsync(record.Target, record.Port, cancelled).ConfigureAwait(false);
                    string? match = addresses.FirstOrDefault(own.ContainsKey);
                    string name = match is null
                        ? (number++).ToString(System.Globalization.CultureInfo.InvariantCulture)
                        : config.Name;
                    if (match is not null && own[match] != scheme)
                    {
                        troubles.Add(
                            $"bootstrap at {record.HostPort} from DNS for {service} has scheme mismatch with expected peer {own[match]}");
                        continue;
                    }

                    founders.Add($"{name}={scheme}://{record.HostPort}");
                }
            }
            catch (SrvLookupException e)
            {
                troubles.Add($"error querying DNS SRV records for _{service} {e.Message}");
            }
        }

        log.Info("get cluster for etcd-server SRV", ("dns-cluster", config.Discovery.SrvDomain), ("found-cluster", founders));
        foreach (string trouble in troubles)
        {
            log.Warn("failed to resolve during SRV discovery", ("error", trouble));
        }

        if (founders.Count == 0)
        {
            throw new DiscoveryException(string.Join("; ", troubles));
        }

        return !isMember || founders.Exists(f => f.StartsWith(config.Name + "=", StringComparison.Ordinal))
            ? string.Join(',', founders)
            : throw new DiscoveryException($"cannot find local etcd member \"{config.Name}\" in SRV records");
    }

    private async Task<IReadOnlyList<string>> ResolveAsync(string host, int port, CancellationToken cancelled)
    {
        try
        {
            IPAddress[] addresses = IPAddress.TryParse(host.Trim('[', ']'), out IPAddress? ip)
                ? [ip]
                : await Dns.GetHostAddressesAsync(host, cancelled).ConfigureAwait(false);
            return [.. addresses.Select(a => new IPEndPoint(a, port).ToString())];
        }
        catch (SocketException e)
        {
            log.Warn("failed to resolve a host", ("host", host), ("error", e));
            return [];
        }
    }
}
