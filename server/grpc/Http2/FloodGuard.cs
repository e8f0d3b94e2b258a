namespace Perf.Grpc;

/// <summary>
/// Judges a client by its frames. One that pings more often than it may, by grpc-go's rules, or that sends frames which carry
/// nothing, or takes calls back, by the thousand, is sent away. For a connection's reading thread.
/// </summary>
internal sealed class FloodGuard(GrpcServerOptions options)
{
    private const int PingStrikesMax = 2;
    private const long WindowMillis = 1000;

    private static readonly TimeSpan PingWithoutCallsMin = TimeSpan.FromHours(2);

    private readonly long _minMillis = (long)options.KeepAliveMinTime.TotalMilliseconds;
    private long _lastPingAt = long.MinValue / 2;
    private int _pingStrikes;
    private Budget _emptyFrames = new(options.EmptyFramesPerSecondMax);
    private Budget _resets = new(options.ResetsPerSecondMax);

    /// <summary>A frame that carries nothing.</summary>
    public void OnEmptyFrame()
    {
        if (!_emptyFrames.TrySpend(Environment.TickCount64))
        {
            throw new Http2Exception(Http2Error.EnhanceYourCalm, "too_many_empty_frames");
        }
    }

    /// <summary>A call taken back.</summary>
    public void OnReset()
    {
        if (!_resets.TrySpend(Environment.TickCount64))
        {
            throw new Http2Exception(Http2Error.EnhanceYourCalm, "too_many_resets");
        }
    }

    /// <summary>A ping; <paramref name="wasAnswered"/>: headers or data went out since the last one.</summary>
    public void OnPing(bool wasAnswered, bool hasCalls)
    {
        long now = Environment.TickCount64;
        long last = _lastPingAt;
        _lastPingAt = now;
        if (wasAnswered)
        {
            _pingStrikes = 0;
            return;
        }

        long apart = hasCalls || options.KeepAlivePermitWithoutStream
            ? _minMillis
            : (long)PingWithoutCallsMin.TotalMilliseconds;
        if (_minMillis > 0 && now - last < apart && ++_pingStrikes > PingStrikesMax)
        {
            throw new Http2Exception(Http2Error.EnhanceYourCalm, "too_many_pings");
        }
    }

    /// <summary>So many in a second.</summary>
    private struct Budget(int max)
    {
        private long _windowStart;
        private int _spent;

        public bool TrySpend(long now)
        {
            if (now - _windowStart > WindowMillis)
            {
                _windowStart = now;
                _spent = 0;
            }

            return ++_spent <= max;
        }
    }
}
