using System.Diagnostics;
using Perf.Client;
using Perf.Client.Tests;
using Perf.Ctl.Tests;
using Xunit;

namespace Perf.Release.Tests;

/// <summary>Building the release takes a minute or two: in CI, and on demand.</summary>
public sealed class ReleaseFactAttribute : FactAttribute
{
    public ReleaseFactAttribute()
    {
        bool wanted = Environment.GetEnvironmentVariable("PERF_TEST_PUBLISH") == "1"
            || Environment.GetEnvironmentVariable("PERF_REQUIRE_INTEROP") == "1";
        if (!wanted)
        {
            Skip = "builds the release, which takes a minute or two: PERF_TEST_PUBLISH=1 to run it";
        }
    }
}

/// <summary>The archive build/publish makes, installed the way people install etcd, and used from there.</summary>
public sealed class ReleaseTests : IDisposable
{
    private const string Name = "etcd-v3.5.33-linux-amd64";

    private readonly string _scratch = Directory.CreateTempSubdirectory("perf-release-").FullName;

    public void Dispose() => Directory.Delete(_scratch, recursive: true);

    [ReleaseFact]
    public async Task The_archive_is_installed_and_used_as_the_introductions_say()
    {
        string archive = Sh($"'{Root()}/build/publish' '{_scratch}/built'").Trim().Split('\n')[^1];
        Assert.Equal($"{_scratch}/built/{Name}.tar.gz", archive);

        // The first way: unpack, rename, copy what begins with etcd to a directory on the PATH.
        string bin = $"{_scratch}/local/bin";
        string first = Sh($"""
            mkdir -p '{bin}' '{_scratch}/tmp' && cd '{_scratch}/tmp' && cp '{archive}' .
            tar -zvxf {Name}.tar.gz
            mv {Name} etcd
            cd etcd
            cp etcd* '{bin}/'
            export PATH='{bin}':$PATH
            etcd --version
            """);
        Assert.Contains($"{Name}/etcd\n{Name}/etcdctl\n{Name}/etcdutl\n", first, StringComparison.Ordinal);
        Assert.Contains("\netcd Version: 3.5.33\nGit SHA: ", first, StringComparison.Ordinal);
        Assert.EndsWith("Go OS/Arch: linux/amd64\n", first, StringComparison.Ordinal);

        // The second way: a directory of its own, added to the PATH.
        string second = Sh($"""
            cd '{_scratch}' && cp '{archive}' .
            tar -zxf {Name}.tar.gz
            mv {Name} etcd-3.5
            export PATH='{_scratch}/etcd-3.5':$PATH
            etcd --version
            etcdctl version
            etcdutl version
            """);
        Assert.StartsWith("etcd Version: 3.5.33\n", second, StringComparison.Ordinal);
        Assert.EndsWith(
            "etcdctl version: 3.5.33\nAPI version: 3.5\netcdutl version: 3.5.33\nAPI version: 3.5\n",
            second, StringComparison.Ordinal);

        await WalkAsync(Path.Combine(bin, "etcd"), Path.Combine(bin, "etcdctl"));
        Snapshot(Path.Combine(bin, "etcdutl"));
    }

    /// <summary>The introductions with the installed programs. Authentication is in them: bcrypt by the system's library.</summary>
    private async Task WalkAsync(string server, string etcdctl)
    {
        using (var etcd = EtcdProcess.StartProgram(server, 31400))
        {
            await using EtcdClient client = await EtcdClient.ConnectAsync(
                new EtcdClientOptions { Endpoints = [etcd.Endpoint] });
            await WalkThrough.WriteAndReadAsync(new ProcessShell(etcdctl, etcd.Endpoint), client);
            var ctl = new ProcessShell(etcdctl, etcd.Endpoint);
            await ctl.ExpectAsync($"snapshot save {_scratch}/saved.db", $"Snapshot saved at {_scratch}/saved.db\n");
        }

        foreach (Func<Shell, Task> part in new Func<Shell, Task>[]
        {
            WalkThrough.PastDeletesAndWatchesAsync,
            WalkThrough.HistoryCompactionAndLeasesAsync,
            WalkThrough.ReferenceAsync,
        })
        {
            using var etcd = EtcdProcess.StartProgram(server, 31400);
            await part(new ProcessShell(etcdctl, etcd.Endpoint));
        }
    }

    private void Snapshot(string etcdutl)
    {
        Assert.Contains(
            "\"totalKey\":", Sh($"'{etcdutl}' snapshot status '{_scratch}/saved.db' -w json"), StringComparison.Ordinal);
        Sh($"'{etcdutl}' snapshot restore '{_scratch}/saved.db' --data-dir '{_scratch}/restored' && "
            + $"'{etcdutl}' check '{_scratch}/restored'");
    }

    private static string Root()
    {
        string root = AppContext.BaseDirectory;
        while (!File.Exists(Path.Combine(root, "Perf.sln")))
        {
            root = Path.GetDirectoryName(root)!;
        }

        return root;
    }

    private static string Sh(string script)
    {
        using Process shell = Process.Start(new ProcessStartInfo("sh", ["-ec", script])
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        })!;
        Task<string> errors = shell.StandardError.ReadToEndAsync();
        string output = shell.StandardOutput.ReadToEnd();
        shell.WaitForExit();
        Assert.True(shell.ExitCode == 0, $"{script}: exit {shell.ExitCode}: {output}{errors.Result}");
        return output;
    }
}
