using System.Diagnostics;

namespace Perf.Simulation;

/// <summary>Sums over many runs.</summary>
internal sealed class Totals
{
    private readonly long[] _faults = new long[Enum.GetValues<Fault>().Length];
    private readonly TimeSpan _cpu = Process.GetCurrentProcess().TotalProcessorTime;
    private long _runs;
    private double _seconds;
    private double _recoveryMax;
    private long _checked;
    private long _acknowledged;
    private long _events;
    private long _digests;
    private long _asked;
    private long _acked;
    private long _grave;
    private long _ambiguous;
    private long _crowded;
    private long _watchEvents;
    private long _watchProgress;
    private long _renewals;
    private long _damageFound;

    private const int CrowdMin = 4;

    public long Runs => _runs;

    /// <summary>
    /// On average a run lasts a minute, acknowledges 500 requests, has 5 grave faults; one answer in twenty is lost,
    /// and most runs have had four clients at one key.
    /// </summary>
    public bool IsBusyEnough => _seconds >= 60 * _runs && _acked >= 500 * _runs && _grave >= 5 * _runs
        && _ambiguous * 20 >= _asked && _crowded * 2 >= _runs;

    /// <summary>Answers that were held against the law.</summary>
    public long Checked => _checked;

    public int Failed { get; private set; }

    /// <summary>Kinds of fault that never happened.</summary>
    public Fault[] Missing => [.. Enum.GetValues<Fault>().Where(f => _faults[(int)f] == 0)];

    public void Add(RunResult result)
    {
        _runs++;
        Failed += result.Failure is null ? 0 : 1;
        _seconds += result.SimulatedSeconds;
        _recoveryMax = Math.Max(_recoveryMax, result.RecoverySeconds);
        _checked += result.Checked;
        _acknowledged += result.Acknowledged;
        _events += result.Events;
        _digests += result.Digests;
        _asked += result.Asked;
        _acked += result.AckedOperations;
        for (int i = 0; i <= (int)Fault.Reset; i++)
        {
            _grave += result.Faults[i];
        }

        _ambiguous += result.Ambiguous;
        _crowded += result.Crowd >= CrowdMin ? 1 : 0;
        _watchEvents += result.WatchEvents;
        _watchProgress += result.WatchProgress;
        _renewals += result.Renewals;
        _damageFound += result.DamageFound;
        for (int i = 0; i < _faults.Length; i++)
        {
            _faults[i] += result.Faults[i];
        }
    }

    /// <inheritdoc/>
    public override string ToString()
    {
        double cpu = (Process.GetCurrentProcess().TotalProcessorTime - _cpu).TotalSeconds;
        return $"{_runs} runs, {Failed} failed, {_seconds:f0} simulated s in {cpu:f1} CPU s ({_seconds / cpu:f0}x),"
            + $" {_events} events, {_acknowledged} writes acknowledged, {_checked} answers checked,"
            + $" {_digests} states compared, slowest recovery {_recoveryMax:f1} s";
    }

    public string Describe() =>
        string.Join('\n', Enum.GetValues<Fault>().Select(f => $"{f,-16} {_faults[(int)f],10}"))
        + $"\nof a run: {_seconds / Math.Max(1, _runs):f0} s, {_acked / Math.Max(1, _runs)} answers without doubt,"
        + $" {_grave / Math.Max(1, _runs)} grave faults"
        + $"\nambiguous {100.0 * _ambiguous / Math.Max(1, _asked):f1} % of {_asked}; {CrowdMin} clients at one key in"
        + $" {100.0 * _crowded / Math.Max(1, _runs):f0} % of the runs; {_watchEvents} watch events and {_watchProgress}"
        + $" progress messages, {_renewals} renewals checked; damage noticed {_damageFound} times"
        + (Missing.Length > 0 ? $"\nnever happened: {string.Join(", ", Missing)}" : "");
}
