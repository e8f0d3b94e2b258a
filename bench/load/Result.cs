namespace Perf.Bench.Load;

/// <summary>
/// One measurement on one server: the median round of a load, or a single figure in <see cref="PerSecond"/>'s place
/// with its unit.
/// </summary>
internal sealed record Result(
    string Scenario,
    string What,
    string Server,
    double PerSecond,
    double CpuMicros,
    double PssMiB,
    Histogram Latency,
    bool Complete,
    string Unit = "/s")
{
    /// <summary>The slowest one in milliseconds.</summary>
    public double MaxMillis => Latency.Percentile(1) / 1000.0;

    /// <summary>In milliseconds.</summary>
    public double P99Millis => Latency.Percentile(0.99) / 1000.0;

    /// <summary>A figure without a load.</summary>
    public static Result Of(string scenario, string what, string server, double value, string unit) =>
        new(scenario, what, server, value, 0, 0, new Histogram(), true, unit);
}
