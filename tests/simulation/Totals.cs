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
        + (Missing.Length > 0 ? $"\nnever happened: {string.Join(", ", Missing)}" : "");
}
