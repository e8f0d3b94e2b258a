using System.Buffers;
using Perf.Raft;
using Perf.Store.Commands;

namespace Perf.Node.Consensus;

/// <summary>Who asks: the user name as bytes (empty: nobody) and the auth revision the token was checked at.</summary>
public readonly record struct RequestIdentity(ReadOnlyMemory<byte> User, ulong AuthRevision)
{
    /// <summary>A request without a user.</summary>
    public static RequestIdentity None => default;
}

/// <summary>
/// A request on its way into the log, already in the one buffer that log, peers and apply will share: headroom for
/// the entry's header, the InternalRaftRequest prefix, the client's bytes verbatim. Either submitted or discarded,
/// once.
/// </summary>
public readonly struct ProposalDraft
{
    // The fields are of types that the services' room may know: it sees the struct, not raft.
    private readonly int _bodyAt;
    private readonly byte _type;
    private readonly object? _lease;

    private ProposalDraft(ulong id, EntryType type, Memory<byte> buffer, int payloadAt, int bodyAt, IEntryLease? lease)
    {
        Id = id;
        _type = (byte)type;
        Buffer = buffer;
        PayloadAt = payloadAt;
        _bodyAt = bodyAt;
        _lease = lease;
    }

    /// <summary>The request's id.</summary>
    public ulong Id { get; }

    /// <summary>The client's message.</summary>
    public ReadOnlySpan<byte> Body => Buffer.Span[_bodyAt..];

    /// <summary>Bytes of the whole raft request, which the size limit counts.</summary>
    public int PayloadBytes => Buffer.Length - PayloadAt;

    internal EntryType Type => (EntryType)_type;

    internal Memory<byte> Buffer { get; }

    internal int PayloadAt { get; }

    internal IEntryLease? Lease => (IEntryLease?)_lease;

    /// <summary>Copies the client's message into an entry's buffer.</summary>
    public static ProposalDraft Of(ulong id, int field, in ReadOnlySequence<byte> body, in RequestIdentity who)
    {
        int bodyBytes = checked((int)body.Length);
        ReadOnlySpan<byte> user = who.User.Span;
        int prefix = InternalRequestCodec.PrefixBytes(id, user, who.AuthRevision, field, bodyBytes);
        int bodyAt = EntryCodec.HeadroomBytes + prefix;
        Memory<byte> buffer = EntryMemory.ForThread.Rent(bodyAt + bodyBytes, out IEntryLease? lease);
        Span<byte> span = buffer.Span;
        InternalRequestCodec.WritePrefix(
            span[EntryCodec.HeadroomBytes..], id, user, who.AuthRevision, field, bodyBytes);
        body.CopyTo(span[bodyAt..]);
        return new ProposalDraft(id, EntryType.Normal, buffer, EntryCodec.HeadroomBytes, bodyAt, lease);
    }

    /// <summary>A payload that is no InternalRaftRequest: a configuration change, a bare v2 request.</summary>
    internal static ProposalDraft Raw(ulong id, EntryType type, ReadOnlySpan<byte> payload)
    {
        Memory<byte> buffer =
            EntryMemory.ForThread.Rent(EntryCodec.HeadroomBytes + payload.Length, out IEntryLease? lease);
        payload.CopyTo(buffer.Span[EntryCodec.HeadroomBytes..]);
        return new ProposalDraft(
            id, type, buffer, EntryCodec.HeadroomBytes, EntryCodec.HeadroomBytes, lease);
    }

    /// <summary>Gives the buffer back: the request was refused before it was proposed.</summary>
    public void Discard() => Lease?.Release();
}
