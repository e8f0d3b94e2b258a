using System.Text.Json;
using Perf.Cluster.Tests.Harness;
using Xunit;

namespace Perf.Cluster.Tests;

/// <summary>Snapshots by the real etcdctl: of ours, for ours.</summary>
[Collection(SingleMembers.Name)]
public sealed class SnapshotTests
{
    private const int Port = 31720;

    [InteropFact]
    public async Task Our_snapshot_is_restored_into_a_real_etcd_with_equal_contents()
    {
        using var scratch = new TempDirectory();
        (uint Hash, long Revision, long CompactRevision) hash;
        using (PerfProcess ours = PerfProcess.Start(scratch["data"], Port))
        {
            await LoadAsync(ours);
            var ctl = new Etcdctl(ours);
            hash = ctl.HashKv();
            Assert.Contains(
                "Snapshot saved at " + scratch["snapshot.db"],
                ctl.Succeed("snapshot save " + scratch["snapshot.db"]),
                StringComparison.Ordinal);
            ours.Stop();
        }

        Assert.Equal(hash.Revision, Status(scratch["snapshot.db"]).GetProperty("revision").GetInt64());
        Restore(scratch);
        using RealEtcd real = RealEtcd.Start(scratch["restored"], Port);
        Assert.Equal(hash, new Etcdctl(real).HashKv(hash.Revision));
        Assert.Equal("OK\n", new Etcdctl(real).Succeed("put and on"));
    }

    [InteropFact]
    public async Task A_real_etcds_restored_snapshot_is_served_by_ours()
    {
        using var scratch = new TempDirectory();
        (uint Hash, long Revision, long CompactRevision) hash;
        using (RealEtcd real = RealEtcd.Start(scratch["data"], Port))
        {
            await LoadAsync(real);
            var ctl = new Etcdctl(real);
            hash = ctl.HashKv();
            ctl.Succeed("snapshot save " + scratch["snapshot.db"]);
            real.Stop();
        }

        Restore(scratch);
        using PerfProcess ours = PerfProcess.Start(scratch["restored"], Port);
        Assert.Equal(hash, new Etcdctl(ours).HashKv(hash.Revision));
        Assert.Equal("OK\n", new Etcdctl(ours).Succeed("put and on"));
    }

    [InteropFact]
    public async Task The_file_of_our_stopped_member_is_one_that_snapshot_status_reads()
    {
        using var scratch = new TempDirectory();
        long revision;
        using (PerfProcess ours = PerfProcess.Start(scratch["data"], Port))
        {
            await LoadAsync(ours);
            revision = new Etcdctl(ours).HashKv().Revision;
            ours.Stop();
        }

        File.Copy(scratch["data/member/snap/db"], scratch["copy.db"]);
        JsonElement status = Status(scratch["copy.db"]);
        Assert.Equal(revision, status.GetProperty("revision").GetInt64());
        Assert.True(status.GetProperty("totalKey").GetInt64() > 100);
    }

    private static async Task LoadAsync(EtcdProcess server)
    {
        await using var caller = new Caller(server);
        await new Workload(seed: 7).RunAsync(caller, 400);
    }

    private static JsonElement Status(string file)
    {
        Outcome status = Etcdctl.RunOffline(["snapshot", "status", file, "-w", "json"]);
        Assert.True(status.Code == 0, status.Error);
        return JsonDocument.Parse(status.Output).RootElement;
    }

    private static void Restore(TempDirectory scratch)
    {
        Outcome restored = Etcdctl.RunOffline(
            ["snapshot", "restore", scratch["snapshot.db"], "--data-dir", scratch["restored"]]);
        Assert.True(restored.Code == 0, restored.Error);
    }
}
