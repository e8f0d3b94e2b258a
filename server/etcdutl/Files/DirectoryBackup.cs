using System.Buffers.Binary;
using System.Security.Cryptography;
using Perf.Engine.IO;
using Perf.Engine.Snap;
using Perf.Engine.Transactions;
using Perf.Engine.Wal;
using Perf.Raft;
using Perf.Store.Backend;
using Perf.Store.Membership;
using Perf.Store.V2;

namespace Perf.Etcdutl.Files;

/// <summary>
/// Copies the directory of a member at rest: the newest snapshot, the log behind it, the database. The copy has forgotten
/// the cluster; in the place of its members stands one that cannot be reached, so that it starts with
/// --force-new-cluster only. Entries that spoke of the cluster become empty ones: indexes stay what they were.
/// </summary>
internal sealed class DirectoryBackup(IDisk disk)
{
    private const string PlaceholderName = "etcdctl-v2-backup";
    private const string PlaceholderPeerUrl = "http://use-flag--force-new-cluster:2080";
    private const int CopyBytes = 1 << 20;

    /// <summary>How long a server may take to let go of the database.</summary>
    private static readonly TimeSpan _lockPatience = TimeSpan.FromSeconds(1);

    private readonly Member _placeholder = new()
    {
        Id = RandomId(),
        Name = PlaceholderName,
        PeerUrls = [PlaceholderPeerUrl],
    };

    public required string DataDir { get; init; }

    public required string WalDir { get; init; }

    public required string BackupDir { get; init; }

    public required string BackupWalDir { get; init; }

    /// <summary>False for the v2 data alone.</summary>
    public required bool WithV3 { get; init; }

    /// <summary>Makes the copy; what cannot be read is refused before anything is written.</summary>
    public void Run()
    {
        Paths.RequireExists(Paths.Database(DataDir), "stat");
        foreach (string target in (string[])[Paths.Member(BackupDir), BackupWalDir])
        {
            if (Path.Exists(target))
            {
                throw new IOException($"{target}: file exists");
            }
        }

        using IDiskFile locked = Lock(Paths.Database(DataDir));
        (Snapshot? snapshot, LogEntries log, (ulong Node, ulong Cluster) ids) =
            LogReading.FromNewestSnapshot(disk, DataDir, WalDir);
        List<(Entry Entry, bool IsKept)> entries = [.. log.All.Select(e => (e, IsKept(e)))];
        bool existed = Directory.Exists(BackupDir);
        try
        {
            disk.CreateDirectory(Paths.Snap(BackupDir));
            V2Store v2 = WithoutCluster(snapshot);
            ulong applied = WriteDatabase(v2, log);
            WriteLog(snapshot, v2, entries, ids, log, applied);
        }
        catch
        {
            // Half a backup must not be taken for one.
            disk.DeleteDirectory(existed ? Paths.Member(BackupDir) : BackupDir);
            if (Directory.Exists(BackupWalDir))
            {
                disk.DeleteDirectory(BackupWalDir);
            }

            throw;
        }

        string parent = Path.GetDirectoryName(Path.TrimEndingDirectorySeparator(Path.GetFullPath(BackupDir)))!;
        foreach (string directory in (string[])[Paths.Snap(BackupDir), Paths.Member(BackupDir), BackupDir, parent])
        {
            disk.SyncDirectory(directory);
        }
    }

    private static ulong RandomId()
    {
        Span<byte> bytes = stackalloc byte[sizeof(ulong)];
        RandomNumberGenerator.Fill(bytes);
        return BinaryPrimitives.ReadUInt64BigEndian(bytes);
    }

    private IDiskFile Lock(string database)
    {
        IDiskFile file = disk.Open(database, DiskOpen.ReadOnly);
        for (DateTime end = DateTime.UtcNow + _lockPatience; !file.TryLockWhole(); Thread.Sleep(50))
        {
            if (DateTime.UtcNow > end)
            {
                file.Dispose();
                throw new IOException($"timed out waiting to acquire lock on {database}: is etcd running?");
            }
        }

        return file;
    }

    /// <summary>Changes of the members go, and so does what the members said of themselves and of the version.</summary>
    private bool IsKept(Entry entry) =>
        entry.Type == EntryType.Normal
        && (LogRequest.Of(entry) is not { } request || (!request.IsOfTheCluster && (WithV3 || request.V2 is not null)));

    private static V2Store WithoutCluster(Snapshot? snapshot)
    {
        var v2 = new V2Store(TimeProvider.System);
        if (snapshot is not null)
        {
            v2.Load(snapshot.Data.Span);
            v2.Delete("/0/members", directory: true, recursive: true);
            v2.Delete("/0/removed_members", directory: true, recursive: true);
            v2.Delete("/0/version", directory: false, recursive: false);
        }

        return v2;
    }

    /// <summary>Returns the index of the last entry that the database contains, 0 where it does not say.</summary>
    private ulong WriteDatabase(V2Store v2, LogEntries log)
    {
        if (WithV3)
        {
            CopyDatabase();
        }

        using DataFile file = DataFile.Open(disk, Paths.Database(BackupDir), new DataFileOptions { MapBytesMin = 0 });
        var batch = new WriteBatch();
        foreach (string bucket in Buckets.All)
        {
            batch.EnsureBucket(bucket);
        }

        ulong applied = WithV3 ? ForgetCluster(file, batch) : log.Commit;
        new MembershipStore(new FreshBuckets(batch), v2).Apply(Store.Membership.ConfChange.Add(0, _placeholder), persist: true);
        if (!WithV3)
        {
            byte[] number = new byte[sizeof(ulong)];
            BinaryPrimitives.WriteUInt64BigEndian(number, log.Commit);
            batch.Put(Buckets.Meta, Buckets.ConsistentIndexKey, number);
            BinaryPrimitives.WriteUInt64BigEndian(number, log.Term);
            batch.Put(Buckets.Meta, Buckets.TermKey, number);
        }

        file.Commit(batch);
        file.MakeDurable();
        return applied;
    }

    private void CopyDatabase()
    {
        using DataFile source = DataFile.Open(
            disk, Paths.Database(DataDir), new DataFileOptions { ReadOnly = true, MapBytesMin = 0 });
        using DataImage image = source.OpenImage();
        using IDiskFile target = disk.Open(Paths.Database(BackupDir), DiskOpen.CreateNew);
        byte[] buffer = new byte[CopyBytes];
        for (long at = 0; at < image.Length;)
        {
            int got = image.Read(buffer, at);
            target.Write(buffer.AsSpan(0, got), at);
            at += got;
        }

        target.SyncAll();
    }

    private static ulong ForgetCluster(DataFile file, WriteBatch batch)
    {
        using ReadTransaction read = file.BeginRead();
        List<string> present = [.. read.Buckets()];
        foreach (string bucket in ((string[])[Buckets.Members, Buckets.MembersRemoved, Buckets.Cluster]).Where(present.Contains))
        {
            BucketCursor cursor = read.OpenCursor(bucket);
            for (bool more = cursor.SeekFirst(); more; more = cursor.Next())
            {
                batch.Delete(bucket, cursor.Key);
            }
        }

        return read.TryGet(Buckets.Meta, Buckets.ConsistentIndexKey, out ReadOnlySpan<byte> index)
            && index.Length == sizeof(ulong)
            ? BinaryPrimitives.ReadUInt64BigEndian(index)
            : 0;
    }

    private void WriteLog(
        Snapshot? snapshot,
        V2Store v2,
        List<(Entry Entry, bool IsKept)> entries,
        (ulong Node, ulong Cluster) ids,
        LogEntries log,
        ulong applied)
    {
        using WalLog wal = WalLog.Create(
            disk, Path.GetFullPath(BackupWalDir), ids.Node, ids.Cluster, new WalOptions { ZeroFill = false });
        if (snapshot is not null)
        {
            var voters = new ConfState([_placeholder.Id], []);
            SnapshotMetadata old = snapshot.Metadata;
            var copy = new Snapshot(new SnapshotMetadata(old.Index, old.Term, voters), v2.Save());
            byte[] raft = new byte[SnapshotCodec.Bytes(copy)];
            SnapshotCodec.Write(copy, raft);
            SnapFile.Write(disk, Paths.Snap(BackupDir), old.Term, old.Index, raft);
            byte[] encodedVoters = new byte[ConfStateCodec.Bytes(voters)];
            ConfStateCodec.Write(voters, encodedVoters);
            wal.AppendSnapshot(new WalSnapshot(old.Index, old.Term, encodedVoters));
        }

        foreach ((Entry entry, bool isKept) in entries)
        {
            ReadOnlySpan<byte> data = isKept ? entry.Data.Span : default;
            byte[] encoded = new byte[EntryCodec.Bytes(entry.Term, entry.Index, data.Length)];
            Entry written = EntryCodec.Write(
                encoded, EntryType.Normal, entry.Term, entry.Index, data, hasData: data.Length > 0, lease: null);
            wal.AppendEntry(entry.Index, written.Encoded.Span);
        }

        // What the database contains was committed, whether or not the log had come to say so. Left uncommitted it would
        // be dropped by --force-new-cluster, and what took its place would be passed over as contained already.
        ulong commit = Math.Max(log.Commit, Math.Min(applied, wal.LastIndex));
        wal.AppendHardState(log.Term, log.Vote, commit);
        wal.Sync();
    }
}
