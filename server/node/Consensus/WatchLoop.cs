using Perf.Store.Watch;

namespace Perf.Node.Consensus;

/// <summary>Turns the watch hub's pumps.</summary>
internal sealed class WatchLoop(WatchHub hub) : ILoop
{
    /// <inheritdoc/>
    public bool Turn() => hub.Pump();
}
