using System.Globalization;
using System.Text.RegularExpressions;
using Perf.Client;
using Xunit;

namespace Perf.Ctl.Tests;

/// <summary>
/// Two introductions to etcdctl that people learn from, command by command in their order, with what they say is
/// printed. A part begins on an empty cluster where the text counts revisions from the first.
/// </summary>
internal static class WalkThrough
{
    /// <summary>The first text up to past revisions: version, put, get.</summary>
    public static async Task WriteAndReadAsync(Shell ctl, EtcdClient client)
    {
        Assert.Matches(@"^etcdctl version: \d+\.\d+\.\d+\nAPI version: 3\.\d+\n$", await ctl.SucceedAsync("version"));
        await ctl.ExpectAsync("put foo bar", "OK\n");

        // The text names a lease that must be there first.
        Outcome noLease = await ctl.RunAsync("put foo1 bar1 --lease=1234abcd");
        Assert.Equal((1, "Error: etcdserver: requested lease not found"), (noLease.Code, noLease.LastError));
        await client.Leases.GrantAsync(600, 0x1234abcd);
        await ctl.ExpectAsync("put foo1 bar1 --lease=1234abcd", "OK\n");

        foreach (int i in new[] { 1, 2, 3 })
        {
            await ctl.ExpectAsync($"put foo{i} bar{i}", "OK\n");
        }

        await ctl.ExpectAsync("get foo", "foo\nbar\n");
        await ctl.ExpectAsync("get foo --hex", "\\x66\\x6f\\x6f\n\\x62\\x61\\x72\n");
        await ctl.ExpectAsync("get foo --print-value-only", "bar\n");
        await ctl.ExpectAsync("get foo foo3", "foo\nbar\nfoo1\nbar1\nfoo2\nbar2\n");
        await ctl.ExpectAsync("get --prefix foo", "foo\nbar\nfoo1\nbar1\nfoo2\nbar2\nfoo3\nbar3\n");
        await ctl.ExpectAsync("get --prefix --limit=2 foo", "foo\nbar\nfoo1\nbar1\n");
    }

    /// <summary>The first text from past revisions to watching several keys.</summary>
    public static async Task PastDeletesAndWatchesAsync(Shell ctl)
    {
        await FourRevisionsAsync(ctl);
        await ctl.ExpectAsync("get --prefix foo", "foo\nbar_new\nfoo1\nbar1_new\n");
        await ctl.ExpectAsync("get --prefix --rev=4 foo", "foo\nbar_new\nfoo1\nbar1\n");
        await ctl.ExpectAsync("get --prefix --rev=3 foo", "foo\nbar\nfoo1\nbar1\n");
        await ctl.ExpectAsync("get --prefix --rev=2 foo", "foo\nbar\n");
        await ctl.ExpectAsync("get --prefix --rev=1 foo", "");

        await ctl.SucceedAsync("del --prefix foo");
        foreach (string pair in new[] { "a 123", "b 456", "z 789" })
        {
            await ctl.ExpectAsync("put " + pair, "OK\n");
        }

        await ctl.ExpectAsync("get --from-key b", "b\n456\nz\n789\n");

        foreach (string pair in new[] { "foo bar", "foo1 bar1", "foo3 bar3", "zoo val", "zoo1 val1", "zoo2 val2" })
        {
            await ctl.ExpectAsync("put " + pair, "OK\n");
        }

        await ctl.ExpectAsync("del foo", "1\n");
        await ctl.ExpectAsync("del foo foo9", "2\n");
        await ctl.ExpectAsync("del --prev-kv zoo", "1\nzoo\nval\n");
        await ctl.ExpectAsync("del --prefix zoo", "2\n");
        await ctl.ExpectAsync("del --from-key b", "2\n");

        await using (Running watch = ctl.Open("watch foo"))
        {
            await watch.SettleAsync(ctl, "foo");
            await ctl.ExpectAsync("put foo bar", "OK\n");
            await watch.ExpectAsync("PUT", "foo", "bar");
        }

        await using (Running watch = ctl.Open("watch foo --hex"))
        {
            await watch.SettleAsync(ctl, "foo", "\\x73\\x65\\x74\\x74\\x6c\\x65\\x64");
            await ctl.ExpectAsync("put foo bar", "OK\n");
            await watch.ExpectAsync("PUT", "\\x66\\x6f\\x6f", "\\x62\\x61\\x72");
        }

        await using (Running watch = ctl.Open("watch foo foo9"))
        {
            await watch.SettleAsync(ctl, "foo5");
            await ctl.ExpectAsync("put foo bar", "OK\n");
            await watch.ExpectAsync("PUT", "foo", "bar");
            await ctl.ExpectAsync("put foo1 bar1", "OK\n");
            await watch.ExpectAsync("PUT", "foo1", "bar1");
        }

        await using (Running watch = ctl.Open("watch --prefix foo"))
        {
            await watch.SettleAsync(ctl, "foo5");
            await ctl.ExpectAsync("put foo bar", "OK\n");
            await watch.ExpectAsync("PUT", "foo", "bar");
            await ctl.ExpectAsync("put fooz1 barz1", "OK\n");
            await watch.ExpectAsync("PUT", "fooz1", "barz1");
        }

        await using (Running watch = ctl.Open("watch -i"))
        {
            await watch.TypeAsync("watch foo");
            await watch.TypeAsync("watch zoo");
            await watch.SettleAsync(ctl, "foo");
            await watch.SettleAsync(ctl, "zoo");
            await ctl.ExpectAsync("put foo bar", "OK\n");
            await watch.ExpectAsync("PUT", "foo", "bar");
            await ctl.ExpectAsync("put zoo val", "OK\n");
            await watch.ExpectAsync("PUT", "zoo", "val");
        }
    }

    /// <summary>The first text from the history of a key to its end.</summary>
    public static async Task HistoryCompactionAndLeasesAsync(Shell ctl)
    {
        await FourRevisionsAsync(ctl);
        await using (Running watch = ctl.Open("watch --rev=2 foo"))
        {
            await watch.ExpectAsync("PUT", "foo", "bar", "PUT", "foo", "bar_new");
        }

        await using (Running watch = ctl.Open("watch --rev=3 foo"))
        {
            await watch.ExpectAsync("PUT", "foo", "bar_new");
        }

        await using (Running watch = ctl.Open("watch --prev-kv foo"))
        {
            await watch.SettleAsync(ctl, "foo");
            await ctl.ExpectAsync("put foo bar_new", "OK\n");
            await watch.ExpectAsync("PUT", "foo", "settled", "foo", "bar_new");
            await ctl.ExpectAsync("put foo bar_latest", "OK\n");
            await watch.ExpectAsync("PUT", "foo", "bar_new", "foo", "bar_latest");
        }

        await ctl.ExpectAsync("compact 5", "compacted revision 5\n");
        Outcome compacted = await ctl.RunAsync("get --rev=4 foo");
        Assert.Equal(
            (1, "", "Error: etcdserver: mvcc: required revision has been compacted"),
            (compacted.Code, compacted.Output, compacted.LastError));
        Assert.Matches(
            @"^\{""header"":\{""cluster_id"":\d+,""member_id"":\d+,""revision"":\d+,""raft_term"":\d+\}\}\n$",
            await ctl.SucceedAsync("get mykey -w=json"));

        string lease = await GrantAsync(ctl, 10);
        await ctl.ExpectAsync($"put --lease={lease} foo bar", "OK\n");
        lease = await GrantAsync(ctl, 10);
        await ctl.ExpectAsync($"put --lease={lease} foo bar", "OK\n");
        await ctl.ExpectAsync("lease revoke " + lease, $"lease {lease} revoked\n");
        await ctl.ExpectAsync("get foo", "");

        // A third of the time to live passes between two lines.
        lease = await GrantAsync(ctl, 2);
        await using (Running keepAlive = ctl.Open("lease keep-alive " + lease))
        {
            string kept = $"lease {lease} keepalived with TTL(2)";
            await keepAlive.ExpectAsync(kept, kept, kept);
        }

        lease = await GrantAsync(ctl, 500);
        await ctl.ExpectAsync($"put zoo1 val1 --lease={lease}", "OK\n");
        await ctl.ExpectAsync($"put zoo2 val2 --lease={lease}", "OK\n");
        string shown = $@"^lease {lease} granted with TTL\(500s\), remaining\([34]\d\ds\)";
        Assert.Matches(shown + "\n$", await ctl.SucceedAsync("lease timetolive " + lease));
        Assert.Matches(
            shown + @", attached keys\(\[(zoo1 zoo2|zoo2 zoo1)\]\)" + "\n$",
            await ctl.SucceedAsync("lease timetolive --keys " + lease));
        await ctl.SucceedAsync("lease revoke " + lease);
        await ctl.ExpectAsync("lease timetolive " + lease, $"lease {lease} already expired\n");
    }

    /// <summary>The second text's part on the client: flags, keys, watch, leases, users, roles, authentication.</summary>
    public static async Task ReferenceAsync(Shell ctl)
    {
        string help = await ctl.SucceedAsync("--help");
        foreach (string flag in new[]
        {
            "cacert=", "cert=", "command-timeout=5s", "debug[=false]", "dial-timeout=2s", "discovery-srv=",
            "discovery-srv-name=", "endpoints=[127.0.0.1:2379]", "help[=false]", "hex[=false]",
            "insecure-discovery[=true]", "insecure-skip-tls-verify[=false]", "insecure-transport[=true]",
            "keepalive-time=2s", "keepalive-timeout=6s", "key=", "password=", "user=", "write-out=\"simple\"",
        })
        {
            Assert.Contains("--" + flag, help, StringComparison.Ordinal);
        }

        // put
        await ctl.ExpectAsync("put foo one", "OK\n");
        await ctl.ExpectAsync("put foo two --prev-kv", "OK\nfoo\none\n");
        await ctl.ExpectAsync("put foo --ignore-value", "OK\n");
        await ctl.ExpectAsync("put foo three --ignore-lease", "OK\n");
        await ctl.ExpectAsync("put piped", "OK\n", input: "from stdin");

        // get
        await ctl.ExpectAsync("get '' --prefix", "foo\nthree\npiped\nfrom stdin\n");
        await ctl.ExpectAsync("get '' --from-key", "foo\nthree\npiped\nfrom stdin\n");
        await ctl.ExpectAsync("get foo --consistency=s", "foo\nthree\n");
        Assert.EndsWith("\"Count\" : 2\n", await ctl.SucceedAsync("get '' --prefix --count-only -w fields"));
        await ctl.ExpectAsync("get '' --prefix --keys-only", "foo\n\npiped\n\n");
        await ctl.ExpectAsync("get '' --prefix --order=DESCEND --limit=1 --sort-by=KEY", "piped\nfrom stdin\n");
        await ctl.ExpectAsync("get foo --rev=2", "foo\none\n");
        await ctl.ExpectAsync("get foo --print-value-only", "three\n");

        // del, watch
        await ctl.ExpectAsync("del piped --prev-kv", "1\npiped\nfrom stdin\n");
        await using (Running watch = ctl.Open("watch foo --prefix --prev-kv --rev=3 --progress-notify"))
        {
            await watch.ExpectAsync("PUT", "foo", "one", "foo", "two");
        }

        // lease
        await ctl.SucceedAsync("lease");
        string lease = await GrantAsync(ctl, 1000);
        await ctl.ExpectAsync("lease list", $"found 1 leases\n{lease}\n");
        string left = $@"^lease {lease} granted with TTL\(1000s\), remaining\((9\d\d|1000)s\)";
        Assert.Matches(left + "\n$", await ctl.SucceedAsync("lease timetolive " + lease));
        await ctl.ExpectAsync($"put ex 1000 --lease {lease}", "OK\n");
        Assert.Matches(
            left + @", attached keys\(\[ex\]\)" + "\n$", await ctl.SucceedAsync($"lease timetolive {lease} --keys"));
        await using (Running keepAlive = ctl.Open("lease keep-alive " + lease))
        {
            await keepAlive.ExpectAsync($"lease {lease} keepalived with TTL(1000)");
        }

        await ctl.ExpectAsync($"lease keep-alive {lease} --once", $"lease {lease} keepalived with TTL(1000)\n");
        await ctl.ExpectAsync("lease revoke " + lease, $"lease {lease} revoked\n");
        await ctl.ExpectAsync("get ex", "");

        // user
        await ctl.ExpectAsync("user add root:root", "User root created\n");
        await ctl.ExpectAsync("user add ann --interactive=false", "User ann created\n", input: "secret\n");
        await ctl.ExpectAsync("user add ben --new-user-password=secret", "User ben created\n");
        await ctl.ExpectAsync("user add cn --no-password", "User cn created\n");
        await ctl.ExpectAsync("user delete cn", "User cn deleted\n");
        await ctl.ExpectAsync("role add reader", "Role reader created\n");
        await ctl.ExpectAsync("user grant-role ann reader", "Role reader is granted to user ann\n");
        await ctl.ExpectAsync("user get ann", "User: ann\nRoles: reader\n");
        await ctl.ExpectAsync("user get ann --detail", "User: ann\n\nRole reader\nKV Read:\nKV Write:\n");
        await ctl.ExpectAsync("user list", "ann\nben\nroot\n");
        await ctl.ExpectAsync("user passwd ann --interactive=false", "Password updated\n", input: "better\n");
        await ctl.ExpectAsync("user revoke-role ann reader", "Role reader is revoked from user ann\n");

        // role
        await ctl.ExpectAsync("role grant-permission reader read foo", "Role reader updated\n");
        await ctl.ExpectAsync("role grant-permission reader readwrite dir/ --prefix", "Role reader updated\n");
        await ctl.ExpectAsync("role grant-permission reader write z --from-key", "Role reader updated\n");
        await ctl.ExpectAsync(
            "role get reader",
            "Role reader\nKV Read:\n\t[dir/, dir0) (prefix dir/)\n\tfoo\nKV Write:\n\t[dir/, dir0) (prefix dir/)\n"
            + "\t[z, <open ended>\n");
        await ctl.ExpectAsync("role list", "reader\n");
        await ctl.ExpectAsync(
            "role revoke-permission reader foo", "Permission of key foo is revoked from role reader\n");
        await ctl.ExpectAsync(
            "role revoke-permission reader dir/ --prefix",
            "Permission of range [dir/, dir0) is revoked from role reader\n");
        await ctl.ExpectAsync(
            "role revoke-permission reader z --from-key",
            "Permission of range [z, <open ended> is revoked from role reader\n");
        await ctl.ExpectAsync("role delete reader", "Role reader deleted\n");

        // auth
        Assert.Matches(
            @"^Authentication Status: false\nAuthRevision: \d+\n$", await ctl.SucceedAsync("auth status"));
        await ctl.SucceedAsync("role add root");
        await ctl.SucceedAsync("user grant-role root root");
        await ctl.ExpectAsync("auth enable", "Authentication Enabled\n");
        Outcome nobody = await ctl.RunAsync("get foo");
        Assert.Equal((1, "Error: etcdserver: user name is empty"), (nobody.Code, nobody.LastError));
        await ctl.ExpectAsync("--user root:root get foo", "foo\nthree\n");
        Outcome wrong = await ctl.RunAsync("--user ann:secret get foo");
        Assert.Equal(
            (2, "Error: etcdserver: authentication failed, invalid user ID or password"),
            (wrong.Code, wrong.LastError));
        Outcome denied = await ctl.RunAsync("--user ann:better get foo");
        Assert.Equal((1, "Error: etcdserver: permission denied"), (denied.Code, denied.LastError));
        await ctl.ExpectAsync("--user root:root auth disable", "Authentication Disabled\n");
        await ctl.ExpectAsync("get foo", "foo\nthree\n");
    }

    private static async Task FourRevisionsAsync(Shell ctl)
    {
        foreach (string pair in new[] { "foo bar", "foo1 bar1", "foo bar_new", "foo1 bar1_new" })
        {
            await ctl.ExpectAsync("put " + pair, "OK\n");
        }
    }

    private static async Task<string> GrantAsync(Shell ctl, int seconds)
    {
        string granted = await ctl.SucceedAsync("lease grant " + seconds.ToString(CultureInfo.InvariantCulture));
        Match match = Regex.Match(granted, $@"^lease ([0-9a-f]{{16}}) granted with TTL\({seconds}s\)" + "\n$");
        Assert.True(match.Success, granted);
        return match.Groups[1].Value;
    }
}
