using Perf.Engine.Space;
using Xunit;

namespace Perf.Engine.Tests.Space;

public class PageSpaceTests
{
    [Fact]
    public void Allocation_is_the_lowest_fit_against_a_naive_map()
    {
        var random = new Random(1);
        var space = new PageSpace();
        var naive = new SortedSet<long> { 0, 1 };
        var used = new List<(long Page, int Count)>();
        var retired = new List<(long Page, int Count)>();
        for (int step = 0; step < 6000; step++)
        {
            switch (random.Next(5))
            {
                case 0 or 1:
                    int count = random.Next(4) == 0 ? random.Next(1, 200) : random.Next(1, 3);
                    long expected = LowestFit(naive, count);
                    Assert.Equal(expected, space.Allocate(count));
                    for (long page = expected; page < expected + count; page++)
                    {
                        naive.Add(page);
                    }

                    used.Add((expected, count));
                    break;
                case 2 or 3 when used.Count > 0:
                    int at = random.Next(used.Count);
                    space.Retire(used[at].Page, used[at].Count);
                    retired.Add(used[at]);
                    used.RemoveAt(at);
                    break;
                case 4:
                    foreach ((long page, int pages) in retired)
                    {
                        space.Release(page, pages);
                        naive.RemoveWhere(p => p >= page && p < page + pages);
                    }

                    retired.Clear();
                    break;
            }

            Assert.Equal(2 + used.Sum(extent => extent.Count), space.UsedPages);
            Assert.Equal(used.Count == 0 ? 2 : used.Max(extent => extent.Page + extent.Count), space.HighWater);
            Assert.Equal(naive.Max + 1, space.BusyEnd);
        }
    }

    [Fact]
    public void Quarantine_waits_for_the_meta_page_and_for_readers()
    {
        var space = new PageSpace();
        var quarantine = new Quarantine();
        for (ulong txid = 5; txid <= 8; txid++)
        {
            List<(long, long)> freed = quarantine.Rent();
            long page = space.Allocate(1);
            space.Retire(page, 1);
            freed.Add((page, 1));
            quarantine.Add(txid, freed);
        }

        quarantine.Release(space, durableTxid: 4, oldestReader: 8);
        Assert.Equal(4, quarantine.Pages);
        quarantine.Release(space, durableTxid: 8, oldestReader: 5);
        Assert.Equal(3, quarantine.Pages);
        quarantine.Release(space, durableTxid: 7, oldestReader: 8);
        Assert.Equal(1, quarantine.Pages);
        quarantine.Release(space, durableTxid: 8, oldestReader: 8);
        Assert.Equal(0, quarantine.Pages);
    }

    private static long LowestFit(SortedSet<long> busy, int count)
    {
        long start = 2;
        foreach (long page in busy)
        {
            if (page - start >= count)
            {
                return start;
            }

            start = Math.Max(start, page + 1);
        }

        return start;
    }
}
