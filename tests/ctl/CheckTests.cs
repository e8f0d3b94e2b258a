using System.Globalization;
using Perf.Client.Tests;
using Perf.Etcdctl.CommandLine;
using Perf.Etcdctl.Commands;
using Perf.Etcdctl.Text;
using Xunit;

namespace Perf.Ctl.Tests;

/// <summary>
/// check perf and check datascale. The load of check perf is cut short here: its sixty seconds are for a machine that is
/// to be judged.
/// </summary>
public sealed class CheckTests
{
    private static readonly Dictionary<string, int> _none = [];

    [Theory]
    [InlineData(150, 0.5, 0.1, "PASS: Throughput is 151 writes/s\nPASS: Slowest request took 0.500000s\nPASS: Stddev is 0.100000s\nPASS\n")]
    [InlineData(135, 0.02, 0.001, "FAIL: Throughput too low: 136 writes/s\nPASS: Slowest request took 0.020000s\nPASS: Stddev is 0.001000s\nFAIL\n")]
    [InlineData(150, 0.51, 0.001, "PASS: Throughput is 151 writes/s\nSlowest request took too long: 0.510000s\nPASS: Stddev is 0.001000s\nFAIL\n")]
    [InlineData(150, 0.02, 0.2, "PASS: Throughput is 151 writes/s\nPASS: Slowest request took 0.020000s\nStddev too high: 0.200000s\nFAIL\n")]
    public void A_load_is_judged_by_rate_slowest_and_deviation(double perSecond, double slowest, double deviation, string printed)
    {
        (string output, int code) = Judge(new CheckCommands.Report(perSecond, slowest, deviation, _none));
        Assert.Equal(printed, output);
        Assert.Equal(printed.EndsWith("\nPASS\n", StringComparison.Ordinal) ? 0 : 1, code);
    }

    [Fact]
    public void Errors_fail_a_load_and_are_counted()
    {
        var errors = new Dictionary<string, int> { ["etcdserver: too many requests"] = 3 };
        (string output, int code) = Judge(new CheckCommands.Report(150, 0.1, 0.01, errors));
        Assert.StartsWith("FAIL: too many errors\nFAIL: ERROR(etcdserver: too many requests) -> 3\n", output);
        Assert.Equal((1, true), (code, output.EndsWith("\nFAIL\n", StringComparison.Ordinal)));
    }

    [Theory]
    [InlineData("s", 150)]
    [InlineData("small", 150)]
    [InlineData("m", 1000)]
    [InlineData("l", 8000)]
    [InlineData("xLarge", 15000)]
    public async Task Each_load_runs_judges_and_cleans_up(string load, int rate)
    {
        using EtcdProcess etcd = EtcdProcess.StartPerf(31890);
        using var output = new MemoryStream();
        var terminal = new Terminal(Stream.Null, output, Stream.Null, new Dictionary<string, string>());
        Command root = CommandTree.New();
        string[] words = ["--endpoints", etcd.Endpoint, "check", "perf", "--load", load, "--auto-compact", "--auto-defrag"];
        (Command command, List<string> rest) = root.Find([.. words]);
        command.EnsureHelpFlag();
        FlagSet flags = command.AllFlags();
        var run = new Invocation
        {
            Command = command,
            Flags = flags,
            Args = flags.Parse(rest),
            RawArgs = words,
            Terminal = terminal,
        };
        int code = 0;
        try
        {
            await CheckCommands.PerfAsync(run, TimeSpan.FromSeconds(2));
        }
        catch (ExitException e)
        {
            code = e.Code;
        }

        terminal.Flush();
        string[] lines = GoText.FromBytes(output.ToArray()).TrimEnd('\n').Split('\n');
        Assert.True(lines.Length == 8, string.Join('\n', lines));
        Assert.StartsWith("Compacting with revision ", lines[0]);
        Assert.StartsWith("Compacted with revision ", lines[1]);
        Assert.Equal($"Defragmented \"{etcd.Endpoint}\"", lines[3]);
        Assert.Matches("Throughput (is|too low:) [0-9]+ writes/s$", lines[4]);
        Assert.Matches("Slowest request took( too long:)? [0-9.]+s$", lines[5]);
        Assert.Equal((lines[^1], code), code == 0 ? ("PASS", 0) : ("FAIL", 1));

        // How many it reaches is the machine's affair; that it does not go beyond its rate is ours.
        int writes = int.Parse(lines[4].Split(' ')[^2], CultureInfo.InvariantCulture);
        Assert.InRange(writes, 1, (rate * 5 / 4) + 1);
        Assert.Equal("", (await Console.RunAsync(["--endpoints", etcd.Endpoint, "get", "", "--prefix", "--keys-only"])).Output);
    }

    [Fact]
    public async Task Datascale_writes_its_keys_tells_what_they_cost_and_takes_them_away()
    {
        using EtcdProcess etcd = EtcdProcess.StartPerf(31892);
        Outcome outcome = await Console.RunAsync(
            ["--endpoints", etcd.Endpoint, "check", "datascale", "--load", "s", "--auto-compact", "--auto-defrag"]);
        Assert.True(outcome.Code == 0, outcome.ToString());
        Assert.Matches(
            "^Start data scale check for work load \\[10000 key-value pairs, 1024 bytes per key-value, 50 concurrent clients\\]\\.\n"
            + "Compacting with revision ([0-9]+)\nCompacted with revision \\1\n"
            + $"Defragmenting \"{etcd.Endpoint}\"\nDefragmented \"{etcd.Endpoint}\"\n"
            + "PASS: Approximate system memory used : -?[0-9]+\\.[0-9][0-9] MB\\.\n$",
            outcome.Output);
        string left = (await Console.RunAsync(["--endpoints", etcd.Endpoint, "get", "", "--prefix", "-w", "json"])).Output;
        Assert.Contains("\"revision\":10002,", left);
        Assert.DoesNotContain("\"count\"", left);
    }

    private static (string Output, int Code) Judge(CheckCommands.Report report)
    {
        using var output = new MemoryStream();
        var terminal = new Terminal(Stream.Null, output, Stream.Null, new Dictionary<string, string>());
        int code = 0;
        try
        {
            CheckCommands.Judge(terminal, report, rate: 150);
        }
        catch (ExitException e)
        {
            code = e.Code;
        }

        terminal.Flush();
        return (GoText.FromBytes(output.ToArray()), code);
    }
}
