using System.Diagnostics;
using System.Text.Json;
using Perf.Engine.IO;
using Perf.Store;
using Perf.Store.Commands;
using Perf.Store.Membership;
using Perf.Store.Mvcc;
using Xunit;

namespace Perf.Node.Tests;

/// <summary>Runs where the directories written by real etcds lie beside the project.</summary>
public sealed class FixtureTheoryAttribute : TheoryAttribute
{
    public FixtureTheoryAttribute()
    {
        if (FixtureTests.Find() is null)
        {
            Skip = "../shared/fixtures is not beside this checkout";
        }
    }
}

/// <summary>Directories that etcd 3.4, 3.5 and 3.6 wrote and kill -9 left: opened, replayed, equal to what etcd said.</summary>
public sealed class FixtureTests
{
    [FixtureTheory]
    [InlineData("etcd-3.4-1", SpeakAs.V34)]
    [InlineData("etcd-3.5-1", SpeakAs.V35)]
    [InlineData("etcd-3.6-1", SpeakAs.V36)]
    public async Task A_members_directory_opens_with_its_revision_hash_keys_and_leases(string name, SpeakAs speakAs)
    {
        string scratch = Directory.CreateTempSubdirectory("perf-fixture").FullName;
        try
        {
            Unpack(Path.Combine(Find()!, name + ".tar.xz"), scratch);
            string root = Directory.EnumerateFiles(scratch, "expected.json", SearchOption.AllDirectories).Single();
            using var expected = JsonDocument.Parse(await File.ReadAllBytesAsync(root));
            Config.ServerConfig config = NodeHarness.Config(Path.Combine(Path.GetDirectoryName(root)!, "m0"));
            config.Name = "m0";
            config.SpeakAs = speakAs;
            await using NodeHarness harness = await NodeHarness.StartAsync(FileDisk.Instance, config);

            JsonElement hash = expected.RootElement.GetProperty("hashkv")[0][0].GetProperty("HashKV");
            long revision = expected.RootElement.GetProperty("revision").GetInt64();
            MvccStore kv = harness.Node.State.Machine.Kv;
            Assert.Equal(revision, kv.PublishedRevision);
            Assert.Equal(StoreError.None, kv.HashKv(revision, out HashKvResult ours));
            Assert.Equal(hash.GetProperty("compact_revision").GetInt64(), ours.CompactRevision);
            Assert.Equal(hash.GetProperty("hash").GetUInt32(), ours.Hash);

            Assert.Equal(
                expected.RootElement.GetProperty("range_all").GetProperty("kvs").EnumerateArray().Select(Describe),
                AllKeys(harness));
            string[] leases =
            [
                .. expected.RootElement.GetProperty("leases").EnumerateArray().Skip(3).Select(e => e.GetString()!),
            ];
            Assert.Equal(
                leases.Order(StringComparer.Ordinal),
                harness.Node.State.Machine.Leases.Leases().Select(id => id.ToString("x16")).Order(StringComparer.Ordinal));
        }
        finally
        {
            Directory.Delete(scratch, recursive: true);
        }
    }

    [FixtureTheory]
    [InlineData("etcd-3.6-1", SpeakAs.V35)]
    [InlineData("etcd-3.5-1", SpeakAs.V34)]
    public void A_directory_of_a_newer_cluster_version_is_refused(string name, SpeakAs speakAs)
    {
        string scratch = Directory.CreateTempSubdirectory("perf-fixture").FullName;
        try
        {
            Unpack(Path.Combine(Find()!, name + ".tar.xz"), scratch);
            string root = Directory.EnumerateFiles(scratch, "expected.json", SearchOption.AllDirectories).Single();
            Config.ServerConfig config = NodeHarness.Config(Path.Combine(Path.GetDirectoryName(root)!, "m0"));
            config.SpeakAs = speakAs;
            Assert.Throws<Perf.Node.Cluster.StartRefusedException>(
                () => EtcdNode.StartOn(FileDisk.Instance, config, Logging.Log.None, TimeProvider.System));
        }
        finally
        {
            Directory.Delete(scratch, recursive: true);
        }
    }

    private static string Describe(JsonElement kv)
    {
        return $"{Text("key")} {Number("create_revision")} {Number("mod_revision")} {Number("version")} {Text("value")} {Number("lease")}";

        string Text(string name) => kv.TryGetProperty(name, out JsonElement value) ? value.GetString()! : "";

        long Number(string name) => kv.TryGetProperty(name, out JsonElement value) ? value.GetInt64() : 0;
    }

    private static List<string> AllKeys(NodeHarness harness)
    {
        var request = new ProtoBuffer();
        request.Bytes(1, [0]);
        request.Bytes(2, [0]);
        Assert.True(RangeView.TryParse(request.Written, out RangeView range));
        var response = new ProtoBuffer();
        Assert.Equal(
            StoreError.None, harness.Node.State.Machine.Kv.Range(range, harness.Node.Header(), response));
        var keys = new List<string>();
        var reader = new ProtoReader(response.Written);
        while (reader.Next())
        {
            if (reader.Field == 2)
            {
                Assert.True(KeyValueView.TryParse(reader.Bytes, out KeyValueView kv));
                keys.Add(
                    $"{Convert.ToBase64String(kv.Key)} {kv.CreateRevision} {kv.ModRevision} {kv.Version}"
                    + $" {Convert.ToBase64String(kv.Value)} {kv.Lease}");
            }
        }

        return keys;
    }

    internal static string? Find()
    {
        for (string? at = AppContext.BaseDirectory; at is not null; at = Path.GetDirectoryName(at))
        {
            string candidate = Path.Combine(at, "shared", "fixtures");
            if (Directory.Exists(candidate))
            {
                return candidate;
            }
        }

        return null;
    }

    private static void Unpack(string archive, string target)
    {
        using Process tar = Process.Start("tar", ["xJf", archive, "-C", target]);
        tar.WaitForExit();
        Assert.Equal(0, tar.ExitCode);
    }
}
