namespace Perf.Grpc;

/// <summary>
/// Holds connections back from reading while the work behind the calls has more under way than it gains by: what comes meanwhile waits
/// in the sockets, as bytes, not in objects that are new to the collector. Only connections that have much under way themselves are
/// held, and none for longer than <see cref="Patience"/> at a time, so that pings and ends are seen. Any thread.
/// </summary>
public sealed class IntakeGate : IDisposable
{
    /// <summary>Connections with fewer calls than this bring in what they like.</summary>
    internal const int CallsMin = 16;

    private static readonly TimeSpan Patience = TimeSpan.FromMilliseconds(50);

    private readonly Func<bool> _isCrowded;
    private readonly Func<bool> _hasEased;
    private readonly Lock _lock = new();
    private readonly List<IThreadPoolWorkItem> _held = [];
    private readonly Timer _patience;
    private volatile bool _holds;

    /// <summary>
    /// Asked by connections when they would read on. Between the two there is room, so that they are not held and let go for each call;
    /// what was crowded becomes eased again by itself, and its owner calls <see cref="Open"/> then.
    /// </summary>
    public IntakeGate(Func<bool> isCrowded, Func<bool> hasEased)
    {
        _isCrowded = isCrowded;
        _hasEased = hasEased;
        _patience = new Timer(static gate => ((IntakeGate)gate!).Open(), this, Timeout.Infinite, Timeout.Infinite);
    }

    /// <summary>Somebody is held.</summary>
    internal bool Holds => _holds;

    /// <summary>Lets go of all that are held; they read on by the pool.</summary>
    public void Open()
    {
        if (!_holds)
        {
            return;
        }

        lock (_lock)
        {
            _holds = false;
            foreach (IThreadPoolWorkItem connection in _held)
            {
                ThreadPool.UnsafeQueueUserWorkItem(connection, preferLocal: false);
            }

            _held.Clear();
        }
    }

    public void Dispose() => _patience.Dispose();

    /// <summary>True: the connection is held, and is executed once when it may read on.</summary>
    internal bool TryHold(IThreadPoolWorkItem connection)
    {
        if (!_isCrowded())
        {
            return false;
        }

        lock (_lock)
        {
            _held.Add(connection);
            if (!_holds)
            {
                _holds = true;
                _patience.Change(Patience, Timeout.InfiniteTimeSpan);
            }
        }

        // It may have eased before anybody was held.
        if (_hasEased())
        {
            Open();
        }

        return true;
    }
}
