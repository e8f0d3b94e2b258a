using System.Globalization;
using Perf.Client;
using Perf.Etcdctl.Text;

namespace Perf.Etcdctl.Printing;

/// <summary>The rows that the simple format joins with commas and the table format draws.</summary>
internal static class Rows
{
    public static readonly string[] MemberHeader =
        ["ID", "Status", "Name", "Peer Addrs", "Client Addrs", "Is Learner"];

    public static readonly string[] HealthHeader = ["endpoint", "health", "took", "error"];

    public static readonly string[] StatusHeader =
    [
        "endpoint", "ID", "version", "db size", "is leader", "is learner", "raft term", "raft index",
        "raft applied index", "errors",
    ];

    public static readonly string[] HashHeader = ["endpoint", "hash"];

    public static string[][] Members(MembersResponse r) => r.Members.Select(m => new[]
    {
        GoText.Hex(m.Id),
        m.Name.Length == 0 ? "unstarted" : "started",
        m.Name,
        string.Join(',', m.PeerUrls),
        string.Join(',', m.ClientUrls),
        Bool(m.IsLearner),
    }).ToArray();

    public static string[][] Health(IEnumerable<EndpointHealth> all) =>
        all.Select(h => new[] { h.Endpoint, Bool(h.Healthy), h.Took, h.Error }).ToArray();

    public static string[][] Status(IEnumerable<EndpointStatus> all) => all.Select(s => new[]
    {
        s.Endpoint,
        GoText.Hex(s.Status.Header.MemberId),
        s.Status.Version,
        Humanize.Bytes((ulong)s.Status.DbSize),
        Bool(s.Status.Leader == s.Status.Header.MemberId),
        Bool(s.Status.IsLearner),
        Number(s.Status.RaftTerm),
        Number(s.Status.RaftIndex),
        Number(s.Status.RaftAppliedIndex),
        string.Join(", ", s.Status.Errors),
    }).ToArray();

    public static string[][] Hashes(IEnumerable<EndpointHash> all) =>
        all.Select(h => new[] { h.Endpoint, Number(h.Hash.Hash) }).ToArray();

    public static string Bool(bool value) => value ? "true" : "false";

    private static string Number(ulong value) => value.ToString(CultureInfo.InvariantCulture);
}
