using System.Buffers.Binary;
using Perf.Engine;
using Perf.Engine.IO;
using Perf.Engine.Snap;
using Perf.Engine.Transactions;
using Perf.Engine.Tree;
using Perf.Engine.Wal;
using Perf.Raft;
using Perf.Store.Backend;
using Perf.Store.Commands;
using Perf.Store.Membership;
using Perf.Store.V2;

namespace Perf.Etcdutl.Files;

/// <summary>
/// Verifies a member's directory: pages and records of the database, each .snap, the log's chain, and that they agree
/// on how far the member is. Changes nothing.
/// </summary>
internal sealed class DirectoryCheck(IDisk disk, string dataDir, string walDirOption)
{
    private readonly string _walDir = walDirOption.Length > 0 ? walDirOption : Paths.Wal(dataDir);

    /// <summary>0 where the database does not say.</summary>
    private ulong _consistentIndex;

    private bool _hasDatabase;

    /// <summary>What was found, a line each.</summary>
    public List<string> Facts { get; } = [];

    /// <summary>What is wrong, a line each.</summary>
    public List<string> Problems { get; } = [];

    public void Run()
    {
        Guarded("database", CheckDatabase);
        Guarded("snapshots", CheckSnapshots);
        Guarded("log", CheckLog);
    }

    /// <summary>Damage in one place does not hide what the others say.</summary>
    private void Guarded(string place, Action check)
    {
        try
        {
            check();
        }
        catch (Exception e) when (Utl.IsOfTheWorld(e))
        {
            Problems.Add($"{place}: {e.Message}");
        }
    }

    private void CheckDatabase()
    {
        string path = Paths.Database(dataDir);
        Paths.RequireExists(path, "stat");
        VerifyReport report = TreeVerifier.VerifyFile(disk, path);
        Facts.Add(
            $"database: transaction {report.Txid}, {report.PagesUsed} pages used, {report.PagesFree} free, "
            + $"{report.ExtentsWithoutTrailer} without a checksum, {report.Buckets} buckets, {report.Keys} keys");
        Problems.AddRange(report.Problems.Select(p => "database: " + p));
        if (!report.IsClean)
        {
            return;
        }

        using DataFile file = DataFile.Open(disk, path, new DataFileOptions { ReadOnly = true, MapBytesMin = 0 });
        using ReadTransaction read = file.BeginRead();
        if (read.TryGet(Buckets.Meta, Buckets.ConsistentIndexKey, out ReadOnlySpan<byte> index)
            && index.Length == sizeof(ulong))
        {
            _consistentIndex = BinaryPrimitives.ReadUInt64BigEndian(index);
        }

        _hasDatabase = true;
        (long records, long newest) = CheckRecords(read);
        Facts.Add($"revisions: {records} records, the newest of revision {newest}; consistent index {_consistentIndex}");
    }

    private (long Records, long Newest) CheckRecords(in ReadTransaction read)
    {
        long records = 0;
        long newest = 0;
        BucketCursor cursor = read.OpenCursor(Buckets.Key);
        for (bool more = cursor.SeekFirst(); more; more = cursor.Next())
        {
            records++;
            if (!RevisionKey.TryRead(cursor.Key, out Revision revision, out bool isTombstone)
                || !KeyValueView.TryParse(cursor.Value, out KeyValueView record))
            {
                Problems.Add($"database: record {records} of bucket key is no revision");
                continue;
            }

            newest = revision.Main;

            // A restore that moved the revision up has left a record without content.
            if (!isTombstone && cursor.Value.Length > 0 && record.ModRevision != revision.Main)
            {
                Problems.Add(
                    $"database: revision {revision.Main}.{revision.Sub} holds a record of revision {record.ModRevision}");
            }
        }

        return (records, newest);
    }

    private void CheckSnapshots()
    {
        foreach (SnapName name in SnapFile.List(disk, Paths.Snap(dataDir)))
        {
            try
            {
                Snapshot snapshot = NewestSnapshot.Read(disk, Paths.Snap(dataDir), name);
                new V2Store(TimeProvider.System).Load(snapshot.Data.Span);
                Facts.Add($"snapshot: term {name.Term}, index {name.Index}, {snapshot.Data.Length} bytes");
            }
            catch (Exception e) when (e is CorruptionException or InvalidDataException)
            {
                Problems.Add($"snapshot: {e.Message}");
            }
        }
    }

    private void CheckLog()
    {
        IReadOnlyList<WalSnapshot> vouched = WalLog.ValidSnapshots(disk, _walDir);
        Snapshot? snapshot = NewestSnapshot.Find(disk, Paths.Snap(dataDir), vouched);
        SnapshotMetadata start = snapshot?.Metadata ?? SnapshotMetadata.None;
        var states = new States();
        (ulong node, ulong cluster, ulong last, bool wasTorn) = LogReading.Read(
            disk, _walDir, Paths.WalMark(dataDir), new WalSnapshot(start.Index, start.Term, default), states);
        Facts.Add(
            $"log: member {MemberIds.Hex(node)} of cluster {MemberIds.Hex(cluster)}, from snapshot {start.Index} to entry {last}, "
            + $"term {states.Term}, committed {states.Commit}" + (wasTorn ? "; a torn tail, which a start cuts off" : ""));

        if (!_hasDatabase)
        {
            return;
        }

        // FORMATS A.8: a .snap is recorded only when the database durably holds its index.
        bool isArriving = disk.FileExists(SnapDatabase.PathOf(Paths.Snap(dataDir), start.Index));
        if (_consistentIndex < start.Index && !isArriving)
        {
            Problems.Add($"database: consistent index {_consistentIndex}, but the snapshot is of index {start.Index}");
        }

        if (_consistentIndex > Math.Max(last, start.Index))
        {
            Problems.Add($"database: consistent index {_consistentIndex}, but the log ends with {last}");
        }
    }

    private sealed class States : IWalVisitor
    {
        public ulong Term { get; private set; }

        public ulong Commit { get; private set; }

        public void OnEntry(ulong index, ulong term, ReadOnlySpan<byte> encodedEntry)
        {
        }

        public void OnTruncate(ulong index)
        {
        }

        public void OnHardState(ulong term, ulong vote, ulong commit) => (Term, Commit) = (term, commit);

        public void OnSnapshot(ulong index, ulong term, ReadOnlySpan<byte> confState)
        {
        }
    }
}
