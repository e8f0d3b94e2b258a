using System.Diagnostics.CodeAnalysis;
using System.Net;
using System.Threading.Channels;
using Microsoft.AspNetCore.Connections;

namespace Perf.Grpc;

/// <summary>
/// Stands between the sockets and Kestrel, which serves HTTP/1.1 alone: it "binds" to an address that does not exist, and
/// <see cref="Listener"/> puts the connections that speak it into its queue.
/// </summary>
internal sealed class ConnectionGate : IConnectionListenerFactory
{
    private readonly Channel<ConnectionContext> _queue = Channel.CreateUnbounded<ConnectionContext>();

    public EndPoint Address { get; } = new NoEndPoint();

    public ValueTask<IConnectionListener> BindAsync(EndPoint endpoint, CancellationToken cancellationToken = default) =>
        new(new QueueListener(endpoint, _queue));

    /// <summary>False when the server is stopping: the caller keeps the connection.</summary>
    public bool TryPass(ConnectionContext connection) => _queue.Writer.TryWrite(connection);

    private sealed class NoEndPoint : EndPoint
    {
        public override string ToString() => "http/1.1";
    }

    private sealed class QueueListener(EndPoint endpoint, Channel<ConnectionContext> queue) : IConnectionListener
    {
        public EndPoint EndPoint { get; } = endpoint;

        [SuppressMessage("Reliability", "CA2000", Justification = "The connection belongs to who accepts it.")]
        public async ValueTask<ConnectionContext?> AcceptAsync(CancellationToken cancellationToken = default) =>
            await queue.Reader.WaitToReadAsync(cancellationToken) && queue.Reader.TryRead(out ConnectionContext? connection)
                ? connection
                : null;

        public ValueTask UnbindAsync(CancellationToken cancellationToken = default)
        {
            queue.Writer.TryComplete();
            return default;
        }

        public async ValueTask DisposeAsync()
        {
            queue.Writer.TryComplete();
            while (queue.Reader.TryRead(out ConnectionContext? connection))
            {
                await connection.DisposeAsync();
            }
        }
    }
}

/// <summary>Recognises HTTP/2 with prior knowledge by its first bytes.</summary>
internal static class Preface
{
    public static ReadOnlySpan<byte> Bytes => "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"u8;
}
