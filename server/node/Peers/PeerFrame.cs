using System.Buffers;
using Perf.Raft;

namespace Perf.Node.Peers;

/// <summary>What came over a peer stream.</summary>
public enum PeerFrame
{
    /// <summary>A message for the core.</summary>
    Message,

    /// <summary>A sign of life of the connection itself; nothing for the core.</summary>
    LinkHeartbeat,
}

/// <summary>Limits of what a peer may send.</summary>
public static class PeerLimits
{
    /// <summary>
    /// Longest frame of a stream. An App carries at most 1 MiB and one entry; a frame must only be able to hold the
    /// largest request anybody configures (etcd advises 10 MiB, and reads up to 512 MiB).
    /// </summary>
    public const int FrameBytesMax = 64 << 20;

    /// <summary>Longest message that heads a snapshot post: it carries the member list, not data.</summary>
    public const int SnapshotMessageBytesMax = 64 << 20;
}

/// <summary>Turns the bytes of one kind of stream into messages. One per connection, one thread at a time.</summary>
public interface IPeerDecoder
{
    /// <summary>
    /// Reads the frame at the start of <paramref name="source"/> in place: the message's entries are added to
    /// <paramref name="entries"/> and refer to it. NeedMoreData: come again with the same start and at least
    /// <paramref name="bytes"/> bytes; nothing has changed. Done: <paramref name="bytes"/> are used up.
    /// InvalidData: close the connection. Never throws.
    /// </summary>
    OperationStatus Read(
        ReadOnlyMemory<byte> source,
        IEntryLease? lease,
        EntryBuffer entries,
        out PeerFrame frame,
        out Message message,
        out int bytes);
}

/// <summary>Turns messages into the bytes of one kind of stream. One per connection, one thread at a time.</summary>
public interface IPeerEncoder
{
    /// <summary>Writes a sign of life, due when nothing else was written for a while.</summary>
    void WriteLinkHeartbeat(IBufferWriter<byte> target);

    /// <summary>Writes a message. Does not flush.</summary>
    void Write(in Message message, IBufferWriter<byte> target);
}
