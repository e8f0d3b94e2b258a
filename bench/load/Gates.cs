using System.Globalization;

namespace Perf.Bench.Load;

/// <summary>
/// What the project promised itself, checked against the results at hand. A gate whose scenario was not run is left
/// out; one that compares needs the other server in the same run.
/// </summary>
internal static class Gates
{
    /// <summary>One gate: what, the figure, the bound, whether it holds.</summary>
    internal sealed record Gate(string What, double Value, string Bound, bool Holds);

    public static List<Gate> Check(List<Result> results)
    {
        var gates = new List<Gate>();
        AtMost("put-512", "server CPU a put, us", 12, r => r.CpuMicros);
        AtMost("range-l", "server CPU a linearizable get, us", 9, r => r.CpuMicros);
        AtMost("range-s", "server CPU a serializable get, us", 8, r => r.CpuMicros);
        AtMost("txn", "server CPU a txn, us", 15, r => r.CpuMicros);
        AtMost("members3-put-512", "server CPU a put on three members, us", 30, r => r.CpuMicros);
        AtMost("put-512-random", "server CPU a put, random keys, us", 12, r => r.CpuMicros);
        AtMost("range-l-random", "server CPU a linearizable get, random keys, us", 9, r => r.CpuMicros);
        AtMost("range-s-random", "server CPU a serializable get, random keys, us", 8, r => r.CpuMicros);
        AtMost("txn-random", "server CPU a txn, random keys, us", 15, r => r.CpuMicros);
        Times("put-512", 3.5);
        Lone();
        Times("range-l", 13);
        Times("range-s", 11);
        Times("txn", 13);
        Times("page-1k", 2.3);
        Times("page-100k", 20);
        Flat("page-1m", "page-1k");
        foreach (Result ours in Ours().Where(r => r.Scenario.StartsWith("watch-", StringComparison.Ordinal)))
        {
            if (Other(ours.Scenario) is { } other)
            {
                Add($"{ours.Scenario}: CPU an event, of the other's", ours.CpuMicros / other.CpuMicros, "<= 0.25", v => v <= 0.25);
                Add($"{ours.Scenario}: events/s, times the other", ours.PerSecond / other.PerSecond, ">= 2", v => v >= 2);
                Add($"{ours.Scenario}: p99 delivery, of the other's", ours.P99Millis / other.P99Millis, "<= 0.5", v => v <= 0.5);
            }
        }

        if (Our("beside-quiet") is { } quiet)
        {
            foreach (Result busy in Ours().Where(r => r.Scenario.StartsWith("beside-", StringComparison.Ordinal) && r != quiet))
            {
                Add($"{busy.Scenario}: p99, of the quiet one", busy.P99Millis / quiet.P99Millis, "<= 2", v => v <= 2);
                Add($"{busy.Scenario}: longest put, ms", busy.MaxMillis, "<= 50", v => v <= 50);
            }
        }

        AtMost("idle", "idle PSS, MiB", 60, r => r.PerSecond);
        AtMost("memory-1000000", "anonymous memory with 1 M keys of 256 B, MiB", 300, r => r.PerSecond);
        AtMost("memory-10000000", "anonymous memory with 10 M keys of 100 B, MiB", 2560, r => r.PerSecond);
        AtMost("restart-1000000", "restart with 1 M keys after kill -9, s", 1, r => r.PerSecond);
        return gates;

        IEnumerable<Result> Ours() => results.Where(r => r.Server == "perf");

        Result? Our(string scenario) => results.Find(r => r.Server == "perf" && r.Scenario == scenario);

        Result? Other(string scenario) => results.Find(r => r.Server != "perf" && r.Scenario == scenario);

        void AtMost(string scenario, string what, double bound, Func<Result, double> of)
        {
            if (Our(scenario) is { } ours)
            {
                Add($"{scenario}: {what}", of(ours), FormattableString.Invariant($"<= {bound}"), v => v <= bound);
            }
        }

        void Times(string scenario, double bound)
        {
            if (Our(scenario) is { } ours && Other(scenario) is { } other)
            {
                Add(
                    $"{scenario}: times the other",
                    ours.PerSecond / other.PerSecond,
                    FormattableString.Invariant($">= {bound}"),
                    v => v >= bound);
            }
        }

        void Lone()
        {
            // Twice the other, or what the disk takes and a little.
            if (Our("put-1") is { } ours)
            {
                double sync = results.Find(r => r.Scenario == "sync")?.PerSecond ?? 0;
                double times = Other("put-1") is { } other ? ours.PerSecond / other.PerSecond : 0;
                double over = ours.Latency.Percentile(0.5) - sync;
                gates.Add(new Gate(
                    FormattableString.Invariant($"put-1: us over one fdatasync, median (times the other: {times:0.00})"),
                    over,
                    "<= 60, or >= 2 times",
                    over <= 60 || times >= 2));
            }
        }

        void Flat(string large, string small)
        {
            if (Our(large) is { } l && Our(small) is { } s)
            {
                Add($"{large}: CPU a page, of {small}'s", l.CpuMicros / s.CpuMicros, "<= 2", v => v <= 2);
            }
        }

        void Add(string what, double value, string bound, Func<double, bool> holds) =>
            gates.Add(new Gate(what, value, bound, holds(value)));
    }

    public static string Line(Gate gate) =>
        string.Create(CultureInfo.InvariantCulture, $"{(gate.Holds ? "holds" : "FAILS"),-6} {gate.What,-70} {gate.Value,10:0.##} {gate.Bound}");
}
