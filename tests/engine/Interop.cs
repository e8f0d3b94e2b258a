using System.Diagnostics;
using Xunit;

namespace Perf.Engine.Tests;

/// <summary>Needs the real etcdctl; skipped where it is absent, unless PERF_REQUIRE_INTEROP=1.</summary>
public sealed class EtcdctlFactAttribute : FactAttribute
{
    public EtcdctlFactAttribute()
    {
        if (!File.Exists(Interop.Etcdctl) && Environment.GetEnvironmentVariable("PERF_REQUIRE_INTEROP") != "1")
        {
            Skip = $"{Interop.Etcdctl} is not installed";
        }
    }
}

/// <summary>Needs the directories that real etcds wrote; skipped where they are absent.</summary>
public sealed class FixtureFactAttribute : FactAttribute
{
    public FixtureFactAttribute()
    {
        if (Interop.Fixtures is null && Environment.GetEnvironmentVariable("PERF_REQUIRE_INTEROP") != "1")
        {
            Skip = "no shared/fixtures beside the repository";
        }
    }
}

internal static class Interop
{
    public const string Etcdctl = "/usr/bin/etcdctl";

    public static string? Fixtures { get; } = FindFixtures();

    /// <summary>Runs a program; returns its output, fails the test when it fails.</summary>
    public static string Run(string program, params string[] arguments)
    {
        var start = new ProcessStartInfo(program)
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            Environment = { ["ETCDCTL_API"] = "3" },
        };
        foreach (string argument in arguments)
        {
            start.ArgumentList.Add(argument);
        }

        using Process process = Process.Start(start)!;
        Task<string> errors = process.StandardError.ReadToEndAsync();
        Task<string> output = process.StandardOutput.ReadToEndAsync();
        if (!process.WaitForExit(TimeSpan.FromSeconds(60)))
        {
            process.Kill();
            Assert.Fail($"{program} {string.Join(' ', arguments)}: still running after a minute");
        }

        Assert.True(process.ExitCode == 0, $"{program} {string.Join(' ', arguments)}: {errors.Result}");
        return output.Result;
    }

    private static string? FindFixtures()
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
}

/// <summary>A directory of its own for one test.</summary>
internal sealed class TempDirectory : IDisposable
{
    public string Path { get; } = Directory.CreateTempSubdirectory("perf-engine-").FullName;

    public string this[string name] => System.IO.Path.Combine(Path, name);

    public void Dispose() => Directory.Delete(Path, recursive: true);
}
