using System.Buffers;
using System.IO.Pipelines;

namespace Perf.Grpc;

/// <summary>The bytes below HTTP/2. One reader and one writer at a time.</summary>
internal abstract class ByteChannel
{
    /// <summary>
    /// Reads some bytes; zero at the end. With an empty buffer it waits until there is something to read, and answers zero then.
    /// </summary>
    public abstract ValueTask<int> ReadAsync(Memory<byte> buffer);

    /// <summary>Writes all of them. The buffer is the channel's until then.</summary>
    public abstract ValueTask WriteAsync(ReadOnlyMemory<byte> bytes);

    /// <summary>Nothing more will be written; the peer learns it.</summary>
    public abstract ValueTask EndWritingAsync();

    /// <summary>Lets go of everything; whoever reads or writes is told by an exception. May be called twice.</summary>
    public abstract ValueTask CloseAsync();
}

/// <summary>A connection under TLS, whose records end where they like.</summary>
internal sealed class TlsChannel(TlsConnection connection) : ByteChannel
{
    public override async ValueTask<int> ReadAsync(Memory<byte> buffer)
    {
        PipeReader reader = connection.Transport.Input;
        ReadResult result = await reader.ReadAsync().ConfigureAwait(false);
        if (buffer.IsEmpty)
        {
            reader.AdvanceTo(result.Buffer.Start);
            return 0;
        }

        ReadOnlySequence<byte> taken = result.Buffer.Slice(0, Math.Min(buffer.Length, result.Buffer.Length));
        taken.CopyTo(buffer.Span);
        int bytes = (int)taken.Length;
        reader.AdvanceTo(taken.End);
        return bytes;
    }

    public override async ValueTask WriteAsync(ReadOnlyMemory<byte> bytes)
    {
        FlushResult flushed = await connection.Transport.Output.WriteAsync(bytes).ConfigureAwait(false);
        if (flushed.IsCompleted)
        {
            throw new IOException("the connection has ended");
        }
    }

    public override ValueTask EndWritingAsync() => new(connection.SayFarewellAsync());

    public override ValueTask CloseAsync() => connection.DisposeAsync();
}
