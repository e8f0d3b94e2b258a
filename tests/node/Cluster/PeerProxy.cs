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

    /// <summary>Chance of a connection breaking, per piece of data.</summary>
    public double Loss { get; set; }

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
        Loss = 0;
    }
}

/// <summary>
/// Stands before a member's peer port. What is cut is held back like a packet that is sent again and again; who dials
/// is read from the request's own header.
/// </summary>
internal sealed class PeerProxy : IAsyncDisposable
{
    private readonly TcpListener _listener;
    private readonly int _target;
    private readonly Func<ulong> _owner;
    private readonly Weather _weather;
    private readonly CancellationTokenSource _stop = new();
    private readonly ConcurrentDictionary<Socket, byte> _sockets = new();

    public PeerProxy(int port, int target, Func<ulong> owner, Weather weather)
    {
        _target = target;
        _owner = owner;
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

            ulong dialer = Dialer(Encoding.Latin1.GetString(head, 0, count));
            await PassAsync(() => dialer, _owner);
            await far.ConnectAsync(IPAddress.Loopback, _target, _stop.Token);
            await far.SendAsync(head.AsMemory(0, count), _stop.Token);
            await Task.WhenAny(PumpAsync(near, far, () => dialer, _owner), PumpAsync(far, near, _owner, () => dialer));
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

    private async Task PumpAsync(Socket source, Socket target, Func<ulong> from, Func<ulong> to)
    {
        byte[] buffer = new byte[64 << 10];
        while (true)
        {
            int read = await source.ReceiveAsync(buffer, _stop.Token);
            if (read == 0 || Random.Shared.NextDouble() < _weather.Loss)
            {
                return;
            }

            await PassAsync(from, to);
            await target.SendAsync(buffer.AsMemory(0, read), _stop.Token);
        }
    }

    private async Task PassAsync(Func<ulong> from, Func<ulong> to)
    {
        if (_weather.Delay > TimeSpan.Zero)
        {
            await Task.Delay(_weather.Delay, _stop.Token);
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
