using System.Buffers;
using System.Buffers.Binary;
using Perf.Raft;

namespace Perf.Node.Peers;

/// <summary>
/// The body of POST /raft/snapshot (FORMATS A.14): an 8-byte big-endian length, a MsgSnap whose snapshot has the v2
/// store as data, then the database image up to the end of the body.
/// </summary>
public static class SnapshotPost
{
    private const int CopyBytes = 256 << 10;

    /// <summary>Writes message and database. Returns the bytes of the database.</summary>
    /// <param name="message">A MsgSnap.</param>
    /// <param name="readDatabase">Fills a buffer from an offset of the image; 0 at its end.</param>
    /// <param name="target">The request's body.</param>
    /// <param name="alwaysSnapshot">As the message stream's encoder has it.</param>
    /// <param name="cancel">Ends the sending.</param>
    public static async Task<long> WriteAsync(
        Message message,
        Func<Memory<byte>, long, int> readDatabase,
        Stream target,
        bool alwaysSnapshot,
        CancellationToken cancel)
    {
        var head = new ArrayBufferWriter<byte>();
        new MessageStreamEncoder(alwaysSnapshot).Write(message, head);
        await target.WriteAsync(head.WrittenMemory, cancel).ConfigureAwait(false);
        byte[] buffer = ArrayPool<byte>.Shared.Rent(CopyBytes);
        try
        {
            long sent = 0;
            while (true)
            {
                int read = readDatabase(buffer.AsMemory(0, CopyBytes), sent);
                if (read == 0)
                {
                    return sent;
                }

                await target.WriteAsync(buffer.AsMemory(0, read), cancel).ConfigureAwait(false);
                sent += read;
            }
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(buffer);
        }
    }

    /// <summary>
    /// Reads the message and leaves the body at the database's first byte. Throws
    /// <see cref="InvalidDataException"/> for anything but a MsgSnap with a snapshot, and
    /// <see cref="EndOfStreamException"/> for a body that ends before it is whole.
    /// </summary>
    public static async Task<Message> ReadMessageAsync(
        Stream source, CancellationToken cancel, int messageBytesMax = PeerLimits.SnapshotMessageBytesMax)
    {
        byte[] lengthField = new byte[sizeof(ulong)];
        await source.ReadExactlyAsync(lengthField, cancel).ConfigureAwait(false);
        ulong length = BinaryPrimitives.ReadUInt64BigEndian(lengthField);
        if (length > (ulong)messageBytesMax)
        {
            throw new InvalidDataException($"a snapshot message of {length} bytes");
        }

        // Grows with what arrives: the length is only a claim.
        var bytes = new ArrayBufferWriter<byte>();
        while (bytes.WrittenCount < (int)length)
        {
            int wanted = Math.Min((int)length - bytes.WrittenCount, CopyBytes);
            await source.ReadExactlyAsync(bytes.GetMemory(wanted)[..wanted], cancel).ConfigureAwait(false);
            bytes.Advance(wanted);
        }

        OperationStatus status = MessageCodec.TryRead(bytes.WrittenMemory, null, new EntryBuffer(), out Message message);
        if (status != OperationStatus.Done || message.Type != MessageType.Snap || message.Snapshot is null
            || message.Snapshot.Metadata.Index == 0)
        {
            throw new InvalidDataException("the body does not begin with a snapshot message");
        }

        return message;
    }
}
