using FsCheck;
using FsCheck.Fluent;
using Xunit;

namespace Perf.Grpc.Tests;

public sealed class WireTextTests
{
    [Fact]
    public void Message_survives_encoding_and_stays_printable()
    {
        Prop.ForAll<NonNull<string>>(text =>
        {
            string message = new([.. text.Get.Where(c => !char.IsSurrogate(c))]);
            string encoded = WireText.EncodeMessage(message);
            return encoded.All(c => c is >= ' ' and <= '~') && WireText.DecodeMessage(encoded) == message;
        }).QuickCheckThrowOnFailure();
    }

    [Theory]
    [InlineData("%", "%")]
    [InlineData("%4", "%4")]
    [InlineData("%zz", "%zz")]
    [InlineData("a%20b", "a b")]
    [InlineData("%2", "%2")]
    public void Decoding_a_message_never_fails(string source, string expected) =>
        Assert.Equal(expected, WireText.DecodeMessage(source));

    [Theory]
    [InlineData("1H", 36_000_000_000)]
    [InlineData("2M", 1_200_000_000)]
    [InlineData("3S", 30_000_000)]
    [InlineData("4m", 40_000)]
    [InlineData("5u", 50)]
    [InlineData("1n", 1)]
    [InlineData("250n", 3)]
    [InlineData("99999999S", 999_999_990_000_000)]
    public void Timeout_is_read_in_every_unit(string text, long ticks)
    {
        Assert.True(WireText.TryParseTimeout(text, out TimeSpan timeout));
        Assert.Equal(ticks, timeout.Ticks);
    }

    [Theory]
    [InlineData("")]
    [InlineData("S")]
    [InlineData("5")]
    [InlineData("-5S")]
    [InlineData("5s")]
    [InlineData("1.5S")]
    [InlineData("123456789S")]
    public void Malformed_timeout_is_refused(string text) => Assert.False(WireText.TryParseTimeout(text, out _));

    [Fact]
    public void Written_timeout_is_not_shorter_than_meant()
    {
        Prop.ForAll<PositiveInt, PositiveInt>((a, b) =>
        {
            var meant = new TimeSpan((long)a.Get * b.Get * 977);
            return WireText.TryParseTimeout(WireText.FormatTimeout(meant), out TimeSpan read) && read >= meant;
        }).QuickCheckThrowOnFailure();
        Assert.Equal("0n", WireText.FormatTimeout(TimeSpan.FromSeconds(-1)));
    }
}
