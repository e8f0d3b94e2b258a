using System.Globalization;
using System.Net;
using System.Net.Sockets;
using System.Security.Cryptography;

namespace Perf.Client;

/// <summary>A place where a service is offered: an SRV record's host, without the final dot, and port.</summary>
public sealed record SrvRecord(int Priority, int Weight, int Port, string Target)
{
    /// <summary>The target as "host:port".</summary>
    public string HostPort => string.Create(CultureInfo.InvariantCulture, $"{Target}:{Port}");
}

/// <summary>The name service did not name a target. The message is worded as Go's resolver does.</summary>
public sealed class SrvLookupException : Exception
{
    /// <summary>Makes the exception for a name asked of a server.</summary>
    public SrvLookupException(string name, IPEndPoint server, string reason, Exception? inner = null)
        : base($"lookup {name} on {server}: {reason}", inner)
    {
    }

    internal SrvLookupException(SrvLookupException secure, SrvLookupException plain)
        : base($"dns lookup errors: {secure.Message} and {plain.Message}", plain)
    {
    }
}

/// <summary>
/// Finds the targets of a DNS SRV service, such as the members of a cluster: <c>_etcd-client._tcp.example.com</c>. Asks
/// the servers of resolv.conf, by datagram and, when the answer does not fit one, by TCP.
/// </summary>
public sealed class SrvResolver
{
    /// <summary>
    /// The variable by which our programs are told of a name server to ask instead of those in resolv.conf, as
    /// "address:port".
    /// </summary>
    public const string ServerVariable = "PERF_NAMESERVER";

    private const int DnsPort = 53;
    private const int NameErrorCode = 3;
    private const int AttemptsMax = 2;
    private readonly IReadOnlyList<IPEndPoint> _servers;

    /// <summary>Asks this server, or without one those of resolv.conf.</summary>
    public SrvResolver(IPEndPoint? server = null) => _servers = server is null ? Configured() : [server];

    /// <summary>Asks the server of <see cref="ServerVariable"/>; with an empty value those of resolv.conf.</summary>
    public static SrvResolver FromVariable(string value)
    {
        if (value.Length == 0)
        {
            return new SrvResolver();
        }

        IPEndPoint server = IPEndPoint.TryParse(value, out IPEndPoint? read)
            ? read
            : throw new FormatException($"{ServerVariable}: {value} is not address:port");
        return new SrvResolver(server.Port == 0 ? new IPEndPoint(server.Address, DnsPort) : server);
    }

    /// <summary>Longest time one server is waited for; each is asked twice.</summary>
    public TimeSpan AnswerWithin { get; init; } = TimeSpan.FromSeconds(5);

    /// <summary>
    /// The name of one of etcd's services: base, then "-ssl" for TLS, then the suffix of --discovery-srv-name.
    /// </summary>
    public static string ServiceName(string service, string suffix, bool secure) =>
        service + (secure ? "-ssl" : "") + (suffix.Length > 0 ? "-" + suffix : "");

    /// <summary>
    /// The targets of _service._tcp.domain, by priority and, within one, shuffled by weight. Throws
    /// <see cref="SrvLookupException"/> when there are none or no server answers, and <see cref="FormatException"/>
    /// when that is no DNS name.
    /// </summary>
    public async Task<IReadOnlyList<SrvRecord>> LookupAsync(
        string service, string domain, CancellationToken cancellation = default)
    {
        string name = $"_{service}._tcp.{domain}";
        DnsMessage.Check(name);
        SrvLookupException? failure = null;
        for (int attempt = 0; attempt < AttemptsMax; attempt++)
        {
            foreach (IPEndPoint server in _servers)
            {
                try
                {
                    DnsMessage.Answer answer = await AskAsync(server, name, cancellation).ConfigureAwait(false);
                    if (answer.Code is 0 or NameErrorCode)
                    {
                        return answer.Records.Count > 0
                            ? Ordered(answer.Records)
                            : throw new SrvLookupException(name, server, "no such host");
                    }

                    failure = new SrvLookupException(name, server, "server misbehaving");
                }
                catch (OperationCanceledException) when (!cancellation.IsCancellationRequested)
                {
                    failure = new SrvLookupException(name, server, "i/o timeout");
                }
                catch (Exception e) when (e is SocketException or IOException or FormatException)
                {
                    failure = new SrvLookupException(name, server, e.Message, e);
                }
            }
        }

        throw failure!;
    }

    /// <summary>
    /// The client endpoints a domain names: https:// for the targets of _etcd-client-ssl, http:// for those of
    /// _etcd-client, both with the suffix.
    /// </summary>
    public async Task<IReadOnlyList<string>> ClientEndpointsAsync(
        string domain, string suffix, CancellationToken cancellation = default)
    {
        var endpoints = new List<string>();
        var failures = new List<SrvLookupException>();
        foreach ((bool secure, string scheme) in new[] { (true, "https://"), (false, "http://") })
        {
            try
            {
                IReadOnlyList<SrvRecord> found = await LookupAsync(
                    ServiceName("etcd-client", suffix, secure), domain, cancellation).ConfigureAwait(false);
                endpoints.AddRange(found.Select(r => scheme + r.HostPort));
            }
            catch (SrvLookupException e)
            {
                failures.Add(e);
            }
        }

        return failures.Count < 2
            ? endpoints
            : throw new SrvLookupException(failures[0], failures[1]);
    }

    /// <summary>By priority, and within one at random, the heavier the likelier the earlier (RFC 2782).</summary>
    internal static IReadOnlyList<SrvRecord> Ordered(IEnumerable<SrvRecord> records)
    {
        var ordered = new List<SrvRecord>();
        foreach (IGrouping<int, SrvRecord> group in records.GroupBy(r => r.Priority).OrderBy(g => g.Key))
        {
            List<SrvRecord> left = [.. group];
            while (left.Count > 0)
            {
                int point = RandomNumberGenerator.GetInt32(left.Sum(r => r.Weight + 1));
                int chosen = left.FindIndex(r => (point -= r.Weight + 1) < 0);
                ordered.Add(left[chosen]);
                left.RemoveAt(chosen);
            }
        }

        return ordered;
    }

    /// <summary>The servers of a resolv.conf; the local one when it names none.</summary>
    internal static IReadOnlyList<IPEndPoint> Servers(IEnumerable<string> lines)
    {
        var servers = new List<IPEndPoint>();
        foreach (string line in lines)
        {
            string[] words = line.Split((char[]?)null, StringSplitOptions.RemoveEmptyEntries);
            if (words is ["nameserver", var address, ..] && IPAddress.TryParse(address, out IPAddress? ip))
            {
                servers.Add(new IPEndPoint(ip, DnsPort));
            }
        }

        return servers.Count > 0 ? servers : [new IPEndPoint(IPAddress.Loopback, DnsPort)];
    }

    private static IReadOnlyList<IPEndPoint> Configured()
    {
        try
        {
            return Servers(File.ReadLines("/etc/resolv.conf"));
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return Servers([]);
        }
    }

    private async Task<DnsMessage.Answer> AskAsync(IPEndPoint server, string name, CancellationToken cancellation)
    {
        using var timeout = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        timeout.CancelAfter(AnswerWithin);
        byte[] query = DnsMessage.Query((ushort)RandomNumberGenerator.GetInt32(1 << 16), name);
        DnsMessage.Answer answer = await ByDatagramAsync(server, query, timeout.Token).ConfigureAwait(false);
        return answer.Truncated ? await ByStreamAsync(server, query, timeout.Token).ConfigureAwait(false) : answer;
    }

    private static async Task<DnsMessage.Answer> ByDatagramAsync(
        IPEndPoint server, byte[] query, CancellationToken cancellation)
    {
        using var socket = new Socket(server.AddressFamily, SocketType.Dgram, ProtocolType.Udp);
        await socket.ConnectAsync(server, cancellation).ConfigureAwait(false);
        await socket.SendAsync(query, cancellation).ConfigureAwait(false);
        byte[] buffer = new byte[64 * 1024];
        while (true)
        {
            int length = await socket.ReceiveAsync(buffer, cancellation).ConfigureAwait(false);

            // Anybody can send a datagram: what is not the answer is not looked at.
            if (DnsMessage.IsAnswerTo(query, buffer.AsSpan(0, length)))
            {
                return DnsMessage.Read(buffer.AsSpan(0, length));
            }
        }
    }

    private static async Task<DnsMessage.Answer> ByStreamAsync(
        IPEndPoint server, byte[] query, CancellationToken cancellation)
    {
        using var socket = new Socket(server.AddressFamily, SocketType.Stream, ProtocolType.Tcp);
        await socket.ConnectAsync(server, cancellation).ConfigureAwait(false);
        using var stream = new NetworkStream(socket);
        await stream.WriteAsync(
            (byte[])[(byte)(query.Length >> 8), (byte)query.Length, .. query], cancellation).ConfigureAwait(false);
        byte[] prefix = new byte[2];
        await stream.ReadExactlyAsync(prefix, cancellation).ConfigureAwait(false);
        byte[] answer = new byte[(prefix[0] << 8) | prefix[1]];
        await stream.ReadExactlyAsync(answer, cancellation).ConfigureAwait(false);
        return DnsMessage.IsAnswerTo(query, answer)
            ? DnsMessage.Read(answer)
            : throw new FormatException("malformed DNS answer");
    }
}
