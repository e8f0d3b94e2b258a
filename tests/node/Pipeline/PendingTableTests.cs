using Perf.Node.Consensus;
using Perf.Store;
using Xunit;

namespace Perf.Node.Tests;

public sealed class PendingTableTests
{
    [Fact]
    public void It_says_so_each_time_it_has_eased()
    {
        var table = new PendingTable(new ProcessPool());
        int eased = 0;
        table.Eased = () => eased++;
        ulong next = 1;
        ulong first = 1;
        void Register(int count)
        {
            for (int i = 0; i < count; i++)
            {
                Assert.NotNull(table.TryRegister(next++, long.MaxValue));
            }
        }

        void Take(int count)
        {
            for (int i = 0; i < count; i++)
            {
                table.TryTake(first++)!.Dispose();
            }
        }

        Register(PendingTable.EasedAt);
        Take(10);
        Assert.Equal(0, eased);
        Register(PendingTable.CrowdedAt - table.Count);
        Assert.Equal(PendingTable.CrowdedAt, table.Count);
        Take(PendingTable.CrowdedAt - PendingTable.EasedAt - 1);
        Assert.Equal(0, eased);
        Take(1);
        Assert.Equal(1, eased);
        Take(PendingTable.EasedAt);
        Assert.Equal(1, eased);

        // What is given up counts as what is answered.
        Register(PendingTable.CrowdedAt);
        table.Expire(long.MaxValue, StoreError.Timeout);
        Assert.Equal(2, eased);
        Assert.Equal(0, table.Count);
    }
}
