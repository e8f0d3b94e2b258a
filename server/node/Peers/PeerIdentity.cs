using Perf.Store.Membership;

namespace Perf.Node.Peers;

/// <summary>What this member says of itself to peers, and what it wants to hear from them (FORMATS A.13).</summary>
internal sealed class PeerIdentity(ulong memberId, ulong clusterId, string serverVersion, IReadOnlyList<string> peerUrls)
{
    public const string ServerFromHeader = "X-Server-From";
    public const string ServerVersionHeader = "X-Server-Version";
    public const string MinClusterVersionHeader = "X-Min-Cluster-Version";
    public const string ClusterIdHeader = "X-Etcd-Cluster-ID";
    public const string PeerUrlsHeader = "X-PeerURLs";
    public const string RaftToHeader = "X-Raft-To";

    public const string IncompatibleVersion = "incompatible version";
    public const string ClusterIdMismatch = "cluster ID mismatch";

    private static readonly SemanticVersion ClusterVersionMin = SemanticVersion.ClusterMin;

    /// <summary>A peer that says nothing of its version is of the 2.0 days, as etcd has it.</summary>
    private static readonly SemanticVersion Unsaid = new(2, 0, 0);

    private readonly SemanticVersion _own = Parse(serverVersion);

    public ulong MemberId => memberId;

    public ulong ClusterId => clusterId;

    public string ClusterIdText { get; } = MemberIds.Hex(clusterId);

    public string ServerVersion => serverVersion;

    /// <summary>Header lines of every request; <paramref name="to"/> for streams: the member that is dialled.</summary>
    public List<KeyValuePair<string, string>> Headers(ulong to = 0)
    {
        var headers = new List<KeyValuePair<string, string>>
        {
            new(ServerFromHeader, MemberIds.Hex(memberId)),
            new(ServerVersionHeader, serverVersion),
            new(MinClusterVersionHeader, ClusterVersionMin.ToString()),
            new(ClusterIdHeader, ClusterIdText),
            new(PeerUrlsHeader, string.Join(',', peerUrls)),
        };
        if (to != 0)
        {
            headers.Add(new(RaftToHeader, MemberIds.Hex(to)));
        }

        return headers;
    }

    /// <summary>Why nothing is had to do with somebody who sends these headers; null: welcome.</summary>
    public string? Refuse(Func<string, string?> header)
    {
        SemanticVersion theirs = Parse(header(ServerVersionHeader));
        SemanticVersion theirMin = Parse(header(MinClusterVersionHeader));
        if (theirs.MajorMinor < ClusterVersionMin || theirMin.MajorMinor > _own.MajorMinor)
        {
            return IncompatibleVersion;
        }

        return header(ClusterIdHeader) == ClusterIdText ? null : ClusterIdMismatch;
    }

    public static string StreamPath(StreamKind kind) => kind == StreamKind.App ? "/raft/stream/msgapp/" : "/raft/stream/message/";

    private static SemanticVersion Parse(string? text) =>
        text is not null && SemanticVersion.TryParse(text, out SemanticVersion version) ? version : Unsaid;
}

/// <summary>The two streams between two members, in each direction.</summary>
internal enum StreamKind
{
    /// <summary>MsgApp only, in msgappv2.</summary>
    App,

    /// <summary>Everything else: heartbeats never wait behind bulk data.</summary>
    Message,
}
