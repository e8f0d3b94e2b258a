using System.Diagnostics;
using System.Text.Json;
using Perf.Cluster.Tests.Harness;
using Xunit;

namespace Perf.Cluster.Tests;

/// <summary>Needs the directories that real etcds wrote; skipped where they are absent.</summary>
public sealed class FixtureTheoryAttribute : TheoryAttribute
{
    public FixtureTheoryAttribute()
    {
        if (FixtureClusterTests.Find() is null && !InteropFactAttribute.IsRequired)
        {
            Skip = "no shared/fixtures beside the checkout";
        }
    }
}

/// <summary>Three directories that a cluster of etcd 3.4, 3.5 or 3.6 wrote and kill -9 left, served by three of ours.</summary>
[Collection(SingleMembers.Name)]
public sealed class FixtureClusterTests
{
    private const int Port = 31760;

    [FixtureTheory]
    [InlineData("etcd-3.4-3", "3.4")]
    [InlineData("etcd-3.5-3", "3.5")]
    [InlineData("etcd-3.6-3", "3.6")]
    public void A_killed_cluster_goes_on_with_its_revision_and_hash(string fixture, string release)
    {
        using var scratch = new TempDirectory();
        using (Process tar = Process.Start("tar", ["xJf", Path.Combine(Find()!, fixture + ".tar.xz"), "-C", scratch.Path]))
        {
            tar.WaitForExit();
            Assert.Equal(0, tar.ExitCode);
        }

        string root = scratch[fixture];
        using var expected = JsonDocument.Parse(File.ReadAllBytes(Path.Combine(root, "expected.json")));
        long revision = expected.RootElement.GetProperty("revision").GetInt64();
        JsonElement hash = expected.RootElement.GetProperty("hashkv")[0][0].GetProperty("HashKV");
        List<PerfProcess> members = [];
        try
        {
            for (int i = 0; i < 3; i++)
            {
                members.Add(PerfProcess.Launch(
                    Path.Combine(root, $"m{i}"),
                    Port + (10 * i),
                    "--name", $"m{i}",
                    "--speak-as", release,
                    "--initial-cluster-token", "fixture",
                    "--listen-peer-urls", PeerUrl(i),
                    "--initial-advertise-peer-urls", PeerUrl(i),
                    "--initial-cluster", $"m0={PeerUrl(0)},m1={PeerUrl(1)},m2={PeerUrl(2)}"));
            }

            foreach (PerfProcess member in members)
            {
                member.WaitUntilHealthy();
                Assert.Equal(
                    (hash.GetProperty("hash").GetUInt32(), hash.GetProperty("compact_revision").GetInt64()),
                    HashAt(new Etcdctl(member, "--user", "root:rootpw"), revision));
            }
        }
        catch (Exception e)
        {
            throw new InvalidOperationException(
                $"{fixture}: {e}\n{string.Join("\n\n", members.Select(m => m.Log))}", e);
        }
        finally
        {
            members.ForEach(m => m.Dispose());
        }
    }

    internal static string? Find()
    {
        for (DirectoryInfo? at = new(AppContext.BaseDirectory); at is not null; at = at.Parent)
        {
            string candidate = Path.Combine(at.FullName, "shared", "fixtures");
            if (Directory.Exists(candidate))
            {
                return candidate;
            }
        }

        return null;
    }

    private static (uint Hash, long CompactRevision) HashAt(Etcdctl ctl, long revision)
    {
        (uint hash, long current, long compactRevision) = ctl.HashKv(revision);
        Assert.Equal(revision, current);
        return (hash, compactRevision);
    }

    private static string PeerUrl(int member) => $"http://127.0.0.1:{24301 + (10 * member)}";
}
