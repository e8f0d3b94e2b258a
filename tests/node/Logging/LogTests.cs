using System.Text.Json;
using Perf.Node.Logging;
using Xunit;

namespace Perf.Node.Tests;

public class LogTests
{
    private readonly KeptLines _output = new();

    [Fact]
    public void ALineIsShapedAsZaps()
    {
        var log = new Log(_output, LogLevel.Info, new ManualTime());
        log.Info(
            "some <message>",
            ("text", "a \"b\""),
            ("count", 3),
            ("took", TimeSpan.FromMilliseconds(1.5)),
            ("urls", new[] { "a", "b" }),
            ("error", new IOException("broken")),
            ("none", null),
            ("on", true));
        Assert.Equal(
            "{\"level\":\"info\",\"ts\":\"2026-01-02T03:04:05.000000Z\",\"caller\":\"perf\",\"msg\":\"some <message>\",\"text\":\"a \\\"b\\\"\","
            + "\"count\":3,\"took\":\"1.5ms\",\"urls\":[\"a\",\"b\"],\"error\":\"broken\",\"none\":null,\"on\":true}\n",
            Assert.Single(_output.Lines));
    }

    [Fact]
    public void TheConsoleFormIsTabbed()
    {
        var log = new Log(_output, LogLevel.Info, new ManualTime(), LogFormat.Console);
        log.Warn("plain");
        log.Warn("fields", ("a", 1));
        Assert.Equal(
            [
                "2026-01-02T03:04:05.000000Z\twarn\tperf\tplain\n",
                "2026-01-02T03:04:05.000000Z\twarn\tperf\tfields\t{\"a\":1}\n",
            ],
            _output.Lines);
    }

    [Fact]
    public void OtherZonesShowTheirOffset()
    {
        var zone = TimeZoneInfo.CreateCustomTimeZone("t", TimeSpan.FromHours(-3.5), "t", "t");
        new Log(_output, LogLevel.Info, new ManualTime(zone)).Info("x");
        Assert.Contains("\"ts\":\"2026-01-01T23:34:05.000000-0330\"", _output.Lines[0], StringComparison.Ordinal);
    }

    [Fact]
    public void TheLevelMayChangeAtAnyTime()
    {
        var log = new Log(_output, LogLevel.Info, TimeProvider.System);
        log.Debug("no");
        log.Level = LogLevel.Debug;
        log.Debug("yes");
        log.Level = LogLevel.Fatal;
        log.Error("no");
        Assert.Contains("yes", Assert.Single(_output.Lines), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("debug", LogLevel.Debug)]
    [InlineData("info", LogLevel.Info)]
    [InlineData("WARN", LogLevel.Warn)]
    [InlineData("error", LogLevel.Error)]
    [InlineData("panic", LogLevel.Panic)]
    [InlineData("fatal", LogLevel.Fatal)]
    public void LevelsHaveZapsNames(string text, LogLevel expected)
    {
        Assert.True(Log.TryParseLevel(text, out LogLevel level));
        Assert.Equal(expected, level);
    }

    [Fact]
    public void EveryKindOfTextStaysJson()
    {
        var log = new Log(_output, LogLevel.Info, TimeProvider.System);
        log.Info("line\nbreak \u0001 \ud800 \u2028 \u00e9", ("key \"", "\\"));
        using JsonDocument json = JsonDocument.Parse(_output.Lines[0]);
        Assert.Equal(1, _output.Lines[0].Count(c => c == '\n'));
    }
}
