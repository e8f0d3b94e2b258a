using Perf.Node.Logging;
using Perf.Node.Metrics;
using Perf.Store.Commands;
using Xunit;

namespace Perf.Node.Tests;

/// <summary>Too much at once, and what took too long (SURFACE REQ-09).</summary>
public class BackPressureTests
{
    [Theory]
    [InlineData(4_999, false)]
    [InlineData(5_000, false)]
    [InlineData(5_001, true)]
    public void FiveThousandCommittedEntriesMayWaitToBeApplied(ulong gap, bool refused)
    {
        Assert.Equal(refused, Consensus.Pipeline.IsTooFarBehind(100 + gap, 100));
        Assert.False(Consensus.Pipeline.IsTooFarBehind(100, 100 + gap));
    }

    [Fact]
    public void ARequestInTheLogTellsWhatWasAskedForAndNotWhatWasStored()
    {
        var buffer = new ProtoBuffer();
        int header = buffer.BeginMessage(InternalField.Header);
        buffer.UInt64(1, 7);
        buffer.EndMessage(header);
        int put = buffer.BeginMessage(InternalField.Put);
        buffer.Bytes(1, "k\"\n"u8);
        buffer.Bytes(2, "secret"u8);
        buffer.EndMessage(put);
        Assert.Equal("header:<ID:7 > put:<key:\"k\\042\\012\" value_size:6 > ", RequestText.Of(buffer.Written));
        Assert.Equal("size:0 ", RequestText.Of([]));
    }

    [Fact]
    public void TimesOfEntriesAreKeptByOperation()
    {
        var times = new ApplyTimes();
        times.Observe(InternalField.Put, success: true, ticks: 1);
        times.Observe(InternalField.Authenticate, success: false, ticks: 1);
        times.Observe(InternalField.AuthEnable, success: true, ticks: 1);
        Assert.Equal(
            [("Put", true), ("Authenticate", false)],
            times.All.Where(row => row.Times.CountIn(0) > 0).Select(row => (row.Operation, row.Success)));
    }
}
