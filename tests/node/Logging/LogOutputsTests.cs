using Perf.Node.Config;
using Perf.Node.Logging;
using Xunit;

namespace Perf.Node.Tests;

public sealed class LogOutputsTests : IDisposable
{
    private readonly string _directory = Directory.CreateTempSubdirectory("perf-log").FullName;

    public void Dispose() => Directory.Delete(_directory, recursive: true);

    [Fact]
    public void FilesGetWhatIsLogged()
    {
        string one = Path.Combine(_directory, "one.log");
        string two = Path.Combine(_directory, "two.log");
        File.WriteAllText(one, "before\n");
        Log log = LogOutputs.Open(new LogSettings { Outputs = [one, two], Format = "console", Level = "warn" }, TimeProvider.System);
        log.Warn("seen");
        log.Info("unseen");
        Assert.StartsWith("before\n", File.ReadAllText(one), StringComparison.Ordinal);
        Assert.EndsWith("\twarn\tperf\tseen\n", File.ReadAllText(one), StringComparison.Ordinal);
        Assert.EndsWith("\twarn\tperf\tseen\n", File.ReadAllText(two), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("unknown logger option \"glog\"", "glog", "info", "default")]
    [InlineData("--logger=capnslog is removed in v3.5", "capnslog", "info", "default")]
    [InlineData("unrecognized level: \"loud\"", "zap", "loud", "default")]
    [InlineData("multi logoutput for \"default\" is not supported yet", "zap", "info", "default,stderr")]
    [InlineData("running with systemd/journal but other '--log-outputs' values ([\"stderr\" \"systemd/journal\"]) are configured with 'default'; override 'default' value with something else", "zap", "info", "stderr,systemd/journal")]
    public void Refused(string reason, string logger, string level, string outputs)
    {
        var settings = new LogSettings { Logger = logger, Level = level, Outputs = outputs.Split(',') };
        Assert.Equal(reason, Assert.Throws<ConfigException>(() => LogOutputs.Open(settings, TimeProvider.System)).Message);
    }

    [Theory]
    [InlineData("stderr")]
    [InlineData("a.log,b.log")]
    public void RotationWantsOneFile(string outputs)
    {
        var settings = new LogSettings { Rotate = true, Outputs = outputs.Split(',') };
        Assert.Equal(
            "--log-outputs requires a single file path when --log-rotate-config-json is defined",
            Assert.Throws<ConfigException>(() => LogOutputs.Open(settings, TimeProvider.System)).Message);
    }

    [Theory]
    [InlineData("{", "improperly formatted log rotation config")]
    [InlineData("{\"maxsize\": true}", "invalid log rotation config")]
    [InlineData("[]", "invalid log rotation config")]
    public void RotationWantsItsJson(string json, string reason)
    {
        var settings = new LogSettings { Rotate = true, RotationJson = json, Outputs = [Path.Combine(_directory, "a.log")] };
        Assert.StartsWith(
            reason,
            Assert.Throws<ConfigException>(() => LogOutputs.Open(settings, TimeProvider.System)).Message,
            StringComparison.Ordinal);
    }

    [Fact]
    public void AFileThatCannotBeOpenedIsRefused()
    {
        var settings = new LogSettings { Outputs = [Path.Combine(_directory, "no", "such", "x.log")] };
        Assert.StartsWith(
            "couldn't open sink", Assert.Throws<ConfigException>(() => LogOutputs.Open(settings, TimeProvider.System)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void TheJournalGetsDatagrams()
    {
        string path = Path.Combine(_directory, "journal");
        using var journal = new System.Net.Sockets.Socket(
            System.Net.Sockets.AddressFamily.Unix, System.Net.Sockets.SocketType.Dgram, System.Net.Sockets.ProtocolType.Unspecified);
        journal.Bind(new System.Net.Sockets.UnixDomainSocketEndPoint(path));
        var fallback = new KeptLines();
        using JournalOutput output = JournalOutput.Open(fallback, path);
        output.Write(LogLevel.Warn, "hello\n"u8);
        byte[] datagram = new byte[1024];
        int length = journal.Receive(datagram);
        Assert.Equal(
            "PRIORITY=4\nSYSLOG_IDENTIFIER=etcd\nMESSAGE\n\u0005\0\0\0\0\0\0\0hello\n",
            System.Text.Encoding.Latin1.GetString(datagram, 0, length));
        journal.Dispose();

        // A process that another test is just starting may hold the socket for a moment longer.
        for (int i = 0; i < 1000 && fallback.Lines.Count == 0; i++)
        {
            output.Write(LogLevel.Warn, "bye\n"u8);
            Thread.Sleep(fallback.Lines.Count == 0 ? 10 : 0);
        }

        Assert.Equal(["bye\n"], fallback.Lines);
    }

    [Fact]
    public void NoJournalIsRefused() =>
        Assert.StartsWith(
            "failed to dial journald",
            Assert.Throws<ConfigException>(() => JournalOutput.Open(new KeptLines(), Path.Combine(_directory, "none"))).Message,
            StringComparison.Ordinal);
}
