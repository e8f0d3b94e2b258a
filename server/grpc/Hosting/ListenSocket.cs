using System.Globalization;
using System.Net;
using System.Net.Sockets;

namespace Perf.Grpc;

/// <summary>Addresses as etcd writes them, and the sockets for them.</summary>
internal static class ListenSocket
{
    private const int Backlog = 1024;
    private const int SolSocket = 1;
    private const int SoReuseAddress = 2;
    private const int SoReusePort = 15;

    /// <summary>The address and whether TLS belongs to it. Throws <see cref="FormatException"/>.</summary>
    public static (EndPoint Address, bool Tls) Parse(string url)
    {
        int colon = url.IndexOf("://", StringComparison.Ordinal);
        string scheme = colon < 0 ? "" : url[..colon];
        string rest = colon < 0 ? "" : url[(colon + 3)..];
        switch (scheme)
        {
            case "unix" or "unixs" when rest.Length > 0:
                return (new UnixDomainSocketEndPoint(rest), scheme == "unixs");
            case "http" or "https":
                rest = rest.TrimEnd('/');
                int last = rest.LastIndexOf(':');
                if (last < 0 || !ushort.TryParse(rest.AsSpan(last + 1), NumberStyles.None, null, out ushort port))
                {
                    throw new FormatException($"{url}: a port is missing");
                }

                string host = rest[..last].Trim('[', ']');
                return (new IPEndPoint(ParseHost(host, url), port), scheme == "https");
            default:
                throw new FormatException($"{url}: expected http, https, unix or unixs");
        }
    }

    /// <summary>A socket that listens there. Throws <see cref="SocketException"/>.</summary>
    public static Socket Listen(EndPoint address, GrpcServerOptions options)
    {
        if (address is UnixDomainSocketEndPoint unix)
        {
            // Left by a process that did not end well. A live one keeps its lock elsewhere; etcd removes it as well.
            File.Delete(unix.ToString());
        }

        var socket = new Socket(
            address.AddressFamily, SocketType.Stream, address is IPEndPoint ? ProtocolType.Tcp : ProtocolType.Unspecified);
        try
        {
            if (address is IPEndPoint ip)
            {
                if (ip.Address.Equals(IPAddress.IPv6Any))
                {
                    socket.DualMode = true;
                }

                if (options.ReusePort)
                {
                    socket.SetRawSocketOption(SolSocket, SoReusePort, BitConverter.GetBytes(1));
                }

                if (options.ReuseAddress)
                {
                    socket.SetRawSocketOption(SolSocket, SoReuseAddress, BitConverter.GetBytes(1));
                }
            }

            socket.Bind(address);
            socket.Listen(Backlog);
            return socket;
        }
        catch
        {
            socket.Dispose();
            throw;
        }
    }

    private static IPAddress ParseHost(string host, string url)
    {
        if (host.Length == 0)
        {
            return IPAddress.IPv6Any;
        }

        if (IPAddress.TryParse(host, out IPAddress? address))
        {
            return address;
        }

        try
        {
            IPAddress[] found = Dns.GetHostAddresses(host);
            return Array.Find(found, a => a.AddressFamily == AddressFamily.InterNetwork) ?? found[0];
        }
        catch (SocketException e)
        {
            throw new FormatException($"{url}: {e.Message}", e);
        }
    }
}
