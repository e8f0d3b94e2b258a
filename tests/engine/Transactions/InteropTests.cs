using System.Text.Json;
using Perf.Engine.IO;
using Perf.Engine.Transactions;
using Perf.Engine.Tree;
using Xunit;

namespace Perf.Engine.Tests.Transactions;

/// <summary>bbolt accepts what we write, and we accept what bbolt wrote.</summary>
public class InteropTests
{
    private static readonly DataFileOptions Options = new() { MapBytesMin = 64 << 20 };

    [EtcdctlFact]
    public void Bbolt_checks_a_file_of_ours_as_sound_after_every_few_commits()
    {
        using var directory = new TempDirectory();
        foreach (int pageBytes in (int[])[4096, 16384])
        {
            string path = directory["db" + pageBytes];
            var random = new Random(pageBytes);
            using DataFile file = DataFile.Open(FileDisk.Instance, path, Options with { PageBytes = pageBytes });
            var model = new Model();
            var batch = new WriteBatch();
            for (int round = 1; round <= 60; round++)
            {
                batch.Clear();
                RevisionBatch(model, random, batch);
                batch.RelocateTailPagesMax = round % 3 == 0 ? 20 : 0;
                file.Commit(batch);
                if (round % 20 == 0)
                {
                    file.MakeDurable();
                    Assert.Equal(model.Buckets.Sum(bucket => model[bucket].Count), StatusKeys(path));
                }
            }

            model.RequireEqualAndSound(file);
        }
    }

    [EtcdctlFact]
    public void Bbolt_checks_an_image_of_ours_as_sound()
    {
        using var directory = new TempDirectory();
        var random = new Random(9);
        using DataFile file = DataFile.Open(FileDisk.Instance, directory["db"], Options);
        var model = new Model();
        var batch = new WriteBatch();
        for (int round = 0; round < 20; round++)
        {
            batch.Clear();
            RevisionBatch(model, random, batch);
            file.Commit(batch);
        }

        using (DataImage image = file.OpenImage())
        {
            WriteImage(image, directory["image"]);
        }

        Assert.Equal(model.Buckets.Sum(bucket => model[bucket].Count), StatusKeys(directory["image"]));
        Assert.Empty(TreeVerifier.VerifyFile(FileDisk.Instance, directory["image"]).Problems);
    }

    [EtcdctlFact]
    public void Bbolt_can_go_on_writing_a_file_of_ours_and_we_after_it()
    {
        using var directory = new TempDirectory();
        var random = new Random(10);
        var model = new Model();
        var batch = new WriteBatch();
        using (DataFile file = DataFile.Open(FileDisk.Instance, directory["db"], Options))
        {
            foreach (string bucket in (string[])["alarm", "auth", "authRoles", "authUsers", "cluster", "lease", "members", "members_removed", "meta"])
            {
                model.Ensure(bucket, batch);
            }

            for (int round = 0; round < 20; round++)
            {
                RevisionBatch(model, random, batch);
                file.Commit(batch);
                batch.Clear();
            }

            file.MakeDurable();
        }

        // A restore copies the file, then deletes and creates buckets in it with bbolt.
        Interop.Run(Interop.Etcdctl, "snapshot", "restore", directory["db"], "--skip-hash-check", "--data-dir", directory["restored"]);
        string restored = directory["restored/member/snap/db"];
        using (DataFile file = DataFile.Open(FileDisk.Instance, restored, Options))
        {
            Assert.Empty(file.Verify().Problems);
            RequireBucket(model, file, "key");
            batch.Clear();
            foreach (byte[] key in model["key"].Keys.Where((_, i) => i % 3 != 0).ToList())
            {
                model.Delete("key", key, batch);
            }

            file.Commit(batch);
            file.MakeDurable();
            RequireBucket(model, file, "key");
            Assert.Empty(file.Verify().Problems);
            StatusKeys(restored);
        }
    }

    [FixtureFact]
    public void Files_of_real_etcds_open_verify_and_can_be_written()
    {
        foreach (string archive in Directory.GetFiles(Interop.Fixtures!, "etcd-*-1.tar.xz"))
        {
            using var directory = new TempDirectory();
            Interop.Run("tar", "xJf", archive, "-C", directory.Path);
            string home = Directory.GetDirectories(directory.Path)[0];
            foreach (string path in (string[])[Path.Combine(home, "snapshot.db"), Path.Combine(home, "m0/member/snap/db")])
            {
                VerifyReport report = TreeVerifier.VerifyFile(FileDisk.Instance, path);
                Assert.Empty(report.Problems);
                Assert.True(report.Keys > 100);
                Assert.True(report.ExtentsWithoutTrailer > 0);
                using DataFile file = DataFile.Open(FileDisk.Instance, path, Options);
                using (ReadTransaction tx = file.BeginRead())
                {
                    Assert.Contains("key", tx.Buckets());
                    Assert.Contains("members_removed", tx.Buckets());
                    Assert.True(tx.TryGet("meta", "consistent_index"u8, out ReadOnlySpan<byte> index));
                    Assert.Equal(8, index.Length);
                }

                RewriteEverything(file);
                Assert.Empty(file.Verify().Problems);
                Assert.Equal(report.Keys, file.Verify().Keys);
                file.MakeDurable();
                if (File.Exists(Interop.Etcdctl) && path.EndsWith("/db", StringComparison.Ordinal))
                {
                    Assert.Equal(report.Keys, StatusKeys(path));
                }
            }
        }
    }

    private static void RewriteEverything(DataFile file)
    {
        var batch = new WriteBatch();
        using (ReadTransaction tx = file.BeginRead())
        {
            foreach (string bucket in tx.Buckets())
            {
                BucketCursor cursor = tx.OpenCursor(bucket);
                for (bool more = cursor.SeekFirst(); more; more = cursor.Next())
                {
                    batch.Put(bucket, cursor.Key, cursor.Value);
                }
            }
        }

        file.Commit(batch);
        Assert.Equal(0, file.Verify().ExtentsWithoutTrailer);
    }

    private static void RequireBucket(Model model, DataFile file, string bucket)
    {
        using ReadTransaction tx = file.BeginRead();
        BucketCursor cursor = tx.OpenCursor(bucket);
        bool more = cursor.SeekFirst();
        foreach ((byte[] key, byte[] value) in model[bucket])
        {
            Assert.True(more && cursor.Key.SequenceEqual(key) && cursor.Value.SequenceEqual(value));
            more = cursor.Next();
        }

        Assert.False(more);
    }

    private static void RevisionBatch(Model model, Random random, WriteBatch batch)
    {
        model.Ensure("key", batch);
        long next = model["key"].Count == 0
            ? 2
            : System.Buffers.Binary.BinaryPrimitives.ReadInt64BigEndian(model["key"].Keys.Last()) + 1;
        int count = random.Next(1, 300);
        for (int i = 0; i < count; i++)
        {
            model.Put("key", Model.Revision(next + i), KeyValue(random), batch);
        }

        if (random.Next(3) == 0)
        {
            foreach (byte[] key in model["key"].Keys.Take(random.Next(model["key"].Count)).ToList())
            {
                if (random.Next(10) != 0)
                {
                    model.Delete("key", key, batch);
                }
            }
        }

        model.Put("meta", "consistent_index"u8.ToArray(), BitConverter.GetBytes(next), batch);
        model.Put("scattered", BitConverter.GetBytes(random.NextInt64()), new byte[20], batch);
    }

    /// <summary>An encoded mvccpb.KeyValue: key "k", a random value.</summary>
    private static byte[] KeyValue(Random random)
    {
        byte[] value = new byte[random.Next(30) == 0 ? random.Next(128, 16_000) : random.Next(128, 300)];
        random.NextBytes(value);
        return [0x0A, 1, (byte)'k', 0x2A, (byte)(value.Length | 0x80), (byte)(value.Length >> 7), .. value];
    }

    /// <summary>Keys as bbolt counts them, of a copy: the file itself may be locked by us.</summary>
    private static long StatusKeys(string path)
    {
        string copy = path + ".copy";
        Interop.Run("cp", path, copy);
        string json = Interop.Run(Interop.Etcdctl, "snapshot", "status", copy, "-w", "json");
        return JsonDocument.Parse(json).RootElement.GetProperty("totalKey").GetInt64();
    }

    private static void WriteImage(DataImage image, string path)
    {
        using FileStream target = File.Create(path);
        byte[] buffer = new byte[10_000];
        for (long offset = 0; offset < image.Length;)
        {
            int count = image.Read(buffer, offset);
            target.Write(buffer, 0, count);
            offset += count;
        }
    }
}
