using System.Collections.Concurrent;
using System.Numerics;
using Perf.Engine.IO;
using Perf.Engine.Pages;
using Perf.Engine.Space;
using Perf.Engine.Tree;

namespace Perf.Engine.Transactions;

/// <summary>
/// One bbolt file. Readers on any thread, one committer at a time. See DESIGN.md for the order of writes and syncs.
/// </summary>
public sealed partial class DataFile : IDisposable
{
    private readonly ConcurrentDictionary<string, int> _bucketIds = new(StringComparer.Ordinal);
    private readonly Lock _newBucket = new();
    private readonly ReaderEpochs _epochs = new();
    private readonly VerifiedPages _verified = new();
    private readonly DataFileOptions _options;
    private readonly IDiskFile _file;

    /// <summary>Outgrown maps stay until Dispose: spans of readers point into them.</summary>
    private readonly List<IFileMap> _maps = [];

    private CommitView _view;
    private ulong _durableTxid;
    private bool _disposed;

    private DataFile(IDisk disk, string path, DataFileOptions options)
    {
        _options = options;
        FilePath = path;
        _file = disk.Open(path, options.ReadOnly ? DiskOpen.ReadOnly : DiskOpen.ReadWrite);
        try
        {
            if (!options.ReadOnly && !_file.TryLockWhole())
            {
                throw new IOException($"{path}: flock: another process has the file open");
            }

            MetaPage meta = MetaPair.ReadNewest(_file);
            SyncWhatWasFound();
            _view = Load(meta);
            _durableTxid = meta.Txid;
            _durableHighWater = meta.HighWater;
            _output = new PageOutput(_file, _space, _verified, meta.PageBytes, _file.Length);
            _builder = new TreeBuilder(_output);
            _metaPage = new byte[meta.PageBytes];
        }
        catch
        {
            foreach (IFileMap map in _maps)
            {
                map.Dispose();
            }

            _file.Dispose();
            throw;
        }
    }

    public string FilePath { get; }

    /// <summary>The newest committed (and published) transaction.</summary>
    public ulong Txid => Volatile.Read(ref _view).Txid;

    /// <summary>The newest transaction known to survive a power failure.</summary>
    public ulong DurableTxid => Volatile.Read(ref _durableTxid);

    /// <summary>Bytes of a page.</summary>
    public int PageBytes => _view.Meta.PageBytes;

    /// <summary>Logical size: high-water mark times page size (etcd's "db size").</summary>
    public long SizeBytes
    {
        get
        {
            CommitView view = Volatile.Read(ref _view);
            return view.Meta.HighWater * view.Meta.PageBytes;
        }
    }

    /// <summary>Pages reachable from the newest transaction (etcd's "db size in use").</summary>
    public long SizeInUseBytes
    {
        get
        {
            CommitView view = Volatile.Read(ref _view);
            return view.PagesUsed * view.Meta.PageBytes;
        }
    }

    /// <summary>Read transactions and images open now.</summary>
    public int OpenReaders => _epochs.Count;

    /// <summary>
    /// Opens a file, makes it when absent or empty, takes the lock. Damage is a <see cref="CorruptionException"/>;
    /// a lock held by another process an <see cref="IOException"/>.
    /// </summary>
    public static DataFile Open(IDisk disk, string path, DataFileOptions options)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(options.PageBytes, PageLayout.PageBytesMin);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(options.PageBytes, PageLayout.PageBytesMax);
        if (!BitOperations.IsPow2(options.PageBytes))
        {
            throw new ArgumentException($"a page size of {options.PageBytes} bytes", nameof(options));
        }

        if (!options.ReadOnly && IsAbsentOrEmpty(disk, path))
        {
            MetaPair.MakeFile(disk, path, options.PageBytes, options.NoSync);
        }

        return new DataFile(disk, path, options);
    }

    /// <summary>
    /// Throws <see cref="CorruptionException"/> for a file that has no good meta page; an empty one is not yet a file.
    /// Takes no lock, writes nothing.
    /// </summary>
    public static void CheckMetas(IDisk disk, string path)
    {
        using IDiskFile file = disk.Open(path, DiskOpen.ReadOnly);
        if (file.Length > 0)
        {
            MetaPair.ReadNewest(file);
        }
    }

    /// <summary>Resolves a bucket's name for repeated use. Any thread.</summary>
    public BucketId ResolveBucket(string name)
    {
        if (_bucketIds.TryGetValue(name, out int id))
        {
            return new BucketId(id);
        }

        lock (_newBucket)
        {
            return new BucketId(_bucketIds.GetOrAdd(name, _bucketIds.Count));
        }
    }

    /// <summary>A view of the newest commit. Any thread, allocates nothing. Dispose it on the way out.</summary>
    public ReadTransaction BeginRead()
    {
        ObjectDisposedException.ThrowIf(_disposed, this);
        CommitView view = _epochs.Enter(ref _view, out EpochSlot slot);
        return new ReadTransaction(this, view, slot);
    }

    /// <summary>A bbolt image of the newest commit, for snapshots. Pins that commit until disposed. Any thread.</summary>
    public DataImage OpenImage()
    {
        ObjectDisposedException.ThrowIf(_disposed, this);
        CommitView view = _epochs.Enter(ref _view, out EpochSlot slot);
        return new DataImage(_file, view, slot);
    }

    /// <summary>Runs the strict verifier over the newest commit. Any thread.</summary>
    public VerifyReport Verify()
    {
        ObjectDisposedException.ThrowIf(_disposed, this);
        CommitView view = _epochs.Enter(ref _view, out EpochSlot slot);
        try
        {
            return TreeVerifier.Verify(view);
        }
        finally
        {
            slot.Leave();
        }
    }

    /// <summary>
    /// Closes the file and gives the lock back. Does not sync: what must survive was made durable before. With
    /// readers still open the map is left to the finalizer, so that their spans stay good.
    /// </summary>
    public void Dispose()
    {
        if (_disposed)
        {
            return;
        }

        _disposed = true;
        _builder.Dispose();
        _output.Dispose();
        if (_epochs.Count == 0)
        {
            foreach (IFileMap map in _maps)
            {
                map.Dispose();
            }
        }

        _file.Dispose();
    }

    internal BucketId FindBucket(string name) => new(_bucketIds.TryGetValue(name, out int id) ? id : -1);

    internal IReadOnlyList<string> BucketNames(CommitView view)
    {
        var names = new List<string>();
        foreach (KeyValuePair<string, int> bucket in _bucketIds)
        {
            if (view.Bucket(new BucketId(bucket.Value)).Exists)
            {
                names.Add(bucket.Key);
            }
        }

        names.Sort(static (left, right) => KeyOrder.Compare(
            System.Text.Encoding.UTF8.GetBytes(left), System.Text.Encoding.UTF8.GetBytes(right)));
        return names;
    }

    private static bool IsAbsentOrEmpty(IDisk disk, string path)
    {
        if (!disk.FileExists(path))
        {
            return true;
        }

        using IDiskFile file = disk.Open(path, DiskOpen.ReadOnly);
        return file.Length == 0;
    }

    /// <summary>
    /// A process that was killed may have left a meta page in the page cache only. After this sync the commit we
    /// found is durable, whoever wrote it.
    /// </summary>
    private void SyncWhatWasFound()
    {
        if (!_options.ReadOnly && !_options.NoSync)
        {
            _file.SyncAll();
        }
    }

    private CommitView Load(MetaPage meta)
    {
        _verified.Reserve(meta.HighWater);
        var bare = new CommitView
        {
            FilePath = FilePath,
            Meta = meta,
            Map = MapFor(_file.Length),
            Verified = _verified,
            ChecksTrailers = _options.VerifyOnFirstTouch,
            Buckets = [],
        };
        var walk = new SpaceWalk(bare, _space);
        walk.Run();
        _extentsWithoutTrailer = walk.ExtentsWithoutTrailer;
        _storedFreelist = walk.Freelist;
        var roots = new BucketRoot[walk.Buckets.Count];
        foreach ((string name, BucketRoot root) in walk.Buckets)
        {
            roots[ResolveBucket(name).Value] = root;
        }

        return new CommitView
        {
            FilePath = FilePath,
            Meta = meta,
            Map = bare.Map,
            Verified = _verified,
            ChecksTrailers = bare.ChecksTrailers,
            Buckets = roots,
            PagesUsed = _space.UsedPages,
        };
    }

    /// <summary>The map in use, or a larger one when the file has outgrown it.</summary>
    private IFileMap MapFor(long fileBytes)
    {
        if (_maps.Count == 0 || _maps[^1].ReservedBytes < fileBytes)
        {
            const long Alignment = 64 << 10;
            long reserved = Math.Max(_options.MapBytesMin, fileBytes * 2);
            _maps.Add(_file.Map((reserved + Alignment - 1) / Alignment * Alignment));
        }

        return _maps[^1];
    }
}
