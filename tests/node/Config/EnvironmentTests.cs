using Perf.Node.Config;
using Xunit;

namespace Perf.Node.Tests;

/// <summary>FLG-02.</summary>
public class EnvironmentTests
{
    [Fact]
    public void EveryFlagHasAVariable()
    {
        ConfigReading reading = Reading.Environment(
            ("ETCD_NAME", "a"), ("ETCD_UNSAFE_NO_FSYNC", "true"), ("ETCD_EXPERIMENTAL_COMPACTION_BATCH_LIMIT", "7"));
        ServerConfig config = Reading.Accepted(reading);
        Assert.Equal("a", config.Name);
        Assert.True(config.UnsafeNoFsync);
        Assert.Equal(7, config.CompactionBatchLimit);
        Assert.Contains(
            Reading.Lines(reading),
            l => l.Contains("\"recognized and used environment variable\",\"variable-name\":\"ETCD_NAME\",\"variable-value\":\"a\"", StringComparison.Ordinal));
    }

    [Fact]
    public void AFlagThatRepeatsAVariableIsFatal()
    {
        ConfigReading reading = ConfigReader.Read(["--name", "a"], new Dictionary<string, string> { ["ETCD_NAME"] = "a" });
        Assert.Equal(1, reading.ExitCode);
        string line = Reading.Lines(reading)[^1];
        Assert.Contains("\"level\":\"fatal\"", line, StringComparison.Ordinal);
        Assert.Contains(
            "conflicting environment variable is shadowed by corresponding command-line flag (either unset environment variable or disable flag))",
            line,
            StringComparison.Ordinal);
        Assert.Contains("\"environment-variable\":\"ETCD_NAME\"", line, StringComparison.Ordinal);
    }

    [Fact]
    public void AnEmptyVariableIsNone()
    {
        ConfigReading reading = ConfigReader.Read(["--name", "a"], new Dictionary<string, string> { ["ETCD_NAME"] = "" });
        Assert.Equal("a", Reading.Accepted(reading).Name);
    }

    [Fact]
    public void UnknownVariablesAndTheVersionWarn()
    {
        List<string> lines = Reading.Lines(Reading.Environment(("ETCD_BOGUS", "1"), ("ETCD_VERSION", "3"), ("PATH", "x")));
        Assert.Contains(lines, l => l.Contains("\"unrecognized environment variable\",\"environment-variable\":\"ETCD_BOGUS=1\"", StringComparison.Ordinal));
        Assert.Contains(lines, l => l.Contains("cannot set special environment variable", StringComparison.Ordinal));
        Assert.DoesNotContain(lines, l => l.Contains("PATH", StringComparison.Ordinal));
    }

    [Fact]
    public void AValueThatIsNoneIsRefused() =>
        Assert.Equal(
            "invalid value \"x\" for ETCD_MAX_WALS: parse error", Reading.Refused(Reading.Environment(("ETCD_MAX_WALS", "x"))));

    [Fact]
    public void AVariableCountsAsGiven() =>
        Assert.Equal(
            "--advertise-client-urls is required when --listen-client-urls is set explicitly",
            Reading.Refused(Reading.Environment(("ETCD_LISTEN_CLIENT_URLS", "http://127.0.0.1:1"))));
}
