using System.Diagnostics;
using Xunit;
using Xunit.Abstractions;

namespace Perf.Simulation;

public sealed class SimulationTests(ITestOutputHelper output)
{
    /// <summary>What the suite may take on an idle machine.</summary>
    private static readonly TimeSpan Budget = TimeSpan.FromSeconds(60);

    private const ulong SeedsMin = 10;

    /// <summary>From so many runs on every kind of fault has happened.</summary>
    private const long RunsThatShowAll = 100;

    private const int Flips = 1000;

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
        if (totals.Runs >= RunsThatShowAll)
        {
            Assert.True(totals.Missing.Length == 0, totals.Describe());
            Assert.True(totals.IsBusyEnough, totals.Describe());
        }
    }

    [Fact]
    public void A_bit_flipped_at_rest_is_refused_by_name_or_changes_nothing()
    {
        BitFlips.Report report = BitFlips.Run(Flips, seed: 1);
        output.WriteLine(report.ToString());
        Assert.Equal(Flips, report.Refused + report.Harmless + report.Torn);
        Assert.True(report.Refused > Flips / 10, report.ToString());
    }

    /// <summary>tests/mutants puts old bugs back in; what is delivered must not even know how.</summary>
    [Fact]
    public void No_product_assembly_has_a_switch_for_mutants()
    {
        foreach (Type part in (Type[])[typeof(Engine.IO.IDisk), typeof(Raft.RaftCore), typeof(Store.StoreError), typeof(Node.EtcdNode)])
        {
            Assert.Null(part.Assembly.GetType("Perf.Mutant"));
        }
    }

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
