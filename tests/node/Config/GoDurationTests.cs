using Perf.Node.Config;
using Xunit;

namespace Perf.Node.Tests;

public class GoDurationTests
{
    [Theory]
    [InlineData("0", 0)]
    [InlineData("5s", 50_000_000)]
    [InlineData("1h2m3.5s", 37_235_000_000)]
    [InlineData("300ms", 3_000_000)]
    [InlineData("1.5h", 54_000_000_000)]
    [InlineData(".5s", 5_000_000)]
    [InlineData("1us", 10)]
    [InlineData("1\u00b5s", 10)]
    [InlineData("100ns", 1)]
    [InlineData("-5m", -3_000_000_000)]
    [InlineData("+1s", 10_000_000)]
    public void Reads(string text, long ticks)
    {
        Assert.True(GoDuration.TryParse(text, out TimeSpan duration));
        Assert.Equal(ticks, duration.Ticks);
    }

    [Theory]
    [InlineData("")]
    [InlineData("5")]
    [InlineData("s")]
    [InlineData("-")]
    [InlineData(".s")]
    [InlineData("5x")]
    [InlineData("5s5")]
    [InlineData("5 s")]
    [InlineData("9223372036854775808ns")]
    [InlineData("99999999999999999999999h")]
    public void RefusesWhatEtcdRefuses(string text) => Assert.False(GoDuration.TryParse(text, out _));

    [Theory]
    [InlineData(0, "0s")]
    [InlineData(1, "100ns")]
    [InlineData(15, "1.5\u00b5s")]
    [InlineData(3_000_000, "300ms")]
    [InlineData(15_005_000, "1.5005s")]
    [InlineData(50_000_000, "5s")]
    [InlineData(600_000_000, "1m0s")]
    [InlineData(72_000_000_000, "2h0m0s")]
    [InlineData(37_235_000_000, "1h2m3.5s")]
    [InlineData(-3_000_000_000, "-5m0s")]
    public void WritesAsGoDoes(long ticks, string text) => Assert.Equal(text, GoDuration.Format(TimeSpan.FromTicks(ticks)));

    [Fact]
    public void WhatIsWrittenReadsBack()
    {
        var random = new Random(4);
        for (int i = 0; i < 1000; i++)
        {
            var duration = TimeSpan.FromTicks(random.NextInt64(1L << random.Next(1, 56)));
            Assert.True(GoDuration.TryParse(GoDuration.Format(duration), out TimeSpan back));
            Assert.Equal(duration, back);
        }
    }
}
