using FsCheck.Fluent;
using Perf.Node.Config;
using Perf.Testing;
using Xunit;

namespace Perf.Node.Tests;

/// <summary>FLG-01, FLG-06, FLG-07.</summary>
public class CommandLineTests
{
    [Theory]
    [InlineData("--name", "a")]
    [InlineData("-name", "a")]
    [InlineData("--name=a")]
    [InlineData("-name=a")]
    [InlineData("--name", "b", "--name", "a")]
    public void AValueComesInFourSpellingsAndTheLastWins(params string[] arguments) =>
        Assert.Equal("a", Reading.Accepted(Reading.Line(arguments)).Name);

    [Theory]
    [InlineData(true, "--unsafe-no-fsync")]
    [InlineData(true, "--unsafe-no-fsync=true")]
    [InlineData(true, "--unsafe-no-fsync=T")]
    [InlineData(true, "--unsafe-no-fsync=1")]
    [InlineData(false, "--unsafe-no-fsync=false")]
    [InlineData(false, "--unsafe-no-fsync", "--unsafe-no-fsync=0")]
    public void ABooleanStandsAlone(bool expected, params string[] arguments) =>
        Assert.Equal(expected, Reading.Accepted(Reading.Line(arguments)).UnsafeNoFsync);

    /// <summary>Two spellings of the line, the environment, and a file that quotes as JSON does.</summary>
    [Fact]
    public void AnyTextIsTheSameFromWhereverItComes() => Properties.Hold(
        Gen.Choose(1, 0x2fff).Select(c => (char)c).ArrayOf().Where(chars => chars.Length > 0),
        chars => Properties.Smaller(chars, c => Properties.Smaller(c - 1).Select(less => (char)(less + 1)))
            .Where(less => less.Length > 0),
        cases: 200,
        sizeMax: 30,
        check: chars =>
        {
            string text = new(chars);
            Assert.Equal(text, Token(Reading.Line("--initial-cluster-token", text)));
            Assert.Equal(text, Token(Reading.Line($"-initial-cluster-token={text}")));
            Assert.Equal(text, Token(Reading.Environment(("ETCD_INITIAL_CLUSTER_TOKEN", text))));
            Assert.Equal(
                text, Token(Reading.File($"initial-cluster-token: {System.Text.Json.JsonSerializer.Serialize(text)}\n")));
        });

    private static string Token(ConfigReading reading) => Reading.Accepted(reading).InitialClusterToken;

    [Fact]
    public void ABooleansValueIsNeverTheNextArgument() =>
        Assert.Equal("'false' is not a valid flag", Reading.Refused(Reading.Line("--pre-vote", "false")));

    [Theory]
    [InlineData("flag provided but not defined: -bogus", "--bogus")]
    [InlineData("flag provided but not defined: -bogus", "--bogus=1")]
    [InlineData("flag needs an argument: -name", "--name")]
    [InlineData("bad flag syntax: ---name", "---name")]
    [InlineData("bad flag syntax: --=x", "--=x")]
    [InlineData("invalid value \"x\" for flag -heartbeat-interval: parse error", "--heartbeat-interval", "x")]
    [InlineData("invalid value \"-1\" for flag -max-wals: parse error", "--max-wals", "-1")]
    [InlineData("invalid value \"4294967296\" for flag -max-concurrent-streams: value out of range", "--max-concurrent-streams=4294967296")]
    [InlineData("invalid boolean value \"x\" for -pre-vote: parse error", "--pre-vote=x")]
    [InlineData("invalid value \"5\" for flag -grpc-keepalive-timeout: parse error", "--grpc-keepalive-timeout", "5")]
    [InlineData("invalid value \"old\" for flag -initial-cluster-state: invalid value", "--initial-cluster-state", "old")]
    [InlineData("invalid value \"never\" for flag -v2-deprecation: invalid value \"never\"", "--v2-deprecation", "never")]
    [InlineData("invalid value \"127.0.0.1:1\" for flag -listen-client-urls: parse \"127.0.0.1:1\": first path segment in URL cannot contain colon", "--listen-client-urls", "127.0.0.1:1")]
    [InlineData("invalid value \"localhost:1\" for flag -listen-client-urls: URL scheme must be http, https, unix, or unixs: localhost:1", "--listen-client-urls", "localhost:1")]
    [InlineData("invalid value \"http://a\" for flag -listen-peer-urls: URL address does not have the form \"host:port\": http://a", "--listen-peer-urls", "http://a")]
    [InlineData("invalid value \"http://a:1/\" for flag -listen-peer-urls: URL must not contain a path: http://a:1/", "--listen-peer-urls", "http://a:1/")]
    [InlineData("invalid value \"http://a:b\" for flag -listen-peer-urls: parse \"http://a:b\": invalid port \":b\" after host", "--listen-peer-urls", "http://a:b")]
    public void WhatIsMisspeltEndsWithUsageAndCodeTwo(string complaint, params string[] arguments)
    {
        ConfigReading reading = Reading.Line(arguments);
        Assert.Equal(2, reading.ExitCode);
        Assert.StartsWith(complaint + "\nUsage:", reading.Complaint, StringComparison.Ordinal);
        Assert.Empty(reading.Output);
    }

    [Theory]
    [InlineData("extra", "extra")]
    [InlineData("extra", "--name", "a", "extra", "--bogus")]
    [InlineData("--name", "--", "--name")]
    [InlineData("-", "-")]
    [InlineData("gateway", "gateway", "start")]
    public void WhatIsNoFlagIsRefused(string positional, params string[] arguments) =>
        Assert.Equal($"'{positional}' is not a valid flag", Reading.Refused(Reading.Line(arguments)));

    [Theory]
    [InlineData("-h")]
    [InlineData("--help")]
    [InlineData("-help")]
    public void HelpGoesToStdoutAndUsageToStderr(string argument)
    {
        ConfigReading reading = Reading.Line(argument);
        Assert.Equal(0, reading.ExitCode);
        Assert.StartsWith("Usage:", reading.Complaint, StringComparison.Ordinal);
        Assert.Equal(HelpText.Flags(), reading.Output);
    }

    [Fact]
    public void TheVersionIsFourLines()
    {
        ConfigReading reading = Reading.Line("--version");
        Assert.Equal(0, reading.ExitCode);
        string[] lines = reading.Output.TrimEnd('\n').Split('\n');
        Assert.Equal(
            ["etcd Version: 3.5.33", "Git SHA", "Go Version: go1.25.0", "Go OS/Arch: linux/amd64"],
            lines.Select((line, i) => i == 1 ? line[..line.IndexOf(':', StringComparison.Ordinal)] : line));
    }

    [Fact]
    public void FlagsOfLongAgoDoNothing()
    {
        foreach (string name in FlagTable.Ignored)
        {
            ConfigReading reading = Reading.Line($"--{name}=5", "--name=a");
            Assert.Equal("a", Reading.Accepted(reading).Name);
            Assert.Contains(Reading.Lines(reading), l => l.Contains("flag is no longer supported - ignoring", StringComparison.Ordinal));
        }
    }

    [Fact]
    public void DeprecatedFlagsWarn() =>
        Assert.Contains(
            Reading.Lines(Reading.Line("--proxy", "off")),
            l => l.Contains("--proxy is deprecated in 3.5 and will be decommissioned in 3.6.", StringComparison.Ordinal));

    [Fact]
    public void WhatHasNoEffectSaysSoWhereItWouldMatter()
    {
        const string Warning = "--experimental-memory-mlock is accepted but has no effect in this server";
        Assert.Contains(Reading.Lines(Reading.Line("--experimental-memory-mlock")), l => l.Contains(Warning, StringComparison.Ordinal));
        Assert.DoesNotContain(Reading.Lines(Reading.Line("--experimental-memory-mlock=false")), l => l.Contains(Warning, StringComparison.Ordinal));
    }

    [Fact]
    public void UrlsAreSortedAndOnce()
    {
        ServerConfig config = Reading.Accepted(Reading.Line(
            "--advertise-client-urls", "http://b:1, http://a:2,http://b:1", "--listen-client-urls", "http://127.0.0.1:9,http://127.0.0.1:8"));
        Assert.Equal(["http://a:2", "http://b:1"], config.AdvertiseClientUrls);
        Assert.Equal([8, 9], config.ListenClientUrls.Select(u => u.Port));
    }

    [Fact]
    public void AMemberAsABenchStartsIt()
    {
        ServerConfig config = Reading.Accepted(Reading.Line(
            "--name", "m1",
            "--data-dir", "/tmp/m1",
            "--listen-client-urls", "http://127.0.0.1:31410",
            "--advertise-client-urls", "http://127.0.0.1:31410",
            "--listen-peer-urls", "http://127.0.0.1:31411",
            "--initial-advertise-peer-urls", "http://127.0.0.1:31411",
            "--initial-cluster", "m1=http://127.0.0.1:31411,m2=http://127.0.0.1:31412",
            "--log-level", "error",
            "--quota-backend-bytes", "8589934592",
            "--auto-compaction-retention=5m",
            "--speak-as=3.4"));
        Assert.Equal("m1", config.Name);
        Assert.Equal("/tmp/m1", config.DataDir);
        Assert.Equal(["http://127.0.0.1:31410"], config.AdvertiseClientUrls);
        Assert.Equal(31411, Assert.Single(config.ListenPeerUrls).Port);
        Assert.Equal(8L << 30, config.QuotaBackendBytes);
        Assert.Equal("error", config.Log.Level);
        Assert.Equal(Perf.Store.Membership.SpeakAs.V34, config.SpeakAs);
    }

    [Fact]
    public void TheClusterFollowsTheName()
    {
        ServerConfig config = Reading.Accepted(Reading.Line("--name=abc", "--initial-advertise-peer-urls=http://a:1,http://b:1"));
        Assert.Equal("abc=http://a:1,abc=http://b:1", config.InitialCluster);
        Assert.Equal("abc.etcd", config.DataDir);
        Assert.Equal("default=http://localhost:2380", Reading.Accepted(Reading.Line()).InitialCluster);
    }
}
