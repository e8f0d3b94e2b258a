using System.Runtime.InteropServices;
using Perf.Engine.Transactions;

namespace Perf.Store.Backend;

/// <summary>
/// Reads records of bucket <c>key</c>, wherever they are, as of one moment. Every span is good until Dispose. Any
/// thread; allocates nothing.
/// </summary>
internal ref struct RecordReader
{
    private readonly ReaderEpochs _epochs;
    private readonly int _slot;
    private ReadTransaction _read;

    private RecordReader(BackendStore backend, MemtableSet set, int slot, ReadTransaction read)
    {
        _epochs = backend.Epochs;
        Set = set;
        _slot = slot;
        _read = read;
    }

    /// <summary>Memtables and file that this reader looks into.</summary>
    public MemtableSet Set { get; }

    /// <summary>The file's view.</summary>
    public readonly ReadTransaction File => _read;

    /// <summary>
    /// Opens a reader and takes the figures of <paramref name="published"/> in the same breath. Between loading the
    /// set and checking it again lie the beginning of the file read and the loading of the revisions: if the set has
    /// not changed meanwhile, every record up to the revision is in the set or in the file's view, and nothing that
    /// the compact revision allows to be read has been removed from both. (A freeze, a commit's publication and a
    /// reset all change the set; deletions reach the file only through a freeze that comes after the compact
    /// revision was published.)
    /// </summary>
    public static RecordReader Open(BackendStore backend, PublishedState published, out long revision, out long compacted)
    {
        int slot = backend.Epochs.Enter();
        while (true)
        {
            MemtableSet set = backend.Set;
            ReadTransaction read = set.File.BeginRead();
            published.Read(out revision, out compacted);
            if (ReferenceEquals(backend.Set, set))
            {
                return new RecordReader(backend, set, slot, read);
            }
            read.Dispose();
        }
    }

    /// <summary>A record's bytes.</summary>
    public readonly bool TryGet(long main, int sub, bool isTombstone, out ReadOnlySpan<byte> value)
    {
        if (Set.Active.Records.TryGet(main, sub, out value)
            || (Set.Frozen is not null && Set.Frozen.Records.TryGet(main, sub, out value)))
        {
            return true;
        }
        Span<byte> key = stackalloc byte[RevisionKey.TombstoneBytes];
        int keyBytes = RevisionKey.Write(key, main, sub, isTombstone);

        // The value never aliases the key, which the compiler cannot see from the signature.
        ReadOnlySpan<byte> lookup = MemoryMarshal.CreateReadOnlySpan(ref MemoryMarshal.GetReference(key), keyBytes);
        return _read.TryGet(Set.KeyBucket, lookup, out value);
    }

    /// <summary>Ends the read; spans end with it.</summary>
    public void Dispose()
    {
        _read.Dispose();
        _epochs.Leave(_slot);
    }
}

/// <summary>The revision and compact revision that readers may see: written by apply, read by everybody.</summary>
internal sealed class PublishedState
{
    private long _revision = 1;
    private long _compacted = -1;

    public long Revision => Volatile.Read(ref _revision);

    public long Compacted => Volatile.Read(ref _compacted);

    /// <summary>Written revision first, read compact revision first: so revision is never the older of the two.</summary>
    public void Write(long revision, long compacted)
    {
        Volatile.Write(ref _revision, revision);
        Volatile.Write(ref _compacted, compacted);
    }

    /// <summary>Both, with revision at least compacted.</summary>
    public void Read(out long revision, out long compacted)
    {
        compacted = Volatile.Read(ref _compacted);
        revision = Volatile.Read(ref _revision);
    }
}
