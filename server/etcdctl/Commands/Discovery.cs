using System.Buffers.Binary;
using System.Net;
using System.Net.Sockets;
using System.Text;
using Perf.Etcdctl.CommandLine;

namespace Perf.Etcdctl.Commands;

/// <summary>Finds endpoints by the DNS SRV records _etcd-client-ssl._tcp and _etcd-client._tcp of a domain.</summary>
internal static class Discovery
{
    private const ushort SrvType = 33;
    private static readonly TimeSpan AnswerWithin = TimeSpan.FromSeconds(3);

    public static string[] ClientEndpoints(string domain, string serviceName)
    {
        string suffix = serviceName.Length > 0 ? "-" + serviceName : "";
        IPEndPoint server = NameServer();
        string[] secure = Lookup(server, $"_etcd-client-ssl{suffix}._tcp.{domain}", "https://");
        string[] plain = Lookup(server, $"_etcd-client{suffix}._tcp.{domain}", "http://");
        string[] all = [.. secure, .. plain];
        return all.Length > 0
            ? all
            : throw new ExitException(
                ExitCode.Error, $"error querying DNS SRV records for _etcd-client{suffix}: lookup {domain}: no such host");
    }

    /// <summary>The targets in an answer, as "host:port" in order of priority. Nothing when it holds none.</summary>
    internal static List<(ushort Priority, string Target)> ReadAnswer(ReadOnlySpan<byte> message)
    {
        var found = new List<(ushort Priority, string Target)>();
        if (message.Length < 12)
        {
            return found;
        }

        int questions = BinaryPrimitives.ReadUInt16BigEndian(message[4..]);
        int answers = BinaryPrimitives.ReadUInt16BigEndian(message[6..]);
        int at = 12;
        for (int i = 0; i < questions; i++)
        {
            _ = ReadName(message, ref at);
            at += 4;
        }

        for (int i = 0; i < answers && at < message.Length; i++)
        {
            _ = ReadName(message, ref at);
            if (at + 10 > message.Length)
            {
                break;
            }

            ushort type = BinaryPrimitives.ReadUInt16BigEndian(message[at..]);
            int length = BinaryPrimitives.ReadUInt16BigEndian(message[(at + 8)..]);
            int data = at + 10;
            at = data + length;
            if (type == SrvType && length > 6 && at <= message.Length)
            {
                ushort priority = BinaryPrimitives.ReadUInt16BigEndian(message[data..]);
                ushort port = BinaryPrimitives.ReadUInt16BigEndian(message[(data + 4)..]);
                int name = data + 6;
                found.Add((priority, $"{ReadName(message, ref name)}:{port}"));
            }
        }

        return found;
    }

    private static string[] Lookup(IPEndPoint server, string name, string scheme)
    {
        byte[] query = Query(name);
        using var socket = new Socket(server.AddressFamily, SocketType.Dgram, ProtocolType.Udp)
        {
            ReceiveTimeout = (int)AnswerWithin.TotalMilliseconds,
        };
        try
        {
            socket.Connect(server);
            socket.Send(query);
            byte[] answer = new byte[4096];
            int length = socket.Receive(answer);
            return ReadAnswer(answer.AsSpan(0, length))
                .OrderBy(t => t.Priority).Select(t => scheme + t.Target).ToArray();
        }
        catch (SocketException)
        {
            return [];
        }
    }

    private static byte[] Query(string name)
    {
        var bytes = new List<byte> { 0x50, 0x46, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0 };
        foreach (string label in name.TrimEnd('.').Split('.'))
        {
            byte[] text = Encoding.ASCII.GetBytes(label);
            bytes.Add((byte)Math.Min(63, text.Length));
            bytes.AddRange(text.Take(63));
        }

        bytes.AddRange([0, 0, (byte)SrvType, 0, 1]);
        return [.. bytes];
    }

    private static string ReadName(ReadOnlySpan<byte> message, ref int at)
    {
        var labels = new List<string>();
        int here = at;
        int end = -1;
        for (int jumps = 0; here < message.Length && jumps < 64;)
        {
            int length = message[here];
            if (length == 0)
            {
                here++;
                break;
            }

            if (length >= 0xc0 && here + 1 < message.Length)
            {
                end = end < 0 ? here + 2 : end;
                here = ((length & 0x3f) << 8) | message[here + 1];
                jumps++;
                continue;
            }

            if (here + 1 + length > message.Length)
            {
                here = message.Length;
                break;
            }

            labels.Add(Encoding.ASCII.GetString(message.Slice(here + 1, length)));
            here += 1 + length;
        }

        at = end < 0 ? here : end;
        return string.Join('.', labels);
    }

    private static IPEndPoint NameServer()
    {
        try
        {
            foreach (string line in File.ReadLines("/etc/resolv.conf"))
            {
                string[] words = line.Split((char[]?)null, StringSplitOptions.RemoveEmptyEntries);
                if (words is ["nameserver", var address, ..] && IPAddress.TryParse(address, out IPAddress? ip))
                {
                    return new IPEndPoint(ip, 53);
                }
            }
        }
        catch (IOException)
        {
            // No file: the usual place.
        }

        return new IPEndPoint(IPAddress.Loopback, 53);
    }
}
