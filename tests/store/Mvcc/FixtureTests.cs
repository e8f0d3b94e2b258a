using System.Buffers;
using System.Diagnostics;
using System.Text.Json;
using Etcdserverpb;
using Google.Protobuf;
using Perf.Engine.IO;
using Perf.Engine.Transactions;
using Perf.Store.Backend;
using Perf.Store.Commands;
using Perf.Store.Mvcc;
using Xunit;

namespace Perf.Store.Tests.Mvcc;

/// <summary>Snapshots that real etcds wrote, with what those etcds said about them.</summary>
public sealed class FixtureTests
{
    [FixtureFact]
    public void Real_snapshots_hash_and_read_as_etcd_said()
    {
        foreach (string archive in Directory.GetFiles(FixtureFactAttribute.Folder!, "etcd-*.tar.xz").Order())
        {
            string folder = Directory.CreateTempSubdirectory("perf-fixture-").FullName;
            try
            {
                Unpack(archive, folder);
                Check(folder);
            }
            finally
            {
                Directory.Delete(folder, true);
            }
        }
    }

    private static void Check(string folder)
    {
        using JsonDocument expected = JsonDocument.Parse(File.ReadAllText(Path.Combine(folder, "expected.json")));
        JsonElement hash = expected.RootElement.GetProperty("hashkv")[0][0].GetProperty("HashKV");
        using var backend = new BackendStore(
            DataFile.Open(FileDisk.Instance, Path.Combine(folder, "snapshot.db"), new DataFileOptions()));
        var store = new MvccStore(backend);
        store.Load();
        while (!store.CompactStep(100))
        {
        }

        Assert.Equal(expected.RootElement.GetProperty("revision").GetInt64(), store.Revision);
        Assert.Equal(StoreError.None, store.HashKv(0, out HashKvResult found));
        Assert.Equal(hash.GetProperty("compact_revision").GetInt64(), found.CompactRevision);
        Assert.Equal(hash.GetProperty("hash").GetUInt32(), found.Hash);

        var request = new RangeRequest { Key = ByteString.CopyFrom(0), RangeEnd = ByteString.CopyFrom(0) };
        RangeView.TryParse(request.ToByteArray(), out RangeView view);
        var output = new ArrayBufferWriter<byte>();
        Assert.Equal(StoreError.None, store.Range(in view, default, output));
        RangeResponse response = RangeResponse.Parser.ParseFrom(output.WrittenSpan);
        JsonElement kvs = expected.RootElement.GetProperty("range_all").GetProperty("kvs");
        Assert.Equal(kvs.GetArrayLength(), response.Kvs.Count);
        Assert.Equal(response.Kvs.Count, response.Count);
        for (int i = 0; i < response.Kvs.Count; i++)
        {
            JsonElement kv = kvs[i];
            Assert.Equal(kv.GetProperty("key").GetBytesFromBase64(), response.Kvs[i].Key.ToByteArray());
            Assert.Equal(kv.GetProperty("create_revision").GetInt64(), response.Kvs[i].CreateRevision);
            Assert.Equal(kv.GetProperty("mod_revision").GetInt64(), response.Kvs[i].ModRevision);
            Assert.Equal(kv.GetProperty("version").GetInt64(), response.Kvs[i].Version);
            Assert.Equal(Optional(kv, "lease")?.GetInt64() ?? 0, response.Kvs[i].Lease);
            Assert.Equal(Optional(kv, "value")?.GetBytesFromBase64() ?? [], response.Kvs[i].Value.ToByteArray());
        }
    }

    private static JsonElement? Optional(JsonElement element, string name) =>
        element.TryGetProperty(name, out JsonElement value) ? value : null;

    private static void Unpack(string archive, string folder)
    {
        using Process tar = Process.Start("tar", ["xJf", archive, "-C", folder, "--strip-components=1"]);
        tar.WaitForExit();
        Assert.Equal(0, tar.ExitCode);
    }
}

/// <summary>Skipped where the folder of real directories is not there.</summary>
internal sealed class FixtureFactAttribute : FactAttribute
{
    public FixtureFactAttribute()
    {
        if (Folder is null && Environment.GetEnvironmentVariable("PERF_REQUIRE_INTEROP") != "1")
        {
            Skip = "no shared/fixtures beside the repository";
        }
    }

    public static string? Folder
    {
        get
        {
            for (var at = new DirectoryInfo(AppContext.BaseDirectory); at is not null; at = at.Parent)
            {
                string folder = Path.Combine(at.FullName, "shared", "fixtures");
                if (Directory.Exists(folder))
                {
                    return folder;
                }
            }
            return null;
        }
    }
}
