namespace Perf.Simulation;

/// <summary>
/// How long healed members may take to become one again. Ninety seconds, where none lacks entries: twenty of the longest
/// election timeouts, and time to start and to send a snapshot again. One that does lack entries has as long as it gets
/// on as its lines let it: with one entry a message and few on the way an entry costs a round trip, and thousands of them
/// cost more than any constant. It stalls where it gets on more slowly than at a quarter of that.
/// </summary>
internal sealed class Patience
{
    private const long Usual = 90 * VirtualTime.Second;

    private readonly Simulation _world;
    private readonly long _window;
    private readonly ulong _entriesMin;
    private long _end;
    private ulong _lowest;
    private ulong _lacking;
    private SimHost[] _members = [];

    /// <param name="window">What a wait may take where no member lacks anything.</param>
    public Patience(Simulation world, long window = Usual)
    {
        _world = world;
        _window = window;
        _entriesMin = (ulong)(window / EntryMax(world.Plan));
        Begin();
    }

    /// <summary>The next event; false when nothing has come of a whole window.</summary>
    public bool Step()
    {
        if (_world.Time.Step(_end))
        {
            return true;
        }

        // Who has joined meanwhile has a window of its own. A few entries are always under way.
        (ulong lowest, ulong highest) = Logs();
        bool hasNewMember = _world.Members.Except(_members).Any();
        if (!hasNewMember && (_lacking < _entriesMin / 10 || lowest < _lowest + Math.Min(_lacking, _entriesMin)))
        {
            return false;
        }

        _world.Chronicle.Line($"the last of the members went from {_lowest} to {lowest} of {highest}");
        Begin();
        return true;
    }

    /// <summary>What an entry may cost: four times both lines and the disk of the receiver, at their slowest average.</summary>
    private static long EntryMax(Plan plan) => 4 * (plan.DelayMax + plan.DiskMax);

    private void Begin()
    {
        _end = _world.Time.Now + _window;
        (_lowest, ulong highest) = Logs();
        _lacking = highest - _lowest;
        _members = [.. _world.Members];
    }

    /// <summary>How far the logs of the members reach; one that is down has none.</summary>
    private (ulong Lowest, ulong Highest) Logs()
    {
        ulong lowest = ulong.MaxValue;
        ulong highest = 0;
        foreach (SimHost host in _world.Members)
        {
            ulong last = host.Member?.Pipeline.Core.LastIndex ?? 0;
            lowest = Math.Min(lowest, last);
            highest = Math.Max(highest, last);
        }

        return (lowest, highest);
    }
}
