using System.Globalization;
using Perf.Client.Tests;
using Xunit;

namespace Perf.Ctl.Tests.Etcdutl;

/// <summary>etcdutl backup: what it copies starts as a cluster of its own, in etcd and in our server alike.</summary>
public sealed class BackupTests
{
    private const int SourcePort = 31840;
    private const int CopyPort = 31850;

    public static TheoryData<bool, bool, string[]> Cases => new()
    {
        // Who wrote it, who starts it, and whether there is a snapshot in the directory: with few entries there is none.
        { false, true, [] },
        { false, true, ["--snapshot-count", "5"] },
        { true, false, [] },
        { true, false, ["--snapshot-count", "5"] },
        { true, true, ["--snapshot-count", "5"] },
    };

    [InteropTheory]
    [MemberData(nameof(Cases))]
    public void A_backup_goes_on_as_a_cluster_of_one(bool fromOurs, bool inOurs, string[] flags)
    {
        using var scratch = new Scratch();
        string dataDir = scratch["source"];
        string backup = scratch["backup"];
        string contents;
        string lease;
        using (EtcdProcess source = Start(fromOurs, SourcePort, ["--data-dir", dataDir, "--enable-v2", .. flags]))
        {
            lease = RealTools.Ctl(source.Endpoint, "lease", "grant", "1000").Split(' ')[1];
            RealTools.Ctl(source.Endpoint, "put", "leased", "x", "--lease=" + lease);
            for (int i = 0; i < 20; i++)
            {
                RealTools.Ctl(source.Endpoint, "put", $"key{i % 7}", new string((char)('a' + i), 10 + (i * 300)));
            }

            RealTools.Ctl(source.Endpoint, "del", "key3");
            RealTools.Ctl(source.Endpoint, "compact", "6");
            RealTools.V2(source.Url, "set", "/old", "kept");
            contents = RealTools.Contents(source.Endpoint);
            Outcome running = RealTools.Utl("backup", "--data-dir", dataDir, "--backup-dir", backup);
            Assert.Equal(1, running.Code);
            Assert.Contains("timed out waiting to acquire lock on", running.Error);
            Assert.False(Directory.Exists(backup));
        }

        RealTools.UtlOk("backup", "--data-dir", dataDir, "--backup-dir", backup);
        Assert.EndsWith("OK\n", RealTools.UtlOk("check", dataDir));
        Assert.EndsWith("OK\n", RealTools.UtlOk("check", backup));
        Assert.Contains("file exists", RealTools.Utl("backup", "--data-dir", dataDir, "--backup-dir", backup).Error);

        using (EtcdProcess copy = Start(inOurs, CopyPort, ["--data-dir", backup, "--force-new-cluster", "--enable-v2"]))
        {
            Assert.Equal(contents, RealTools.Contents(copy.Endpoint));
            Assert.Equal("kept\n", RealTools.V2(copy.Url, "get", "/old"));
            Assert.Contains("granted with TTL(1000s)", RealTools.Ctl(copy.Endpoint, "lease", "timetolive", lease));
            RealTools.Ctl(copy.Endpoint, "put", "after", "backup");

            // One member, this one, under a new name and with an address that is still to be set.
            string member = Assert.Single(RealTools.Ctl(copy.Endpoint, "member", "list").Trim().Split('\n'));
            Assert.Contains(", started, default, ", member);
            RealTools.Ctl(
                copy.Endpoint, "member", "update", member.Split(',')[0],
                "--peer-urls", $"http://127.0.0.1:{(CopyPort + 1).ToString(CultureInfo.InvariantCulture)}");
        }

        // From now on it is a member like any other.
        using EtcdProcess again = Start(inOurs, CopyPort, ["--data-dir", backup, "--enable-v2"]);
        Assert.Equal("after\nbackup\n", RealTools.Ctl(again.Endpoint, "get", "after"));
        Assert.Contains($"127.0.0.1:{CopyPort + 1}, ", RealTools.Ctl(again.Endpoint, "member", "list"));
    }

    [InteropFact]
    public void Without_v3_the_copy_has_the_v2_keys_alone()
    {
        using var scratch = new Scratch();
        string dataDir = scratch["source"];
        string backup = scratch["backup"];
        using (var source = new EtcdProcess(SourcePort, "--data-dir", dataDir, "--enable-v2"))
        {
            RealTools.Ctl(source.Endpoint, "put", "new", "x");
            RealTools.V2(source.Url, "set", "/old", "kept");
        }

        RealTools.UtlOk(
            "backup", "--data-dir", dataDir, "--backup-dir", backup, "--backup-wal-dir", scratch["wal"], "--with-v3=false");
        using EtcdProcess copy = Start(
            inOurs: true, CopyPort, ["--data-dir", backup, "--wal-dir", scratch["wal"], "--force-new-cluster", "--enable-v2"]);
        Assert.Equal("", RealTools.Ctl(copy.Endpoint, "get", "new"));
        Assert.Equal("kept\n", RealTools.V2(copy.Url, "get", "/old"));
    }

    [InteropFact]
    public void A_backup_that_the_real_etcdctl_made_goes_on_in_our_server()
    {
        using var scratch = new Scratch();
        string dataDir = scratch["source"];
        string backup = scratch["backup"];
        string contents;
        using (var source = new EtcdProcess(SourcePort, "--data-dir", dataDir, "--snapshot-count", "5"))
        {
            for (int i = 0; i < 20; i++)
            {
                RealTools.Ctl(source.Endpoint, "put", $"key{i % 7}", $"value{i}");
            }

            contents = RealTools.Contents(source.Endpoint);
        }

        RealTools.V2("", "backup", "--data-dir", dataDir, "--backup-dir", backup, "--with-v3");
        using EtcdProcess copy = Start(inOurs: true, CopyPort, ["--data-dir", backup, "--force-new-cluster"]);
        Assert.Equal(contents, RealTools.Contents(copy.Endpoint));
        Assert.Single(RealTools.Ctl(copy.Endpoint, "member", "list").Trim().Split('\n'));
    }

    private static EtcdProcess Start(bool inOurs, int port, string[] arguments) =>
        inOurs ? EtcdProcess.StartPerf(port, arguments) : new EtcdProcess(port, arguments);
}
