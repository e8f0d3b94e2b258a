using Google.Protobuf;

namespace Perf.Client;

/// <summary>Where an answer came from and how far the store was.</summary>
public sealed record ResponseHeader
{
    /// <summary>A header with every field zero; answers that carry none have this one.</summary>
    public static readonly ResponseHeader None = new();

    /// <summary>The cluster that answered.</summary>
    public ulong ClusterId { get; init; }

    /// <summary>The member that answered.</summary>
    public ulong MemberId { get; init; }

    /// <summary>The key-value store's revision when the request was applied.</summary>
    public long Revision { get; init; }

    /// <summary>The raft term when the request was applied.</summary>
    public ulong RaftTerm { get; init; }

    /// <summary>The header as a protobuf message.</summary>
    public byte[] ToProtobuf() => ToMessage().ToByteArray();

    internal Etcdserverpb.ResponseHeader ToMessage() => new()
    {
        ClusterId = ClusterId,
        MemberId = MemberId,
        Revision = Revision,
        RaftTerm = RaftTerm,
    };

    internal static ResponseHeader From(Etcdserverpb.ResponseHeader? header) => header is null
        ? None
        : new ResponseHeader
        {
            ClusterId = header.ClusterId,
            MemberId = header.MemberId,
            Revision = header.Revision,
            RaftTerm = header.RaftTerm,
        };
}

/// <summary>What every answer has in common.</summary>
public class EtcdResponse
{
    /// <summary>True when the message carried a header at all (Defragment and MoveLeader of etcd do not).</summary>
    public bool HasHeader { get; init; } = true;

    /// <summary>The answer's header.</summary>
    public ResponseHeader Header { get; init; } = ResponseHeader.None;

    /// <summary>The answer as it was encoded on the wire, for tools that pass it on; empty for one made by hand.</summary>
    public byte[] ToProtobuf() => Message?.ToByteArray() ?? [];

    internal IMessage? Message { get; init; }

    internal static EtcdResponse From(Etcdserverpb.ResponseHeader? header, IMessage message) =>
        new() { HasHeader = header is not null, Header = ResponseHeader.From(header), Message = message };
}
