namespace Perf.Grpc;

// What the clock ends: headers that do not, clients that are silent.
internal sealed partial class Http2Connection
{
    private const long IdleBeatMillis = 50;
    private const long IncompleteBeatMillis = 500;
    private readonly Timer _timer;
    private long _lastReadAt = Environment.TickCount64;
    private long _headersDueAt;
    private long _pingSentAt;

    private bool _looksForIncomplete;

    /// <summary>
    /// Single requests with a deadline that have begun and are not whole. Nearly always they are by the end of the read that began
    /// them: so one beat looks for all whose time is over, instead of a timer each. Gate held.
    /// </summary>
    public int Incomplete { get; set; }

    private static long Millis(TimeSpan span) => span > TimeSpan.Zero && span < TimeSpan.FromDays(365)
        ? (long)span.TotalMilliseconds
        : 0;

    /// <summary>After each read: has a request begun that must be whole in time? The reading thread's.</summary>
    private void WatchHeaders()
    {
        bool isOpen = !_settingsSeen || _blockStream != 0
            || (_filled > 3 && (FrameType)_buffer[3] is FrameType.Headers or FrameType.Continuation);
        long due = Volatile.Read(ref _headersDueAt);
        if (!isOpen && due != 0)
        {
            Volatile.Write(ref _headersDueAt, 0);
        }
        else if (isOpen && due == 0)
        {
            Volatile.Write(ref _headersDueAt, Environment.TickCount64 + (long)_options.HeaderTimeout.TotalMilliseconds);
            ArmTimer();
        }

        // Read without the gate: only this thread adds to them, and a beat for nothing does no harm.
        if (Incomplete > 0 && !Volatile.Read(ref _looksForIncomplete))
        {
            Volatile.Write(ref _looksForIncomplete, true);
            ArmTimer();
        }
    }

    private void ArmTimer()
    {
        long now = Environment.TickCount64;
        long due = long.MaxValue;
        if (Volatile.Read(ref _headersDueAt) is > 0 and long headersDueAt)
        {
            due = headersDueAt;
        }

        long lastReadAt = Volatile.Read(ref _lastReadAt);
        if (Volatile.Read(ref _pingSentAt) is > 0 and long pingSentAt)
        {
            due = Math.Min(due, pingSentAt + Millis(_options.KeepAliveTimeout));
        }
        else if (Millis(_options.KeepAliveInterval) is > 0 and long interval)
        {
            due = Math.Min(due, lastReadAt + interval);
        }

        if (Millis(_options.IdleTimeout) is > 0 and long idle)
        {
            // Calls may make it outlive that: then it is looked at again a little later.
            due = Math.Min(due, Math.Max(lastReadAt + idle, now + IdleBeatMillis));
        }

        if (Volatile.Read(ref _looksForIncomplete))
        {
            due = Math.Min(due, now + IncompleteBeatMillis);
        }

        if (due == long.MaxValue)
        {
            return;
        }

        try
        {
            // A little late rather than for nothing.
            _timer.Change(Math.Clamp(due - now + 1, 1, uint.MaxValue - 1), Timeout.Infinite);
        }
        catch (ObjectDisposedException)
        {
            // The connection has ended.
        }
    }

    /// <summary>Answers those requests whose time is over before they are whole.</summary>
    private void Expire()
    {
        var overdue = new ReadyBatch();
        lock (Gate)
        {
            foreach (Http2Stream stream in _streams.Values)
            {
                if (stream.User.TryExpire())
                {
                    overdue.Add((IReady)stream.User);
                }
            }

            Volatile.Write(ref _looksForIncomplete, Incomplete > 0);
        }

        overdue.Run();
    }

    private void LeaveIfIdle()
    {
        lock (Gate)
        {
            if (_streams.Count > 0)
            {
                return;
            }
        }

        Leave();
    }

    private void OnTimer()
    {
        long now = Environment.TickCount64;
        long silent = now - Volatile.Read(ref _lastReadAt);
        if (Volatile.Read(ref _headersDueAt) is > 0 and long due && now >= due)
        {
            _options.Trouble?.Invoke($"{Info.Remote} began a request and did not end its headers", null);
            End();
            return;
        }

        if (Volatile.Read(ref _looksForIncomplete))
        {
            Expire();
        }

        if (Millis(_options.IdleTimeout) is > 0 and long idle && silent >= idle)
        {
            LeaveIfIdle();
        }

        if (Volatile.Read(ref _pingSentAt) is > 0 and long pingSentAt)
        {
            if (Volatile.Read(ref _lastReadAt) >= pingSentAt)
            {
                Volatile.Write(ref _pingSentAt, 0);
            }
            else if (now - pingSentAt >= Millis(_options.KeepAliveTimeout))
            {
                End();
                return;
            }
        }
        else if (Millis(_options.KeepAliveInterval) is > 0 and long interval && silent >= interval)
        {
            Volatile.Write(ref _pingSentAt, now);
            lock (Gate)
            {
                Output.Frame(FrameType.Ping, 0, 0, 8).Clear();
            }

            Output.FlushSoon();
        }

        ArmTimer();
    }
}
