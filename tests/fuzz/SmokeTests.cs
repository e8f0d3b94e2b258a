using Xunit;

namespace Perf.Fuzz.Tests;

/// <summary>A short attack on every reader of foreign bytes; the same that CI runs for longer.</summary>
public sealed class SmokeTests
{
    private static readonly TimeSpan Time = TimeSpan.FromSeconds(8);

    [Fact]
    public void Every_reader_keeps_its_promises_for_a_few_seconds()
    {
        using var output = new StringWriter();
        Assert.True(Campaign.Smoke([.. AllTargets.New()], Time, seed: 1, output), output.ToString());
    }

    [Fact]
    public void A_bug_planted_in_each_check_is_found()
    {
        using var output = new StringWriter();
        Assert.True(Campaign.Canary([.. AllTargets.New()], Time * 4, seed: 1, output), output.ToString());
    }
}
