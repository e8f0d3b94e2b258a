using System.Collections.Concurrent;
using System.Globalization;
using System.Net;
using System.Net.Sockets;
using System.Text;

namespace Perf.Node.Tests.Cluster;

/// <summary>What may pass between members. Direction counts: bytes from one to another, whoever dialled.</summary>
internal sealed class Weather
{
    private readonly ConcurrentDictionary<(ulong From, ulong To), bool> _cut = new();

    /// <summary>Each piece of data waits this long.</summary>
    public TimeSpan Delay { get; set; }

    /// <summary>And up to this long on top, each for itself: connections overtake each other.</summary>
    public TimeSpan Jitter { get; set; }

    /// <summary>Chance of a connection breaking, per piece of data, somewhere in it.</summary>
    public double Loss { get; set; }

    /// <summary>Chance of a message coming a second time, over another connection and up to half a second later.</summary>
    public double Duplication { get; set; }

    /// <summary>Messages that came twice.</summary>
    public int Duplicated => _duplicated;

    private int _duplicated;

    public void CountDuplicate() => Interlocked.Increment(ref _duplicated);

    /// <summary>Connections over a cut break at once, with what is in them, instead of waiting for better times.</summary>
    public bool CutsBreak { get; set; }

    public bool IsCut(ulong from, ulong to) => _cut.ContainsKey((from, to));

    public void CutOneWay(ulong from, ulong to) => _cut[(from, to)] = true;

    public void Cut(ulong a, ulong b)
    {
        CutOneWay(a, b);
        CutOneWay(b, a);
    }

    public void Heal()
    {
        _cut.Clear();
        CutsBreak = false;
        Delay = TimeSpan.Zero;
        Jitter = TimeSpan.Zero;
        Duplication = 0;
        Loss = 0;
    }
}

/// <summary>
/// Stands before a member's peer port. What is cut is held back like a packet that is sent again and again; who dials
/// is read from the request's own header.
/// </summary>
internal sealed class PeerProxy : IAsyncDisposable
{
    private static readonly HttpClient s_http = new() { Timeout = TimeSpan.FromSeconds(5) };

    private readonly TcpListener _listener;
    private readonly int _target;
    private readonly Func<ulong> _owner;
    private readonly Func<ulong, string?> _urlOf;
    private readonly Weather _weather;
    private readonly CancellationTokenSource _stop = new();
    private readonly ConcurrentDictionary<Socket, byte> _sockets = new();

    /// <param name="port">Where it listens.</param>
    /// <param name="target">Where the member listens.</param>
    /// <param name="owner">The member's id.</param>
    /// <param name="urlOf">Where a member can be reached past its proxy; null: it is down.</param>
    /// <param name="weather">What may pass.</param>
    public PeerProxy(int port, int target, Func<ulong> owner, Func<ulong, string?> urlOf, Weather weather)
    {
        _target = target;
        _owner = owner;
        _urlOf = urlOf;
        _weather = weather;
        _listener = new TcpListener(IPAddress.Loopback, port);
        _listener.Start();
        _ = AcceptAsync();
    }

    public async ValueTask DisposeAsync()
    {
        await _stop.CancelAsync();
        _listener.Stop();
        foreach (Socket socket in _sockets.Keys)
        {
            socket.Dispose();
        }
    }

    private async Task AcceptAsync()
    {
        try
        {
            while (true)
            {
                Socket socket = await _listener.AcceptSocketAsync(_stop.Token);
                _ = ServeAsync(socket);
            }
        }
        catch (Exception e) when (e is OperationCanceledException or SocketException or ObjectDisposedException)
        {
            // The test is over.
        }
    }

    private async Task ServeAsync(Socket near)
    {
        using var far = new Socket(SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
        near.NoDelay = true;
        _sockets[near] = 0;
        _sockets[far] = 0;
        try
        {
            byte[] head = new byte[16 << 10];
            int count = 0;
            while (!head.AsSpan(0, count).EndsWith("\r\n\r\n"u8) && head.AsSpan(0, count).IndexOf("\r\n\r\n"u8) < 0)
            {
                int read = await near.ReceiveAsync(head.AsMemory(count), _stop.Token);
                if (read == 0)
                {
                    return;
                }

                count += read;
            }

            string request = Encoding.Latin1.GetString(head, 0, count);
            ulong dialer = Dialer(request);
            MessageTap? tap = request.StartsWith("GET /raft/stream/message/", StringComparison.Ordinal)
                ? new MessageTap(message => Double(message, dialer, request))
                : null;
            await PassAsync(() => dialer, _owner);
            await far.ConnectAsync(IPAddress.Loopback, _target, _stop.Token);
            await far.SendAsync(head.AsMemory(0, count), _stop.Token);
            await Task.WhenAny(
                PumpAsync(near, far, () => dialer, _owner, tap: null), PumpAsync(far, near, _owner, () => dialer, tap));
        }
        catch (Exception e) when (e is SocketException or OperationCanceledException or ObjectDisposedException)
        {
            // One side has gone; the other is closed with it.
        }
        finally
        {
            _sockets.TryRemove(near, out _);
            _sockets.TryRemove(far, out _);
            near.Dispose();
        }
    }

    private static ulong Dialer(string head)
    {
        const string Name = "X-Server-From: ";
        int at = head.IndexOf(Name, StringComparison.OrdinalIgnoreCase);
        if (at < 0)
        {
            return 0;
        }

        at += Name.Length;
        return ulong.Parse(head.AsSpan(at, head.IndexOf('\r', at) - at), NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture);
    }

    /// <summary>Sends a message that is passing by once more, as a post to the one that gets it.</summary>
    private void Double(byte[] message, ulong dialer, string request)
    {
        if (Random.Shared.NextDouble() < _weather.Duplication)
        {
            _ = PostAsync();
        }

        async Task PostAsync()
        {
            try
            {
                await Task.Delay(Random.Shared.Next(500), _stop.Token);
                if (_urlOf(dialer) is not { } url)
                {
                    return;
                }

                using var post = new HttpRequestMessage(HttpMethod.Post, url + "/raft") { Content = new ByteArrayContent(message) };
                foreach (string line in request.Split("\r\n").Where(l => l.StartsWith("X-", StringComparison.OrdinalIgnoreCase)))
                {
                    string[] parts = line.Split(": ", 2);
                    string value = parts[0] == "X-Server-From" ? _owner().ToString("x", CultureInfo.InvariantCulture) : parts[1];
                    if (parts[0] is not ("X-PeerURLs" or "X-Raft-To"))
                    {
                        post.Headers.TryAddWithoutValidation(parts[0], value);
                    }
                }

                using HttpResponseMessage answer = await s_http.SendAsync(post, _stop.Token);
                if (answer.StatusCode == HttpStatusCode.NoContent)
                {
                    _weather.CountDuplicate();
                }
            }
            catch (Exception e) when (e is HttpRequestException or OperationCanceledException)
            {
                // The member is down, or the test over.
            }
        }
    }

    private async Task PumpAsync(Socket source, Socket target, Func<ulong> from, Func<ulong> to, MessageTap? tap)
    {
        byte[] buffer = new byte[64 << 10];
        while (true)
        {
            int read = await source.ReceiveAsync(buffer, _stop.Token);
            if (read == 0)
            {
                return;
            }

            if (Random.Shared.NextDouble() < _weather.Loss)
            {
                // The piece is cut somewhere, and so is whatever message it belongs to.
                await target.SendAsync(buffer.AsMemory(0, Random.Shared.Next(read)), _stop.Token);
                return;
            }

            tap?.Pass(buffer.AsSpan(0, read));
            await PassAsync(from, to);
            await target.SendAsync(buffer.AsMemory(0, read), _stop.Token);
        }
    }

    private async Task PassAsync(Func<ulong> from, Func<ulong> to)
    {
        TimeSpan delay = _weather.Delay + (_weather.Jitter * Random.Shared.NextDouble());
        if (delay > TimeSpan.Zero)
        {
            await Task.Delay(delay, _stop.Token);
        }

        while (_weather.IsCut(from(), to()))
        {
            if (_weather.CutsBreak)
            {
                throw new OperationCanceledException();
            }

            await Task.Delay(10, _stop.Token);
        }
    }
}
