using System.Security.Cryptography;
using Perf.Engine.IO;
using Perf.Engine.Transactions;
using Perf.Engine.Wal;
using Perf.Etcdutl.Files;
using Perf.Raft;
using Perf.Store.Backend;
using Perf.Store.Commands;
using Xunit;

namespace Perf.Ctl.Tests.Etcdutl;

/// <summary>Texts and codes, and what is refused, without a server.</summary>
public sealed class CommandTests
{
    [Fact]
    public void Version_and_help_are_etcds()
    {
        Assert.Equal("etcdutl version: 3.5.33\nAPI version: 3.5\n", RealTools.UtlOk("version"));
        string help = RealTools.UtlOk();
        Assert.StartsWith("Usage:\n  etcdutl [command]\n\nAvailable Commands:\n", help);
        Assert.Contains("\n  defrag      Defragments the storage of the etcd\n", help);
        Assert.Contains("  -w, --write-out string   set the output format (fields, json, protobuf, simple, table) (default \"simple\")", help);
        Assert.Contains("\n      --data-dir string ", RealTools.UtlOk("snapshot", "restore", "--help"));
        Assert.Equal(RealTools.UtlOk("snapshot", "--help"), RealTools.UtlOk("help", "snap"));
        Assert.Contains("snapshot", RealTools.UtlOk("completion", "bash"));
    }

    [Theory]
    [InlineData(1, "unknown command \"nothing\" for \"etcdutl\"", "nothing")]
    [InlineData(1, "unknown flag: --no", "version", "--no")]
    [InlineData(1, "required flag(s) \"data-dir\" not set", "defrag")]
    [InlineData(1, "flag needs an argument: --data-dir", "defrag", "--data-dir")]
    [InlineData(128, "snapshot status requires exactly one argument", "snapshot", "status")]
    [InlineData(128, "--mark-compacted required if --revision-bump > 0", "snapshot", "restore", "f", "--data-dir", "d", "--bump-revision=3")]
    [InlineData(1, "invalid argument \"x\" for \"--bump-revision\" flag: strconv.ParseUint: parsing \"x\": invalid syntax", "snapshot", "restore", "f", "--bump-revision", "x")]
    [InlineData(1, "stat /nowhere/db: no such file or directory", "snapshot", "status", "/nowhere/db")]
    [InlineData(1, "couldn't find local name \"m9\" in the initial cluster configuration", "snapshot", "restore", "f", "--data-dir", "/nowhere/d", "--name", "m9")]
    [InlineData(1, "Failed to defragment etcd data[/nowhere] (stat /nowhere/member/snap/db: no such file or directory)", "defrag", "--data-dir", "/nowhere")]
    [InlineData(128, "In order to download snapshot use: `etcdctl snapshot save ...`", "snapshot", "save", "f")]
    [InlineData(1, "required flag(s) \"data-dir\", \"backup-dir\" not set", "backup")]
    [InlineData(1, "stat /nowhere/member/snap/db: no such file or directory", "backup", "--data-dir", "/nowhere", "--backup-dir", "/nowhere2")]
    [InlineData(128, "wrong target version format, expected \"X.Y\", got \"3\"", "migrate", "--data-dir", "d", "--target-version", "3")]
    [InlineData(128, "target version \"3.4\" not supported. Minimal \"3.5\"", "migrate", "--data-dir", "d", "--target-version", "3.4")]
    public void What_is_wrong_is_said(int code, string text, params string[] arguments)
    {
        Outcome outcome = RealTools.Utl(arguments);
        Assert.Equal(code, outcome.Code);
        Assert.Contains("Error: " + text, outcome.Error);
    }

    [Fact]
    public void A_damaged_snapshot_is_refused_with_the_reason_and_leaves_nothing_behind()
    {
        using var scratch = new Scratch();
        string saved = scratch["saved.db"];
        string target = scratch["target"];
        Make(saved, hasHash: true);
        byte[] good = File.ReadAllBytes(saved);

        byte[] flipped = [.. good];
        flipped[^1] ^= 1;
        Refused(flipped, "expected sha256 [");
        Refused(good[..^32], "snapshot missing hash but --skip-hash-check=false");
        Refused(good[..5000], "snapshot file integrity check failed", "--skip-hash-check");
        Refused([], "snapshot missing hash");

        // A page whose content has changed is found without the hash, by its own checksum or order.
        byte[] page = [.. good];
        page.AsSpan(3 * 4096, 4096).Fill(0x7f);
        Refused(page, "snapshot file integrity check failed", "--skip-hash-check");

        File.WriteAllBytes(saved, good);
        RealTools.UtlOk("snapshot", "restore", saved, "--data-dir", target);
        Assert.Contains("not empty or could not be read", RealTools.Utl("snapshot", "restore", saved, "--data-dir", target).Error);

        void Refused(byte[] content, string reason, params string[] flags)
        {
            File.WriteAllBytes(saved, content);
            Outcome outcome = RealTools.Utl(["snapshot", "restore", saved, "--data-dir", target, .. flags]);
            Assert.Equal(1, outcome.Code);
            Assert.Contains(reason, outcome.Error);
            Assert.False(Directory.Exists(target));
        }
    }

    [Fact]
    public void Check_names_damage_in_each_kind_of_file()
    {
        using var scratch = new Scratch();
        string saved = scratch["saved.db"];
        Make(saved, hasHash: true);
        foreach ((string file, long offset, string place) in ((string, long, string)[])
            [("snap/db", 3 * 4096, "database"), ("snap/0000000000000001-0000000000000001.snap", 40, "snapshot"), ("wal/0000000000000000-0000000000000000.wal", 24, "log")])
        {
            string target = scratch["target-" + place];
            RealTools.UtlOk("snapshot", "restore", saved, "--data-dir", target);
            Assert.EndsWith("OK\n", RealTools.UtlOk("check", target));
            string damaged = Path.Combine(target, "member", file);
            byte[] bytes = File.ReadAllBytes(damaged);
            bytes[offset] ^= 0x55;
            File.WriteAllBytes(damaged, bytes);
            Outcome outcome = RealTools.Utl("check", target);
            Assert.Equal(1, outcome.Code);
            Assert.Contains("PROBLEM " + place, outcome.Output);
            Assert.Equal(bytes, File.ReadAllBytes(damaged));
        }
    }

    [Fact]
    public void Three_members_restored_from_one_snapshot_are_one_cluster()
    {
        using var scratch = new Scratch();
        string saved = scratch["saved.db"];
        Make(saved, hasHash: true);
        const string Cluster = "a=http://127.0.0.1:1,b=http://127.0.0.1:2,c=http://127.0.0.1:3";
        var ids = new HashSet<string>();
        var clusters = new HashSet<string>();
        for (int i = 0; i < 3; i++)
        {
            string target = scratch["m" + i];
            RealTools.UtlOk(
                "snapshot", "restore", saved, "--data-dir", target, "--name", "abc"[i].ToString(), "--initial-cluster", Cluster,
                "--initial-advertise-peer-urls", "http://127.0.0.1:" + (i + 1));
            string log = RealTools.UtlOk("check", target).Split('\n').Single(l => l.StartsWith("log: ", StringComparison.Ordinal));
            string[] words = log.Split(' ');
            ids.Add(words[2]);
            clusters.Add(words[5]);
            Assert.Contains("from snapshot 3 to entry 3", log);
        }

        Assert.Equal((3, 1), (ids.Count, clusters.Count));
    }

    [Fact]
    public void A_revision_moved_up_is_compacted_up_to_there()
    {
        using var scratch = new Scratch();
        string saved = scratch["saved.db"];
        Make(saved, hasHash: true);
        string target = scratch["target"];
        RealTools.UtlOk("snapshot", "restore", saved, "--data-dir", target, "--bump-revision", "1000000", "--mark-compacted");
        string database = Path.Combine(target, "member", "snap", "db");
        Assert.EndsWith(", 1000101, 1000101\n", RealTools.UtlOk("hashkv", database));
        Assert.Contains("compacted", RealTools.Utl("hashkv", database, "--rev", "50").Error);
        Assert.Contains("future", RealTools.Utl("hashkv", database, "--rev", "1000102").Error);

        // Our own store takes it as etcd does.
        using DataFile file = DataFile.Open(
            FileDisk.Instance, database, new DataFileOptions { MapBytesMin = 0, ReadOnly = true });
        var kv = new Store.Mvcc.MvccStore(new BackendStore(file), null, null);
        kv.Load();
        Assert.Equal(1000101, kv.PublishedRevision);
        Assert.Equal(Store.StoreError.None, kv.HashKv(0, out Store.Mvcc.HashKvResult hash));
        Assert.StartsWith($"{hash.Hash}, ", RealTools.UtlOk("hashkv", database));
        Assert.EndsWith("OK\n", RealTools.UtlOk("check", target));
    }

    [Fact]
    public void Defrag_keeps_the_content_and_gives_the_holes_back()
    {
        using var scratch = new Scratch();
        string saved = scratch["saved.db"];
        Make(saved, hasHash: true);
        string target = scratch["target"];
        RealTools.UtlOk("snapshot", "restore", saved, "--data-dir", target);
        string database = Path.Combine(target, "member", "snap", "db");
        using (DataFile file = DataFile.Open(FileDisk.Instance, database, new DataFileOptions { MapBytesMin = 0 }))
        {
            var batch = new WriteBatch();
            byte[] key = new byte[RevisionKey.TombstoneBytes];
            for (int i = 2; i < 90; i++)
            {
                int bytes = RevisionKey.Write(key, i, 0, isTombstone: false);
                batch.Delete(Buckets.Key, key.AsSpan(0, bytes));
            }

            file.Commit(batch);
            file.MakeDurable();
        }

        string before = RealTools.UtlOk("snapshot", "status", database);
        long size = new FileInfo(database).Length;
        RealTools.UtlOk("defrag", "--data-dir", target);
        string after = RealTools.UtlOk("snapshot", "status", database);
        Assert.Equal(before.Split(", ")[..3], after.Split(", ")[..3]);
        Assert.True(new FileInfo(database).Length < size / 2, $"{size} -> {new FileInfo(database).Length}");
        Assert.EndsWith("OK\n", RealTools.UtlOk("check", target));
    }

    [Fact]
    public void Migrate_sets_and_clears_the_storage_version()
    {
        using var scratch = new Scratch();
        string saved = scratch["saved.db"];
        Make(saved, hasHash: true);
        string target = scratch["target"];
        RealTools.UtlOk("snapshot", "restore", saved, "--data-dir", target);
        Assert.Contains("up-to-date", Migrate("3.5").Error);
        Assert.Equal(0, Migrate("3.6").Code);
        Assert.Contains("up-to-date", Migrate("3.6").Error);
        Assert.Equal(1, Migrate("3.7").Code);
        Assert.Equal(0, Migrate("3.5").Code);
        Assert.Contains("up-to-date", Migrate("3.5").Error);

        Outcome Migrate(string version) => RealTools.Utl("migrate", "--data-dir", target, "--target-version", version);
    }

    [Fact]
    public void Migrate_does_not_go_back_over_entries_that_the_older_version_does_not_know()
    {
        using var scratch = new Scratch();
        string saved = scratch["saved.db"];
        Make(saved, hasHash: true);
        string target = scratch["target"];
        RealTools.UtlOk("snapshot", "restore", saved, "--data-dir", target);
        RealTools.UtlOk("migrate", "--data-dir", target, "--target-version", "3.6");
        Append(target, index: 2, InternalField.ClusterVersionSet);
        RealTools.UtlOk("migrate", "--data-dir", target, "--target-version", "3.5");
        RealTools.UtlOk("migrate", "--data-dir", target, "--target-version", "3.6");

        Append(target, index: 3, InternalField.DowngradeVersionTest);
        Outcome refused = RealTools.Utl("migrate", "--data-dir", target, "--target-version", "3.5");
        Assert.Equal(1, refused.Code);
        Assert.Contains(
            "Error: cannot downgrade storage, WAL contains newer entries, as the target version (3.5.0) is lower than the "
            + "version (3.6.0) detected from WAL logs", refused.Error);
        Assert.Contains("up-to-date", RealTools.Utl("migrate", "--data-dir", target, "--target-version", "3.6").Error);

        Outcome forced = RealTools.Utl("migrate", "--data-dir", target, "--target-version", "3.5", "--force");
        Assert.Equal(0, forced.Code);
        Assert.Contains("trying with force", forced.Error);
        Assert.Contains("up-to-date", RealTools.Utl("migrate", "--data-dir", target, "--target-version", "3.5").Error);
    }

    /// <summary>Adds an entry with an empty request of some kind to the log of a restored member.</summary>
    private static void Append(string dataDir, ulong index, int field)
    {
        string walDir = Path.Combine(dataDir, "member", "wal");
        byte[] data = new byte[InternalRequestCodec.PrefixBytes(7, default, 0, field, 0)];
        InternalRequestCodec.WritePrefix(data, 7, default, 0, field, 0);
        byte[] encoded = new byte[EntryCodec.Bytes(1, index, data.Length)];
        EntryCodec.Write(encoded, EntryType.Normal, 1, index, data, hasData: true, lease: null);
        using WalLog log = WalLog.Open(
            FileDisk.Instance, walDir, new WalSnapshot(1, 1, default), new WalOptions { ZeroFill = false }, new LogEntries(walDir));
        log.AppendEntry(index, encoded);
        log.AppendHardState(1, 0, index);
        log.Sync();
    }

    /// <summary>A saved snapshot with revisions 2 to 101 of some keys, 2 KB each.</summary>
    private static void Make(string path, bool hasHash)
    {
        string database = path + ".making";
        using (DataFile file = DataFile.Open(FileDisk.Instance, database, new DataFileOptions { MapBytesMin = 0 }))
        {
            var batch = new WriteBatch();
            byte[] key = new byte[RevisionKey.TombstoneBytes];
            for (int i = 2; i <= 101; i++)
            {
                int bytes = RevisionKey.Write(key, i, 0, isTombstone: false);
                byte[] value = [0x0a, 2, (byte)'k', (byte)('a' + (i % 7)), 0x10, 2, 0x18, (byte)i, 0x20, 1, 0x2a, 0x80, 0x10, .. new byte[2048]];
                batch.Put(Buckets.Key, key.AsSpan(0, bytes), value);
            }

            foreach (string bucket in Buckets.All)
            {
                batch.EnsureBucket(bucket);
            }

            batch.Put(Buckets.Members, "abc"u8, "{\"id\":2748,\"peerURLs\":[\"http://old\"]}"u8);
            file.Commit(batch);
            file.MakeDurable();
            using DataImage image = file.OpenImage();
            byte[] content = new byte[image.Length];
            image.Read(content, 0);
            File.WriteAllBytes(path, hasHash ? [.. content, .. SHA256.HashData(content)] : content);
        }

        File.Delete(database);
    }
}
