using System.Diagnostics;

namespace Perf.Fuzz;

/// <summary>Runs targets for a time each.</summary>
internal static class Campaign
{
    /// <summary>No input of these sizes may keep a reader busy for longer, not even on a loaded machine.</summary>
    private static readonly TimeSpan InputTimeMax = TimeSpan.FromSeconds(10);

    private const int KeptPercent = 2;
    private const int KeptMax = 64;

    /// <summary>As many of a hundred inputs have to get past the first check, of each target.</summary>
    private const int EnteredPercentMin = 30;

    /// <summary>Executions after which that is a share and not luck.</summary>
    private const int ExecutionsMin = 2000;

    /// <summary>A slow machine is no reason to say that a planted bug is not found.</summary>
    private const long CanaryExecutionsMin = 10_000;

    /// <summary>Inputs run so far, of all targets.</summary>
    public static long Executions { get; private set; }

    /// <summary>Those of them that got past the first check.</summary>
    public static long Entered { get; private set; }

    /// <summary>True when every promise held.</summary>
    public static bool Smoke(IReadOnlyList<FuzzTarget> targets, TimeSpan time, int seed, TextWriter output)
    {
        bool held = true;
        foreach (FuzzTarget target in targets)
        {
            held &= Run(target, time / targets.Count, seed, output, keepsInput: true);
        }

        output.WriteLine(
            $"{targets.Count} targets, {Executions} executions, {100.0 * Entered / Math.Max(1, Executions):0} % past the first check");

        return held;
    }

    /// <summary>True when the planted bug of every target was found.</summary>
    public static bool Canary(IReadOnlyList<FuzzTarget> targets, TimeSpan time, int seed, TextWriter output)
    {
        bool foundAll = true;
        foreach (FuzzTarget target in targets)
        {
            target.IsPlanted = true;
            foundAll &= !Run(target, time / targets.Count, seed, output, keepsInput: false, CanaryExecutionsMin);
        }

        output.WriteLine(foundAll ? "every planted bug was found" : "A PLANTED BUG WAS NOT FOUND");
        return foundAll;
    }

    private static bool Run(
        FuzzTarget target, TimeSpan time, int seed, TextWriter output, bool keepsInput, long executionsMin = 0)
    {
        List<byte[]> corpus = [.. target.Seeds(), .. Kept(target)];
        int seeds = corpus.Count;
        int keptBytesMax = (2 * corpus.Max(c => c.Length)) + 64;
        var mutator = new Mutator(seed);
        var clock = Stopwatch.StartNew();
        long executions = 0;
        for (; executions < Math.Max(seeds, executionsMin) || clock.Elapsed < time; executions++)
        {
            byte[] input = executions < seeds ? corpus[(int)executions] : target.Change(mutator, corpus);
            long entered = target.Entered;
            TimeSpan before = clock.Elapsed;
            try
            {
                target.Run(input);
                if (clock.Elapsed - before > InputTimeMax)
                {
                    throw new BrokenException($"took {clock.Elapsed - before}");
                }

                // What got in is changed further now and then, so that inputs wander away from the first ones.
                if (executions >= seeds && target.Entered > entered && input.Length <= keptBytesMax && mutator.Chance(KeptPercent))
                {
                    if (corpus.Count < seeds + KeptMax)
                    {
                        corpus.Add(input);
                    }
                    else
                    {
                        corpus[seeds + mutator.Below(KeptMax)] = input;
                    }
                }
            }
            catch (Exception e)
            {
                output.WriteLine($"{target.Name,-12} FAILED after {executions + 1} executions: {Line(e, keepsInput)}");
                if (keepsInput)
                {
                    string path = Path.Combine(Path.GetTempPath(), $"fuzz-{target.Name}-{seed}-{executions}");
                    File.WriteAllBytes(path, input);
                    output.WriteLine($"  {input.Length} bytes in {path}");
                }

                return false;
            }
        }

        Executions += executions;
        Entered += target.Entered;
        output.WriteLine(
            $"{target.Name,-12} {executions,9} executions, {100.0 * target.Entered / executions,3:0} % past the first check, {executions / Math.Max(0.001, clock.Elapsed.TotalSeconds):0}/s");
        if (keepsInput && executions >= ExecutionsMin && target.Entered * 100 < executions * EnteredPercentMin)
        {
            output.WriteLine($"{target.Name,-12} FAILED: less than {EnteredPercentMin} % got past the first check");
            return false;
        }

        return true;
    }

    private static string Line(Exception e, bool whole) => whole ? e.ToString() : e.Message.Split('\n')[0];

    /// <summary>Small inputs that once hurt.</summary>
    private static IEnumerable<byte[]> Kept(FuzzTarget target)
    {
        string folder = Path.Combine(AppContext.BaseDirectory, "Corpus", target.Name);
        return Directory.Exists(folder)
            ? Directory.EnumerateFiles(folder).Order(StringComparer.Ordinal).Select(File.ReadAllBytes)
            : [];
    }
}
