namespace Perf.Store.V2;

/// <summary>Who waits for what, by path. Guarded by the store's lock, which is its own.</summary>
internal sealed class V2Watchers(Lock gate)
{
    private readonly Dictionary<string, List<V2Watcher>> _byPath = new(StringComparer.Ordinal);

    /// <summary>Watchers that wait.</summary>
    public int Count { get; private set; }

    public void AddLocked(V2Watcher watcher)
    {
        if (!_byPath.TryGetValue(watcher.Path, out List<V2Watcher>? list))
        {
            _byPath.Add(watcher.Path, list = []);
        }

        list.Add(watcher);
        Count++;
    }

    public void Remove(V2Watcher watcher)
    {
        lock (gate)
        {
            RemoveLocked(watcher);
            watcher.End();
        }
    }

    /// <summary>
    /// Tells those whom a change concerns: first the watchers of everything it removed, then, from the root down,
    /// those of its path.
    /// </summary>
    public void TellLocked(V2Event change, IReadOnlyList<string> removedPaths)
    {
        if (Count == 0)
        {
            return;
        }

        foreach (string path in removedPaths)
        {
            TellLocked(change, path, isRemoved: true);
        }

        string key = change.Node.Key;
        TellLocked(change, "/", isRemoved: false);
        for (int at = 1; at < key.Length;)
        {
            int next = key.IndexOf('/', at);
            int end = next < 0 ? key.Length : next;
            TellLocked(change, key[..end], isRemoved: false);
            at = end + 1;
        }
    }

    private void TellLocked(V2Event change, string path, bool isRemoved)
    {
        if (!_byPath.TryGetValue(path, out List<V2Watcher>? list))
        {
            return;
        }

        bool isOwnPath = change.Node.Key == path;
        if (!isOwnPath && V2Path.IsHidden(path, change.Node.Key))
        {
            return;
        }

        foreach (V2Watcher watcher in list.ToArray())
        {
            if ((!watcher.IsRecursive && !isOwnPath && !isRemoved) || change.Index < watcher.SinceIndex)
            {
                continue;
            }

            if (!watcher.TryAdd(change) || !watcher.IsStream)
            {
                RemoveLocked(watcher);
                watcher.End();
            }
        }
    }

    private void RemoveLocked(V2Watcher watcher)
    {
        if (_byPath.TryGetValue(watcher.Path, out List<V2Watcher>? list) && list.Remove(watcher))
        {
            Count--;
            if (list.Count == 0)
            {
                _byPath.Remove(watcher.Path);
            }
        }
    }
}
