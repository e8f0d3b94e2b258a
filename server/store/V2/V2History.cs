namespace Perf.Store.V2;

/// <summary>The last events of the v2 store, for watchers that ask for the past. Guarded by the store's lock.</summary>
internal sealed class V2History
{
    /// <summary>etcd keeps as many.</summary>
    public const int EventsMax = 1000;

    private readonly Queue<V2Event> _events = new();
    private ulong _lastIndex;

    public void Add(V2Event change)
    {
        if (_events.Count == EventsMax)
        {
            _events.Dequeue();
        }

        _events.Enqueue(change);
        _lastIndex = change.Index;
    }

    /// <summary>The first event at or after <paramref name="index"/> that concerns the key, if one is known yet.</summary>
    public V2Result Scan(string key, bool recursive, ulong index)
    {
        ulong startIndex = _events.Count == 0 ? 0 : _events.Peek().Index;
        if (index < startIndex)
        {
            return new V2Error(
                V2ErrorCode.EventIndexCleared, $"the requested history has been cleared [{startIndex}/{index}]", 0);
        }

        if (index > _lastIndex)
        {
            return default;
        }

        string below = key.EndsWith('/') ? key : key + "/";
        foreach (var change in _events)
        {
            if (change.Index < index || change.IsRefresh)
            {
                continue;
            }

            if (change.Node.Key == key
                || (recursive && change.Node.Key.StartsWith(below, StringComparison.Ordinal))
                || (change.Action is V2Action.Delete or V2Action.Expire && change.PrevNode is { IsDirectory: true }
                    && key.StartsWith(change.PrevNode.Key, StringComparison.Ordinal)))
            {
                return change;
            }
        }

        return default;
    }
}
