namespace Perf.Simulation;

/// <summary>
/// The only clock and the only queue there are: what shall happen is put in at a time, and happens on the caller's
/// thread, in order of time, then of arrival.
/// </summary>
internal sealed class VirtualTime : TimeProvider
{
    /// <summary>A run has some hundred thousand. Where messages beget messages, it would never end.</summary>
    private const long EventsMax = 20_000_000;

    public const long Second = 1_000_000;
    public const long Millisecond = 1_000;

    /// <summary>No member may see a clock that stands at 0.</summary>
    public const long Origin = 1_000_000_000;

    private readonly PriorityQueue<Action, (long At, long Order)> _events = new();
    private long _order;

    /// <summary>Microseconds since the beginning.</summary>
    public long Now { get; private set; }

    /// <summary>Events that have happened.</summary>
    public long Events { get; private set; }

    /// <inheritdoc/>
    public override long TimestampFrequency => Second;

    /// <inheritdoc/>
    public override DateTimeOffset GetUtcNow() =>
        new DateTimeOffset(2026, 1, 1, 0, 0, 0, TimeSpan.Zero).AddMicroseconds(Now);

    /// <inheritdoc/>
    public override long GetTimestamp() => Origin + Now;

    /// <summary>A timer would fire on a thread of its own: nobody may have one here.</summary>
    public override ITimer CreateTimer(TimerCallback callback, object? state, TimeSpan dueTime, TimeSpan period) =>
        throw new NotSupportedException("no timers in virtual time");

    public void After(long micros, Action what) => _events.Enqueue(what, (Now + Math.Max(0, micros), _order++));

    public void At(long when, Action what) => After(when - Now, what);

    /// <summary>The next event; false when it lies beyond <paramref name="end"/>.</summary>
    public bool Step(long end)
    {
        if (!_events.TryPeek(out _, out (long At, long Order) next) || next.At > end)
        {
            Now = Math.Max(Now, end);
            return false;
        }

        Action what = _events.Dequeue();
        Now = next.At;
        Events++;
        Judge.Require(Events < EventsMax, $"more than {EventsMax} events: a storm");
        what();
        return true;
    }
}
