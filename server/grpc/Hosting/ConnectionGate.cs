using System.Buffers;
using System.Diagnostics.CodeAnalysis;
using System.Net;
using System.Threading.Channels;
using Microsoft.AspNetCore.Connections;

namespace Perf.Grpc;

/// <summary>A protocol as Kestrel's idea of an address: it "binds" to it and gets the connections that speak it.</summary>
internal sealed class ProtocolEndPoint : EndPoint
{
    private readonly string _name;

    public ProtocolEndPoint(string name)
    {
        _name = name;
    }

    public override string ToString() => _name;
}

/// <summary>
/// Stands between the sockets and Kestrel. Kestrel cannot serve HTTP/1.1 and HTTP/2 on one cleartext port, so it is given two
/// addresses that do not exist, and <see cref="Listener"/> puts each accepted connection, once its protocol is known, into the
/// queue of one of them.
/// </summary>
internal sealed class ConnectionGate : IConnectionListenerFactory
{
    private readonly Channel<ConnectionContext> _http1 = Channel.CreateUnbounded<ConnectionContext>();
    private readonly Channel<ConnectionContext> _http2 = Channel.CreateUnbounded<ConnectionContext>();

    public ProtocolEndPoint Http1 { get; } = new("http/1.1");

    public ProtocolEndPoint Http2 { get; } = new("h2");

    public ValueTask<IConnectionListener> BindAsync(EndPoint endpoint, CancellationToken cancellationToken = default) =>
        new(new QueueListener(endpoint, ReferenceEquals(endpoint, Http1) ? _http1 : _http2));

    /// <summary>False when the server is stopping: the caller keeps the connection.</summary>
    public bool TryPass(ConnectionContext connection, bool http2) => (http2 ? _http2 : _http1).Writer.TryWrite(connection);

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

    /// <summary>True or false when decided, null when more bytes are needed.</summary>
    public static bool? IsHttp2(in ReadOnlySequence<byte> start)
    {
        int at = 0;
        foreach (ReadOnlyMemory<byte> memory in start)
        {
            int count = Math.Min(memory.Length, Bytes.Length - at);
            if (!memory.Span[..count].SequenceEqual(Bytes.Slice(at, count)))
            {
                return false;
            }

            at += count;
            if (at == Bytes.Length)
            {
                return true;
            }
        }

        return null;
    }
}
