using System.Globalization;
using System.Text.RegularExpressions;
using Etcdserverpb;
using Perf.Cluster.Tests.Harness;
using Xunit;

namespace Perf.Cluster.Tests;

/// <summary>
/// The well-known introduction to etcdctl, command by command, by Debian's etcdctl against our server with its default
/// settings (its ports apart). What is expected is what 3.4.23 prints.
/// </summary>
[Collection(SingleMembers.Name)]
public sealed class WalkThroughTests
{
    private const int Port = 31700;
    private const string DefaultHeader = "\"cluster_id\":14841639068965178418,\"member_id\":10276657743932975437";

    [InteropFact]
    public async Task Keys_are_written_and_read_as_in_the_walk_through()
    {
        using var scratch = new TempDirectory();
        using PerfProcess server = PerfProcess.Start(scratch["data"], Port);
        var ctl = new Etcdctl(server);
        Assert.Matches(@"^etcdctl version: 3\.4\.\d+\nAPI version: 3\.4\n$", ctl.Succeed("version"));

        Assert.Equal("OK\n", ctl.Succeed("put foo bar"));
        Outcome noLease = ctl.Run("put foo1 bar1 --lease=1234abcd");
        Assert.Equal(("Error: etcdserver: requested lease not found", 1), (noLease.LastError, noLease.Code));
        await using (var rpc = new Caller(server))
        {
            await rpc.GrantAsync(new LeaseGrantRequest { ID = 0x1234abcd, TTL = 10 });
        }

        Assert.Equal("OK\n", ctl.Succeed("put foo1 bar1 --lease=1234abcd"));
        ctl.Succeed("put foo1 bar1");
        ctl.Succeed("put foo2 bar2");
        ctl.Succeed("put foo3 bar3");

        Assert.Equal("foo\nbar\n", ctl.Succeed("get foo"));
        Assert.Equal("\\x66\\x6f\\x6f\n\\x62\\x61\\x72\n", ctl.Succeed("get foo --hex"));
        Assert.Equal("bar\n", ctl.Succeed("get foo --print-value-only"));
        Assert.Equal("foo\nbar\nfoo1\nbar1\nfoo2\nbar2\n", ctl.Succeed("get foo foo3"));
        Assert.Equal("foo\nbar\nfoo1\nbar1\nfoo2\nbar2\nfoo3\nbar3\n", ctl.Succeed("get --prefix foo"));
        Assert.Equal("foo\nbar\nfoo1\nbar1\n", ctl.Succeed("get --prefix --limit=2 foo"));

        Assert.Empty(Directory.GetFiles(scratch["data"]));
        Assert.True(File.Exists(scratch["data/member/snap/db"]));
        Assert.True(File.Exists(scratch["data/member/wal/0000000000000000-0000000000000000.wal"]));
    }

    [InteropFact]
    public void Past_revisions_are_read_watched_and_compacted_as_in_the_walk_through()
    {
        using var scratch = new TempDirectory();
        using PerfProcess server = PerfProcess.Start(scratch["data"], Port);
        var ctl = new Etcdctl(server);
        Assert.Equal("OK\n", ctl.Succeed("put foo bar"));
        Assert.Equal("OK\n", ctl.Succeed("put foo1 bar1"));
        Assert.Equal("OK\n", ctl.Succeed("put foo bar_new"));
        Assert.Equal("OK\n", ctl.Succeed("put foo1 bar1_new"));

        Assert.Equal("foo\nbar_new\nfoo1\nbar1_new\n", ctl.Succeed("get --prefix foo"));
        Assert.Equal("foo\nbar_new\nfoo1\nbar1\n", ctl.Succeed("get --prefix --rev=4 foo"));
        Assert.Equal("foo\nbar\nfoo1\nbar1\n", ctl.Succeed("get --prefix --rev=3 foo"));
        Assert.Equal("foo\nbar\n", ctl.Succeed("get --prefix --rev=2 foo"));
        Assert.Equal("", ctl.Succeed("get --prefix --rev=1 foo"));

        using (EtcdctlSession watch = ctl.Open("watch --rev=2 foo"))
        {
            watch.Expect("PUT", "foo", "bar", "PUT", "foo", "bar_new");
        }

        using (EtcdctlSession watch = ctl.Open("watch --rev=3 foo"))
        {
            watch.Expect("PUT", "foo", "bar_new");
        }

        using (EtcdctlSession watch = ctl.Open("watch --prev-kv foo"))
        {
            watch.Settle(value => ctl.Succeed("put foo " + value), last: "settled");
            ctl.Succeed("put foo bar_new");
            watch.Expect("PUT", "foo", "settled", "foo", "bar_new");
            ctl.Succeed("put foo bar_latest");
            watch.Expect("PUT", "foo", "bar_new", "foo", "bar_latest");
        }

        Assert.Equal("compacted revision 5\n", ctl.Succeed("compact 5"));
        Outcome compacted = ctl.Run("get --rev=4 foo");
        Assert.Equal("Error: etcdserver: mvcc: required revision has been compacted", compacted.LastError);
        Assert.Equal(("", 1), (compacted.Output, compacted.Code));

        Assert.Matches(
            @"^\{""header"":\{" + DefaultHeader + @",""revision"":\d+,""raft_term"":2\}\}\n$",
            ctl.Succeed("get mykey -w=json"));
    }

    [InteropFact]
    public void Keys_from_one_on_are_read_and_deleted_as_in_the_walk_through()
    {
        using var scratch = new TempDirectory();
        using PerfProcess server = PerfProcess.Start(scratch["data"], Port);
        var ctl = new Etcdctl(server);
        ctl.Succeed("put a 123");
        ctl.Succeed("put b 456");
        ctl.Succeed("put z 789");
        Assert.Equal("b\n456\nz\n789\n", ctl.Succeed("get --from-key b"));

        foreach (string pair in (string[])["foo bar", "foo1 bar1", "foo3 bar3", "zoo val", "zoo1 val1", "zoo2 val2"])
        {
            ctl.Succeed("put " + pair);
        }

        Assert.Equal("1\n", ctl.Succeed("del foo"));
        Assert.Equal("2\n", ctl.Succeed("del foo foo9"));
        Assert.Equal("1\nzoo\nval\n", ctl.Succeed("del --prev-kv zoo"));
        Assert.Equal("2\n", ctl.Succeed("del --prefix zoo"));
        Assert.Equal("2\n", ctl.Succeed("del --from-key b"));
        Assert.Equal("a\n123\n", ctl.Succeed("get --prefix  --from-key=false a"));
    }

    [InteropFact]
    public void Changes_are_watched_as_in_the_walk_through()
    {
        using var scratch = new TempDirectory();
        using PerfProcess server = PerfProcess.Start(scratch["data"], Port);
        var ctl = new Etcdctl(server);

        using (EtcdctlSession watch = ctl.Open("watch foo"))
        {
            watch.Settle(value => ctl.Succeed("put foo " + value), last: "settled");
            ctl.Succeed("put foo bar");
            watch.Expect("PUT", "foo", "bar");
            ctl.Succeed("del foo");
            watch.Expect("DELETE", "foo", "");
        }

        using (EtcdctlSession watch = ctl.Open("watch foo --hex"))
        {
            watch.Settle(value => ctl.Succeed("put foo " + value), last: "x", show: _ => "\\x78");
            ctl.Succeed("put foo bar");
            watch.Expect("PUT", "\\x66\\x6f\\x6f", "\\x62\\x61\\x72");
        }

        using (EtcdctlSession watch = ctl.Open("watch foo foo9"))
        {
            watch.Settle(value => ctl.Succeed("put foo5 " + value), last: "settled");
            ctl.Succeed("put foo bar");
            watch.Expect("PUT", "foo", "bar");
            ctl.Succeed("put foo9 not-in-the-range");
            ctl.Succeed("put foo1 bar1");
            watch.Expect("PUT", "foo1", "bar1");
        }

        using (EtcdctlSession watch = ctl.Open("watch --prefix foo"))
        {
            watch.Settle(value => ctl.Succeed("put foo5 " + value), last: "settled");
            ctl.Succeed("put foo bar");
            watch.Expect("PUT", "foo", "bar");
            ctl.Succeed("put fooz1 barz1");
            watch.Expect("PUT", "fooz1", "barz1");
        }

        using (EtcdctlSession watch = ctl.Open("watch -i"))
        {
            watch.Type("watch foo");
            watch.Type("watch zoo");
            watch.Settle(value => ctl.Succeed("put foo " + value), last: "settled");
            watch.Settle(value => ctl.Succeed("put zoo " + value), last: "settled");
            ctl.Succeed("put foo bar");
            watch.Expect("PUT", "foo", "bar");
            ctl.Succeed("put zoo val");
            watch.Expect("PUT", "zoo", "val");
        }
    }

    [InteropFact]
    public void Leases_are_granted_revoked_kept_and_shown_as_in_the_walk_through()
    {
        using var scratch = new TempDirectory();
        using PerfProcess server = PerfProcess.Start(scratch["data"], Port);
        var ctl = new Etcdctl(server);

        string lease = Grant(ctl, 10);
        Assert.Equal("OK\n", ctl.Succeed($"put --lease={lease} foo bar"));
        Assert.Equal($"lease {lease} revoked\n", ctl.Succeed("lease revoke " + lease));
        Assert.Equal("", ctl.Succeed("get foo"));

        // One keep-alive now and one a third of the time to live later.
        lease = Grant(ctl, 2);
        using (EtcdctlSession keepAlive = ctl.Open("lease keep-alive " + lease))
        {
            string line = $"lease {lease} keepalived with TTL(2)";
            keepAlive.Expect(line, line, line, line, line);
        }

        lease = Grant(ctl, 500);
        Assert.Equal("OK\n", ctl.Succeed($"put zoo1 val1 --lease={lease}"));
        Assert.Equal("OK\n", ctl.Succeed($"put zoo2 val2 --lease={lease}"));
        string shown = $@"^lease {lease} granted with TTL\(500s\), remaining\((499|4[5-9]\d)s\)";
        Assert.Matches(shown + "\n$", ctl.Succeed("lease timetolive " + lease));
        Assert.Matches(
            shown + @", attached keys\(\[(zoo1 zoo2|zoo2 zoo1)\]\)" + "\n$",
            ctl.Succeed("lease timetolive --keys " + lease));
        Assert.Equal("lease 0000000000001234 already expired\n", ctl.Succeed("lease timetolive 1234"));
        Outcome missing = ctl.Run("lease revoke 1234");
        Assert.Equal(
            ("Error: failed to revoke lease (etcdserver: requested lease not found)", 1),
            (missing.LastError, missing.Code));
    }

    private static string Grant(Etcdctl ctl, int seconds)
    {
        string granted = ctl.Succeed("lease grant " + seconds.ToString(CultureInfo.InvariantCulture));
        Match match = Regex.Match(granted, @"^lease ([0-9a-f]{16}) granted with TTL\((\d+)s\)" + "\n$");
        Assert.True(match.Success, granted);
        Assert.Equal(seconds, int.Parse(match.Groups[2].Value, CultureInfo.InvariantCulture));
        return match.Groups[1].Value;
    }
}
