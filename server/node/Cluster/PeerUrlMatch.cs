using System.Net;
using System.Net.Sockets;

namespace Perf.Node.Cluster;

/// <summary>
/// Whether two lists of peer URLs mean the same places: letter by letter, or with hosts' names replaced by their addresses,
/// as etcd compares them (SURFACE BST-03).
/// </summary>
internal sealed class PeerUrlMatch(Func<string, IPAddress?> resolve)
{
    private readonly Dictionary<string, IPAddress?> _known = [];

    /// <summary>With the system's resolver. A name that has no address equals only itself.</summary>
    public PeerUrlMatch()
        : this(Resolve)
    {
    }

    public bool AreEqual(IReadOnlyCollection<string> a, IReadOnlyCollection<string> b) =>
        a.Count == b.Count
        && (Sorted(a).SequenceEqual(Sorted(b)) || Sorted(a.Select(Resolved)).SequenceEqual(Sorted(b.Select(Resolved))));

    private static IOrderedEnumerable<string> Sorted(IEnumerable<string> urls) => urls.Order(StringComparer.Ordinal);

    private string Resolved(string text)
    {
        if (!Uri.TryCreate(text, UriKind.Absolute, out Uri? url) || url.HostNameType != UriHostNameType.Dns)
        {
            return text;
        }

        if (!_known.TryGetValue(url.IdnHost, out IPAddress? address))
        {
            address = resolve(url.IdnHost);
            _known.Add(url.IdnHost, address);
        }

        return address is null ? text : $"{url.Scheme}://{new IPEndPoint(address, url.Port)}";
    }

    /// <summary>The address etcd would take: the first of version 4 if there is one.</summary>
    private static IPAddress? Resolve(string host)
    {
        try
        {
            IPAddress[] all = Dns.GetHostAddresses(host);
            return all.FirstOrDefault(a => a.AddressFamily == AddressFamily.InterNetwork) ?? all.FirstOrDefault();
        }
        catch (SocketException)
        {
            return null;
        }
    }
}
