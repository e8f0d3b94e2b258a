using Perf.Store.Membership;

namespace Perf.Node.Cluster;

/// <summary>A start that the configuration or the data directory forbids; the text is for the operator.</summary>
public sealed class StartRefusedException(string message, Exception? inner = null) : Exception(message, inner);

/// <summary>What --initial-cluster says: who founds the cluster, under which URLs.</summary>
public sealed class InitialCluster
{
    private InitialCluster(IReadOnlyList<Member> members, ulong clusterId)
    {
        Members = members;
        ClusterId = clusterId;
    }

    /// <summary>All founders with their ids, ascending by id, named.</summary>
    public IReadOnlyList<Member> Members { get; }

    /// <summary>The id that these founders give the cluster.</summary>
    public ulong ClusterId { get; }

    /// <summary>
    /// Reads "name=url,name=url,name2=url": a name may come several times, once a URL. Throws
    /// <see cref="StartRefusedException"/>.
    /// </summary>
    public static InitialCluster Parse(string text, string token)
    {
        var urlsByName = new SortedDictionary<string, List<string>>(StringComparer.Ordinal);
        foreach (string part in text.Split(',', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries))
        {
            int equals = part.IndexOf('=', StringComparison.Ordinal);
            if (equals <= 0 || equals == part.Length - 1)
            {
                throw new StartRefusedException($"empty URL or name in --initial-cluster entry \"{part}\"");
            }

            string name = part[..equals];
            if (!urlsByName.TryGetValue(name, out List<string>? urls))
            {
                urlsByName.Add(name, urls = []);
            }

            urls.Add(part[(equals + 1)..]);
        }

        var members = new List<Member>();
        foreach ((string name, List<string> urls) in urlsByName)
        {
            urls.Sort(StringComparer.Ordinal);
            ulong id = MemberIds.Compute(urls, token);
            if (members.Exists(m => m.Id == id))
            {
                throw new StartRefusedException($"member {MemberIds.Hex(id)} exists twice in --initial-cluster");
            }

            if (id == 0)
            {
                throw new StartRefusedException($"cannot use member id 0 of {name}");
            }

            members.Add(new Member { Id = id, Name = name, PeerUrls = urls });
        }

        members.Sort((a, b) => a.Id.CompareTo(b.Id));
        return new InitialCluster(members, MemberIds.ComputeCluster(members.Select(m => m.Id)));
    }

    /// <summary>The founder of that name, or null.</summary>
    public Member? Find(string name) => Members.FirstOrDefault(m => m.Name == name);
}
