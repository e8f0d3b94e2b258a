using Perf.Engine.IO;
using Perf.Engine.Transactions;
using Xunit;

namespace Perf.Engine.Tests.Transactions;

public class ModelTests
{
    [Theory]
    [InlineData(1, 1024)]
    [InlineData(2, 1024)]
    [InlineData(3, 4096)]
    [InlineData(4, 4096)]
    [InlineData(5, 16384)]
    [InlineData(6, 65536)]
    public void Random_batches_read_back_as_a_sorted_dictionary_and_verify(int seed, int pageBytes)
    {
        var random = new Random(seed);
        SimDisk disk = TestFile.NewDisk();
        var model = new Model();
        var batch = new WriteBatch();
        DataFile file = TestFile.Open(disk, pageBytes);
        try
        {
            for (int round = 0; round < 120; round++)
            {
                batch.Clear();
                model.RandomBatch(random, batch);
                batch.RelocateTailPagesMax = random.Next(3) == 0 ? random.Next(1, 60) : 0;
                file.Commit(batch);
                if (round % 6 == 0)
                {
                    model.RequireEqualAndSound(file);
                }

                if (random.Next(20) == 0)
                {
                    file.Dispose();
                    file = TestFile.Open(disk, pageBytes);
                }
            }

            model.RequireEqualAndSound(file);
        }
        finally
        {
            file.Dispose();
        }
    }

    /// <summary>
    /// Long keys make branches of four children and trees of many levels, where single children, lone leaves and
    /// borrowed neighbours happen in every other commit instead of once in a thousand.
    /// </summary>
    [Theory]
    [InlineData(11)]
    [InlineData(12)]
    [InlineData(13)]
    public void Deep_trees_of_narrow_branches_stay_sound_when_runs_of_keys_come_and_go(int seed)
    {
        var random = new Random(seed);
        using DataFile file = TestFile.Open(TestFile.NewDisk(), 1024);
        var model = new Model();
        var batch = new WriteBatch();
        model.Ensure("key", batch);
        for (int round = 0; round < 250; round++)
        {
            int start = random.Next(1200);
            int count = random.Next(3) == 0 ? random.Next(1, 500) : random.Next(1, 12);
            bool deletes = random.Next(2) == 0;
            for (int i = start; i < start + count; i++)
            {
                byte[] key = new byte[220];
                System.Buffers.Binary.BinaryPrimitives.WriteInt32BigEndian(key.AsSpan(200), i);
                if (deletes)
                {
                    model.Delete("key", key, batch);
                }
                else
                {
                    model.Put("key", key, new byte[random.Next(2) == 0 ? 10 : 500], batch);
                }
            }

            file.Commit(batch);
            batch.Clear();
            Assert.Empty(file.Verify().Problems);
        }

        model.RequireEqualAndSound(file);
    }
}
