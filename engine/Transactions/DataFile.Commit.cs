using System.Buffers.Binary;
using Perf.Engine.Pages;
using Perf.Engine.Space;
using Perf.Engine.Tree;

namespace Perf.Engine.Transactions;

// The committer's half. Order of one commit N (bbolt's rules, one sync less):
//
//   pages of N  ->  fdatasync  ->  meta N            ... next commit:  pages of N+1  ->  fdatasync  ->  meta N+1
//                   makes meta N-1 durable                                            makes meta N durable
//
// I2: pages that N freed are given out again only when meta N is durable and no reader of N-1 or before is left.
// I3: no meta page is written before the pages it reaches are durable.
public sealed partial class DataFile
{
    /// <summary>Bytes the file must be too long before an ordinary commit cuts it: growing again costs a sync.</summary>
    private const long CutBytesMin = 16 << 20;

    private static readonly byte[] EmptyInline = MakeEmptyInline();

    private readonly PageSpace _space = new();
    private readonly Quarantine _quarantine = new();
    private readonly PageOutput _output;
    private readonly TreeBuilder _builder;
    private readonly byte[] _metaPage;

    /// <summary>High-water mark of the durable meta; the file is never cut below it.</summary>
    private long _durableHighWater;

    private long _extentsWithoutTrailer;
    private (long Page, long Count) _storedFreelist;
    private bool _failed;

    /// <summary>
    /// Writes the batch as one transaction: data pages, sync, meta page. Readers see it when this returns; it becomes
    /// durable with the next commit's sync or <see cref="MakeDurable"/>. <see cref="DiskFullException"/> leaves
    /// the file as it was and usable; after any other failure only Dispose is left. One thread at a time.
    /// </summary>
    public void Commit(WriteBatch batch)
    {
        RequireWritable();
        CommitView old = _view;
        ReleaseQuarantine();
        List<BucketChanges> changes = batch.InOrder();
        HashSet<long>? moving = TailPages.Choose(old, _space, batch.RelocateTailPagesMax);
        bool hasFreelist = _storedFreelist.Count > 0;
        if (changes.Count == 0 && moving is null && !(hasFreelist && batch.RelocateTailPagesMax > 0))
        {
            if (batch.RelocateTailPagesMax > 0)
            {
                MakeDurable();
                ReleaseQuarantine();
                CutTail(0);
            }

            return;
        }

        List<(long Page, long Count)> freed = _quarantine.Rent();
        _output.Begin(old.Txid + 1, freed);
        BucketRoot[] roots;
        (long Root, uint Checksum) root;
        try
        {
            if (hasFreelist)
            {
                _output.Free(_storedFreelist.Page, _storedFreelist.Count);
            }

            roots = BuildBuckets(old, changes, moving, out RootChanges rootChanges);
            var stream = new ChangeStream("(root)", [rootChanges]);
            root = _builder.Merge(old, old.Meta.Root, old.Meta.RootChecksum, default, stream, moving, holdsBuckets: true);
            if (root.Root == 0)
            {
                root = _builder.MakeEmpty();
            }

            _output.Flush();
        }
        catch (Exception failure)
        {
            _output.Rollback();
            _quarantine.Return(freed);
            _failed = failure is not DiskFullException;
            throw;
        }

        Publish(old, roots, root);
        _quarantine.Add(old.Txid + 1, freed);
        _storedFreelist = default;
        CutTail(batch.RelocateTailPagesMax > 0 ? 0 : CutBytesMin);
    }

    /// <summary>Syncs the last meta page, so that DurableTxid = Txid. The committer's thread.</summary>
    public void MakeDurable()
    {
        RequireWritable();
        if (_durableTxid == _view.Txid)
        {
            return;
        }

        try
        {
            SyncCommit(_view, lengthToo: false);
        }
        catch (Exception failure)
        {
            throw Final(failure);
        }
    }

    private static byte[] MakeEmptyInline()
    {
        byte[] page = new byte[PageLayout.HeaderBytes];
        PageHeader.Write(page, 0, PageLayout.LeafFlag, 0, 0);
        return page;
    }

    /// <summary>Merges each touched bucket; collects what the root tree must say about them.</summary>
    private BucketRoot[] BuildBuckets(
        CommitView old, List<BucketChanges> changes, HashSet<long>? moving, out RootChanges rootChanges)
    {
        foreach (BucketChanges change in changes)
        {
            ResolveBucket(change.Name);
        }

        var roots = new BucketRoot[Math.Max(_bucketIds.Count, old.Buckets.Length)];
        old.Buckets.CopyTo(roots, 0);
        if (moving is not null)
        {
            AddMovingBuckets(old, changes, moving);
        }

        rootChanges = new RootChanges();
        foreach (BucketChanges change in changes)
        {
            BucketId id = FindBucket(change.Name);
            BucketRoot bucket = roots[id.Value];
            bool moves = moving is not null && moving.Contains(bucket.Root);
            if (bucket.Exists && !change.HasChanges && !moves)
            {
                continue;
            }

            (long root, uint checksum) = _builder.Merge(
                old, bucket.Root, bucket.Checksum, bucket.Inline, change.Open(), moving, holdsBuckets: false);
#if MUTANTS
            checksum = Mutant.Is("28-bucket-root-unchecked") ? 0 : checksum;
#endif
            bucket = new BucketRoot(true, root, bucket.Sequence, checksum, root == 0 ? EmptyInline : null);
            roots[id.Value] = bucket;
            rootChanges.Add(change.NameBytes, bucket);
        }

        return roots;
    }

    private void AddMovingBuckets(CommitView old, List<BucketChanges> changes, HashSet<long> moving)
    {
        foreach (string name in BucketNames(old))
        {
            if (moving.Contains(old.Bucket(FindBucket(name)).Root) && !changes.Exists(change => change.Name == name))
            {
                changes.Add(new BucketChanges(name, System.Text.Encoding.UTF8.GetBytes(name)));
            }
        }

        changes.Sort(static (left, right) => KeyOrder.Compare(left.NameBytes, right.NameBytes));
    }

    /// <summary>Data pages are written: sync them, write the meta page, show the commit to readers.</summary>
    private void Publish(CommitView old, BucketRoot[] roots, (long Root, uint Checksum) root)
    {
        long withoutTrailer = _extentsWithoutTrailer - _output.FreedWithoutTrailer;
        var meta = new MetaPage
        {
            PageBytes = old.Meta.PageBytes,
            Root = root.Root,
            RootSequence = old.Meta.RootSequence,
            Freelist = MetaPage.NoFreelist,
            HighWater = _space.HighWater,
            Txid = old.Txid + 1,
            AllTrailers = withoutTrailer == 0,
            RootChecksum = root.Checksum,
        };
        var view = new CommitView
        {
            FilePath = FilePath,
            Meta = meta,
            Map = MapFor(_output.FileBytes),
            Verified = _verified,
            ChecksTrailers = _options.VerifyOnFirstTouch,
            Buckets = roots,
            PagesUsed = _space.UsedPages,
        };
        try
        {
#if MUTANTS
            if (!Mutant.Is("03-meta-before-data"))
#endif
            SyncCommit(old, _output.HasGrown);
            int slot = (int)(meta.Txid & 1);
            meta.Write(_metaPage, slot);
            _file.Write(_metaPage, (long)slot * meta.PageBytes);
            if (_options.TwoSyncCommit || _options.NoSync)
            {
                SyncCommit(view, lengthToo: false);
            }
        }
        catch (Exception failure)
        {
            throw Final(failure);
        }

        _extentsWithoutTrailer = withoutTrailer;
        Volatile.Write(ref _view, view);
    }

    /// <summary>One sync; afterwards the commit whose meta page was written last is durable.</summary>
    private void SyncCommit(CommitView written, bool lengthToo)
    {
        if (!_options.NoSync)
        {
            if (lengthToo)
            {
                _file.SyncAll();
            }
            else
            {
                _file.SyncData();
            }
        }

        _durableHighWater = written.Meta.HighWater;
        Volatile.Write(ref _durableTxid, written.Txid);
    }

    private void ReleaseQuarantine()
    {
#if MUTANTS
        if (Mutant.Is("24-pages-free-too-early"))
        {
            _quarantine.Release(_space, _view.Txid, _view.Txid);
        }
#endif
        _quarantine.Release(_space, _durableTxid, _epochs.Oldest(_view.Txid));
    }

    /// <summary>
    /// Gives the end of the file back when nothing can refer to it: no commit that a crash could bring back, no
    /// reader's commit, no page in quarantine. A map touched beyond the end of file would end the process.
    /// </summary>
    private void CutTail(long bytesMin)
    {
        long pages = Math.Max(_space.BusyEnd, Math.Max(_view.Meta.HighWater, _durableHighWater));
        long target = FileSteps.Round(pages * _view.Meta.PageBytes);
        if (_durableHighWater > 0 && target < _output.FileBytes && target + bytesMin <= _output.FileBytes)
        {
            _file.SetLength(target);
            _output.FileBytes = target;
        }
    }

    private void RequireWritable()
    {
        ObjectDisposedException.ThrowIf(_disposed, this);
        if (_options.ReadOnly || _failed)
        {
            throw new InvalidOperationException(
                _failed ? $"{FilePath}: an earlier write failed" : $"{FilePath}: opened for reading");
        }
    }

    /// <summary>
    /// A failed sync or meta write leaves unknown bytes behind: nothing may follow it. A full disk here is no exception,
    /// so it must not look like the harmless kind.
    /// </summary>
    private Exception Final(Exception failure)
    {
        _failed = true;
        return failure is DiskFullException full
            ? new DiskException(full.Path, full.Call, full.Errno, "no space for data already accepted")
            : failure;
    }

    /// <summary>New values of the root tree, in name order.</summary>
    private sealed class RootChanges : IChangeSource
    {
        private readonly List<(byte[] Name, byte[] Value)> _entries = [];
        private int _at = -1;

        public ReadOnlySpan<byte> Key => _entries[_at].Name;

        public ReadOnlySpan<byte> Value => _entries[_at].Value;

        public bool IsDelete => false;

        public void Add(byte[] name, in BucketRoot bucket)
        {
            int behind = bucket.Inline?.Length ?? PageLayout.ChildChecksumBytes;
            byte[] value = new byte[PageLayout.BucketHeaderBytes + behind];
            BinaryPrimitives.WriteInt64LittleEndian(value, bucket.Root);
            BinaryPrimitives.WriteUInt64LittleEndian(value.AsSpan(8), bucket.Sequence);
            if (bucket.Inline is null)
            {
                BinaryPrimitives.WriteUInt32LittleEndian(value.AsSpan(PageLayout.BucketHeaderBytes), bucket.Checksum);
            }

            bucket.Inline?.CopyTo(value.AsSpan(PageLayout.BucketHeaderBytes));
            _entries.Add((name, value));
        }

        public bool MoveNext() => ++_at < _entries.Count;
    }
}
