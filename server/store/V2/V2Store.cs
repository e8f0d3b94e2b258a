using System.Globalization;

namespace Perf.Store.V2;

/// <summary>
/// etcd's v2 store: a tree of files and directories in memory, changed by replicated requests alone, saved in the
/// raft snapshot. Under <c>/0</c> the membership keeps its projection, under <c>/1</c> users keep their keys.
/// Every change counts the index up by one, identically on all members.
/// Changes come from the apply thread; any thread may read. The clock serves the TTL shown in answers only: when
/// a node goes is decided by replicated SYNC requests.
/// </summary>
public sealed partial class V2Store
{
    /// <summary>An expiry before this (2000-01-01) is taken for "never", as clients that scramble times send it.</summary>
    private const long ExpireUnixNanosMin = 946_684_800L * NanosPerSecond;
    private const long NanosPerSecond = 1_000_000_000;

    private readonly Lock _gate = new();
    private readonly TimeProvider _clock;
    private readonly SortedSet<V2Node> _expiring = new(ExpiryOrder.Instance);
    private readonly V2Statistics _statistics = new();
    private readonly V2Watchers _watchers;
    private readonly List<string> _removedPaths = [];
    private V2History _history = new();
    private V2Node _root;
    private ulong _currentIndex;

    /// <summary>An empty store with the two namespaces.</summary>
    public V2Store(TimeProvider clock)
    {
        _clock = clock;
        _watchers = new V2Watchers(_gate);
        _root = V2Node.Directory("/", 0, null, 0);
        AddNamespaces();
    }

    /// <summary>Number of changes so far.</summary>
    public ulong CurrentIndex
    {
        get
        {
            lock (_gate)
            {
                return _currentIndex;
            }
        }
    }

    /// <summary>True while some node will expire: then the leader proposes SYNC requests.</summary>
    public bool HasTtlKeys
    {
        get
        {
            lock (_gate)
            {
                return _expiring.Count > 0;
            }
        }
    }

    /// <summary>True when users keep anything outside the membership's namespace.</summary>
    public bool HasUserContent
    {
        get
        {
            lock (_gate)
            {
                return _root.Children!.Any(child => child.Key != "0" && (!child.Value.IsDirectory || child.Value.Children!.Count > 0));
            }
        }
    }

    /// <summary>Reads a node; of a directory also the children that are not hidden, all the way down if asked.</summary>
    public V2Result Get(string path, bool recursive, bool sorted)
    {
        _ = sorted; // Children are always in order; the parameter is the request's.
        lock (_gate)
        {
            bool isFound = TryFind(path, out var node, out var error);
            _statistics.Count(V2Action.Get, !isFound);
            if (!isFound)
            {
                return error!;
            }

            var view = new V2NodeView { Key = path, ModifiedIndex = node!.ModifiedIndex, CreatedIndex = node.CreatedIndex };
            FillView(view, node, listChildren: true, recursive);
            return new V2Event { Action = V2Action.Get, Node = view, EtcdIndex = _currentIndex };
        }
    }

    /// <summary>Makes a node (and its missing parents); refused when there is one.
    /// <paramref name="unique"/>: under the path, named by the next index, so that names sort by age.</summary>
    public V2Result Create(string path, bool directory, string value, bool unique, long expireUnixNanos) =>
        Change(
            V2Action.Create,
            () => InternalCreate(path, directory, value, unique, replace: false, expireUnixNanos, V2Action.Create));

    /// <summary>Makes a node or replaces a file. <paramref name="refresh"/>: keeps the value, sets the TTL only.</summary>
    public V2Result Set(string path, bool directory, string value, long expireUnixNanos, bool refresh = false) =>
        Change(V2Action.Set, () =>
        {
            bool found = TryFind(path, out var previous, out var error);
            if (!found && (error!.Code != V2ErrorCode.KeyNotFound || refresh))
            {
                return error;
            }

            var result = InternalCreate(
                path, directory, refresh ? previous!.Value : value, unique: false, replace: true, expireUnixNanos, V2Action.Set);
            if (result.Event is not null)
            {
                if (found)
                {
                    var view = new V2NodeView
                    {
                        Key = path,
                        ModifiedIndex = previous!.ModifiedIndex,
                        CreatedIndex = previous.CreatedIndex,
                    };
                    FillView(view, previous, listChildren: true, recursive: false);
                    result.Event.PrevNode = view;
                }

                result.Event.IsRefresh = refresh;
            }

            return result;
        });

    /// <summary>Changes value and TTL of a file that is there.</summary>
    public V2Result Update(string path, string value, long expireUnixNanos, bool refresh = false) =>
        Change(V2Action.Update, () =>
        {
            path = V2Path.Clean(path);
            if (IsReadOnly(path))
            {
                return new V2Error(V2ErrorCode.RootReadOnly, "/", _currentIndex);
            }

            if (!TryFind(path, out var node, out var error))
            {
                return error!;
            }

            // etcd 3.5 refuses directories here, also when only their TTL was to change; and then by accident as a failure
            // of its own.
            if (node.IsDirectory)
            {
                return value.Length > 0
                    ? new V2Error(V2ErrorCode.NotFile, path, _currentIndex)
                    : new V2Error(V2ErrorCode.RaftInternal, $"nodePath {path} : Not a file ()", 0);
            }

            return Write(node, V2Action.Update, refresh ? node.Value : value, expireUnixNanos, refresh);
        });

    /// <summary>Writes a file whose present value and/or index are as given (empty and 0 match anything).</summary>
    public V2Result CompareAndSwap(
        string path, string prevValue, ulong prevIndex, string value, long expireUnixNanos, bool refresh = false) =>
        Change(V2Action.CompareAndSwap, () =>
        {
            path = V2Path.Clean(path);
            if (IsReadOnly(path))
            {
                return new V2Error(V2ErrorCode.RootReadOnly, "/", _currentIndex);
            }

            if (!TryFind(path, out var node, out var error) || !TryMatch(node, path, prevValue, prevIndex, out error))
            {
                return error!;
            }

            return Write(node, V2Action.CompareAndSwap, refresh ? node.Value : value, expireUnixNanos, refresh);
        });

    /// <summary>Removes a node; a directory only with <paramref name="directory"/>, a full one only with
    /// <paramref name="recursive"/>.</summary>
    public V2Result Delete(string path, bool directory, bool recursive) =>
        Change(V2Action.Delete, () =>
        {
            path = V2Path.Clean(path);
            if (IsReadOnly(path))
            {
                return new V2Error(V2ErrorCode.RootReadOnly, "/", _currentIndex);
            }

            if (!TryFind(path, out var node, out var error))
            {
                return error!;
            }

            if (node.IsDirectory && !directory && !recursive)
            {
                return new V2Error(V2ErrorCode.NotFile, path, _currentIndex);
            }

            if (node.IsDirectory && node.Children!.Count > 0 && !recursive)
            {
                return new V2Error(V2ErrorCode.DirNotEmpty, path, _currentIndex);
            }

            return RemoveAndTell(node, V2Action.Delete);
        });

    /// <summary>Removes a file whose present value and/or index are as given.</summary>
    public V2Result CompareAndDelete(string path, string prevValue, ulong prevIndex) =>
        Change(V2Action.CompareAndDelete, () =>
        {
            path = V2Path.Clean(path);
            if (!TryFind(path, out var node, out var error) || !TryMatch(node, path, prevValue, prevIndex, out error))
            {
                return error!;
            }

            return RemoveAndTell(node, V2Action.CompareAndDelete);
        });

    /// <summary>Removes everything whose time is at or before the cutoff, earliest first.</summary>
    public void DeleteExpired(long cutoffUnixNanos)
    {
        while (true)
        {
            lock (_gate)
            {
                if (_expiring.Min is not { } node || node.ExpireUnixNanos > cutoffUnixNanos)
                {
                    return;
                }

                Change(V2Action.Expire, () => RemoveAndTell(node, V2Action.Expire));
            }
        }
    }

    /// <summary>
    /// Waits for what happens to a path, from an index on (0: from now). With an index of the past, what the history
    /// still has comes at once; what it has no longer is refused. Dispose the watcher when done.
    /// </summary>
    public V2Error? Watch(string path, bool recursive, bool stream, ulong sinceIndex, out V2Watcher? watcher)
    {
        lock (_gate)
        {
            string key = V2Path.Clean(path);
            watcher = null;
            ulong since = sinceIndex == 0 ? _currentIndex + 1 : sinceIndex;
            V2Result past = _history.Scan(key, recursive, since);
            if (past.Error is not null)
            {
                return past.Error with { Index = _currentIndex };
            }

            watcher = new V2Watcher(_watchers, key, recursive, stream, since, _currentIndex);
            if (past.Event is not null)
            {
                // As in etcd: what comes from the history is the only event, also of a stream.
                watcher.TryAdd(past.Event);
            }
            else
            {
                _watchers.AddLocked(watcher);
            }

            return null;
        }
    }

    /// <summary>Operations since the start and watchers now, as GET /v2/stats/store tells them.</summary>
    public string StatisticsJson()
    {
        lock (_gate)
        {
            return _statistics.ToJson(_watchers.Count);
        }
    }

    /// <summary>The first event at or after an index that concerns a path; neither event nor error: none yet.</summary>
    public V2Result ScanHistory(string path, bool recursive, ulong sinceIndex)
    {
        lock (_gate)
        {
            var result = _history.Scan(V2Path.Clean(path), recursive, sinceIndex);
            return result.Error is null ? result : result.Error with { Index = _currentIndex };
        }
    }

    /// <summary>Does a change and, before anybody else looks, puts it into the history and tells the watchers.</summary>
    private V2Result Change(V2Action action, Func<V2Result> change)
    {
        lock (_gate)
        {
            _removedPaths.Clear();
            var result = change();
            _statistics.Count(action, result.Error is not null);
            if (result.Event is not null)
            {
                result.Event.EtcdIndex = _currentIndex;
                _history.Add(result.Event);
                if (!result.Event.IsRefresh)
                {
                    _watchers.TellLocked(result.Event, _removedPaths);
                }
            }

            return result;
        }
    }

    private V2Result InternalCreate(
        string path, bool directory, string value, bool unique, bool replace, long expireUnixNanos, V2Action action)
    {
        ulong nextIndex = _currentIndex + 1;
        if (unique)
        {
            path += "/" + nextIndex.ToString("D20", CultureInfo.InvariantCulture);
        }

        path = V2Path.Clean(path);
        if (IsReadOnly(path))
        {
            return new V2Error(V2ErrorCode.RootReadOnly, "/", _currentIndex);
        }

        if (expireUnixNanos < ExpireUnixNanosMin)
        {
            expireUnixNanos = 0;
        }

        // Missing parents are made even if the last step is then refused, as in etcd: they count for nothing.
        var parent = _root;
        string[] elements = path.Split('/');
        foreach (string element in elements.AsSpan(1, elements.Length - 2))
        {
            if (!parent.Children!.TryGetValue(element, out var next))
            {
                next = V2Node.Directory(Below(parent, element), nextIndex, parent, 0);
                parent.Children.Add(element, next);
            }
            else if (!next.IsDirectory)
            {
                return new V2Error(V2ErrorCode.NotDir, next.Path, _currentIndex);
            }

            parent = next;
        }

        var view = new V2NodeView { Key = path, ModifiedIndex = nextIndex, CreatedIndex = nextIndex };
        var change = new V2Event { Action = action, Node = view };
        if (parent.Children!.TryGetValue(elements[^1], out var existing))
        {
            if (!replace)
            {
                return new V2Error(V2ErrorCode.NodeExist, path, _currentIndex);
            }

            if (existing.IsDirectory)
            {
                return new V2Error(V2ErrorCode.NotFile, path, _currentIndex);
            }

            change.PrevNode = View(existing, recursive: false);
            Unlink(existing);
        }

        var node = directory
            ? V2Node.Directory(path, nextIndex, parent, expireUnixNanos)
            : V2Node.File(path, value, nextIndex, parent, expireUnixNanos);
        parent.Children.Add(elements[^1], node);
        if (!node.IsPermanent)
        {
            _expiring.Add(node);
        }

        _currentIndex = nextIndex;
        FillView(view, node, listChildren: false, recursive: false);
        return change;
    }

    private V2Result Write(V2Node node, V2Action action, string value, long expireUnixNanos, bool refresh)
    {
        _currentIndex++;
        var previous = View(node, recursive: false);
        node.Value = value;
        node.ModifiedIndex = _currentIndex;
        if (!node.IsPermanent)
        {
            _expiring.Remove(node);
        }

        node.ExpireUnixNanos = expireUnixNanos;
        if (!node.IsPermanent)
        {
            _expiring.Add(node);
        }

        var change = new V2Event { Action = action, Node = View(node, recursive: false), PrevNode = previous, IsRefresh = refresh };
        return change;
    }

    private V2Result RemoveAndTell(V2Node node, V2Action action)
    {
        _currentIndex++;
        var previous = View(node, recursive: false);
        var view = new V2NodeView { Key = node.Path, ModifiedIndex = _currentIndex, CreatedIndex = node.CreatedIndex };
        view.IsDirectory = node.IsDirectory;
        if (_watchers.Count > 0)
        {
            NoteRemoved(node);
        }

        Unlink(node);
        return new V2Event { Action = action, Node = view, PrevNode = previous };
    }

    /// <summary>Whose watchers are told of a removal: everything below, then the node.</summary>
    private void NoteRemoved(V2Node node)
    {
        foreach (var child in node.Children?.Values ?? Enumerable.Empty<V2Node>())
        {
            NoteRemoved(child);
        }

        _removedPaths.Add(node.Path);
    }

    /// <summary>Takes a node and all below it out of the tree and out of the expiry order.</summary>
    private void Unlink(V2Node node)
    {
        node.Parent!.Children!.Remove(V2Path.Name(node.Path));
        Forget(node);

        void Forget(V2Node gone)
        {
            if (!gone.IsPermanent)
            {
                _expiring.Remove(gone);
            }

            foreach (var child in gone.Children?.Values ?? Enumerable.Empty<V2Node>())
            {
                Forget(child);
            }
        }
    }

    private bool TryFind(
        string path,
        [System.Diagnostics.CodeAnalysis.NotNullWhen(true)] out V2Node? node,
        out V2Error? error)
    {
        node = _root;
        error = null;
        string clean = V2Path.Clean(path);
        if (clean == "/")
        {
            return true;
        }

        foreach (string element in clean[1..].Split('/'))
        {
            var parent = node;
            if (!parent.IsDirectory)
            {
                error = new V2Error(V2ErrorCode.NotDir, parent.Path, _currentIndex);
                node = null;
                return false;
            }

            if (!parent.Children!.TryGetValue(element, out node))
            {
                error = new V2Error(V2ErrorCode.KeyNotFound, Below(parent, element), _currentIndex);
                return false;
            }
        }

        return true;
    }

    private bool TryMatch(V2Node node, string path, string prevValue, ulong prevIndex, out V2Error? error)
    {
        error = null;
        if (node.IsDirectory)
        {
            error = new V2Error(V2ErrorCode.NotFile, path, _currentIndex);
            return false;
        }

        bool indexMatches = prevIndex == 0 || node.ModifiedIndex == prevIndex;
        bool valueMatches = prevValue.Length == 0 || node.Value == prevValue;
        if (indexMatches && valueMatches)
        {
            return true;
        }

        string indexCause = $"[{prevIndex} != {node.ModifiedIndex}]";
        string valueCause = $"[{prevValue} != {node.Value}]";
        string cause = valueMatches ? indexCause : indexMatches ? valueCause : valueCause + " " + indexCause;
        error = new V2Error(V2ErrorCode.TestFailed, cause, _currentIndex);
        return false;
    }

    private V2NodeView View(V2Node node, bool recursive)
    {
        var view = new V2NodeView { Key = node.Path, ModifiedIndex = node.ModifiedIndex, CreatedIndex = node.CreatedIndex };
        FillView(view, node, recursive, recursive);
        return view;
    }

    private void FillView(V2NodeView view, V2Node node, bool listChildren, bool recursive)
    {
        view.IsDirectory = node.IsDirectory;
        view.Value = node.IsDirectory ? null : node.Value;
        if (node.IsDirectory && listChildren)
        {
            view.Nodes = [.. node.Children!.Values.Where(child => !child.IsHidden).Select(child => View(child, recursive))];
        }

        if (!node.IsPermanent)
        {
            long leftNanos = node.ExpireUnixNanos - (_clock.GetUtcNow().Ticks - DateTime.UnixEpoch.Ticks) * 100;
            view.ExpireUnixNanos = node.ExpireUnixNanos;
            view.TtlSeconds = (leftNanos / NanosPerSecond) + (leftNanos % NanosPerSecond > 0 ? 1 : 0);
        }
    }

    private static bool IsReadOnly(string path) => path is "/" or "/0" or "/1";

    private static string Below(V2Node parent, string name) =>
        parent.Path == "/" ? "/" + name : parent.Path + "/" + name;

    private void AddNamespaces()
    {
        foreach (string name in (ReadOnlySpan<string>)["0", "1"])
        {
            if (!_root.Children!.ContainsKey(name))
            {
                _root.Children.Add(name, V2Node.Directory("/" + name, 0, _root, 0));
            }
        }
    }

    private sealed class ExpiryOrder : IComparer<V2Node>
    {
        public static readonly ExpiryOrder Instance = new();

        public int Compare(V2Node? x, V2Node? y)
        {
            int byTime = x!.ExpireUnixNanos.CompareTo(y!.ExpireUnixNanos);
            return byTime != 0 ? byTime : string.CompareOrdinal(x.Path, y.Path);
        }
    }
}
