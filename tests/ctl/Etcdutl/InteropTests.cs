using Perf.Client.Tests;
using Xunit;

namespace Perf.Ctl.Tests.Etcdutl;

/// <summary>Snapshots of a real etcd: our numbers are its numbers, and what one restores the other starts on.</summary>
public sealed class InteropTests
{
    private const int SourcePort = 31800;
    private const int OtherPort = 31810;

    [InteropFact]
    public void What_we_restore_a_real_etcd_starts_on_and_the_other_way_round()
    {
        using var scratch = new Scratch();
        string saved = scratch["saved.db"];
        string contents;
        string hash;
        string lease;
        using (var etcd = new EtcdProcess(SourcePort))
        {
            lease = Fill(etcd.Endpoint);
            contents = RealTools.Contents(etcd.Endpoint);
            RealTools.Ctl(etcd.Endpoint, "snapshot", "save", saved);
            hash = RealTools.Ctl(etcd.Endpoint, "endpoint", "hashkv").Trim().Split(", ")[1];
        }

        foreach (string format in (string[])["simple", "json", "fields", "table"])
        {
            Assert.Equal(
                RealTools.Ctl("", "snapshot", "status", saved, "-w", format),
                RealTools.UtlOk("snapshot", "status", saved, "-w", format));
        }

        Assert.Equal(hash, RealTools.UtlOk("hashkv", saved).Split(", ")[0]);

        string ours = scratch["ours"];
        string theirs = scratch["theirs"];
        string[] cluster =
        [
            "--name", "m1", "--initial-cluster", $"m1=http://127.0.0.1:{OtherPort + 1}", "--initial-cluster-token", "t2",
            "--initial-advertise-peer-urls", $"http://127.0.0.1:{OtherPort + 1}",
        ];
        RealTools.UtlOk(["snapshot", "restore", saved, "--data-dir", ours, .. cluster]);
        RealTools.Ctl("", ["snapshot", "restore", saved, "--data-dir", theirs, .. cluster]);

        Assert.EndsWith("OK\n", RealTools.UtlOk("check", ours));
        Assert.EndsWith("OK\n", RealTools.UtlOk("check", theirs));
        Assert.Equal(Log(theirs), Log(ours));
        Assert.Equal(hash, RealTools.UtlOk("hashkv", Path.Combine(ours, "member", "snap", "db")).Split(", ")[0]);

        // A real etcd goes on with it, and what it leaves behind is sound to us.
        using (var etcd = new EtcdProcess(OtherPort, "--data-dir", ours, "--name", "m1", "--initial-cluster", cluster[3]))
        {
            Assert.Equal(contents, RealTools.Contents(etcd.Endpoint));
            Assert.Contains("m1", RealTools.Ctl(etcd.Endpoint, "member", "list"));
            Assert.Contains("granted with TTL(1000s)", RealTools.Ctl(etcd.Endpoint, "lease", "timetolive", lease));
            RealTools.Ctl(etcd.Endpoint, "put", "after", "restore");
            RealTools.Ctl(etcd.Endpoint, "compact", "12");
            Assert.Contains("after", RealTools.Ctl(etcd.Endpoint, "get", "after"));
        }

        Assert.EndsWith("OK\n", RealTools.UtlOk("check", ours));
        RealTools.UtlOk("defrag", "--data-dir", ours);
        Assert.EndsWith("OK\n", RealTools.UtlOk("check", ours));
    }

    [InteropFact]
    public void A_revision_moved_up_is_where_a_real_etcd_goes_on_and_the_past_is_compacted()
    {
        using var scratch = new Scratch();
        string saved = scratch["saved.db"];
        using (var etcd = new EtcdProcess(SourcePort + 20))
        {
            RealTools.Ctl(etcd.Endpoint, "put", "a", "1");
            RealTools.Ctl(etcd.Endpoint, "put", "a", "2");
            RealTools.Ctl(etcd.Endpoint, "snapshot", "save", saved);
        }

        string restored = scratch["restored"];
        string peer = $"http://127.0.0.1:{OtherPort + 21}";
        RealTools.UtlOk(
            "snapshot", "restore", saved, "--data-dir", restored, "--initial-cluster", "default=" + peer,
            "--initial-advertise-peer-urls", peer, "--bump-revision", "1000", "--mark-compacted");
        using var again = new EtcdProcess(OtherPort + 20, "--data-dir", restored);
        Assert.Contains("\"revision\":1003", RealTools.Ctl(again.Endpoint, "get", "a", "-w", "json"));
        RealTools.Ctl(again.Endpoint, "put", "a", "3");
        Assert.Contains("\"mod_revision\":1004", RealTools.Ctl(again.Endpoint, "get", "a", "-w", "json"));
        Assert.Equal("a\n3\n", RealTools.Ctl(again.Endpoint, "get", "a"));
        RealTools.Ctl(again.Endpoint, "snapshot", "save", saved);
        Assert.Equal(
            RealTools.Ctl(again.Endpoint, "endpoint", "hashkv").Trim().Split(", ")[1],
            RealTools.UtlOk("hashkv", saved).Split(", ")[0]);
    }

    /// <summary>Returns the id of a lease.</summary>
    private static string Fill(string endpoint)
    {
        string lease = RealTools.Ctl(endpoint, "lease", "grant", "1000").Split(' ')[1];
        RealTools.Ctl(endpoint, "put", "leased", "x", "--lease=" + lease);
        for (int i = 0; i < 10; i++)
        {
            RealTools.Ctl(endpoint, "put", $"key{i % 5}", new string((char)('a' + i), 10 + (i * 300)));
        }

        RealTools.Ctl(endpoint, "del", "key3");
        RealTools.Ctl(endpoint, "compact", "6");
        RealTools.Ctl(endpoint, "role", "add", "r1");
        RealTools.Ctl(endpoint, "user", "add", "u1:pw");
        return lease;
    }

    private static string Log(string dataDir) =>
        RealTools.UtlOk("check", dataDir).Split('\n').Single(line => line.StartsWith("log:", StringComparison.Ordinal));
}
