using System.Collections.Concurrent;
using System.Net;
using System.Net.Sockets;
using System.Text;

namespace Perf.Client.Tests;

/// <summary>
/// A name server on 127.0.0.1, by datagram and TCP on one port, that knows the SRV records it was given. What it does
/// not know does not exist.
/// </summary>
public sealed class NameServer : IDisposable
{
    private readonly Socket _datagrams;
    private readonly TcpListener _streams;
    private readonly ConcurrentDictionary<string, SrvRecord[]> _records = new(StringComparer.OrdinalIgnoreCase);
    private readonly CancellationTokenSource _stop = new();

    public NameServer()
    {
        // The two must share a number; another program may hold one of them.
        for (int attempt = 0; ; attempt++)
        {
            _streams = new TcpListener(IPAddress.Loopback, 0);
            _streams.Start();
            _datagrams = new Socket(AddressFamily.InterNetwork, SocketType.Dgram, ProtocolType.Udp);
            try
            {
                _datagrams.Bind(_streams.LocalEndpoint);
                break;
            }
            catch (SocketException) when (attempt < 20)
            {
                _datagrams.Dispose();
                _streams.Dispose();
            }
        }

        _ = Task.Run(DatagramsAsync);
        _ = Task.Run(StreamsAsync);
    }

    public IPEndPoint Address => (IPEndPoint)_streams.LocalEndpoint;

    /// <summary>True to say of every datagram's answer that it does not fit, so that TCP is used.</summary>
    public bool Truncates { get; set; }

    /// <summary>How many datagrams are left unanswered, as if lost.</summary>
    public int Loses { get; set; }

    /// <summary>The response code of every answer, instead of the truth.</summary>
    public int? Code { get; set; }

    public int DatagramsSeen { get; private set; }

    public int StreamsSeen { get; private set; }

    /// <summary>Offers a service, named as in "_etcd-client._tcp.example.com".</summary>
    public void Offer(string name, params SrvRecord[] records) => _records[name] = records;

    public void Dispose()
    {
        _stop.Cancel();
        _datagrams.Dispose();
        _streams.Dispose();
    }

    private async Task DatagramsAsync()
    {
        byte[] buffer = new byte[2048];
        while (!_stop.IsCancellationRequested)
        {
            SocketReceiveFromResult query;
            try
            {
                query = await _datagrams.ReceiveFromAsync(buffer, new IPEndPoint(IPAddress.Any, 0), _stop.Token);
            }
            catch (Exception e) when (e is SocketException or OperationCanceledException or ObjectDisposedException)
            {
                return;
            }

            DatagramsSeen++;
            if (Loses > 0)
            {
                Loses--;
                continue;
            }

            // A stray datagram first: a resolver that takes the first that comes would fall for it.
            await _datagrams.SendToAsync(new byte[] { 1, 2, 3 }, query.RemoteEndPoint);
            byte[] answer = Answer(buffer.AsSpan(0, query.ReceivedBytes), Truncates);
            await _datagrams.SendToAsync(answer, query.RemoteEndPoint);
        }
    }

    private async Task StreamsAsync()
    {
        while (!_stop.IsCancellationRequested)
        {
            try
            {
                using TcpClient client = await _streams.AcceptTcpClientAsync(_stop.Token);
                StreamsSeen++;
                NetworkStream stream = client.GetStream();
                byte[] prefix = new byte[2];
                await stream.ReadExactlyAsync(prefix, _stop.Token);
                byte[] query = new byte[(prefix[0] << 8) | prefix[1]];
                await stream.ReadExactlyAsync(query, _stop.Token);
                byte[] answer = Answer(query, truncated: false);
                await stream.WriteAsync(new[] { (byte)(answer.Length >> 8), (byte)answer.Length }, _stop.Token);
                await stream.WriteAsync(answer, _stop.Token);
            }
            catch (Exception e) when (e is SocketException or IOException or OperationCanceledException
                or ObjectDisposedException)
            {
                // The next, or the end.
            }
        }
    }

    private byte[] Answer(ReadOnlySpan<byte> query, bool truncated)
    {
        int at = 12;
        var labels = new List<string>();
        while (query[at] != 0)
        {
            labels.Add(Encoding.ASCII.GetString(query.Slice(at + 1, query[at])));
            at += 1 + query[at];
        }

        bool known = _records.TryGetValue(string.Join('.', labels), out SrvRecord[]? records);
        int code = Code ?? (known ? 0 : 3);
        records = truncated || code != 0 ? [] : records!;
        var answer = new List<byte>();
        answer.AddRange(query[..2]);
        answer.AddRange([(byte)(truncated ? 0x83 : 0x81), (byte)(0x80 | code), 0, 1]);

        // An alias stands in front of the records, as where the service's name is one.
        answer.AddRange([0, (byte)(records.Length == 0 ? 0 : records.Length + 1), 0, 0, 0, 0]);
        answer.AddRange(query[12..(at + 5)]);
        if (records.Length > 0)
        {
            answer.AddRange([0xc0, 12, 0, 5, 0, 1, 0, 0, 0, 60, 0, 2, 0xc0, 12]);
        }

        foreach (SrvRecord record in records)
        {
            byte[] target = [.. record.Target.Split('.').SelectMany(l => (byte[])[(byte)l.Length, .. Encoding.ASCII.GetBytes(l)]), 0];
            answer.AddRange([0xc0, 12, 0, 33, 0, 1, 0, 0, 0, 60, 0, (byte)(target.Length + 6)]);
            foreach (int number in new[] { record.Priority, record.Weight, record.Port })
            {
                answer.AddRange([(byte)(number >> 8), (byte)number]);
            }

            answer.AddRange(target);
        }

        return [.. answer];
    }
}
