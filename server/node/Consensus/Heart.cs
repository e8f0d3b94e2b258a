namespace Perf.Node.Consensus;

/// <summary>
/// The member's clock: its own OS thread, so that a starved pool delays no heartbeat. Late beats are dropped, not
/// made up for: after a pause raft must not see a burst of ticks.
/// </summary>
internal sealed class Heart(TimeSpan beat, TimeSpan housekeeping, Action onBeat, Action onHousekeeping)
{
    private readonly ManualResetEventSlim _stop = new();
    private Thread? _thread;

    public void Start()
    {
        _thread = new Thread(Run) { Name = "heart", IsBackground = true };
        _thread.Start();
    }

    public void Stop()
    {
        _stop.Set();
        if (_thread is not null && Thread.CurrentThread != _thread)
        {
            _thread.Join();
        }
    }

    private void Run()
    {
        long nextBeat = Environment.TickCount64 + (long)beat.TotalMilliseconds;
        long nextDuty = Environment.TickCount64 + (long)housekeeping.TotalMilliseconds;
        while (true)
        {
            long now = Environment.TickCount64;
            int wait = (int)Math.Clamp(Math.Min(nextBeat, nextDuty) - now, 0, 1000);
            if (_stop.Wait(wait))
            {
                return;
            }

            now = Environment.TickCount64;
            if (now >= nextBeat)
            {
                onBeat();
                nextBeat = Math.Max(nextBeat + (long)beat.TotalMilliseconds, now);
            }

            if (now >= nextDuty)
            {
                onHousekeeping();
                nextDuty = now + (long)housekeeping.TotalMilliseconds;
            }
        }
    }
}
