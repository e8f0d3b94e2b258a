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
}
