using Perf.Engine.IO;
using Perf.Engine.Transactions;
using Perf.Engine.Tree;
using Xunit;

namespace Perf.Engine.Tests.Transactions;

public class ReaderTests
{
    [Fact]
    public void A_long_reader_sees_its_commit_unchanged_through_many_later_ones()
    {
        var random = new Random(1);
        using DataFile file = TestFile.Open(TestFile.NewDisk(), 1024);
        var model = new Model();
        var batch = new WriteBatch();
        for (int i = 0; i < 10; i++)
        {
            Step(file, model, random, batch);
        }

        using (ReadTransaction early = file.BeginRead())
        {
            Model then = model.Copy();
            for (int i = 0; i < 60; i++)
            {
                Step(file, model, random, batch);
                if (i % 10 == 0)
                {
                    RequireEqual(then, early);
                }
            }

            RequireEqual(then, early);
            Assert.Equal(1, file.OpenReaders);
        }

        Assert.Equal(0, file.OpenReaders);
        model.RequireEqualAndSound(file);
    }

    [Fact]
    public void Space_that_a_long_reader_pinned_is_used_again_after_it()
    {
        using DataFile file = TestFile.Open(TestFile.NewDisk());
        long[] sizes = new long[3];
        for (int phase = 0; phase < 3; phase++)
        {
            ReadTransaction reader = file.BeginRead();
            for (int i = 0; i < 50; i++)
            {
                if (phase != 1)
                {
                    reader.Dispose();
                    reader = file.BeginRead();
                }

                Overwrite(file, i);
            }

            reader.Dispose();
            sizes[phase] = file.SizeBytes;
        }

        Assert.True(sizes[1] > sizes[0], "the reader pinned nothing");
        Assert.True(sizes[2] <= sizes[1], "pinned space was not reused");
    }

    [Fact]
    public void Readers_on_many_threads_each_see_one_whole_commit()
    {
        // Every commit writes its number to all keys: a reader that sees two numbers has seen two commits.
        using DataFile file = TestFile.Open(TestFile.NewDisk(), 1024);
        Number(file, 0);
        using var stop = new CancellationTokenSource();
        var readers = new Thread[4];
        int mixed = 0;
        long reads = 0;
        for (int t = 0; t < readers.Length; t++)
        {
            readers[t] = new Thread(() =>
            {
                while (!stop.IsCancellationRequested)
                {
                    using ReadTransaction tx = file.BeginRead();
                    BucketCursor cursor = tx.OpenCursor("key");
                    int keys = 0;
                    ReadOnlySpan<byte> first = default;
                    for (bool more = cursor.SeekFirst(); more; more = cursor.Next(), keys++)
                    {
                        first = keys == 0 ? cursor.Value : first;
                        if (!cursor.Value.SequenceEqual(first))
                        {
                            Interlocked.Increment(ref mixed);
                        }
                    }

                    if (keys != 200)
                    {
                        Interlocked.Increment(ref mixed);
                    }

                    Interlocked.Increment(ref reads);
                }
            });
            readers[t].Start();
        }

        for (int i = 1; i < 300 || (Interlocked.Read(ref reads) < 20 && i < 20_000); i++)
        {
            Number(file, i);
        }

        stop.Cancel();
        foreach (Thread reader in readers)
        {
            reader.Join();
        }

        Assert.Equal(0, mixed);
        Assert.Equal(0, file.OpenReaders);
    }

    [Fact]
    public void An_image_is_a_sound_file_of_its_commit_whatever_is_committed_meanwhile()
    {
        var random = new Random(3);
        SimDisk disk = TestFile.NewDisk();
        using DataFile file = TestFile.Open(disk, 1024);
        var model = new Model();
        var batch = new WriteBatch();
        for (int i = 0; i < 15; i++)
        {
            Step(file, model, random, batch);
        }

        Model then = model.Copy();
        using (DataImage image = file.OpenImage())
        using (IDiskFile target = disk.Open("/data/image", DiskOpen.CreateNew))
        {
            byte[] buffer = new byte[1700];
            for (long offset = 0; offset < image.Length;)
            {
                int count = image.Read(buffer, offset);
                Assert.True(count > 0);
                target.Write(buffer.AsSpan(0, count), offset);
                offset += count;
                Step(file, model, random, batch);
                batch.RelocateTailPagesMax = 20;
            }

            Assert.Equal(0, image.Read(buffer, image.Length));
            Assert.Equal(image.Length, target.Length);
        }

        Assert.Empty(TreeVerifier.VerifyFile(disk, "/data/image").Problems);
        using DataFile copy = DataFile.Open(disk, "/data/image", new DataFileOptions { MapBytesMin = 1 << 20 });
        then.RequireEqualAndSound(copy);
        model.RequireEqualAndSound(file);
    }

    [Fact]
    public void Relocation_shrinks_the_file_to_what_is_in_use()
    {
        SimDisk disk = TestFile.NewDisk();
        using DataFile file = TestFile.Open(disk);
        var model = new Model();
        var batch = new WriteBatch();
        for (int round = 0; round < 20; round++)
        {
            batch.Clear();
            for (int i = 0; i < 1000; i++)
            {
                model.Put("key", Model.Revision((round * 1000) + i), new byte[300], batch);
            }

            file.Commit(batch);
        }

        batch.Clear();
        foreach (byte[] key in model["key"].Keys.Take(18_000).ToList())
        {
            model.Delete("key", key, batch);
        }

        file.Commit(batch);
        long before = file.SizeBytes;
        for (int i = 0; i < 40; i++)
        {
            batch.Clear();
            batch.RelocateTailPagesMax = 64;
            file.Commit(batch);
        }

        Assert.True(file.SizeBytes < before / 4, $"{before} -> {file.SizeBytes}, in use {file.SizeInUseBytes}");
        using (IDiskFile raw = disk.Open(TestFile.Path, DiskOpen.ReadOnly))
        {
            Assert.True(raw.Length < before, $"the file still has {raw.Length} bytes");
        }

        model.RequireEqualAndSound(file);
    }

    [Fact]
    public void Split_keys_cut_a_bucket_into_parts_that_cover_it()
    {
        using DataFile file = TestFile.Open(TestFile.NewDisk());
        var batch = new WriteBatch();
        for (int i = 0; i < 20_000; i++)
        {
            batch.Put("key", Model.Revision(i), new byte[40]);
        }

        file.Commit(batch);
        using ReadTransaction tx = file.BeginRead();
        List<byte[]> cuts = tx.SplitKeys("key", 4);
        Assert.Equal(3, cuts.Count);
        int total = 0;
        for (int part = 0; part <= cuts.Count; part++)
        {
            BucketCursor cursor = tx.OpenCursor("key");
            int count = 0;
            for (bool more = part == 0 ? cursor.SeekFirst() : cursor.Seek(cuts[part - 1]);
                more && (part == cuts.Count || cursor.Key.SequenceCompareTo(cuts[part]) < 0);
                more = cursor.Next())
            {
                count++;
            }

            Assert.InRange(count, 3000, 7000);
            total += count;
        }

        Assert.Equal(20_000, total);
        Assert.Empty(tx.SplitKeys("none", 4));
    }

    [Fact]
    public void Seeks_find_the_neighbours_of_every_key()
    {
        using DataFile file = TestFile.Open(TestFile.NewDisk(), 1024);
        var batch = new WriteBatch();
        for (int i = 0; i < 3000; i++)
        {
            batch.Put("key", Model.Revision(2 * i), [1]);
        }

        file.Commit(batch);
        using ReadTransaction tx = file.BeginRead();
        BucketCursor cursor = tx.OpenCursor("key");
        for (int i = 0; i < 6000; i++)
        {
            bool found = cursor.Seek(Model.Revision(i));
            Assert.Equal(i <= 5998, found);
            if (found)
            {
                Assert.True(cursor.Key.SequenceEqual(Model.Revision((i + 1) / 2 * 2)));
            }

            Assert.Equal(i % 2 == 0, tx.TryGet("key", Model.Revision(i), out _));
        }

        Assert.True(cursor.SeekLast());
        Assert.True(cursor.Key.SequenceEqual(Model.Revision(5998)));
        Assert.False(cursor.Next());
        Assert.False(tx.OpenCursor("none").SeekFirst());
    }

    [Fact]
    public void Warm_reads_allocate_nothing()
    {
        using var directory = new TempDirectory();
        using DataFile real = DataFile.Open(
            FileDisk.Instance, directory["db"], new DataFileOptions { MapBytesMin = 16 << 20 });
        var batch = new WriteBatch();
        for (int i = 0; i < 5000; i++)
        {
            batch.Put("key", Model.Revision(i), new byte[100]);
        }

        real.Commit(batch);
        BucketId bucket = real.ResolveBucket("key");
        byte[] key = Model.Revision(1234);
        ReadAll(real, bucket, key);
        ReadAll(real, bucket, key);
        long before = GC.GetAllocatedBytesForCurrentThread();
        for (int i = 0; i < 50; i++)
        {
            ReadAll(real, bucket, key);
        }

        Assert.Equal(before, GC.GetAllocatedBytesForCurrentThread());
    }

    private static void ReadAll(DataFile file, BucketId bucket, byte[] key)
    {
        using ReadTransaction tx = file.BeginRead();
        Check.That(tx.TryGet(bucket, key, out _));
        Check.That(tx.TryGet("key", key, out ReadOnlySpan<byte> value) && value.Length == 100);
        BucketCursor cursor = tx.OpenCursor(bucket);
        int count = 0;
        for (bool more = cursor.SeekFirst(); more; more = cursor.Next())
        {
            count += cursor.Key.Length > 0 ? 1 : 0;
        }

        Check.That(count == 5000);
        Check.That(cursor.Seek(key));
    }

    private static void Step(DataFile file, Model model, Random random, WriteBatch batch)
    {
        batch.Clear();
        model.RandomBatch(random, batch, 60);
        file.Commit(batch);
    }

    private static void Overwrite(DataFile file, int number)
    {
        var batch = new WriteBatch();
        for (int i = 0; i < 200; i++)
        {
            batch.Put("key", Model.Revision(i), BitConverter.GetBytes(number));
        }

        file.Commit(batch);
    }

    private static void Number(DataFile file, int number)
    {
        var batch = new WriteBatch();
        byte[] value = new byte[40 + (number % 7)];
        BitConverter.TryWriteBytes(value, number);
        for (int i = 0; i < 200; i++)
        {
            batch.Put("key", Model.Revision(i), value);
        }

        file.Commit(batch);
    }

    private static void RequireEqual(Model model, ReadTransaction tx)
    {
        Assert.Equal(model.Buckets, tx.Buckets());
        foreach (string bucket in model.Buckets)
        {
            BucketCursor cursor = tx.OpenCursor(bucket);
            bool more = cursor.SeekFirst();
            foreach ((byte[] key, byte[] value) in model[bucket])
            {
                Assert.True(more && cursor.Key.SequenceEqual(key) && cursor.Value.SequenceEqual(value));
                more = cursor.Next();
            }

            Assert.False(more);
        }
    }
}
