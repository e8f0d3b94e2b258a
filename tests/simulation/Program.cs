using System.Diagnostics;
using System.Globalization;

namespace Perf.Simulation;

/// <summary>
/// `--seed N [--trace] [--lying-disks]` runs one; `--seeds N [--from M] [--minutes T] [--seconds T] [--stop]` many, with
/// figures: no more than N, no longer than T, and not beyond the first that fails. `--flips N` flips N bits.
/// </summary>
internal static class Program
{
    private static int Main(string[] args)
    {
        ulong? seed = Option(args, "--seed");
        if (seed is not null)
        {
            Action<string>? output = args.Contains("--trace") ? Console.WriteLine : null;
            RunResult result = Simulation.Run(seed.Value, isTracing: true, output, args.Contains("--lying-disks"));
            return Report(result) ? 0 : 1;
        }

        if (Option(args, "--flips") is { } flips)
        {
            Console.WriteLine(BitFlips.Run((int)flips, Option(args, "--from") ?? 1));
            return 0;
        }

        TimeSpan time = TimeSpan.FromSeconds(Option(args, "--seconds") ?? (60 * (Option(args, "--minutes") ?? 24 * 60)));
        return RunMany(Option(args, "--seeds") ?? 100, Option(args, "--from") ?? 1, time, args.Contains("--stop")) ? 0 : 1;
    }

    private static ulong? Option(string[] args, string name)
    {
        int at = Array.IndexOf(args, name);
        return at >= 0 && at + 1 < args.Length ? ulong.Parse(args[at + 1], CultureInfo.InvariantCulture) : null;
    }

    private static bool RunMany(ulong seeds, ulong from, TimeSpan time, bool stopsAtFailure)
    {
        var totals = new Totals();
        var whole = Stopwatch.StartNew();
        var watch = Stopwatch.StartNew();
        for (ulong seed = from; seed < from + seeds && whole.Elapsed < time; seed++)
        {
            RunResult result = Simulation.Run(seed);
            totals.Add(result);
            if (result.Failure is not null)
            {
                Report(Simulation.Run(seed, isTracing: true));
                if (stopsAtFailure)
                {
                    return false;
                }
            }

            if (watch.ElapsedMilliseconds > 2000 || seed + 1 == from + seeds)
            {
                watch.Restart();
                Console.WriteLine($"seed {seed}: {totals}");
            }
        }

        Console.WriteLine(totals.Describe());
        return totals.Failed == 0 && totals.Missing.Length == 0 && totals.IsBusyEnough;
    }

    private static bool Report(RunResult result)
    {
        Console.WriteLine(string.Join('\n', result.Tail));
        Console.WriteLine(
            $"seed {result.Seed}: {result.Failure ?? "good"}; hash {result.Hash:x16}, {result.SimulatedSeconds:f0} s,"
            + $" {result.Events} events, {result.Checked} answers checked, recovered in {result.RecoverySeconds:f1} s");
        if (result.Failure is not null)
        {
            Console.WriteLine($"again: dotnet run -c Release --project tests/simulation -- --seed {result.Seed} --trace");
        }

        return result.Failure is null;
    }
}
