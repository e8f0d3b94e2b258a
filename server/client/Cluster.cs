using Etcdserverpb;

namespace Perf.Client;

/// <summary>Membership of the cluster. Thread-safe.</summary>
public sealed class Cluster
{
    private readonly Caller _caller;

    internal Cluster(Caller caller) => _caller = caller;

    /// <summary>Lists the members.</summary>
    public async Task<MembersResponse> ListAsync(bool linearizable = true, CancellationToken cancellation = default)
    {
        MemberListResponse m = await _caller.UnaryAsync(
            "/etcdserverpb.Cluster/MemberList",
            new MemberListRequest { Linearizable = linearizable },
            MemberListResponse.Parser,
            Repeat.WhenUnavailable,
            cancellation).ConfigureAwait(false);
        return MembersResponse.From(m.Header, m.Members, m);
    }

    /// <summary>Adds a member, voting or as a learner.</summary>
    public async Task<MembersResponse> AddAsync(
        IEnumerable<string> peerUrls, bool learner = false, CancellationToken cancellation = default)
    {
        var request = new MemberAddRequest { IsLearner = learner };
        request.PeerURLs.AddRange(peerUrls);
        MemberAddResponse m = await _caller.UnaryAsync(
            "/etcdserverpb.Cluster/MemberAdd", request, MemberAddResponse.Parser, Repeat.WhenNotSent, cancellation)
            .ConfigureAwait(false);
        return MembersResponse.From(m.Header, m.Members, m, m.Member);
    }

    /// <summary>Removes a member.</summary>
    public async Task<MembersResponse> RemoveAsync(ulong id, CancellationToken cancellation = default)
    {
        MemberRemoveResponse m = await _caller.UnaryAsync(
            "/etcdserverpb.Cluster/MemberRemove",
            new MemberRemoveRequest { ID = id },
            MemberRemoveResponse.Parser,
            Repeat.WhenNotSent,
            cancellation).ConfigureAwait(false);
        return MembersResponse.From(m.Header, m.Members, m);
    }

    /// <summary>Replaces a member's peer URLs.</summary>
    public async Task<MembersResponse> UpdateAsync(
        ulong id, IEnumerable<string> peerUrls, CancellationToken cancellation = default)
    {
        var request = new MemberUpdateRequest { ID = id };
        request.PeerURLs.AddRange(peerUrls);
        MemberUpdateResponse m = await _caller.UnaryAsync(
            "/etcdserverpb.Cluster/MemberUpdate",
            request,
            MemberUpdateResponse.Parser,
            Repeat.WhenNotSent,
            cancellation).ConfigureAwait(false);
        return MembersResponse.From(m.Header, m.Members, m);
    }

    /// <summary>Gives a learner its vote.</summary>
    public async Task<MembersResponse> PromoteAsync(ulong id, CancellationToken cancellation = default)
    {
        MemberPromoteResponse m = await _caller.UnaryAsync(
            "/etcdserverpb.Cluster/MemberPromote",
            new MemberPromoteRequest { ID = id },
            MemberPromoteResponse.Parser,
            Repeat.WhenNotSent,
            cancellation).ConfigureAwait(false);
        return MembersResponse.From(m.Header, m.Members, m);
    }
}
