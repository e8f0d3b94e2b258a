using FsCheck;
using FsCheck.Fluent;
using Perf.Etcdctl.Text;
using Xunit;

namespace Perf.Ctl.Tests;

public sealed class TextTests
{
    [Theory]
    [InlineData("foo", "\"foo\"")]
    [InlineData("a\"b\\c", "\"a\\\"b\\\\c\"")]
    [InlineData("\t\n\r\a\b\f\v", "\"\\t\\n\\r\\a\\b\\f\\v\"")]
    [InlineData("\u0001\u007f", "\"\\x01\\x7f\"")]
    [InlineData("\u4e16\u754c", "\"\u4e16\u754c\"")]
    [InlineData("\u00a0\u200b", "\"\\u00a0\\u200b\"")]
    [InlineData("\U000e0001", "\"\\U000e0001\"")]
    public void Strings_are_quoted_as_Go_quotes_them(string text, string quoted) =>
        Assert.Equal(quoted, GoText.Quote(text));

    [Fact]
    public void Bytes_that_are_no_text_are_quoted_one_by_one() =>
        Assert.Equal("\"a\\xff\\x80b\"", GoText.Quote([(byte)'a', 0xff, 0x80, (byte)'b']));

    [Fact]
    public void Any_bytes_survive_being_text_and_being_quoted() => Prop.ForAll(
        ArbMap.Default.ArbFor<byte[]>(),
        bytes =>
        {
            string text = GoText.FromBytes(bytes);
            return GoText.ToBytes(text).AsSpan().SequenceEqual(bytes)
                && GoText.TryUnquote(GoText.Quote(bytes), out string back, out _)
                && GoText.ToBytes(back).AsSpan().SequenceEqual(bytes);
        }).QuickCheckThrowOnFailure();

    [Theory]
    [InlineData("12", 10, 12)]
    [InlineData("-12", 10, -12)]
    [InlineData("ff", 16, 255)]
    [InlineData("0x10", 0, 16)]
    [InlineData("7fffffffffffffff", 16, long.MaxValue)]
    [InlineData("-9223372036854775808", 10, long.MinValue)]
    public void Numbers_are_read(string text, int radix, long value) =>
        Assert.Equal(value, GoText.ParseInt(text, radix));

    [Theory]
    [InlineData("zz", 16, "strconv.ParseInt: parsing \"zz\": invalid syntax")]
    [InlineData("", 10, "strconv.ParseInt: parsing \"\": invalid syntax")]
    [InlineData("8000000000000000", 16, "strconv.ParseInt: parsing \"8000000000000000\": value out of range")]
    [InlineData("99999999999999999999999999999999999999999", 10,
        "strconv.ParseInt: parsing \"99999999999999999999999999999999999999999\": value out of range")]
    public void Bad_numbers_are_refused_in_Gos_words(string text, int radix, string message) =>
        Assert.Equal(message, Assert.Throws<FormatException>(() => GoText.ParseInt(text, radix)).Message);

    [Theory]
    [InlineData("5s", 5000)]
    [InlineData("1m30s", 90_000)]
    [InlineData("1.5h", 5_400_000)]
    [InlineData("250ms", 250)]
    [InlineData("0", 0)]
    public void Durations_are_read(string text, double millis) =>
        Assert.Equal(millis, GoDuration.Parse(text).TotalMilliseconds);

    [Theory]
    [InlineData("5", "time: missing unit in duration \"5\"")]
    [InlineData("", "time: invalid duration \"\"")]
    [InlineData("abc", "time: invalid duration \"abc\"")]
    [InlineData("5x", "time: unknown unit \"x\" in duration \"5x\"")]
    public void Bad_durations_are_refused_in_Gos_words(string text, string message) =>
        Assert.Equal(message, Assert.Throws<FormatException>(() => GoDuration.Parse(text)).Message);

    [Theory]
    [InlineData(0, "0s")]
    [InlineData(5_000, "5s")]
    [InlineData(90_500, "1m30.5s")]
    [InlineData(3_600_000, "1h0m0s")]
    [InlineData(1.27, "1.27ms")]
    [InlineData(0.0005, "500ns")]
    public void Durations_are_written(double millis, string text) =>
        Assert.Equal(text, GoDuration.Format(TimeSpan.FromTicks((long)(millis * 10_000))));

    [Theory]
    [InlineData(0, "0 B")]
    [InlineData(9, "9 B")]
    [InlineData(999, "999 B")]
    [InlineData(1000, "1.0 kB")]
    [InlineData(20480, "20 kB")]
    [InlineData(24576, "25 kB")]
    [InlineData(9_960_000, "10 MB")]
    [InlineData(1_500_000_000, "1.5 GB")]
    [InlineData(ulong.MaxValue, "18 EB")]
    public void Sizes_are_shown_in_powers_of_a_thousand(ulong bytes, string text) =>
        Assert.Equal(text, Humanize.Bytes(bytes));

    [Fact]
    public void Columns_are_runs_of_cells_ended_by_tabs() => Assert.Equal(
        "NAME:\n\ta\t\tfirst\n\tlonger name\tsecond\n\nno cells\n\tb\tthird",
        TabWriter.Align("NAME:\n\ta\tfirst\n\tlonger name\tsecond\n\nno cells\n\tb\tthird"));

    [Fact]
    public void Tables_are_ruled_with_the_cells_to_the_right() => Assert.Equal(
        """
        +----+-----------+
        | ID | LONG NAME |
        +----+-----------+
        |  1 |         x |
        | 22 |           |
        +----+-----------+

        """,
        Table.Render(["ID", "long_name"], [["1", "x"], ["22", ""]]));

    [Fact]
    public void Long_cells_are_wrapped_as_evenly_as_can_be() => Assert.Equal(
        """
        +-------------------------------+---+
        |            ERRORS             | N |
        +-------------------------------+---+
        |     etcdserver: request timed | 1 |
        | out, possibly due to previous |   |
        |                leader failure |   |
        +-------------------------------+---+

        """,
        Table.Render(
            ["errors", "n"],
            [["etcdserver: request timed out, possibly due to previous leader failure", "1"]]));
}
