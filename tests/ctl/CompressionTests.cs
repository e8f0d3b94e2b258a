using System.Diagnostics;
using Perf.Client.Tests;
using Perf.Ctl.Tests.Etcdutl;
using Xunit;

namespace Perf.Ctl.Tests;

/// <summary>snapshot save --compress, and what reads its files.</summary>
public sealed class CompressionTests
{
    [Fact]
    public async Task A_compressed_snapshot_is_small_and_read_like_any_other()
    {
        using var scratch = new Scratch();
        using EtcdProcess etcd = EtcdProcess.StartPerf(31310);
        var ctl = new InProcessShell(etcd.Endpoint);
        for (int i = 0; i < 50; i++)
        {
            await ctl.ExpectAsync($"put key{i}", "OK\n", new string((char)('a' + (i % 26)), 20_000));
        }

        string plain = scratch["plain.db"];
        string small = scratch["small.db"];
        await ctl.ExpectAsync("snapshot save " + plain, $"Snapshot saved at {plain}\n");
        await ctl.ExpectAsync("snapshot save --compress " + small, $"Snapshot saved at {small}\n");
        Assert.True(new FileInfo(small).Length * 10 < new FileInfo(plain).Length);
        Assert.Equal(
            ["plain.db", "small.db"], Directory.EnumerateFileSystemEntries(scratch["."]).Select(Path.GetFileName).Order());

        Assert.Equal(RealTools.UtlOk("snapshot", "status", plain), RealTools.UtlOk("snapshot", "status", small));
        RealTools.UtlOk("snapshot", "restore", plain, "--data-dir", scratch["from-plain"]);
        RealTools.UtlOk("snapshot", "restore", small, "--data-dir", scratch["from-small"]);
        Assert.Equal(
            File.ReadAllBytes(Path.Combine(scratch["from-plain"], "member/snap/db")),
            File.ReadAllBytes(Path.Combine(scratch["from-small"], "member/snap/db")));

        // The frame carries a checksum: what is flipped or cut is refused, and leaves nothing behind.
        byte[] good = File.ReadAllBytes(small);
        byte[] flipped = [.. good];
        flipped[flipped.Length / 2] ^= 0x10;
        foreach (byte[] bad in new[] { flipped, good[..^1], good[..8] })
        {
            File.WriteAllBytes(small, bad);
            Outcome refused = RealTools.Utl("snapshot", "restore", small, "--data-dir", scratch["refused"]);
            Assert.Equal(1, refused.Code);
            Assert.Contains("zstd: ", refused.Error, StringComparison.Ordinal);
            Assert.False(Directory.Exists(scratch["refused"]));
        }

        Assert.DoesNotContain(
            Directory.EnumerateFiles(scratch["."]), f => Path.GetFileName(f).StartsWith("etcdutl-", StringComparison.Ordinal));
    }

    [Fact]
    public async Task A_restore_without_a_directory_goes_by_the_name()
    {
        // etcdctl hands the work to an etcdutl on the PATH: what it is told is looked at here.
        using var scratch = new Scratch();
        Directory.CreateDirectory(scratch["bin"]);
        string recorder = Path.Combine(scratch["bin"], "etcdutl");
        File.WriteAllText(recorder, "#!/bin/sh\necho \"$@\"\n");
        Process.Start("chmod", ["+x", recorder]).WaitForExit();
        using Process etcdctl = Process.Start(new ProcessStartInfo(
            "dotnet", [Path.Combine(EtcdProcess.Output("etcdctl"), "etcdctl.dll"), "snapshot", "restore", "f", "--name", "m7"])
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            Environment = { ["PATH"] = scratch["bin"] + ":" + Environment.GetEnvironmentVariable("PATH") },
        })!;
        Task<string> errors = etcdctl.StandardError.ReadToEndAsync();
        string output = await etcdctl.StandardOutput.ReadToEndAsync();
        Assert.True(
            output == "snapshot restore --data-dir=m7.etcd --name=m7 -- f\n", $"{output}{await errors}");
        await etcdctl.WaitForExitAsync();
    }
}
