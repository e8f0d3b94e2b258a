using Perf.Engine.IO;
using Perf.Engine.Tree;

namespace Perf.Engine.Transactions;

/// <summary>
/// One bbolt file. Readers on any thread, one committer at a time. See DESIGN.md for the order of writes and syncs.
/// </summary>
public sealed class DataFile : IDisposable
{
    private DataFile(string path) => FilePath = path;

    public string FilePath { get; }

    /// <summary>The newest committed (and published) transaction.</summary>
    public ulong Txid => throw new NotImplementedException();

    /// <summary>The newest transaction known to survive a power failure.</summary>
    public ulong DurableTxid => throw new NotImplementedException();

    /// <summary>Logical size: high-water mark times page size (etcd's "db size").</summary>
    public long SizeBytes => throw new NotImplementedException();

    /// <summary>Pages reachable from the newest transaction (etcd's "db size in use").</summary>
    public long SizeInUseBytes => throw new NotImplementedException();

    /// <summary>Read transactions and images open now.</summary>
    public int OpenReaders => throw new NotImplementedException();

    /// <summary>
    /// Opens a file, makes it when absent or empty, takes the lock. Damage is a <see cref="CorruptionException"/>;
    /// a lock held by another process an <see cref="IOException"/>.
    /// </summary>
    public static DataFile Open(IDisk disk, string path, DataFileOptions options) => throw new NotImplementedException();

    /// <summary>Resolves a bucket's name for repeated use. Any thread.</summary>
    public BucketId ResolveBucket(string name) => throw new NotImplementedException();

    /// <summary>A view of the newest commit. Any thread, allocates nothing. Dispose it on the way out.</summary>
    public ReadTransaction BeginRead() => throw new NotImplementedException();

    /// <summary>
    /// Writes the batch as one transaction: data pages, sync, meta page. Readers see it when this returns; it becomes
    /// durable with the next commit's sync or <see cref="MakeDurable"/>. <see cref="DiskFullException"/> leaves
    /// the file as it was and usable; after any other failure only Dispose is left. One thread at a time.
    /// </summary>
    public void Commit(WriteBatch batch) => throw new NotImplementedException();

    /// <summary>Syncs the last meta page, so that DurableTxid = Txid. The committer's thread.</summary>
    public void MakeDurable() => throw new NotImplementedException();

    /// <summary>A bbolt image of the newest commit, for snapshots. Pins that commit until disposed. Any thread.</summary>
    public DataImage OpenImage() => throw new NotImplementedException();

    /// <summary>Runs the strict verifier over the newest commit. Any thread.</summary>
    public VerifyReport Verify() => throw new NotImplementedException();

    public void Dispose() => throw new NotImplementedException();
}
