using System.Text;
using Perf.Store.Commands;
using Perf.Store.V2;

namespace Perf.Store.Membership;

/// <summary>The release whose manners we use towards peers and in the log.</summary>
public enum SpeakAs
{
    V34,
    V35,
    V36,
}

/// <summary>
/// Which form a proposal takes: a member that meets a request it does not know ends itself, so nothing is proposed
/// that the lowest member might not know. That is the lower of the dialect and the cluster version; a version not
/// decided yet counts as 3.4, the oldest release that can be a peer.
/// </summary>
public readonly record struct RequestDialect(SpeakAs SpeakAs, SemanticVersion? ClusterVersion)
{
    private int Minor => Math.Min(SpeakAs switch { SpeakAs.V34 => 4, SpeakAs.V35 => 5, _ => 6 }, ClusterMinor);

    private int ClusterMinor => ClusterVersion is { } version ? Math.Max(version.Minor, 4) : 4;

    /// <summary>Passwords are hashed by the proposer (3.5); 3.4 wants them clear and hashes on every member.</summary>
    public bool HashesPasswords => Minor >= 5;

    /// <summary>AuthStatus goes through the log; 3.4 does not know it.</summary>
    public bool ProposesAuthStatus => Minor >= 5;

    /// <summary>Attributes and version as InternalRaftRequest 1301 and 1300: what 3.6 does. 3.5 knows them but still
    /// proposes the bare v2 forms.</summary>
    public bool ProposesMembershipRequests => SpeakAs == SpeakAs.V36 && Minor >= 5;

    /// <summary>True when every member of the cluster knows the request.</summary>
    public bool MayPropose(int field) => field switch
    {
        InternalField.AuthStatus => Minor >= 5,
        InternalField.ClusterVersionSet or InternalField.ClusterMemberAttrSet or InternalField.DowngradeInfoSet => Minor >= 5,
        InternalField.DowngradeVersionTest => Minor >= 6,
        _ => true,
    };

    /// <summary>The entry that tells a member's name and client URLs.</summary>
    public byte[] EncodeAttributes(ulong requestId, ulong memberId, string name, IReadOnlyList<string> clientUrls)
    {
        if (!ProposesMembershipRequests)
        {
            var member = new Member { Id = memberId, Name = name, ClientUrls = clientUrls };
            return Bare(requestId, $"/0/members/{MemberIds.Hex(memberId)}/attributes", member.AttributesJson());
        }

        var body = new ProtoBuffer();
        body.UInt64(1, memberId);
        int attributes = body.BeginMessage(2);
        body.Bytes(1, Encoding.UTF8.GetBytes(name));
        foreach (string url in clientUrls)
        {
            body.Message(2, Encoding.UTF8.GetBytes(url));
        }

        body.EndMessage(attributes);
        return Internal(requestId, InternalField.ClusterMemberAttrSet, body.Written);
    }

    /// <summary>The entry that sets the cluster version.</summary>
    public byte[] EncodeVersion(ulong requestId, SemanticVersion version)
    {
        if (!ProposesMembershipRequests)
        {
            return Bare(requestId, "/0/version", version.ToString());
        }

        var body = new ProtoBuffer();
        body.Bytes(1, Encoding.ASCII.GetBytes(version.ToString()));
        return Internal(requestId, InternalField.ClusterVersionSet, body.Written);
    }

    /// <summary>The entry that allows or ends a downgrade. Ask <see cref="MayPropose"/> first.</summary>
    public static byte[] EncodeDowngrade(ulong requestId, DowngradeInfo downgrade)
    {
        var body = new ProtoBuffer();
        body.Bool(1, downgrade.Enabled);
        body.Bytes(2, Encoding.ASCII.GetBytes(downgrade.TargetVersion));
        return Internal(requestId, InternalField.DowngradeInfoSet, body.Written);
    }

    private static byte[] Bare(ulong requestId, string path, string value) =>
        new V2Request { Id = requestId, Method = "PUT", Path = path, Value = value }.Encode();

    private static byte[] Internal(ulong requestId, int field, ReadOnlySpan<byte> body)
    {
        byte[] target = new byte[InternalRequestCodec.PrefixBytes(requestId, default, 0, field, body.Length) + body.Length];
        int prefix = InternalRequestCodec.WritePrefix(target, requestId, default, 0, field, body.Length);
        body.CopyTo(target.AsSpan(prefix));
        return target;
    }
}
