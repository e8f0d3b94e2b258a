using System.Security.Cryptography;
using System.Text.Json;
using Perf.Cluster.Tests.Harness;
using Perf.Grpc;
using Xunit;

namespace Perf.Cluster.Tests;

/// <summary>What the program does with flags, requests and directories that are not right.</summary>
[Collection(SingleMembers.Name)]
public sealed class BadInputTests
{
    private const int Port = 31750;
    private const int PageBytes = 4096;

    /// <summary>Inside a meta page's own fields, behind the page's header of 16 bytes.</summary>
    private const int InMeta = 40;

    [Fact]
    public void An_unknown_flag_shows_the_usage_and_ends_with_2()
    {
        using var scratch = new TempDirectory();
        using PerfProcess server = PerfProcess.Launch(scratch["data"], Port, "--no-such-flag");
        Assert.Equal(2, server.WaitForExit());
        Assert.Contains("flag provided but not defined: -no-such-flag", server.Log, StringComparison.Ordinal);
        Assert.Contains("Usage:", server.Log, StringComparison.Ordinal);
        Assert.False(Directory.Exists(scratch["data"]));
    }

    [Theory]
    [InlineData("--listen-client-urls", "127.0.0.1:31750")]
    [InlineData("--listen-client-urls", "ftp://127.0.0.1:31750")]
    [InlineData("--listen-peer-urls", "http://127.0.0.1")]
    [InlineData("--advertise-client-urls", "http://127.0.0.1:31750/path")]
    public void A_url_that_is_none_is_refused_by_name(string flag, string url)
    {
        using var scratch = new TempDirectory();
        using PerfProcess server = PerfProcess.Launch(scratch["data"], Port, flag, url);
        Assert.NotEqual(0, server.WaitForExit());
        Assert.Contains(url, server.Log, StringComparison.Ordinal);
        Assert.False(Directory.Exists(scratch["data"]));
    }

    [Fact]
    public async Task One_damaged_meta_page_is_made_good_by_the_other_and_the_log()
    {
        using var scratch = new TempDirectory();
        await FillAsync(scratch["data"]);
        Flip(scratch["data/member/snap/db"], InMeta);
        using PerfProcess server = PerfProcess.Start(scratch["data"], Port);
        await using var caller = new Caller(server);
        Assert.Equal(300, (await caller.EverythingAsync()).Count);
    }

    [Fact]
    public async Task Two_damaged_meta_pages_are_refused_with_file_offset_and_reason()
    {
        using var scratch = new TempDirectory();
        await FillAsync(scratch["data"]);
        string db = scratch["data/member/snap/db"];
        Flip(db, InMeta);
        Flip(db, PageBytes + InMeta);
        RefusesAsDamaged(scratch["data"], db, offset => offset is >= 0 and < 2 * PageBytes);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task A_data_file_older_than_the_snapshot_is_refused_and_not_begun_anew(bool isGone)
    {
        using var scratch = new TempDirectory();
        string db = scratch["data/member/snap/db"];
        await FillAsync(scratch["data"]);
        File.Copy(db, scratch["old"]);
        await FillAsync(scratch["data"], "--snapshot-count", "50");
        Assert.NotEmpty(Directory.GetFiles(scratch["data/member/snap"], "*.snap"));
        File.Delete(db);
        if (!isGone)
        {
            File.Copy(scratch["old"], db);
        }

        using PerfProcess server = PerfProcess.Launch(scratch["data"], Port);
        Assert.Equal(1, server.WaitForExit());
        Assert.Contains($"database file ({db}", server.Log, StringComparison.Ordinal);
        Assert.Equal(!isGone, File.Exists(db));
    }

    [Fact]
    public async Task A_flipped_byte_in_the_middle_of_the_log_is_refused_with_file_offset_and_reason()
    {
        using var scratch = new TempDirectory();
        await FillAsync(scratch["data"]);
        string wal = Directory.GetFiles(scratch["data/member/wal"], "*.wal").Single();
        byte[] content = File.ReadAllBytes(wal);
        int middle = (Array.FindLastIndex(content, b => b != 0) + 1) / 2;
        Flip(wal, middle);

        // Reported where the damaged record begins.
        RefusesAsDamaged(scratch["data"], wal, offset => offset > middle - 1000 && offset <= middle);
    }

    [Fact]
    public async Task An_unknown_method_or_service_is_said_to_be_unknown()
    {
        using var scratch = new TempDirectory();
        using PerfProcess server = PerfProcess.Start(scratch["data"], Port);
        await using var caller = new Caller(server);
        RpcException method = await Assert.ThrowsAsync<RpcException>(() => caller.CallAsync("/etcdserverpb.KV/Nope", []));
        Assert.Equal(StatusCode.Unimplemented, method.Code);
        Assert.Equal("unknown method Nope for service etcdserverpb.KV", method.Message);
        RpcException service = await Assert.ThrowsAsync<RpcException>(() => caller.CallAsync("/no.Such/Method", []));
        Assert.Equal(StatusCode.Unimplemented, service.Code);
        Assert.Equal("unknown service no.Such", service.Message);
    }

    [Fact]
    public async Task Bytes_that_are_no_request_are_refused_and_the_server_lives_on()
    {
        using var scratch = new TempDirectory();
        using PerfProcess server = PerfProcess.Start(scratch["data"], Port);
        await using var caller = new Caller(server);
        foreach (string path in (string[])["KV/Put", "KV/Range", "KV/Txn", "KV/DeleteRange", "Lease/LeaseGrant"])
        {
            RpcException refused = await Assert.ThrowsAsync<RpcException>(
                () => caller.CallAsync("/etcdserverpb." + path, [0x0a, 0xff, 0xff, 0xff, 0xff, 0x0f, 1]));
            Assert.Equal(StatusCode.Internal, refused.Code);
        }

        await caller.PutAsync("still", "here");
    }

    [InteropFact]
    public void A_value_too_large_gives_what_a_real_etcd_gives()
    {
        using var scratch = new TempDirectory();
        using PerfProcess ours = PerfProcess.Start(scratch["ours"], Port);
        using RealEtcd real = RealEtcd.Start(scratch["real"], Port + 2);
        foreach (int bytes in (int[])[1_500_000, 1_600_000, 1_800_000, 2 << 20])
        {
            string value = new('x', bytes);
            Outcome theirs = new Etcdctl(real).Run("put k", value);
            Outcome outcome = new Etcdctl(ours).Run("put k", value);
            Assert.Equal((theirs.Output, theirs.LastError, theirs.Code), (outcome.Output, outcome.LastError, outcome.Code));
        }

        Assert.Equal(1_500_000 + 1, new Etcdctl(ours).Succeed("get k --print-value-only").Length);
    }

    private static async Task FillAsync(string data, params string[] arguments)
    {
        using PerfProcess server = PerfProcess.Start(data, Port, arguments);
        await using var caller = new Caller(server);
        for (int i = 0; i < 300; i++)
        {
            await caller.PutAsync($"key{i}", new string('v', 200));
        }

        Assert.Equal(0, server.Stop());
    }

    private static void Flip(string file, int offset)
    {
        using FileStream stream = File.Open(file, FileMode.Open);
        stream.Position = offset;
        int found = stream.ReadByte();
        stream.Position = offset;
        stream.WriteByte((byte)(found ^ 0x40));
    }

    private static void RefusesAsDamaged(string data, string file, Func<long, bool> isPlace)
    {
        Dictionary<string, string> before = Digest(data);
        using PerfProcess server = PerfProcess.Launch(data, Port);
        Assert.Equal(1, server.WaitForExit());
        string last = server.Log.Split('\n').Last(line => line.Contains("\"level\":\"fatal\"", StringComparison.Ordinal));
        JsonElement said = JsonDocument.Parse(last).RootElement;
        Assert.Equal("data is damaged", said.GetProperty("msg").GetString());
        Assert.Equal(file, said.GetProperty("file").GetString());
        Assert.True(isPlace(said.GetProperty("offset").GetInt64()), last);
        Assert.NotEmpty(said.GetProperty("reason").GetString()!);
        Assert.Equal(before, Digest(data));
    }

    private static Dictionary<string, string> Digest(string data) =>
        Directory.EnumerateFiles(data, "*", SearchOption.AllDirectories)
            .ToDictionary(file => file, file => Convert.ToHexString(SHA256.HashData(File.ReadAllBytes(file))));
}
