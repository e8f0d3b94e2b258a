using System.Net;
using System.Net.NetworkInformation;
using System.Net.Sockets;
using Perf.Node.Logging;

namespace Perf.Node.Config;

/// <summary>
/// A member that listens on every address and was told none for the others to use tells the machine's own; and a
/// default --initial-cluster follows the member's name and peer URLs.
/// </summary>
internal static class AdvertiseHost
{
    private const string EveryAddress = "0.0.0.0";

    public static void Complete(ServerConfig config, string defaultInitialCluster, List<ConfigNote> notes)
    {
        bool peers = Applies(config.AdvertisePeerUrls, "http://localhost:2380", config.ListenPeerUrls);
        bool clients = Applies(config.AdvertiseClientUrls, "http://localhost:2379", config.ListenClientUrls);
        if ((peers || clients) && Detect() is { } host)
        {
            if (peers)
            {
                config.AdvertisePeerUrls = [$"http://{host}:{config.ListenPeerUrls[0].Port}"];
            }

            if (clients)
            {
                config.AdvertiseClientUrls = [$"http://{host}:{config.ListenClientUrls[0].Port}"];
            }

            notes.Add(new ConfigNote(LogLevel.Info, "detected default host for advertise", ("host", host)));
        }

        if (config.Name != "default" && config.InitialCluster == defaultInitialCluster)
        {
            string name = config.Name.Length > 0 ? config.Name : "default";
            config.InitialCluster = string.Join(',', config.AdvertisePeerUrls.Select(url => $"{name}={url}"));
        }
    }

    private static bool Applies(IReadOnlyList<string> advertised, string byDefault, IReadOnlyList<Uri> listen) =>
        advertised.Count == 1 && advertised[0] == byDefault && listen.Count > 0 && listen[0].Host == EveryAddress;

    /// <summary>The first IPv4 address of an interface that has a way out, or null.</summary>
    private static string? Detect()
    {
        try
        {
            return NetworkInterface.GetAllNetworkInterfaces()
                .Where(i => i.OperationalStatus == OperationalStatus.Up
                    && i.NetworkInterfaceType != NetworkInterfaceType.Loopback)
                .Select(i => i.GetIPProperties())
                .Where(p => p.GatewayAddresses.Any(g => !g.Address.Equals(IPAddress.Any)))
                .SelectMany(p => p.UnicastAddresses)
                .Select(a => a.Address)
                .FirstOrDefault(a => a.AddressFamily == AddressFamily.InterNetwork)
                ?.ToString();
        }
        catch (NetworkInformationException)
        {
            return null;
        }
    }
}
