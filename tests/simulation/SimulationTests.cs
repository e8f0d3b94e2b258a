using System.Diagnostics;
using Xunit;
using Xunit.Abstractions;

namespace Perf.Simulation;

public sealed class SimulationTests(ITestOutputHelper output)
{
    /// <summary>What the suite may take on an idle machine.</summary>
    private static readonly TimeSpan Budget = TimeSpan.FromSeconds(25);

    private const ulong SeedsMin = 10;

    [Fact]
    public void As_many_seeds_as_fit_hold_what_is_promised()
    {
        var totals = new Totals();
        var watch = Stopwatch.StartNew();
        for (ulong seed = 1; seed <= SeedsMin || watch.Elapsed < Budget; seed++)
        {
            RunResult result = Simulation.Run(seed);
            totals.Add(result);
            if (result.Failure is not null)
            {
                RunResult again = Simulation.Run(seed, isTracing: true);
                Assert.Fail($"seed {seed}: {result.Failure}\n{string.Join('\n', again.Tail.TakeLast(80))}");
            }
        }

        output.WriteLine(totals.ToString());
        output.WriteLine(totals.Describe());
    }

    /// <summary>Each of these once failed.</summary>
    [Theory]
    [InlineData(128)] // A snapshot's image held more than the index it was sent for.
    [InlineData(148)]
    [InlineData(270)]
    public void Seeds_that_found_something_stay_good(ulong seed) => Assert.Null(Simulation.Run(seed).Failure);

    [Fact]
    public void Disks_that_lie_are_found_out()
    {
        int found = 0;
        for (ulong seed = 1; seed <= 24; seed++)
        {
            found += Simulation.Run(seed, hasLyingDisks: true).Failure is null ? 0 : 1;
        }

        Assert.True(found >= 3, $"only {found} of 24 runs on lying disks were judged wrong");
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    public void A_seed_means_the_same_twice(ulong seed)
    {
        RunResult first = Simulation.Run(seed);
        RunResult second = Simulation.Run(seed, isTracing: true);
        Assert.Equal(first.Hash, second.Hash);
        Assert.Equal(first.Events, second.Events);
    }
}
