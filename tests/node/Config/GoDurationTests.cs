using FsCheck.Fluent;
using Perf.Node.Config;
using Perf.Testing;
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
    public void WhatIsWrittenReadsBack() => Properties.Hold(
        Properties.Signed.Select(number => number / 128),
        ticks => Properties.Smaller((ulong)Math.Abs(ticks)).Select(less => (long)less * Math.Sign(ticks)),
        cases: 1_000,
        check: ticks =>
        {
            Assert.True(GoDuration.TryParse(GoDuration.Format(TimeSpan.FromTicks(ticks)), out TimeSpan back));
            Assert.Equal(ticks, back.Ticks);
        });

    private static readonly (string Unit, decimal Nanos)[] Units =
    [
        ("ns", 1m), ("us", 1_000m), ("\u00b5s", 1_000m), ("ms", 1_000_000m), ("s", 1_000_000_000m),
        ("m", 60_000_000_000m), ("h", 3_600_000_000_000m),
    ];

    /// <summary>Any parts in any order, added up in decimals.</summary>
    [Fact]
    public void PartsAddUp() => Properties.Hold(
        (from whole in Gen.Choose(0, 5_000)
         from fraction in Gen.Choose(0, 999)
         from unit in Gen.Choose(0, 6)
         select (Whole: whole, Fraction: fraction, Unit: unit)).ArrayOf().Where(parts => parts.Length > 0),
        parts => Properties.Smaller(parts).Where(less => less.Length > 0),
        cases: 1_000,
        sizeMax: 8,
        check: parts =>
        {
            string text = string.Concat(parts.Select(part => $"{part.Whole}.{part.Fraction:000}{Units[part.Unit].Unit}"));
            decimal nanos = parts.Sum(part =>
                decimal.Floor((part.Whole + (part.Fraction / 1000m)) * Units[part.Unit].Nanos));
            Assert.True(GoDuration.TryParse(text, out TimeSpan read), text);
            Assert.Equal((long)(nanos / 100), read.Ticks);
        });
}
