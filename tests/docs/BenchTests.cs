using System.Diagnostics;
using Xunit;

namespace Perf.Docs.Tests;

/// <summary>The load bench works: a hundredth of its requests. Its figures mean nothing here.</summary>
public sealed class BenchTests
{
    [Fact]
    public async Task A_report_against_the_baseline_is_printed_and_drawn()
    {
        string report = Path.Combine(Path.GetTempPath(), $"perf-bench-{Environment.ProcessId}.html");
        var framework = new DirectoryInfo(AppContext.BaseDirectory.TrimEnd('/'));
        string bench = Path.Combine(
            Repository.Root, "bench/load/bin", framework.Parent!.Name, framework.Name, "Perf.Bench.Load.dll");
        var start = new ProcessStartInfo("dotnet")
        {
            ArgumentList =
            {
                bench, "--quick", "--report", report,
                "--only", "put-512,put-1,range-l,txn,mixed,open,watch-100,keepalive",
            },
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        try
        {
            using Process process = Process.Start(start)!;
            Task<string> errors = process.StandardError.ReadToEndAsync();
            string output = await process.StandardOutput.ReadToEndAsync();
            await process.WaitForExitAsync();
            Assert.True(process.ExitCode == 0, $"{process.ExitCode}\n{output}\n{await errors}");
            Assert.Contains("times the baseline of 1,000 writes/s", output, StringComparison.Ordinal);
            Assert.Contains("<svg", await File.ReadAllTextAsync(report), StringComparison.Ordinal);
        }
        finally
        {
            File.Delete(report);
        }
    }
}
