using Perf.Store.Backend;
using Perf.Store.Mvcc;
using Xunit;

namespace Perf.Store.Tests.Mvcc;

public sealed class PendingDeletionsTests
{
    [Theory]
    [InlineData(1)]
    [InlineData((1 << 14) - 1)]
    [InlineData(1 << 14)]
    [InlineData((1 << 14) + 1)]
    [InlineData(50_000)]
    public void Leave_in_the_order_of_the_file_whatever_the_order_they_came_in(int count)
    {
        var expected = new List<RecordTable.Deletion>(count);
        for (int i = 0; i < count; i++)
        {
            expected.Add(new RecordTable.Deletion(1 + (i / 3), i % 3, i % 3 == 2));
        }

        RecordTable.Deletion[] shuffled = [.. expected];
        new Random(count).Shuffle(shuffled);
        var deletions = new PendingDeletions();

        // Twice: what was given out leaves nothing behind.
        for (int round = 0; round < 2; round++)
        {
            foreach (RecordTable.Deletion deletion in shuffled)
            {
                deletions.Add(deletion.Main, deletion.Sub, deletion.IsTombstone);
            }

            deletions.Leave();
            var taken = new List<RecordTable.Deletion>(count);
            while (deletions.IsLeaving)
            {
                taken.Add(deletions.Take());
            }

            Assert.Equal(expected, taken);
        }
    }

    [Fact]
    public void Are_full_at_their_limit_and_not_before()
    {
        const int CountMax = 1 << 20;
        var deletions = new PendingDeletions();
        for (int i = 0; i < CountMax - 1; i++)
        {
            deletions.Add(i, 0, false);
        }

        Assert.False(deletions.IsFull);
        deletions.Add(CountMax, 0, false);
        Assert.True(deletions.IsFull);

        // A key's older versions come together, so a few more may.
        deletions.Add(CountMax + 1, 0, false);
        deletions.Leave();
        deletions.Take();
        deletions.Clear();
        Assert.False(deletions.IsLeaving);
        Assert.False(deletions.IsFull);
    }

    [Fact]
    public void None_at_all_leave_nothing()
    {
        var deletions = new PendingDeletions();
        deletions.Leave();
        Assert.False(deletions.IsLeaving);
    }
}
