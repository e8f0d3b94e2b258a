using System.Text.RegularExpressions;
using Perf.Client.Tests;
using Perf.Ctl.Tests.Etcdutl;
using Xunit;

namespace Perf.Ctl.Tests;

/// <summary>Commands that need more members than one, by Debian's etcdctl and by ours on the same three of our servers.</summary>
public sealed class ThreeMemberTests : IAsyncLifetime
{
    private const int Port = 31900;

    private EtcdProcess[] _members = [];

    private string Endpoints => string.Join(',', _members.Select(m => m.Endpoint));

    public async Task InitializeAsync()
    {
        string cluster = string.Join(',', Enumerable.Range(0, 3).Select(i => $"m{i}=http://127.0.0.1:{Port + (2 * i) + 1}"));

        // A machine that stands still for a second must not move the leader.
        string[] patient = ["--heartbeat-interval", "300", "--election-timeout", "3000"];
        _members = await Task.WhenAll(Enumerable.Range(0, 3).Select(i => Task.Run(
            () => EtcdProcess.StartPerf(Port + (2 * i), ["--name", $"m{i}", "--initial-cluster", cluster, .. patient]))));
    }

    public Task DisposeAsync()
    {
        foreach (EtcdProcess member in _members)
        {
            member.Dispose();
        }

        return Task.CompletedTask;
    }

    [InteropFact]
    public async Task The_cluster_is_shown_moved_and_changed_as_by_the_real_etcdctl()
    {
        // Until every member has told its name, they may still see different lists.
        for (int i = 0; i < 300 && Lines(await OursAsync("member list")).Count(l => l.Contains(", started, ")) < 3; i++)
        {
            await Task.Delay(100);
        }

        foreach (string line in (string[])
            ["member list", "member list -w table", "endpoint hashkv", "endpoint hashkv --cluster -w json",
            "endpoint status", "endpoint status --cluster", "endpoint status -w table", "defrag", "defrag --cluster"])
        {
            Assert.Equal(Mask(Theirs(line)), Mask(await OursAsync(line)));
        }

        Assert.Equal(
            string.Concat(_members.Select(m => m.Url + "\n").Order()),
            string.Concat(Lines(await OursAsync("endpoint health --cluster")).Select(l => l.Split(' ')[0] + "\n").Order()));

        // The one it leaves for is the next in the list; then back by the other tool.
        string leader = await LeaderAsync();
        string next = Lines(await OursAsync("member list")).Select(l => l.Split(',')[0]).First(id => id != leader);
        Assert.Equal($"Leadership transferred from {leader} to {next}\n", await OursAsync("move-leader " + next));
        Assert.Equal(next, await LeaderAsync());
        Assert.Equal($"Leadership transferred from {next} to {leader}\n", Theirs("move-leader " + leader));
        Assert.Equal(leader, await LeaderAsync());

        // A follower alone cannot hand over what it does not have.
        string follower = _members[0].Endpoint;
        string status = await OursAsync("endpoint status", follower);
        follower = status.Split(", ")[4] == "true" ? _members[1].Endpoint : follower;
        Outcome refused = await Console.RunAsync(["--endpoints", follower, "move-leader", next]);
        Assert.Equal((128, $"Error: no leader endpoint given at [{follower}]"), (refused.Code, refused.LastError));

        // Members must have been connected for a while before a cluster may change.
        string[] add = ["--endpoints", Endpoints, "member", "add", "m3", "--learner", "--peer-urls", "http://127.0.0.1:1"];
        Outcome adding = await Console.RunAsync(add);
        for (int i = 0; i < 300 && adding.LastError == "Error: etcdserver: unhealthy cluster"; i++)
        {
            await Task.Delay(200);
            adding = await Console.RunAsync(add);
        }

        // Ids fill sixteen places with blanks: one in sixteen begins with a zero.
        string added = adding.Output;
        Match id = Regex.Match(added, "^Member +([0-9a-f]+) added to cluster +[0-9a-f]+\n\nETCD_NAME=\"m3\"\nETCD_INITIAL_CLUSTER=\".*m3=http://127.0.0.1:1");
        Assert.True(id.Success, adding.ToString());
        Assert.StartsWith($"Member {id.Groups[1].Value,16} added to cluster ", added);
        Assert.Equal(Theirs("member list"), await OursAsync("member list"));
        Assert.Contains($"{id.Groups[1].Value}, unstarted, , http://127.0.0.1:1, , true", await OursAsync("member list"));
        Outcome early = await Console.RunAsync(["--endpoints", Endpoints, "member", "promote", id.Groups[1].Value]);
        Assert.Equal(
            (1, "Error: etcdserver: can only promote a learner member which is in sync with leader"), (early.Code, early.LastError));
        Assert.StartsWith($"Member {id.Groups[1].Value,16} removed from cluster ", await OursAsync("member remove " + id.Groups[1].Value));
    }

    private static string[] Lines(string text) => text.TrimEnd('\n').Split('\n');

    private static string Mask(string text)
    {
        // Sizes and indexes move on between the two.
        text = Regex.Replace(text, @"\d+(\.\d+)? [kM]B, (\w+), (\w+), (\d+), \d+, \d+", "<db>, $2, $3, $4, <n>, <n>");
        return Regex.Replace(
            Regex.Replace(text, @"\| +\d+(\.\d+)? [kM]B \| +(\w+) \| +(\w+) \| +(\d+) \| +\d+ \| +\d+ \|", "| <db> | $2 | $3 | $4 |"), " {2,}|-{4,}", " ");
    }

    private string Theirs(string line) => RealTools.Ctl(Endpoints, line.Split(' '));

    private async Task<string> OursAsync(string line, string? endpoints = null)
    {
        Outcome outcome = await Console.RunAsync(["--endpoints", endpoints ?? Endpoints, .. line.Split(' ')]);
        Assert.True(outcome.Code == 0, $"{line}: {outcome}");
        return outcome.Output;
    }

    private async Task<string> LeaderAsync()
    {
        string status = await OursAsync("endpoint status");
        return Lines(status).Single(l => l.Split(", ")[4] == "true").Split(", ")[1];
    }
}
