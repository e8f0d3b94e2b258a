using Perf.Engine.IO;
using Perf.Engine.Transactions;
using Perf.Engine.Tree;
using Xunit;

namespace Perf.Engine.Tests.Transactions;

/// <summary>Damaged and malicious files are refused or harmless; they never crash, hang or lie.</summary>
public class HostileFileTests
{
    [Fact]
    public void Every_flipped_byte_of_a_small_file_is_found_or_changes_nothing()
    {
        (SimDisk disk, Model current, Model previous) = MakeSmallFile();
        long length;
        using (IDiskFile raw = disk.Open(TestFile.Path, DiskOpen.ReadOnly))
        {
            length = raw.Length;
        }

        int refused = 0;
        for (long offset = 0; offset < length; offset++)
        {
            SimDisk damaged = disk.KillCopy();
            damaged.FlipBit(TestFile.Path, offset, (int)(offset % 8));
            VerifyReport report = TreeVerifier.VerifyFile(damaged, TestFile.Path);
            try
            {
                using DataFile file = TestFile.Open(damaged);
                Model expected = file.Txid == (ulong)3 ? current : previous;
                expected.RequireEqual(file);
            }
            catch (CorruptionException damage)
            {
                Assert.Equal(TestFile.Path, damage.File);
                Assert.False(report.IsClean, $"offset {offset}: {damage.Reason}, but the verifier is content");
                refused++;
            }
        }

        Assert.True(refused > 3000, $"only {refused} flips were found");
    }

    [Fact]
    public void Random_damage_without_checksums_is_refused_or_read_within_bounds()
    {
        // No trailers to help: the structure checks alone must keep every read inside the file.
        (SimDisk disk, _, _) = MakeSmallFile();
        var random = new Random(7);
        var options = new DataFileOptions { MapBytesMin = 1 << 20, VerifyOnFirstTouch = false };
        for (int round = 0; round < 4000; round++)
        {
            SimDisk damaged = disk.KillCopy();
            using (IDiskFile raw = damaged.Open(TestFile.Path, DiskOpen.ReadWrite))
            {
                // Pages from 2 on, mostly in headers and element tables, with values that hurt.
                for (int hit = random.Next(1, 4); hit > 0; hit--)
                {
                    long offset = (random.Next(2, 12) * 1024) + (random.Next(3) == 0 ? random.Next(1024) : random.Next(64));
                    byte[] bytes = new byte[random.Next(1, 9)];
                    switch (random.Next(3))
                    {
                        case 0: random.NextBytes(bytes); break;
                        case 1: bytes.AsSpan().Fill(0xFF); break;
                        default: bytes[0] = (byte)random.Next(16); break;
                    }

                    raw.Write(bytes, offset);
                }
            }

            _ = TreeVerifier.VerifyFile(damaged, TestFile.Path);
            try
            {
                using DataFile file = DataFile.Open(damaged, TestFile.Path, options);
                using (ReadTransaction tx = file.BeginRead())
                {
                    foreach (string bucket in tx.Buckets())
                    {
                        BucketCursor cursor = tx.OpenCursor(bucket);
                        for (bool more = cursor.SeekFirst(); more; more = cursor.Next())
                        {
                            _ = tx.TryGet(bucket, cursor.Key, out _);
                        }

                        _ = cursor.Seek(Model.Revision(random.Next(100)));
                        _ = cursor.SeekLast();
                        _ = tx.SplitKeys(bucket, 3);
                    }
                }

                var batch = new WriteBatch();
                batch.Put("key", Model.Revision(random.Next(100)), new byte[50]);
                batch.RelocateTailPagesMax = 3;
                file.Commit(batch);
            }
            catch (CorruptionException)
            {
            }
        }
    }

    [Fact]
    public void A_lost_write_is_found_by_the_checksum_its_parent_remembers()
    {
        SimDisk disk = TestFile.NewDisk();
        var batch = new WriteBatch();
        using (DataFile file = TestFile.Open(disk, 1024))
        {
            for (int i = 0; i < 200; i++)
            {
                batch.Put("key", Model.Revision(i), new byte[100]);
            }

            file.Commit(batch);
            file.MakeDurable();
        }

        // The old content of a reused leaf is whole and says its own page number, but it is not what was written last.
        byte[] old = Contents(disk);
        using (DataFile file = TestFile.Open(disk, 1024))
        {
            for (int round = 0; round < 6; round++)
            {
                batch.Clear();
                for (int i = 0; i < 200; i++)
                {
                    batch.Put("key", Model.Revision(i), BitConverter.GetBytes(round).Concat(new byte[96]).ToArray());
                }

                file.Commit(batch);
                file.MakeDurable();
            }
        }

        byte[] now = Contents(disk);
        int found = 0;
        for (int page = 2; page < Math.Min(old.Length, now.Length) / 1024; page++)
        {
            Span<byte> before = old.AsSpan(page * 1024, 1024);
            if (before.SequenceEqual(now.AsSpan(page * 1024, 1024)) || before[8] != 2 || before[10] == 0)
            {
                continue;
            }

            SimDisk damaged = disk.KillCopy();
            using (IDiskFile raw = damaged.Open(TestFile.Path, DiskOpen.ReadWrite))
            {
                raw.Write(before, page * 1024);
            }

            found += TreeVerifier.VerifyFile(damaged, TestFile.Path).Problems.Exists(p => p.Contains("a write was lost", StringComparison.Ordinal)) ? 1 : 0;
        }

        Assert.True(found > 5, $"{found} lost writes found");
    }

    [Fact]
    public void A_file_that_is_no_data_file_is_refused()
    {
        foreach (int length in (int[])[1, 100, 4096, 20_000])
        {
            SimDisk disk = TestFile.NewDisk();
            using (IDiskFile raw = disk.Open(TestFile.Path, DiskOpen.CreateNew))
            {
                byte[] noise = new byte[length];
                new Random(length).NextBytes(noise);
                raw.Write(noise, 0);
            }

            Assert.Throws<CorruptionException>(() => TestFile.Open(disk));
            Assert.False(TreeVerifier.VerifyFile(disk, TestFile.Path).IsClean);
        }
    }

    [Fact]
    public void A_file_shorter_than_its_high_water_mark_is_refused()
    {
        (SimDisk disk, _, _) = MakeSmallFile();
        using (IDiskFile raw = disk.Open(TestFile.Path, DiskOpen.ReadWrite))
        {
            raw.SetLength(3 * 1024);
        }

        CorruptionException damage = Assert.Throws<CorruptionException>(() => TestFile.Open(disk));
        Assert.Contains("high-water", damage.Reason, StringComparison.Ordinal);
    }

    [Fact]
    public void A_second_process_cannot_open_the_file()
    {
        SimDisk disk = TestFile.NewDisk();
        using DataFile file = TestFile.Open(disk);
        Assert.Throws<IOException>(() => TestFile.Open(disk));
    }

    private static byte[] Contents(SimDisk disk)
    {
        using IDiskFile raw = disk.Open(TestFile.Path, DiskOpen.ReadOnly);
        byte[] bytes = new byte[raw.Length];
        raw.Read(bytes, 0);
        return bytes;
    }

    /// <summary>Txid 3, page size 1024, a branch, several leaves, an overflow extent, an inline bucket.</summary>
    private static (SimDisk Disk, Model Current, Model Previous) MakeSmallFile()
    {
        SimDisk disk = TestFile.NewDisk();
        var model = new Model();
        var batch = new WriteBatch();
        using DataFile file = TestFile.Open(disk, 1024);
        model.Ensure("empty", batch);
        for (int i = 0; i < 20; i++)
        {
            model.Put("key", Model.Revision(i), new byte[i == 7 ? 1500 : 90], batch);
        }

        file.Commit(batch);
        Model previous = model.Copy();
        batch.Clear();
        model.Put("key", Model.Revision(20), Model.Text("twenty"), batch);
        model.Delete("key", Model.Revision(3), batch);
        file.Commit(batch);
        file.MakeDurable();
        Assert.Equal(3ul, file.Txid);
        return (disk, model, previous);
    }
}
