using System.Text;
using Perf.Store.Commands;

namespace Perf.Store.Membership;

/// <summary>What a conf change does; the numbers are raft's.</summary>
public enum ConfChangeKind
{
    /// <summary>A new voter, or the promotion of a learner.</summary>
    AddNode = 0,
    RemoveNode = 1,
    UpdateNode = 2,
    AddLearnerNode = 3,
}

/// <summary>raftpb.ConfChange with the context etcd gives it. proto2: zeros are written.</summary>
public sealed record ConfChange
{
    private const int IdField = 1;
    private const int KindField = 2;
    private const int NodeIdField = 3;
    private const int ContextField = 4;

    /// <summary>The request that waits for the outcome; 0 in bootstrap entries.</summary>
    public ulong RequestId { get; init; }

    public ConfChangeKind Kind { get; init; }

    public ulong NodeId { get; init; }

    /// <summary>The member as the change brings it; null for removals.</summary>
    public Member? Member { get; init; }

    /// <summary>True when <see cref="ConfChangeKind.AddNode"/> promotes a learner.</summary>
    public bool IsPromote { get; init; }

    /// <summary>A change that adds a member: learner or voter as the member says.</summary>
    public static ConfChange Add(ulong requestId, Member member) => new()
    {
        RequestId = requestId,
        Kind = member.IsLearner ? ConfChangeKind.AddLearnerNode : ConfChangeKind.AddNode,
        NodeId = member.Id,
        Member = member,
    };

    /// <summary>A change that makes a learner a voter.</summary>
    public static ConfChange Promote(ulong requestId, ulong id) => new()
    {
        RequestId = requestId,
        Kind = ConfChangeKind.AddNode,
        NodeId = id,
        Member = new Member { Id = id },
        IsPromote = true,
    };

    public static ConfChange Remove(ulong requestId, ulong id) => new()
    {
        RequestId = requestId,
        Kind = ConfChangeKind.RemoveNode,
        NodeId = id,
    };

    /// <summary>A change of a member's peer URLs.</summary>
    public static ConfChange Update(ulong requestId, ulong id, IReadOnlyList<string> peerUrls) => new()
    {
        RequestId = requestId,
        Kind = ConfChangeKind.UpdateNode,
        NodeId = id,
        Member = new Member { Id = id, PeerUrls = peerUrls },
    };

    /// <summary>The data of bootstrap entry number <paramref name="member"/>: its context says nothing of promotion.</summary>
    public static byte[] EncodeBootstrap(Member member) =>
        Encode(0, ConfChangeKind.AddNode, member.Id, Encoding.UTF8.GetBytes(member.ToJson()));

    /// <summary>The entry's data.</summary>
    public byte[] Encode()
    {
        byte[]? context = Kind switch
        {
            ConfChangeKind.RemoveNode => null,
            ConfChangeKind.UpdateNode => Encoding.UTF8.GetBytes(Member!.ToJson()),
            _ => Encoding.UTF8.GetBytes(Member!.ToConfChangeContext(IsPromote)),
        };
        return Encode(RequestId, Kind, NodeId, context);
    }

    /// <summary>Reads an entry's data; false when it is no conf change of a kind etcd knows.</summary>
    public static bool TryDecode(ReadOnlySpan<byte> data, out ConfChange change)
    {
        ulong requestId = 0;
        ulong kind = 0;
        ulong nodeId = 0;
        ReadOnlySpan<byte> context = default;
        var reader = new ProtoReader(data);
        while (reader.Next())
        {
            switch (reader.Field)
            {
                case IdField:
                    requestId = reader.UInt64;
                    break;
                case KindField:
                    kind = reader.UInt64;
                    break;
                case NodeIdField:
                    nodeId = reader.UInt64;
                    break;
                case ContextField:
                    context = reader.Bytes;
                    break;
            }
        }

        change = new ConfChange { RequestId = requestId, NodeId = nodeId };
        if (reader.Failed || kind > (ulong)ConfChangeKind.AddLearnerNode)
        {
            return false;
        }

        change = change with { Kind = (ConfChangeKind)kind };
        if (change.Kind == ConfChangeKind.RemoveNode)
        {
            return true;
        }

        try
        {
            var member = Member.Parse(context, out bool isPromote);
            change = change with { Member = member, IsPromote = isPromote };
            return member.Id == nodeId;
        }
        catch (InvalidDataException)
        {
            return false;
        }
    }

    private static byte[] Encode(ulong requestId, ConfChangeKind kind, ulong nodeId, byte[]? context)
    {
        byte[] target = new byte[40 + (context?.Length ?? 0)];
        var writer = new ProtoWriter(target);
        writer.Varint((IdField << 3) | 0);
        writer.Varint(requestId);
        writer.Varint((KindField << 3) | 0);
        writer.Varint((ulong)kind);
        writer.Varint((NodeIdField << 3) | 0);
        writer.Varint(nodeId);
        if (context is not null)
        {
            writer.Message(ContextField, context);
        }

        return target[..writer.Position];
    }
}
