using System.Diagnostics;
using Xunit;

namespace Perf.Ctl.Tests.Etcdutl;

/// <summary>Building the release takes minutes: only on demand.</summary>
public sealed class PublishFactAttribute : FactAttribute
{
    public PublishFactAttribute()
    {
        if (Environment.GetEnvironmentVariable("PERF_TEST_PUBLISH") != "1")
        {
            Skip = "builds the release, which takes minutes: PERF_TEST_PUBLISH=1 to run it";
        }
    }
}

public sealed class PublishTests
{
    [PublishFact]
    public void The_release_is_one_archive_whose_programs_run_by_themselves()
    {
        using var scratch = new Scratch();
        string root = AppContext.BaseDirectory;
        while (!File.Exists(Path.Combine(root, "Perf.sln")))
        {
            root = Path.GetDirectoryName(root)!;
        }

        string archive = Run(Path.Combine(root, "build", "publish"), scratch["out"]).Trim().Split('\n')[^1];
        Assert.EndsWith("etcd-v3.5.33-linux-amd64.tar.gz", archive);
        Directory.CreateDirectory(scratch["unpacked"]);
        Run("tar", "-xzf", archive, "-C", scratch["unpacked"]);
        string programs = Path.Combine(scratch["unpacked"], "etcd-v3.5.33-linux-amd64");
        Assert.StartsWith("etcd Version: 3.5.33\n", Run(Path.Combine(programs, "etcd"), "--version"));
        Assert.StartsWith("etcdctl version: 3.5.33\n", Run(Path.Combine(programs, "etcdctl"), "version"));
        Assert.StartsWith("etcdutl version: 3.5.33\n", Run(Path.Combine(programs, "etcdutl"), "version"));
        Assert.Equal(
            ["LICENSE", "README.md", "etcd", "etcdctl", "etcdutl"],
            Directory.EnumerateFiles(programs).Select(Path.GetFileName).Order(StringComparer.Ordinal));
    }

    private static string Run(string program, params string[] arguments)
    {
        using Process process = Process.Start(new ProcessStartInfo(program, arguments) { RedirectStandardOutput = true })!;
        string output = process.StandardOutput.ReadToEnd();
        process.WaitForExit();
        Assert.True(process.ExitCode == 0, $"{program}: exit {process.ExitCode}: {output}");
        return output;
    }
}
