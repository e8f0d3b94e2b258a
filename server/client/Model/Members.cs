namespace Perf.Client;

/// <summary>A member of the cluster.</summary>
public sealed record Member
{
    /// <summary>Its id, for as long as it is a member.</summary>
    public ulong Id { get; init; }

    /// <summary>Its name; empty until it has started for the first time.</summary>
    public string Name { get; init; } = "";

    /// <summary>Where the other members reach it.</summary>
    public IReadOnlyList<string> PeerUrls { get; init; } = [];

    /// <summary>Where clients reach it; empty until it has started for the first time.</summary>
    public IReadOnlyList<string> ClientUrls { get; init; } = [];

    /// <summary>True while it receives the log without a vote.</summary>
    public bool IsLearner { get; init; }

    internal static Member From(Etcdserverpb.Member m) => new()
    {
        Id = m.ID,
        Name = m.Name,
        PeerUrls = m.PeerURLs.ToArray(),
        ClientUrls = m.ClientURLs.ToArray(),
        IsLearner = m.IsLearner,
    };
}

/// <summary>Answer to every membership call: the members after it.</summary>
public sealed class MembersResponse : EtcdResponse
{
    /// <summary>The member that was added; null for every other call.</summary>
    public Member? Member { get; init; }

    /// <summary>All members.</summary>
    public IReadOnlyList<Member> Members { get; init; } = [];

    internal static MembersResponse From(
        Etcdserverpb.ResponseHeader? header,
        IEnumerable<Etcdserverpb.Member> members,
        Google.Protobuf.IMessage message,
        Etcdserverpb.Member? added = null) => new()
        {
            HasHeader = header is not null,
            Header = ResponseHeader.From(header),
            Member = added is null ? null : Member.From(added),
            Members = members.Select(Member.From).ToArray(),
            Message = message,
        };
}
