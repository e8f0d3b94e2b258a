namespace Perf.Engine.IO;

/// <summary>What a simulated failure looks like to the caller.</summary>
public enum SimFailure
{
    /// <summary>
    /// EIO. A failed write has written its first half; a failed sync has lost what it was to sync: still readable,
    /// never durable, and the next sync succeeds.
    /// </summary>
    InputOutput,

    /// <summary>ENOSPC: a <see cref="DiskFullException"/>, otherwise as <see cref="InputOutput"/>.</summary>
    NoSpace,

    /// <summary>A write, sync or other change is reported as done and was not.</summary>
    Phantom,

    /// <summary>A write is reported as done and has landed one page beside its place; other calls: as Phantom.</summary>
    Misdirected,

    /// <summary>The machine stops in this call (it may have taken effect); every later one throws the same.</summary>
    PowerOff,
}

/// <summary>The simulated machine has stopped; nothing but a crash copy of its disk is left.</summary>
public sealed class SimCrashException() : Exception("the simulated machine is off");

/// <summary>
/// A disk in memory that remembers what was synced apart from what was merely written. Deterministic by seed.
/// For tests and simulation; thread-safe by one lock.
/// </summary>
public sealed class SimDisk : IDisk
{
    private const int NoEntry = 2;
    private const int InputOutputError = 5;
    private const int Exists = 17;
    private const int NotDirectory = 20;
    private const int NoSpaceError = 28;

    private readonly Lock _lock = new();
    private readonly SimDirectory _root = new();
    private readonly List<NameChange> _unsyncedNames = [];
    private readonly Dictionary<long, SimFailure> _failures = [];
    private long _calls;
    private bool _off;

    /// <summary>Disk calls made so far. Lengths, existence, hints and reads through a map are not calls.</summary>
    public long Calls
    {
        get
        {
            lock (_lock)
            {
                return _calls;
            }
        }
    }

    /// <summary>Called with the name and path of every call before it is made; for tests that count or choose.</summary>
    public Action<string, string>? Observer { get; set; }

    /// <summary>The call with this number (as <see cref="Calls"/> will show it) fails, once.</summary>
    public void FailAt(long call, SimFailure failure)
    {
        lock (_lock)
        {
            _failures[call] = failure;
        }
    }

    /// <summary>
    /// The disk as a power failure leaves it: synced bytes, plus for each unsynced write an arbitrary subset of its
    /// 512-byte sectors, in any order; lengths and directory entries likewise. This disk itself stays as it is.
    /// </summary>
    public SimDisk CrashCopy(ulong seed) => CrashCopy(new SimLuck(seed));

    /// <summary>The same for each outcome there can be, until the caller has had enough of them.</summary>
    public IEnumerable<SimDisk> CrashCopies()
    {
        var outcomes = new SimOutcomes();
        do
        {
            yield return CrashCopy(new SimLuck(outcomes));
        }
        while (outcomes.Advance());
    }

    private SimDisk CrashCopy(SimLuck luck)
    {
        lock (_lock)
        {
            var copy = new SimDisk();
            var files = new Dictionary<SimFile, SimFile>(ReferenceEqualityComparer.Instance);
            var names = new Dictionary<SimDirectory, SortedDictionary<string, object>>(ReferenceEqualityComparer.Instance);
            foreach (NameChange change in _unsyncedNames)
            {
                if (luck.Keeps())
                {
                    foreach ((SimDirectory directory, string name, object? node) in change.Entries)
                    {
                        Set(After(directory), name, node);
                    }
                }
            }

            CopyDirectory(_root, copy._root);
            return copy;

            SortedDictionary<string, object> After(SimDirectory directory)
            {
                if (!names.TryGetValue(directory, out SortedDictionary<string, object>? entries))
                {
                    entries = new SortedDictionary<string, object>(directory.Synced, StringComparer.Ordinal);
                    names.Add(directory, entries);
                }

                return entries;
            }

            void CopyDirectory(SimDirectory from, SimDirectory to)
            {
                foreach ((string name, object node) in After(from))
                {
                    if (node is SimDirectory child)
                    {
                        var made = new SimDirectory();
                        CopyDirectory(child, made);
                        to.Put(name, made);
                    }
                    else
                    {
                        var file = (SimFile)node;
                        if (!files.TryGetValue(file, out SimFile? survivor))
                        {
                            survivor = file.AfterPowerFailure(luck);
                            files.Add(file, survivor);
                        }

                        to.Put(name, survivor);
                    }
                }
            }
        }
    }

    /// <summary>
    /// The disk as kill -9 of the process leaves it: everything written is readable, locks are gone, and what was not
    /// synced still is not.
    /// </summary>
    public SimDisk KillCopy()
    {
        lock (_lock)
        {
            var copy = new SimDisk();
            var nodes = new Dictionary<object, object>(ReferenceEqualityComparer.Instance) { [_root] = copy._root };
            foreach ((string name, object node) in _root.Now)
            {
                copy._root.Now[name] = Twin(node);
            }

            foreach ((string name, object node) in _root.Synced)
            {
                copy._root.Synced[name] = Twin(node);
            }

            foreach (NameChange change in _unsyncedNames)
            {
                var entries = new List<(SimDirectory, string, object?)>();
                foreach ((SimDirectory directory, string name, object? node) in change.Entries)
                {
                    entries.Add(((SimDirectory)Twin(directory), name, node is null ? null : Twin(node)));
                }

                copy._unsyncedNames.Add(new NameChange(entries));
            }

            return copy;

            object Twin(object node)
            {
                if (nodes.TryGetValue(node, out object? twin))
                {
                    return twin;
                }

                if (node is SimFile file)
                {
                    twin = file.Copy();
                    nodes.Add(node, twin);
                    return twin;
                }

                var directory = (SimDirectory)node;
                var made = new SimDirectory();
                nodes.Add(node, made);
                foreach ((string name, object child) in directory.Now)
                {
                    made.Now[name] = Twin(child);
                }

                foreach ((string name, object child) in directory.Synced)
                {
                    made.Synced[name] = Twin(child);
                }

                return made;
            }
        }
    }

    /// <summary>Flips one bit of a file, in what is written and in what is synced.</summary>
    public void FlipBit(string path, long offset, int bit)
    {
        lock (_lock)
        {
            SimFile file = FindFile(path) ?? throw Missing(path, "flip");
            ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual(offset, file.Length);
            file.Flip(offset, bit);
        }
    }

    /// <summary>Where a file's bytes end that are not zero: how far it was ever written.</summary>
    public long WrittenBytes(string path)
    {
        lock (_lock)
        {
            return FindFile(path)?.WrittenBytes ?? 0;
        }
    }

    /// <inheritdoc/>
    public IDiskFile Open(string path, DiskOpen mode)
    {
        lock (_lock)
        {
            Effect effect = Begin("open", path);
            (SimDirectory parent, string name) = FindParent(path, "open");
            parent.Now.TryGetValue(name, out object? node);
            if (node is SimDirectory)
            {
                throw new DiskException(path, "open", 21, "Is a directory");
            }

            bool creates = mode is DiskOpen.CreateNew or DiskOpen.OpenOrCreate;
            if (node is not null && mode == DiskOpen.CreateNew)
            {
                throw new DiskException(path, "open", Exists, "File exists");
            }

            if (node is null)
            {
                if (!creates)
                {
                    throw Missing(path, "open");
                }

                node = new SimFile();
                Rename(new NameChange([(parent, name, node)]));
            }

            End(effect);
            return new SimFileHandle(this, (SimFile)node, path, mode != DiskOpen.ReadOnly);
        }
    }

    /// <inheritdoc/>
    public bool FileExists(string path)
    {
        lock (_lock)
        {
            return FindFile(path) is not null;
        }
    }

    /// <inheritdoc/>
    public bool DirectoryExists(string path)
    {
        lock (_lock)
        {
            return FindDirectory(path) is not null;
        }
    }

    /// <inheritdoc/>
    public void CreateDirectory(string path)
    {
        lock (_lock)
        {
            Effect effect = Begin("mkdir", path);
            if (effect == Effect.None)
            {
                return;
            }

            SimDirectory at = _root;
            foreach (string part in Parts(path))
            {
                if (!at.Now.TryGetValue(part, out object? next))
                {
                    next = new SimDirectory();
                    Rename(new NameChange([(at, part, next)]));
                }

                at = next as SimDirectory ?? throw new DiskException(path, "mkdir", NotDirectory, "Not a directory");
            }

            End(effect);
        }
    }

    /// <inheritdoc/>
    public IReadOnlyList<string> List(string directory)
    {
        lock (_lock)
        {
            End(Begin("list", directory));
            SimDirectory found = FindDirectory(directory) ?? throw Missing(directory, "list");
            return [.. found.Now.Keys];
        }
    }

    /// <inheritdoc/>
    public void Rename(string source, string target)
    {
        lock (_lock)
        {
            Effect effect = Begin("rename", source);
            (SimDirectory fromParent, string fromName) = FindParent(source, "rename");
            (SimDirectory toParent, string toName) = FindParent(target, "rename");
            if (!fromParent.Now.TryGetValue(fromName, out object? node))
            {
                throw Missing(source, "rename");
            }

            if (effect == Effect.None)
            {
                return;
            }

            Rename(new NameChange([(fromParent, fromName, null), (toParent, toName, node)]));
            End(effect);
        }
    }

    /// <inheritdoc/>
    public void Delete(string path)
    {
        lock (_lock)
        {
            Effect effect = Begin("unlink", path);
            (SimDirectory parent, string name) = FindParent(path, "unlink");
            if (!parent.Now.TryGetValue(name, out object? node) || node is not SimFile)
            {
                throw Missing(path, "unlink");
            }

            if (effect == Effect.None)
            {
                return;
            }

            Rename(new NameChange([(parent, name, null)]));
            End(effect);
        }
    }

    /// <inheritdoc/>
    public void DeleteDirectory(string path)
    {
        lock (_lock)
        {
            Effect effect = Begin("rmdir", path);
            (SimDirectory parent, string name) = FindParent(path, "rmdir");
            if (!parent.Now.TryGetValue(name, out object? node) || node is not SimDirectory)
            {
                throw Missing(path, "rmdir");
            }

            if (effect == Effect.None)
            {
                return;
            }

            Rename(new NameChange([(parent, name, null)]));
            End(effect);
        }
    }

    /// <inheritdoc/>
    public void SyncDirectory(string path)
    {
        lock (_lock)
        {
            Effect effect = Begin("fsync directory", path);
            SimDirectory directory = FindDirectory(path) ?? throw Missing(path, "fsync directory");
            if (effect == Effect.None)
            {
                return;
            }

            End(effect);
            for (int i = 0; i < _unsyncedNames.Count; i++)
            {
                NameChange change = _unsyncedNames[i];
                if (!change.Touches(directory))
                {
                    continue;
                }

                foreach ((SimDirectory at, string name, object? node) in change.Entries)
                {
                    Set(at.Synced, name, node);
                    for (int earlier = 0; earlier < i; earlier++)
                    {
                        // What happened to this name before is history now and must not come back.
                        _unsyncedNames[earlier].Forget(at, name);
                    }
                }

                change.Entries.Clear();
            }

            _unsyncedNames.RemoveAll(change => change.Entries.Count == 0);
        }
    }

    /// <summary>One call of a file handle: counts it, injects, and runs <paramref name="act"/> as far as it gets.</summary>
    internal T Call<T>(string call, SimFileHandle handle, Func<Effect, T> act)
    {
        lock (_lock)
        {
            Effect effect = Begin(call, handle.Path, failsLater: true);
            handle.ThrowIfClosed();
            T result = act(effect);
            switch (effect)
            {
                case Effect.HalfInputOutput:
                    throw new DiskException(handle.Path, call, InputOutputError, "Input/output error");
                case Effect.HalfNoSpace:
                    throw new DiskFullException(handle.Path, call, NoSpaceError, "No space left on device");
                default:
                    End(effect);
                    return result;
            }
        }
    }

    /// <summary>State of a file without a counted call.</summary>
    internal T Look<T>(Func<T> look)
    {
        lock (_lock)
        {
            return look();
        }
    }

    private static void Set(SortedDictionary<string, object> entries, string name, object? node)
    {
        if (node is null)
        {
            entries.Remove(name);
        }
        else
        {
            entries[name] = node;
        }
    }

    private static string[] Parts(string path)
    {
        string[] parts = path.Split('/', StringSplitOptions.RemoveEmptyEntries);
        return parts.Length > 0 && parts[0] == "." ? parts[1..] : parts;
    }

    private static DiskException Missing(string path, string call) =>
        new(path, call, NoEntry, "No such file or directory");

    private void Rename(NameChange change)
    {
        foreach ((SimDirectory directory, string name, object? node) in change.Entries)
        {
            Set(directory.Now, name, node);
        }

        _unsyncedNames.Add(change);
    }

    private SimFile? FindFile(string path)
    {
        string[] parts = Parts(path);
        if (parts.Length == 0 || FindDirectory(parts.AsSpan(0, parts.Length - 1)) is not { } parent)
        {
            return null;
        }

        return parent.Now.GetValueOrDefault(parts[^1]) as SimFile;
    }

    private SimDirectory? FindDirectory(string path) => FindDirectory(Parts(path));

    private SimDirectory? FindDirectory(ReadOnlySpan<string> parts)
    {
        SimDirectory at = _root;
        foreach (string part in parts)
        {
            if (at.Now.GetValueOrDefault(part) is not SimDirectory next)
            {
                return null;
            }

            at = next;
        }

        return at;
    }

    private (SimDirectory Parent, string Name) FindParent(string path, string call)
    {
        string[] parts = Parts(path);
        if (parts.Length == 0 || FindDirectory(parts.AsSpan(0, parts.Length - 1)) is not { } parent)
        {
            throw Missing(path, call);
        }

        return (parent, parts[^1]);
    }

    private Effect Begin(string call, string path, bool failsLater = false)
    {
        if (_off)
        {
            throw new SimCrashException();
        }

        Observer?.Invoke(call, path);
        _calls++;
        if (!_failures.Remove(_calls, out SimFailure failure))
        {
            return Effect.Full;
        }

        switch (failure)
        {
            case SimFailure.PowerOff:
                _off = true;
                return Effect.FullThenOff;
            case SimFailure.Phantom:
                return Effect.None;
            case SimFailure.Misdirected:
                return Effect.Beside;
            case SimFailure.NoSpace:
                return failsLater
                    ? Effect.HalfNoSpace
                    : throw new DiskFullException(path, call, NoSpaceError, "No space left on device");
            default:
                return failsLater
                    ? Effect.HalfInputOutput
                    : throw new DiskException(path, call, InputOutputError, "Input/output error");
        }
    }

    private static void End(Effect effect)
    {
        if (effect == Effect.FullThenOff)
        {
            throw new SimCrashException();
        }
    }

    /// <summary>How far a call gets.</summary>
    internal enum Effect
    {
        Full,
        FullThenOff,
        HalfInputOutput,
        HalfNoSpace,
        Beside,
        None,
    }

    /// <summary>A directory: its entries as read now, and as they survive a power failure.</summary>
    internal sealed class SimDirectory
    {
        public SortedDictionary<string, object> Now { get; } = new(StringComparer.Ordinal);

        public SortedDictionary<string, object> Synced { get; } = new(StringComparer.Ordinal);

        public void Put(string name, object node)
        {
            Now.Add(name, node);
            Synced.Add(name, node);
        }
    }

    /// <summary>Entries that change together (a rename changes two) and are not yet durable.</summary>
    private sealed class NameChange(List<(SimDirectory Directory, string Name, object? Node)> entries)
    {
        public List<(SimDirectory Directory, string Name, object? Node)> Entries { get; } = entries;

        public bool Touches(SimDirectory directory) =>
            Entries.Exists(entry => ReferenceEquals(entry.Directory, directory));

        public void Forget(SimDirectory directory, string name) =>
            Entries.RemoveAll(entry => ReferenceEquals(entry.Directory, directory) && entry.Name == name);
    }
}
