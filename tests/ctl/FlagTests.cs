using System.Reflection;
using Perf.Client.Tests;
using Xunit;

namespace Perf.Ctl.Tests;

/// <summary>The commands and flags of both tools: flags.txt lists them, and those of newer etcds do something.</summary>
public sealed class FlagTests
{
    [Fact]
    public void Commands_and_flags_are_those_of_the_table()
    {
        var expected = new SortedSet<string>(StringComparer.Ordinal);
        foreach (string line in Table())
        {
            string[] words = line.Split(' ');
            string[] path = [.. words.SkipWhile(IsVersion).TakeWhile(w => !w.Contains(':', StringComparison.Ordinal) && !IsVersion(w))];
            string name = string.Join(' ', path);
            Assert.True(expected.Add(name), "twice in the table: " + name);
            expected.UnionWith(words.Where(w => w.Contains(':', StringComparison.Ordinal)).Select(f => $"{name} --{f}"));
        }

        var actual = new SortedSet<string>(StringComparer.Ordinal);
        Collect(Etcdctl.Commands.CommandTree.New(), actual);
        Collect(Perf.Etcdutl.Commands.CommandTree.New(), actual);
        Assert.True(
            expected.SetEquals(actual),
            "missing:\n" + string.Join('\n', expected.Except(actual)) + "\nnot in the table:\n" + string.Join('\n', actual.Except(expected)));
    }

    [Fact]
    public async Task Flags_of_newer_etcds_do_what_they_say()
    {
        using EtcdProcess etcd = EtcdProcess.StartPerf(31880);
        await RunAsync("put a 1"); // revision 2
        await RunAsync("put b 2"); // revision 3
        await RunAsync("put a 3"); // revision 4
        Assert.Equal("a\n3\n", await RunAsync("get --prefix a --stream"));
        Assert.Equal("a\n3\n", await RunAsync("get a z --min-mod-rev 4"));
        Assert.Equal("b\n2\n", await RunAsync("get a z --max-mod-rev 3"));
        Assert.Equal("b\n2\n", await RunAsync("get a z --min-create-rev 3"));
        Assert.Equal("a\n3\n", await RunAsync("get a z --max-create-rev 2"));
        await RefusedAsync(4, "--min-mod-rev 4 is greater than --max-mod-rev 3", "get a --min-mod-rev 4 --max-mod-rev 3");
        Assert.Contains(", started, default, ", await RunAsync("member list --consistency s"));
        await RefusedAsync(4, "unknown consistency flag \"x\"", "member list --consistency x");
        await RefusedAsync(
            1, "rpc error: code = ResourceExhausted desc = trying to send message larger than max (13 vs. 5)",
            "put key value9 --max-request-bytes 5");
        await RefusedAsync(1, "ResourceExhausted", "get a z --max-recv-bytes 5");
        Assert.Equal("Downgrade validate success, cluster version 3.5.0\n", await DowngradeAsync("validate 3.4"));
        Assert.Equal("Downgrade enable success, cluster version 3.5.0\n", await DowngradeAsync("enable 3.4"));
        Assert.Equal("Downgrade cancel success, cluster version 3.5.0\n", await DowngradeAsync("cancel"));
        await RefusedAsync(1, "etcdserver: no inflight downgrade job", "downgrade cancel");
        await RefusedAsync(128, "TARGET_VERSION not provided", "downgrade enable");

        await RunAsync("user add root:pw");
        await RunAsync("user grant-role root root");
        await RunAsync("auth enable --user root:pw");
        await RefusedAsync(1, "etcdserver: invalid auth token", "get a --auth-jwt-token bogus");
        await RefusedAsync(
            128, "`--auth-jwt-token` and `--user` cannot be set at the same time, choose one", "get a --auth-jwt-token x --user root:pw");

        // Until the members have agreed on the cluster's version there is nothing to come down from.
        async Task<string> DowngradeAsync(string step)
        {
            Outcome outcome = await Console.RunAsync(["--endpoints", etcd.Endpoint, "downgrade", .. step.Split(' ')]);
            for (int i = 0; i < 300 && outcome.Code != 0; i++)
            {
                await Task.Delay(100);
                outcome = await Console.RunAsync(["--endpoints", etcd.Endpoint, "downgrade", .. step.Split(' ')]);
            }

            Assert.True(outcome.Code == 0, $"downgrade {step}: {outcome}");
            return outcome.Output;
        }

        async Task<string> RunAsync(string line)
        {
            Outcome outcome = await Console.RunAsync(["--endpoints", etcd.Endpoint, .. line.Split(' ')]);
            Assert.True(outcome.Code == 0, $"{line}: {outcome}");
            return outcome.Output;
        }

        async Task RefusedAsync(int code, string text, string line)
        {
            Outcome outcome = await Console.RunAsync(["--endpoints", etcd.Endpoint, .. line.Split(' ')]);
            Assert.True(outcome.Code == code, $"{line}: {outcome}");
            Assert.Contains(text, outcome.LastError);
        }
    }

    [Fact]
    public async Task A_mirror_begins_at_a_revision_and_splits_large_transactions()
    {
        using EtcdProcess source = EtcdProcess.StartPerf(31884);
        using EtcdProcess target = EtcdProcess.StartPerf(31886);
        string[] from = ["--endpoints", source.Endpoint];
        await Console.RunAsync([.. from, "put", "before", "1"]); // revision 2
        await Console.RunAsync([.. from, "txn"], "\nput a 1\nput b 2\nput c 3\n\n\n"); // revision 3
        using var stop = new CancellationTokenSource();
        Task<Outcome> mirror = Console.RunAsync(
            [.. from, "make-mirror", "--rev", "3", "--max-txn-ops", "2", target.Endpoint], interrupted: stop.Token);
        string[] look = ["--endpoints", target.Endpoint, "get", "", "--prefix", "-w", "json", "--decode"];
        string copied = "";
        for (int i = 0; i < 600 && !copied.Contains("\"count\":3", StringComparison.Ordinal); i++)
        {
            await Task.Delay(50);
            copied = (await Console.RunAsync(look)).Output;
        }

        await stop.CancelAsync();
        await mirror;
        Assert.Contains("\"count\":3", copied);
        Assert.DoesNotContain("before", copied);

        // Two transactions: the first two keys are of one revision, the third is of the next.
        Assert.Contains("\"key\":\"b\",\"create_revision\":2,", copied);
        Assert.Contains("\"key\":\"c\",\"create_revision\":3,", copied);
        Outcome none = await Console.RunAsync([.. from, "make-mirror", "--max-txn-ops", "0", target.Endpoint]);
        Assert.Equal((128, "Error: `--max-txn-ops` must be at least 1"), (none.Code, none.LastError));
    }

    private static bool IsVersion(string word) => word is "3.6" or "3.7" or "ours";

    private static IEnumerable<string> Table()
    {
        using Stream table = Assembly.GetExecutingAssembly().GetManifestResourceStream("flags.txt")!;
        using var reader = new StreamReader(table);
        return [.. reader.ReadToEnd().Split('\n').Where(l => l.Length > 0 && l[0] != '#')];
    }

    private static void Collect(Etcdctl.CommandLine.Command command, SortedSet<string> all, string above = "")
    {
        string path = above.Length == 0 ? command.Name : above + " " + command.Name;
        all.Add(path);
        foreach (Etcdctl.CommandLine.Flag flag in command.LocalFlags().All.Where(f => f.Name != "help"))
        {
            all.Add($"{path} --{flag.Name}{(flag.Shorthand == 0 ? "" : "/" + flag.Shorthand)}:{flag.Kind}={flag.Default}");
        }

        foreach (Etcdctl.CommandLine.Command child in command.Children.Where(c => c.Name != "__complete"))
        {
            Collect(child, all, path);
        }
    }

    private static void Collect(Perf.Etcdutl.CommandLine.Command command, SortedSet<string> all)
    {
        all.Add(command.Path);
        foreach (Perf.Etcdutl.CommandLine.Flag flag in command.Flags.Concat(command.SharedFlags))
        {
            all.Add($"{command.Path} --{flag.Name}{(flag.Shorthand == 0 ? "" : "/" + flag.Shorthand)}:{flag.Kind}={flag.Text}");
        }

        foreach (Perf.Etcdutl.CommandLine.Command child in command.Children)
        {
            Collect(child, all);
        }
    }
}
