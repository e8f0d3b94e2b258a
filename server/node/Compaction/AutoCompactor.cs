using System.Globalization;
using Perf.Node.Config;
using Perf.Node.Logging;
using Perf.Store;

namespace Perf.Node.Compaction;

/// <summary>
/// Compacts the key space by itself while this member leads: to what was current some time ago (periodic), or to a
/// number of revisions behind the current one (revision). Turned from outside, from one thread at a time.
/// </summary>
public sealed class AutoCompactor
{
    private const string Periodic = "periodic";
    private const string Revision = "revision";
    private const long HoursMax = long.MaxValue / TimeSpan.TicksPerHour;

    /// <summary>Looks at the revision in each period, one of which may be a compaction.</summary>
    private const int SamplesPerInterval = 10;

    private static readonly TimeSpan IntervalMax = TimeSpan.FromHours(1);
    private static readonly TimeSpan RevisionInterval = TimeSpan.FromMinutes(5);

    private readonly TimeProvider _clock;
    private readonly Log _log;
    private readonly Func<bool> _leads;
    private readonly Func<long> _currentRevision;
    private readonly Func<long, ValueTask<StoreError>> _compact;
    private readonly bool _isPeriodic;
    private readonly TimeSpan _period;
    private readonly long _revisions;
    private readonly TimeSpan _sampleInterval;
    private readonly Queue<long> _samples = new();
    private readonly int _samplesMax;
    private TimeSpan _wait;
    private long _nextTurn;
    private long _lastSuccess;
    private long _lastRevision;
    private int _compacting;

    private AutoCompactor(
        bool isPeriodic,
        long retention,
        TimeProvider clock,
        Log log,
        Func<bool> leads,
        Func<long> currentRevision,
        Func<long, ValueTask<StoreError>> compact)
    {
        _clock = clock;
        _log = log;
        _leads = leads;
        _currentRevision = currentRevision;
        _compact = compact;
        _isPeriodic = isPeriodic;
        if (isPeriodic)
        {
            _period = TimeSpan.FromTicks(retention);
            _wait = _period;
            _sampleInterval = Interval / SamplesPerInterval;
            _samplesMax = (int)(_period / _sampleInterval) + 1;
            _samples.Enqueue(currentRevision());
        }
        else
        {
            _revisions = retention;
            _sampleInterval = RevisionInterval;
        }

        _lastSuccess = clock.GetTimestamp();
        _nextTurn = _lastSuccess + ToStamps(_sampleInterval);
    }

    /// <summary>Time between compactions.</summary>
    private TimeSpan Interval => _period < IntervalMax ? _period : IntervalMax;

    /// <summary>The compactor that the flags ask for; null for none.</summary>
    public static AutoCompactor? Create(
        ServerConfig config,
        TimeProvider clock,
        Log log,
        Func<bool> leads,
        Func<long> currentRevision,
        Func<long, ValueTask<StoreError>> compact)
    {
        long retention = ParseRetention(config.AutoCompactionMode, config.AutoCompactionRetention);
        return retention == 0
            ? null
            : new AutoCompactor(
                config.AutoCompactionMode != Revision, retention, clock, log, leads, currentRevision, compact);
    }

    /// <summary>
    /// What --auto-compaction-retention asks for: ticks of a TimeSpan in mode periodic (a bare number counts hours),
    /// revisions in mode revision, zero for nothing. Throws <see cref="ConfigException"/>.
    /// </summary>
    public static long ParseRetention(string mode, string retention)
    {
        if (mode is not (Periodic or Revision or ""))
        {
            throw new ConfigException($"unknown auto-compaction-mode \"{mode}\"");
        }

        if (retention.Length == 0 || mode.Length == 0)
        {
            return 0;
        }

        if (long.TryParse(retention, NumberStyles.None, CultureInfo.InvariantCulture, out long number))
        {
            return mode == Revision ? number : Math.Min(number, HoursMax) * TimeSpan.TicksPerHour;
        }

        if (mode == Periodic && GoDuration.TryParse(retention, out TimeSpan period) && period >= TimeSpan.Zero)
        {
            return period.Ticks;
        }

        throw new ConfigException($"error parsing CompactionRetention: time: invalid duration \"{retention}\"");
    }

    /// <summary>To be called more often than anything is due; cheap when nothing is.</summary>
    public void Turn()
    {
        long now = _clock.GetTimestamp();
        if (now < _nextTurn || Volatile.Read(ref _compacting) != 0)
        {
            return;
        }

        _nextTurn = now + ToStamps(_sampleInterval);
        if (_leads())
        {
            CompactWhenDue(now);
        }

        if (_isPeriodic)
        {
            Sample();
        }
    }

    private void CompactWhenDue(long now)
    {
        if (_isPeriodic)
        {
            if (now - _lastSuccess >= ToStamps(_wait))
            {
                _wait = Interval;
                _ = CompactAsync(_samples.Peek());
            }

            return;
        }

        long revision = _currentRevision() - _revisions;
        if (revision > 0 && revision != _lastRevision)
        {
            _ = CompactAsync(revision);
        }
    }

    /// <summary>Remembers the revision; the oldest one kept is that of one period ago.</summary>
    private void Sample()
    {
        _samples.Enqueue(_currentRevision());
        if (_samples.Count > _samplesMax)
        {
            _samples.Dequeue();
        }
    }

    private async Task CompactAsync(long revision)
    {
        Volatile.Write(ref _compacting, 1);
        try
        {
            string mode = _isPeriodic ? Periodic : Revision;
            (string, object?) retention = _isPeriodic
                ? ("compact-period", _period)
                : ("revision-compaction-retention", _revisions);
            _log.Info($"starting auto {mode} compaction", ("revision", revision), retention);
            long start = _clock.GetTimestamp();
            StoreError error = await _compact(revision).ConfigureAwait(false);
            if (error is StoreError.None or StoreError.Compacted)
            {
                _lastSuccess = _clock.GetTimestamp();
                _lastRevision = revision;
                _log.Info(
                    $"completed auto {mode} compaction",
                    ("revision", revision),
                    retention,
                    ("took", _clock.GetElapsedTime(start)));
            }
            else
            {
                _log.Warn(
                    $"failed auto {mode} compaction",
                    ("revision", revision),
                    retention,
                    ("retry-interval", _sampleInterval),
                    ("error", error.ToString()));
            }
        }
        finally
        {
            Volatile.Write(ref _compacting, 0);
        }
    }

    private long ToStamps(TimeSpan time) => (long)(time.TotalSeconds * _clock.TimestampFrequency);
}
