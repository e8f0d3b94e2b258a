namespace Perf.Simulation;

/// <summary>One machine's clocks: a monotonic one that runs a little fast or slow, and a wall clock that may jump.</summary>
internal sealed class SimClock(VirtualTime time) : TimeProvider
{
    private long _since;
    private long _base;
    private int _ratePercent = 100;

    /// <summary>How far the wall clock is off, microseconds.</summary>
    public long WallOffset { get; set; }

    /// <summary>Speed of the monotonic clock; what has passed so far stays.</summary>
    public int RatePercent
    {
        get => _ratePercent;
        set
        {
            _base = Elapsed;
            _since = time.Now;
            _ratePercent = value;
        }
    }

    /// <inheritdoc/>
    public override long TimestampFrequency => VirtualTime.Second;

    private long Elapsed => _base + ((time.Now - _since) * _ratePercent / 100);

    /// <inheritdoc/>
    public override long GetTimestamp() => VirtualTime.Origin + Elapsed;

    /// <inheritdoc/>
    public override DateTimeOffset GetUtcNow() => time.GetUtcNow().AddMicroseconds(WallOffset);

    /// <inheritdoc/>
    public override ITimer CreateTimer(TimerCallback callback, object? state, TimeSpan dueTime, TimeSpan period) =>
        time.CreateTimer(callback, state, dueTime, period);
}
