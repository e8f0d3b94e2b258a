namespace Perf.Engine.IO;

/// <summary>
/// The dice of a simulated power failure (splitmix64, so that a seed means the same on every version of the
/// runtime). Each failure has its own mood: from "nothing unsynced survived" to "all of it did".
/// </summary>
internal sealed class SimLuck
{
    private readonly int _keptPercent;
    private readonly SimOutcomes? _outcomes;
    private ulong _state;

    public SimLuck(ulong seed)
    {
        _state = seed;
        ReadOnlySpan<int> moods = [0, 5, 30, 50, 70, 95, 100];
        _keptPercent = moods[Below(moods.Length)];
    }

    /// <summary>No luck at all: one outcome after the other.</summary>
    public SimLuck(SimOutcomes outcomes)
    {
        _outcomes = outcomes;
    }

    public int Below(int bound) => _outcomes?.Choose(bound) ?? (int)(Next() % (ulong)bound);

    public bool Keeps() => _outcomes is null ? Below(100) < _keptPercent : _outcomes.Choose(2) == 1;

    private ulong Next()
    {
        _state += 0x9E3779B97F4A7C15ul;
        ulong mixed = _state;
        mixed = (mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9ul;
        mixed = (mixed ^ (mixed >> 27)) * 0x94D049BB133111EBul;
        return mixed ^ (mixed >> 31);
    }
}
