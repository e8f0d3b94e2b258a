namespace Perf.Node.Peers;

/// <summary>Connections between two requests, a few per peer. Any thread.</summary>
internal sealed class IdleConnections
{
    /// <summary>As many as posts run at once.</summary>
    private const int PerPeerMax = 4;

    /// <summary>Shorter than a server waits for a further request, so that it is seldom the one that closes.</summary>
    private const long IdleMsMax = 30_000;

    private readonly Dictionary<string, Stack<(PeerConnection Connection, long Since)>> _idle = [];
    private bool _isClosed;

    /// <summary>One that nobody has closed so far; null: there is none.</summary>
    public PeerConnection? Take(Uri url)
    {
        while (true)
        {
            PeerConnection connection;
            long since;
            lock (_idle)
            {
                if (!_idle.TryGetValue(Key(url), out var stack) || stack.Count == 0)
                {
                    return null;
                }

                (connection, since) = stack.Pop();
            }

            if (Environment.TickCount64 - since < IdleMsMax && connection.IsQuiet)
            {
                return connection;
            }

            connection.Dispose();
        }
    }

    /// <summary>Keeps one, or closes it when there are enough.</summary>
    public void Return(Uri url, PeerConnection connection)
    {
        lock (_idle)
        {
            if (!_isClosed)
            {
                if (!_idle.TryGetValue(Key(url), out var stack))
                {
                    stack = new Stack<(PeerConnection, long)>();
                    _idle.Add(Key(url), stack);
                }

                if (stack.Count < PerPeerMax)
                {
                    stack.Push((connection, Environment.TickCount64));
                    return;
                }
            }
        }

        connection.Dispose();
    }

    /// <summary>Closes all, and every one that comes back.</summary>
    public void Close()
    {
        lock (_idle)
        {
            _isClosed = true;
            foreach ((PeerConnection connection, _) in _idle.Values.SelectMany(stack => stack))
            {
                connection.Dispose();
            }

            _idle.Clear();
        }
    }

    private static string Key(Uri url) => url.GetLeftPart(UriPartial.Authority);
}
