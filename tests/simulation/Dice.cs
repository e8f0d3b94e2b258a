using Perf.Raft;

namespace Perf.Simulation;

/// <summary>All chance of a run, from its seed.</summary>
internal sealed class Dice(ulong seed)
{
    private SplitMix _source = new(seed);

    public ulong Next() => _source.Next();

    /// <summary>0 .. bound - 1.</summary>
    public int Below(int bound) => (int)(_source.Next() % (ulong)bound);

    /// <summary>low .. high, both possible.</summary>
    public long Between(long low, long high) => low + (long)(_source.Next() % (ulong)(high - low + 1));

    public bool Percent(int percent) => Below(100) < percent;

    public T Of<T>(params ReadOnlySpan<T> choices) => choices[Below(choices.Length)];

    /// <summary>Another source, so that one party's throws do not shift the others'.</summary>
    public Dice Fork() => new(_source.Next());
}
