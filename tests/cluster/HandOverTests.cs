using Google.Protobuf.Collections;
using Mvccpb;
using Perf.Cluster.Tests.Harness;
using Xunit;

namespace Perf.Cluster.Tests;

/// <summary>One data directory, served in turns by a real etcd and by ours.</summary>
[Collection(SingleMembers.Name)]
public sealed class HandOverTests
{
    private const int Port = 31710;

    /// <summary>Snapshots every so often, so that a start begins at one and not at the first entry.</summary>
    private static readonly string[] _snapshots = ["--snapshot-count", "200"];

    [InteropFact]
    public async Task A_directory_goes_to_and_fro_between_a_real_etcd_and_ours_three_times()
    {
        using var scratch = new TempDirectory();
        var workload = new Workload(seed: 34);
        Contents? contents = null;
        for (int round = 0; round < 3; round++)
        {
            using (RealEtcd real = RealEtcd.Start(scratch["data"], Port, _snapshots))
            {
                contents = await ServeAsync(real, workload, contents, requests: round == 0 ? 1000 : 150);
                End(real, kill: round == 1);
            }

            using (PerfProcess ours = PerfProcess.Start(scratch["data"], Port, ["--speak-as", "3.4", .. _snapshots]))
            {
                contents = await ServeAsync(ours, workload, contents, requests: 250);
                End(ours, kill: round == 2);
            }
        }

        using RealEtcd last = RealEtcd.Start(scratch["data"], Port, _snapshots);
        Assert.Equal(contents, await Contents.ReadAsync(last));
    }

    [InteropFact]
    public async Task A_directory_that_we_served_as_3_5_is_refused_by_a_3_4()
    {
        using var scratch = new TempDirectory();
        using (RealEtcd real = RealEtcd.Start(scratch["data"], Port))
        {
            new Etcdctl(real).Succeed("put from 3.4");
            real.Stop();
        }

        using (PerfProcess ours = PerfProcess.Start(scratch["data"], Port))
        {
            Assert.Equal("from\n3.4\n", new Etcdctl(ours).Succeed("get from"));
            using var http = new HttpClient();
            string versions = "";
            for (int tries = 0; !versions.Contains("\"etcdcluster\":\"3.5.0\"", StringComparison.Ordinal); tries++)
            {
                Assert.True(tries < 300, versions);
                await Task.Delay(100);
                versions = await http.GetStringAsync(ours.Url + "/version");
            }

            ours.Stop();
        }

        using RealEtcd refusing = RealEtcd.Launch(scratch["data"], Port);
        Assert.NotEqual(0, refusing.WaitForExit());
        Assert.Contains("invalid downgrade", refusing.Log, StringComparison.Ordinal);
    }

    [InteropFact]
    public void Our_own_directory_begun_as_3_4_is_served_by_a_3_4()
    {
        using var scratch = new TempDirectory();
        using (PerfProcess ours = PerfProcess.Start(scratch["data"], Port, "--speak-as", "3.4"))
        {
            new Etcdctl(ours).Succeed("put from ours");
            ours.Stop();
        }

        using RealEtcd real = RealEtcd.Start(scratch["data"], Port);
        Assert.Equal("from\nours\n", new Etcdctl(real).Succeed("get from"));
    }

    private static async Task<Contents> ServeAsync(EtcdProcess server, Workload workload, Contents? before, int requests)
    {
        try
        {
            if (before is not null)
            {
                Assert.Equal(before, await Contents.ReadAsync(server));
            }

            await using (var caller = new Caller(server))
            {
                await workload.RunAsync(caller, requests);
            }

            return await Contents.ReadAsync(server);
        }
        catch (Exception e) when (e is not InvalidOperationException)
        {
            throw server.Failure("failed: " + e);
        }
    }

    private static void End(EtcdProcess server, bool kill)
    {
        if (kill)
        {
            server.Kill();
        }
        else
        {
            server.Stop();
        }
    }

    /// <summary>What a client can find out about a key space.</summary>
    private sealed record Contents(
        uint Hash, long Revision, long CompactRevision, string Leases, RepeatedField<KeyValue> Keys)
    {
        public static async Task<Contents> ReadAsync(EtcdProcess server)
        {
            (uint hash, long revision, long compactRevision) = new Etcdctl(server).HashKv();
            await using var caller = new Caller(server);
            IEnumerable<long> leases = (await caller.LeasesAsync()).Leases.Select(l => l.ID).Order();
            return new Contents(
                hash, revision, compactRevision, string.Join(' ', leases), (await caller.EverythingAsync()).Kvs);
        }

        public bool Equals(Contents? other) =>
            other is not null
            && (Hash, Revision, CompactRevision, Leases) == (other.Hash, other.Revision, other.CompactRevision, other.Leases)
            && Keys.Equals(other.Keys);

        public override int GetHashCode() => (int)Hash;

        public override string ToString() =>
            $"hash {Hash}, revision {Revision}, compacted {CompactRevision}, {Keys.Count} keys, leases {Leases}";
    }
}
