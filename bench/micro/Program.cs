using System.Reflection;
using BenchmarkDotNet.Configs;
using BenchmarkDotNet.Diagnosers;
using BenchmarkDotNet.Jobs;
using BenchmarkDotNet.Reports;
using BenchmarkDotNet.Running;
using BenchmarkDotNet.Toolchains.InProcess.Emit;

// dotnet run -c Release --project bench/micro -- [--quick] [BenchmarkDotNet's own arguments, such as --filter *KeyTree*]
//
// In the process itself: the house's rules for projects do not fit the one that BenchmarkDotNet would generate. With
// --quick every benchmark runs once and is only shown to work: the figures mean nothing.
bool isQuick = args.Contains("--quick");
Job job = (isQuick ? Job.Dry : Job.ShortRun).WithToolchain(InProcessEmitToolchain.Instance);
IConfig config = ManualConfig.Create(DefaultConfig.Instance)
    .AddJob(job)
    .AddDiagnoser(MemoryDiagnoser.Default)
    .WithArtifactsPath(Path.Combine(Path.GetTempPath(), "perf-bench-micro"));
string[] rest = [.. args.Where(a => a != "--quick")];
if (rest.Length == 0)
{
    rest = ["--filter", "*"];
}

Summary[] summaries = [.. BenchmarkSwitcher.FromAssembly(Assembly.GetExecutingAssembly()).Run(rest, config)];
int failed = summaries.Sum(s => s.HasCriticalValidationErrors ? 1 : s.Reports.Count(r => !r.Success));
if (failed > 0)
{
    Console.Error.WriteLine($"{failed} benchmarks failed");
    return 1;
}

return 0;
