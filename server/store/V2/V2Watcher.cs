using System.Threading.Channels;

namespace Perf.Store.V2;

/// <summary>
/// Somebody who waits for changes of a path. Events come in order; one that does not stream ends after its first. A
/// watcher that lets <see cref="EventsMax"/> events lie is dropped: <see cref="Events"/> then completes.
/// </summary>
public sealed class V2Watcher : IDisposable
{
    /// <summary>etcd lets as many wait.</summary>
    internal const int EventsMax = 100;

    private readonly V2Watchers _owner;
    private readonly Channel<V2Event> _events = Channel.CreateBounded<V2Event>(EventsMax);

    internal V2Watcher(V2Watchers owner, string path, bool recursive, bool stream, ulong sinceIndex, ulong startIndex)
    {
        _owner = owner;
        Path = path;
        IsRecursive = recursive;
        IsStream = stream;
        SinceIndex = sinceIndex;
        StartIndex = startIndex;
    }

    /// <summary>The store's index when the watch began.</summary>
    public ulong StartIndex { get; }

    /// <summary>What happened. Any thread.</summary>
    public ChannelReader<V2Event> Events => _events.Reader;

    internal string Path { get; }

    internal bool IsRecursive { get; }

    internal bool IsStream { get; }

    internal ulong SinceIndex { get; }

    /// <inheritdoc/>
    public void Dispose() => _owner.Remove(this);

    /// <summary>False when too many lie there already.</summary>
    internal bool TryAdd(V2Event change) => _events.Writer.TryWrite(change);

    internal void End() => _events.Writer.TryComplete();
}
