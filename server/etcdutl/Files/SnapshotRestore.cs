using System.Buffers.Binary;
using System.Globalization;
using System.Security.Cryptography;
using Perf.Engine.IO;
using Perf.Engine.Snap;
using Perf.Engine.Transactions;
using Perf.Engine.Tree;
using Perf.Engine.Wal;
using Perf.Node.Cluster;
using Perf.Node.Config;
using Perf.Node.Logging;
using Perf.Progress;
using Perf.Raft;
using Perf.Store.Backend;
using Perf.Store.Membership;
using Perf.Store.V2;

namespace Perf.Etcdutl.Files;

/// <summary>
/// Makes a new member's directory out of a saved snapshot: the data with its revisions, leases and auth as they were,
/// a membership and a cluster id of its own, and a log that begins behind the entries that founded it.
/// </summary>
internal sealed class SnapshotRestore(IDisk disk)
{
    private const int CopyBytes = 1 << 20;

    /// <summary>An image is whole pages; what a saved snapshot has behind them is its SHA-256.</summary>
    private const int SectorBytes = 512;

    private const ulong FoundingTerm = 1;

    private InitialCluster _cluster = null!;

    public required string Source { get; init; }

    public required string DataDir { get; init; }

    public required string WalDir { get; init; }

    public required string Name { get; init; }

    public required string InitialCluster { get; init; }

    public required string Token { get; init; }

    public required string AdvertisePeerUrls { get; init; }

    public bool SkipHashCheck { get; init; }

    /// <summary>How far the newest revision is moved up, and everything up to it declared compacted; 0 for not at all.</summary>
    public long BumpRevision { get; init; }

    /// <summary>Refuses what cannot be, before anything is written.</summary>
    public void Prepare()
    {
        var config = new ServerConfig
        {
            Name = Name,
            InitialCluster = InitialCluster,
            AdvertisePeerUrls = [.. AdvertisePeerUrls.Split(',').Order(StringComparer.Ordinal)],
            NewCluster = true,
        };
        BootstrapRules.Verify(config, new Log(new NoLog(), LogLevel.Fatal, TimeProvider.System));
        _cluster = Node.Cluster.InitialCluster.Parse(InitialCluster, Token);
        if (Directory.Exists(DataDir) && Directory.EnumerateFileSystemEntries(DataDir).Any() || File.Exists(DataDir))
        {
            throw new IOException($"data-dir \"{DataDir}\" not empty or could not be read");
        }

        if (Path.Exists(WalDir))
        {
            throw new IOException($"wal-dir \"{WalDir}\" exists");
        }
    }

    /// <summary>Makes the directory. What is damaged is refused before the directory is there.</summary>
    public void Run(Action<string, string, (string, object)[]> log, Action<string>? screen)
    {
        using var progress = new ProgressLine(screen);
        Paths.RequireExists(Source, "open");
        using IDiskFile source = disk.Open(Source, DiskOpen.ReadOnly);
        bool hasHash = source.Length % SectorBytes == SHA256.HashSizeInBytes;
        long imageBytes = source.Length - (hasHash ? SHA256.HashSizeInBytes : 0);
        CheckHash(source, imageBytes, hasHash, progress);
        progress.Show("verifying pages");
        SnapshotStatus.RequireSound(TreeVerifier.VerifyFile(disk, Source));

        bool existed = Directory.Exists(DataDir);
        try
        {
            disk.CreateDirectory(Paths.Snap(DataDir));
            Copy(source, imageBytes, Paths.Database(DataDir), progress);
            progress.Show("founding the cluster");
            byte[] members = Refound(log);
            WriteLog(members);
        }
        catch
        {
            // Half a member must not be taken for one.
            disk.DeleteDirectory(existed ? Paths.Member(DataDir) : DataDir);
            throw;
        }

        string parent = Path.GetDirectoryName(Path.TrimEndingDirectorySeparator(Path.GetFullPath(DataDir)))!;
        foreach (string directory in (string[])[Paths.Snap(DataDir), Paths.Member(DataDir), DataDir, parent])
        {
            disk.SyncDirectory(directory);
        }
    }

    private void CheckHash(IDiskFile source, long imageBytes, bool hasHash, ProgressLine progress)
    {
        if (SkipHashCheck)
        {
            return;
        }

        if (!hasHash)
        {
            throw new IOException("snapshot missing hash but --skip-hash-check=false");
        }

        using var sha = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        byte[] buffer = new byte[CopyBytes];
        for (long at = 0; at < imageBytes;)
        {
            progress.ShowNowAndThen(p => $"{p.at >> 20} of {p.imageBytes >> 20} MB checked", (at, imageBytes));
            int got = source.Read(buffer.AsSpan(0, (int)Math.Min(buffer.Length, imageBytes - at)), at);
            sha.AppendData(buffer, 0, got);
            at += got;
        }

        byte[] expected = new byte[SHA256.HashSizeInBytes];
        source.Read(expected, imageBytes);
        byte[] actual = sha.GetHashAndReset();
        if (!actual.AsSpan().SequenceEqual(expected))
        {
            throw new IOException($"expected sha256 {Show(expected)}, got {Show(actual)}");
        }
    }

    private void Copy(IDiskFile source, long imageBytes, string target, ProgressLine progress)
    {
        using IDiskFile copy = disk.Open(target, DiskOpen.CreateNew);
        byte[] buffer = new byte[CopyBytes];
        for (long at = 0; at < imageBytes;)
        {
            progress.ShowNowAndThen(p => $"{p.at >> 20} of {p.imageBytes >> 20} MB copied", (at, imageBytes));
            int got = source.Read(buffer.AsSpan(0, (int)Math.Min(buffer.Length, imageBytes - at)), at);
            copy.Write(buffer.AsSpan(0, got), at);
            at += got;
        }

        copy.SyncAll();
    }

    /// <summary>Gives the data its new cluster; returns the v2 store that says the same.</summary>
    private byte[] Refound(Action<string, string, (string, object)[]> log)
    {
        using DataFile file = DataFile.Open(disk, Paths.Database(DataDir), new DataFileOptions { MapBytesMin = 0 });
        var batch = new WriteBatch();
        foreach (string bucket in Buckets.All)
        {
            batch.EnsureBucket(bucket);
        }

        long newest = ForgetCluster(file, batch);
        var v2 = new V2Store(TimeProvider.System);
        var members = new MembershipStore(new FreshBuckets(batch), v2);
        foreach (Member member in _cluster.Members)
        {
            members.Apply(
                new Store.Membership.ConfChange { Kind = ConfChangeKind.AddNode, NodeId = member.Id, Member = member }, persist: true);
        }

        Span<byte> number = stackalloc byte[sizeof(ulong)];
        BinaryPrimitives.WriteUInt64BigEndian(number, (ulong)_cluster.Members.Count);
        batch.Put(Buckets.Meta, Buckets.ConsistentIndexKey, number);
        BinaryPrimitives.WriteUInt64BigEndian(number, FoundingTerm);
        batch.Put(Buckets.Meta, Buckets.TermKey, number);
        if (BumpRevision > 0)
        {
            Bump(batch, newest, log);
        }

        file.Commit(batch);
        file.MakeDurable();
        return v2.Save();
    }

    /// <summary>Removes the members of the old cluster; returns the newest revision.</summary>
    private static long ForgetCluster(DataFile file, WriteBatch batch)
    {
        using ReadTransaction read = file.BeginRead();
        foreach (string bucket in (string[])[Buckets.Members, Buckets.MembersRemoved])
        {
            BucketCursor cursor = read.OpenCursor(bucket);
            for (bool more = cursor.SeekFirst(); more; more = cursor.Next())
            {
                batch.Delete(bucket, cursor.Key);
            }
        }

        BucketCursor records = read.OpenCursor(Buckets.Key);
        if (!records.SeekLast())
        {
            return 0;
        }

        return RevisionKey.TryRead(records.Key, out Revision newest, out _)
            ? newest.Main
            : throw new InvalidDataException("bucket key: the last record is no revision");
    }

    /// <summary>
    /// A record without content stands for the new revision, as etcd writes it; the compaction that is due up to there
    /// makes watchers that know older revisions ask anew.
    /// </summary>
    private void Bump(WriteBatch batch, long newest, Action<string, string, (string, object)[]> log)
    {
        if (BumpRevision > long.MaxValue - newest)
        {
            throw new InvalidDataException($"revision {newest} cannot be moved up by {BumpRevision}");
        }

        long bumped = newest + BumpRevision;
        log("info", "bumping latest revision",
        [
            ("latest-revision", newest), ("bump-amount", BumpRevision), ("new-latest-revision", bumped),
        ]);
        Span<byte> key = stackalloc byte[RevisionKey.TombstoneBytes];
        int bytes = RevisionKey.Write(key, bumped, 0, isTombstone: false);
        batch.Put(Buckets.Key, key[..bytes], default);
        log("info", "marking revision compacted", [("revision", bumped)]);
        batch.Put(Buckets.Meta, Buckets.ScheduledCompactKey, key[..bytes]);
    }

    /// <summary>The founding entries, committed, and a snapshot right behind them.</summary>
    private void WriteLog(byte[] v2)
    {
        ulong[] ids = [.. _cluster.Members.Select(m => m.Id)];
        ulong index = (ulong)ids.Length;
        Member self = _cluster.Find(Name)!;
        using WalLog wal = WalLog.Create(
            disk, Path.GetFullPath(WalDir), self.Id, _cluster.ClusterId, new WalOptions { ZeroFill = false });
        ulong at = 0;
        foreach (Member member in _cluster.Members)
        {
            byte[] data = Store.Membership.ConfChange.EncodeBootstrap(member);
            byte[] encoded = new byte[EntryCodec.Bytes(FoundingTerm, ++at, data.Length)];
            EntryCodec.Write(encoded, EntryType.ConfChange, FoundingTerm, at, data, hasData: true, lease: null);
            wal.AppendEntry(at, encoded);
        }

        wal.AppendHardState(FoundingTerm, ids[0], index);
        wal.Sync();

        var snapshot = new Snapshot(new SnapshotMetadata(index, FoundingTerm, new ConfState(ids, [])), v2);
        byte[] raft = new byte[SnapshotCodec.Bytes(snapshot)];
        SnapshotCodec.Write(snapshot, raft);
        SnapFile.Write(disk, Paths.Snap(DataDir), FoundingTerm, index, raft);

        byte[] voters = new byte[ConfStateCodec.Bytes(snapshot.Metadata.ConfState)];
        ConfStateCodec.Write(snapshot.Metadata.ConfState, voters);
        wal.AppendSnapshot(new WalSnapshot(index, FoundingTerm, voters));
        wal.Sync();
    }

    private static string Show(byte[] hash) =>
        "[" + string.Join(' ', hash.Select(b => b.ToString(CultureInfo.InvariantCulture))) + "]";

    private sealed class NoLog : ILogOutput
    {
        public void Write(LogLevel level, ReadOnlySpan<byte> line)
        {
        }
    }
}
