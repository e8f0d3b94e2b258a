using System.Buffers.Binary;
using Perf.Engine;
using Perf.Engine.Memory;
using Perf.Engine.Transactions;

namespace Perf.Store.Backend;

/// <summary>Sizes and pace of the commits.</summary>
public sealed record BackendOptions
{
    /// <summary>A memtable of so many bytes is frozen at the next entry boundary.</summary>
    public long FreezeBytes { get; init; } = 8L << 20;

    /// <summary>A memtable is frozen so long after its first change (etcd's backend batch interval).</summary>
    public TimeSpan FreezeInterval { get; init; } = TimeSpan.FromMilliseconds(100);

    /// <summary>Where the interval is read from.</summary>
    public TimeProvider Clock { get; init; } = TimeProvider.System;

    /// <summary>Whether <c>term</c> is written beside <c>consistent_index</c> (3.5 and later).</summary>
    public bool WriteTerm { get; init; } = true;
}

/// <summary>Sees one key and its value; the spans are good during the call.</summary>
public delegate void BucketVisitor(ReadOnlySpan<byte> key, ReadOnlySpan<byte> value);

/// <summary>
/// The ten buckets: a data file, at most one frozen memtable on its way into it, and the active memtable that the
/// apply thread writes. A commit is exactly one memtable with the index of the last entry in it (I5).
/// <para>
/// Apply thread: everything that changes, <see cref="TryGet"/>, <see cref="ForEach"/>, <see cref="TryFreeze"/>.
/// Committer: <see cref="CommitFrozen"/>, <see cref="MakeDurable"/>. Any thread: readers and the figures.
/// </para>
/// </summary>
public sealed class BackendStore : IDisposable
{
    private readonly BackendOptions _options;
    private readonly Lock _commitLock = new();
    private readonly WriteBatch _batch = new();
    private readonly RecordChanges _changes = new();
    private readonly Lock _retiredLock = new();
    private readonly List<(long Tag, Memtable Table)> _retired = [];
    private readonly Stack<Memtable> _idle = new();
    private readonly List<(long Tag, DataFile File)> _retiredFiles = [];
    private Memtable _active;
    private MemtableSet _set;
    private ulong _index;
    private ulong _term;
    private CommitMark _mark;
    private long _activeBytes;

    /// <summary>Takes over an open file; makes the buckets that are missing.</summary>
    public BackendStore(DataFile file, BackendOptions? options = null)
    {
        _options = options ?? new BackendOptions();
        _active = new Memtable();
        _set = new MemtableSet(file, _active, null);
        _mark = new CommitMark(file, 0, 0, 0);
        Adopt(file);
    }

    /// <summary>Readers that may still look at what was replaced.</summary>
    public ReaderEpochs Epochs { get; } = new();

    /// <summary>The file in use now; a snapshot install replaces it.</summary>
    public DataFile File => Volatile.Read(ref _set).File;

    /// <summary>Index of the last applied entry. Apply thread.</summary>
    public ulong ConsistentIndex => _index;

    /// <summary>Term of the last applied entry. Apply thread.</summary>
    public ulong ConsistentTerm => _term;

    /// <summary>Index in the newest commit. Any thread.</summary>
    public ulong CommittedIndex => Volatile.Read(ref _mark).Index;

    /// <summary>Index that is known to survive a power failure. Any thread.</summary>
    public ulong DurableIndex
    {
        get
        {
            CommitMark mark = Volatile.Read(ref _mark);
            return mark.File.DurableTxid >= mark.Txid ? mark.Index : mark.PreviousIndex;
        }
    }

    /// <summary>Bytes waiting in the active memtable, for back-pressure. Any thread.</summary>
    public long ActiveBytes => Volatile.Read(ref _activeBytes);

    /// <summary>True while a frozen memtable waits for the committer or is with it. Any thread.</summary>
    public bool HasFrozen => Volatile.Read(ref _set).Frozen is not null;

    /// <summary>etcd's db size. Any thread.</summary>
    public long SizeBytes => File.SizeBytes;

    /// <summary>etcd's db size in use. Any thread.</summary>
    public long SizeInUseBytes => File.SizeInUseBytes;

#if MUTANTS
    private bool _hasMoved;
#endif

    /// <summary>Memtables whose readers have not all left. Tests.</summary>
    internal int RetiredCount
    {
        get
        {
            lock (_retiredLock)
            {
                return _retired.Count;
            }
        }
    }

    /// <summary>The set of places that readers look in, newest first.</summary>
    internal MemtableSet Set => Volatile.Read(ref _set);

    /// <summary>The active memtable's records. Apply thread.</summary>
    internal RecordTable ActiveRecords => _active.Records;

    /// <summary>Stores a copy of key and value in a small bucket.</summary>
    public void Put(string bucket, ReadOnlySpan<byte> key, ReadOnlySpan<byte> value)
    {
        Check.That(bucket != Buckets.Key);
        _active.Set(bucket, key, value.ToArray());
        Touch();
    }

    /// <summary>Removes a key of a small bucket; no error when it is not there.</summary>
    public void Delete(string bucket, ReadOnlySpan<byte> key)
    {
        Check.That(bucket != Buckets.Key);
        _active.Set(bucket, key, null);
        Touch();
    }

    /// <summary>The value as the apply thread has left it. A copy when it comes from the file.</summary>
    public bool TryGet(string bucket, ReadOnlySpan<byte> key, out ReadOnlySpan<byte> value)
    {
        MemtableSet set = _set;
        if (_active.TryGet(bucket, key, out byte[]? found)
            || (set.Frozen is not null && set.Frozen.TryGet(bucket, key, out found)))
        {
            value = found;
            return found is not null;
        }
        using ReadTransaction read = set.File.BeginRead();
        if (!read.TryGet(bucket, key, out ReadOnlySpan<byte> stored))
        {
            value = default;
            return false;
        }
        value = stored.ToArray();
        return true;
    }

    /// <summary>All keys of a small bucket in byte order, as the apply thread has left them.</summary>
    public void ForEach(string bucket, BucketVisitor visitor)
    {
        Check.That(bucket != Buckets.Key);
        var changes = new SortedDictionary<byte[], byte[]?>(BytesComparer.Instance);
        MemtableSet set = _set;
        set.Frozen?.CopyTo(bucket, changes);
        _active.CopyTo(bucket, changes);

        using ReadTransaction read = set.File.BeginRead();
        BucketCursor cursor = read.OpenCursor(bucket);
        bool more = cursor.SeekFirst();
        foreach ((byte[] key, byte[]? value) in changes)
        {
            for (; more && cursor.Key.SequenceCompareTo(key) < 0; more = cursor.Next())
            {
                visitor(cursor.Key, cursor.Value);
            }
            if (more && cursor.Key.SequenceEqual(key))
            {
                more = cursor.Next();
            }
            if (value is not null)
            {
                visitor(key, value);
            }
        }
        for (; more; more = cursor.Next())
        {
            visitor(cursor.Key, cursor.Value);
        }
    }

    /// <summary>
    /// The entry's effects are complete and all in the active memtable (or earlier). Called for every entry,
    /// whatever it did (FORMATS A.9); neither number goes back.
    /// </summary>
    public void SetConsistentIndex(ulong index, ulong term)
    {
        Check.That(index >= _index);
        Check.That(term >= _term);
        _index = index;
        _term = term;
        _active.Index = index;
        _active.Term = term;
        Touch();
    }

    /// <summary>True when the active memtable is large or old enough to be committed. Apply thread.</summary>
    public bool FreezeDue()
    {
        if (_active.IsEmpty)
        {
            return false;
        }
        return _active.Bytes >= _options.FreezeBytes
            || _options.Clock.GetElapsedTime(_active.FirstChangeAt) >= _options.FreezeInterval;
    }

    /// <summary>
    /// Hands the active memtable to the committer and starts a fresh one. Only between entries. False when there is
    /// nothing to commit or the committer still has one.
    /// </summary>
    public bool TryFreeze()
    {
        MemtableSet set = Volatile.Read(ref _set);
        if (set.Frozen is not null || _active.IsEmpty)
        {
            return false;
        }
        Memtable fresh = TakeIdle();
        Memtable frozen = _active;
        _active = fresh;
        Volatile.Write(ref _set, new MemtableSet(set.File, fresh, frozen));
        Volatile.Write(ref _activeBytes, 0);
        return true;
    }

    /// <summary>
    /// Commits the frozen memtable; false when there is none. A <see cref="DiskFullException"/> leaves it frozen
    /// for the next try; after any other failure the process ends (I10).
    /// </summary>
    public bool CommitFrozen()
    {
        lock (_commitLock)
        {
            MemtableSet set = Volatile.Read(ref _set);
            Memtable? frozen = set.Frozen;
            if (frozen is null)
            {
                return false;
            }

            _batch.Clear();
            frozen.AddTo(_batch);
#if MUTANTS
            if (!Mutant.Is("04-defrag-loses-index") || !_hasMoved)
#endif
            AddIndex(frozen.Index, frozen.Term);
            if (frozen.Records.Count + frozen.Records.DeleteCount > 0)
            {
                _changes.Start(frozen.Records);
                _batch.AddSource(Buckets.Key, _changes);
            }
            set.File.Commit(_batch);

            // A commit's sync makes the one before it durable.
            ulong previous = _mark.Index;
            ulong index = frozen.Index != 0 ? frozen.Index : previous;
            Volatile.Write(ref _mark, new CommitMark(set.File, set.File.Txid, index, previous));

            // Apply swaps only when nothing is frozen, so the set is still the one we loaded.
            Check.That(ReferenceEquals(Volatile.Read(ref _set), set));
            Volatile.Write(ref _set, new MemtableSet(set.File, set.Active, null));
            lock (_retiredLock)
            {
                _retired.Add((Epochs.Retire(), frozen));
            }
            Reclaim();
            return true;
        }
    }

    /// <summary>
    /// Moves up to so many pages from the end of the file into lower holes, by a commit that holds nothing else, and gives
    /// back what has become free at the end. A <see cref="DiskFullException"/> leaves the file as it was. Committer's thread.
    /// </summary>
    public void Relocate(int pagesMax)
    {
        lock (_commitLock)
        {
            DataFile file = Volatile.Read(ref _set).File;
            _batch.Clear();
            _batch.RelocateTailPagesMax = pagesMax;
            file.Commit(_batch);
#if MUTANTS
            _hasMoved = true;
#endif
            CommitMark mark = _mark;
            if (file.Txid != mark.Txid)
            {
                // Its sync has made the commit before it durable, and that held the same index.
                Volatile.Write(ref _mark, new CommitMark(file, file.Txid, mark.Index, mark.Index));
            }
        }
    }

    /// <summary>Syncs the last commit's meta page. Committer's thread, when idle.</summary>
    public void MakeDurable()
    {
        lock (_commitLock)
        {
            File.MakeDurable();
        }
    }

    /// <summary>Commits all that was applied and makes it durable: shutdown, .snap, snapshot streams. Apply thread.</summary>
    public void CommitAll()
    {
        CommitFrozen();
        if (TryFreeze())
        {
            CommitFrozen();
        }
        MakeDurable();
    }

    /// <summary>
    /// Goes over to another file: a snapshot was installed. What was not committed is dropped, the old file is
    /// closed when its last reader has left. Apply thread.
    /// </summary>
    public void Reset(DataFile file)
    {
        lock (_commitLock)
        {
            MemtableSet old = Volatile.Read(ref _set);
            Memtable fresh = TakeIdle();
            Memtable dropped = _active;
            _active = fresh;
            Volatile.Write(ref _set, new MemtableSet(file, fresh, null));
            Volatile.Write(ref _activeBytes, 0);
            lock (_retiredLock)
            {
                long tag = Epochs.Retire();
                _retired.Add((tag, dropped));
                if (old.Frozen is not null)
                {
                    _retired.Add((tag, old.Frozen));
                }
                if (!ReferenceEquals(old.File, file))
                {
                    _retiredFiles.Add((tag, old.File));
                }
            }
            Adopt(file);
            Reclaim();
        }
    }

    /// <summary>Gives memory back whose last reader has left. Any thread; called by every commit.</summary>
    public void Reclaim()
    {
        lock (_retiredLock)
        {
            if (_retired.Count + _retiredFiles.Count == 0)
            {
                return;
            }
            long oldest = Epochs.OldestReader();
            for (int i = _retired.Count - 1; i >= 0; i--)
            {
                if (_retired[i].Tag < oldest)
                {
                    _retired[i].Table.Clear();
                    _idle.Push(_retired[i].Table);
                    _retired.RemoveAt(i);
                }
            }
            for (int i = _retiredFiles.Count - 1; i >= 0; i--)
            {
                if (_retiredFiles[i].Tag < oldest)
                {
                    _retiredFiles[i].File.Dispose();
                    _retiredFiles.RemoveAt(i);
                }
            }
        }
    }

    /// <summary>
    /// CRC-32C over all buckets as last committed: name, then every key and value, leaving out what members may
    /// differ in (FORMATS A.5, "Hash"). Any thread; commit first.
    /// </summary>
    public uint HashCommitted()
    {
        int slot = Epochs.Enter();
        try
        {
            using ReadTransaction read = File.BeginRead();
            uint crc = 0;
            foreach (string bucket in read.Buckets())
            {
                crc = Crc32C.Append(crc, System.Text.Encoding.UTF8.GetBytes(bucket));
                BucketCursor cursor = read.OpenCursor(bucket);
                for (bool more = cursor.SeekFirst(); more; more = cursor.Next())
                {
                    if (bucket == Buckets.Meta && IsLocal(cursor.Key))
                    {
                        continue;
                    }
                    crc = Crc32C.Append(crc, cursor.Key);
                    crc = Crc32C.Append(crc, cursor.Value);
                }
            }
            return crc;
        }
        finally
        {
            Epochs.Leave(slot);
        }
    }

    /// <summary>Closes the file. Commits nothing: <see cref="CommitAll"/> is the caller's decision.</summary>
    public void Dispose()
    {
        MemtableSet set = _set;
        set.File.Dispose();
        set.Active.Clear();
        set.Frozen?.Clear();
        lock (_retiredLock)
        {
            foreach ((_, Memtable table) in _retired)
            {
                table.Clear();
            }
            foreach ((_, DataFile file) in _retiredFiles)
            {
                file.Dispose();
            }
            _retired.Clear();
            _retiredFiles.Clear();
        }
    }

    /// <summary>The active memtable has changed; the clock of its commit starts with the first change.</summary>
    internal void Touch()
    {
        if (_active.FirstChangeAt == 0)
        {
            // 0 means "empty", so a clock that stands at 0 is read as 1.
            _active.FirstChangeAt = Math.Max(1, _options.Clock.GetTimestamp());
        }
        Volatile.Write(ref _activeBytes, _active.Bytes);
    }

    private static bool IsLocal(ReadOnlySpan<byte> metaKey) =>
        metaKey.SequenceEqual(Buckets.ConsistentIndexKey)
        || metaKey.SequenceEqual(Buckets.TermKey)
        || metaKey.SequenceEqual(Buckets.StorageVersionKey);

    private static ulong ReadNumber(in ReadTransaction read, ReadOnlySpan<byte> key) =>
        read.TryGet(Buckets.Meta, key, out ReadOnlySpan<byte> value) && value.Length == sizeof(ulong)
            ? BinaryPrimitives.ReadUInt64BigEndian(value)
            : 0;

    private void AddIndex(ulong index, ulong term)
    {
        Span<byte> number = stackalloc byte[sizeof(ulong)];
        if (index != 0)
        {
            BinaryPrimitives.WriteUInt64BigEndian(number, index);
            _batch.Put(Buckets.Meta, Buckets.ConsistentIndexKey, number);
        }
        if (term != 0 && _options.WriteTerm)
        {
            BinaryPrimitives.WriteUInt64BigEndian(number, term);
            _batch.Put(Buckets.Meta, Buckets.TermKey, number);
        }
    }

    private void Adopt(DataFile file)
    {
        _batch.Clear();
        bool isComplete = true;
        using (ReadTransaction read = file.BeginRead())
        {
            _index = ReadNumber(in read, Buckets.ConsistentIndexKey);
            _term = ReadNumber(in read, Buckets.TermKey);
#if MUTANTS
            _index = Mutant.Is("05-index-of-snapshot-overwritten") ? Math.Min(_index, Math.Max(1, _mark.Index)) : _index;
#endif
            foreach (string bucket in Buckets.All)
            {
                if (!read.HasBucket(bucket))
                {
                    _batch.EnsureBucket(bucket);
                    isComplete = false;
                }
            }
        }
        if (!isComplete)
        {
            file.Commit(_batch);
        }
        Volatile.Write(ref _mark, new CommitMark(file, file.Txid, _index, _index));
    }

    private Memtable TakeIdle()
    {
        lock (_retiredLock)
        {
            return _idle.TryPop(out Memtable? table) ? table : new Memtable();
        }
    }

    /// <summary>The newest commit: its transaction, the index in it, the index in the one before.</summary>
    private sealed record CommitMark(DataFile File, ulong Txid, ulong Index, ulong PreviousIndex);
}

/// <summary>Where records are, newest first. Immutable: a reader that holds one sees a whole.</summary>
internal sealed class MemtableSet(DataFile file, Memtable active, Memtable? frozen)
{
    private readonly BucketId _keyBucket = file.ResolveBucket(Buckets.Key);

    public DataFile File { get; } = file;

    public Memtable Active { get; } = active;

    public Memtable? Frozen { get; } = frozen;

    public BucketId KeyBucket => _keyBucket;
}
