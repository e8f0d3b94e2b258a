using System.Buffers.Binary;
using System.Net.Sockets;
using System.Text;
using Perf.Node.Config;

namespace Perf.Node.Logging;

/// <summary>Lines to systemd's journal, by its native protocol; what it does not take goes to stderr.</summary>
internal sealed class JournalOutput : ILogOutput, IDisposable
{
    private const string SocketPath = "/run/systemd/journal/socket";

    private readonly Lock _gate = new();
    private readonly Socket _socket;
    private readonly ILogOutput _fallback;

    private JournalOutput(Socket socket, ILogOutput fallback)
    {
        _socket = socket;
        _fallback = fallback;
    }

    /// <summary>Throws <see cref="ConfigException"/> where no journal listens.</summary>
    public static JournalOutput Open(ILogOutput fallback, string path = SocketPath)
    {
        var socket = new Socket(AddressFamily.Unix, SocketType.Dgram, ProtocolType.Unspecified);
        try
        {
            socket.Connect(new UnixDomainSocketEndPoint(path));
            return new JournalOutput(socket, fallback);
        }
        catch (SocketException e)
        {
            socket.Dispose();
            throw new ConfigException($"failed to dial journald: dial unixgram {path}: {e.Message}");
        }
    }

    /// <inheritdoc/>
    public void Write(LogLevel level, ReadOnlySpan<byte> line)
    {
        byte[] datagram = Datagram(level, line);
        lock (_gate)
        {
            try
            {
                _socket.Send(datagram);
                return;
            }
            catch (SocketException)
            {
                // Too long for a datagram, or the journal is gone.
            }
        }

        _fallback.Write(level, line);
    }

    /// <inheritdoc/>
    public void Dispose() => _socket.Dispose();

    /// <summary>Fields by line; the message with its length in front, for it may hold newlines.</summary>
    private static byte[] Datagram(LogLevel level, ReadOnlySpan<byte> line)
    {
        // syslog's numbers.
        int priority = level switch
        {
            LogLevel.Debug => 7,
            LogLevel.Info => 6,
            LogLevel.Warn => 4,
            LogLevel.Error => 3,
            _ => 2,
        };
        byte[] head = Encoding.ASCII.GetBytes($"PRIORITY={priority}\nSYSLOG_IDENTIFIER=etcd\nMESSAGE\n");
        line = line.TrimEnd((byte)'\n');
        byte[] datagram = new byte[head.Length + sizeof(ulong) + line.Length + 1];
        head.CopyTo(datagram, 0);
        BinaryPrimitives.WriteUInt64LittleEndian(datagram.AsSpan(head.Length), (ulong)line.Length);
        line.CopyTo(datagram.AsSpan(head.Length + sizeof(ulong)));
        datagram[^1] = (byte)'\n';
        return datagram;
    }
}
