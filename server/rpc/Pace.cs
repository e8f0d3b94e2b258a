using System.Diagnostics;
using Perf.Node;

namespace Perf.Rpc;

/// <summary>
/// Has a long piece of work step back for writes: while there are any, a millisecond of work is followed by a rest of
/// seven. Without them it goes on at full speed. What it waits for others, a slow receiver say, counts as work. One for
/// each piece of work.
/// </summary>
internal sealed class Pace(EtcdNode node)
{
    private const int RestsPerWork = 7;

    private static readonly TimeSpan WorkMax = TimeSpan.FromMilliseconds(1);

    private long _since = Stopwatch.GetTimestamp();
    private ulong _applied = node.Pipeline.AppliedIndex;

    /// <summary>It has worked for so long that it should look whether others wait: <see cref="StepBackAsync"/>.</summary>
    public bool IsDue => Stopwatch.GetElapsedTime(_since) >= WorkMax;

    /// <summary>Rests where there are writes.</summary>
    public async ValueTask StepBackAsync()
    {
        ulong applied = node.Pipeline.AppliedIndex;
        if (applied != _applied || node.Pipeline.Pending.Count > 0)
        {
            await Task.Delay(WorkMax * RestsPerWork).ConfigureAwait(false);
        }

        _applied = applied;
        _since = Stopwatch.GetTimestamp();
    }
}
