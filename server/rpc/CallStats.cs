using System.Collections.Frozen;
using System.Diagnostics;
using Perf.Grpc;
using Perf.Node;
using Perf.Node.Metrics;

namespace Perf.Rpc;

/// <summary>What is noted of calls that have ended: a line for slow ones, and with --metrics=extensive how long all took.</summary>
internal sealed class CallStats
{
    /// <summary>The buckets of Prometheus' own libraries.</summary>
    private static readonly double[] Bounds = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];

    private readonly EtcdNode _node;
    private readonly long _slowTicks;
    private readonly FrozenDictionary<string, Histogram>? _times;

    public CallStats(EtcdNode node, GrpcRouter router)
    {
        _node = node;
        _slowTicks = (long)(node.Config.WarningUnaryRequestDuration.TotalSeconds * Stopwatch.Frequency);
        _times = node.Config.Metrics == "extensive"
            ? router.Methods.ToFrozenDictionary(method => method.Path, _ => new Histogram(Bounds))
            : null;
    }

    /// <summary>How long the calls of each method took, by path; null unless asked for.</summary>
    public IReadOnlyDictionary<string, Histogram>? Times => _times;

    public void Ended(ServerCall call, in CallOutcome outcome)
    {
        if (_times is not null && _times.TryGetValue(outcome.Method.Path, out Histogram? times))
        {
            times.Observe(outcome.Ticks);
        }

        if (outcome.Ticks > _slowTicks && outcome.Method.Kind == MethodKind.Unary)
        {
            Tell(call, outcome);
        }
    }

    /// <summary>etcd's line, with what is known without the messages.</summary>
    private void Tell(ServerCall call, in CallOutcome outcome)
    {
        TimeSpan took = Stopwatch.GetElapsedTime(0, outcome.Ticks);
        _node.Log.Warn(
            "request stats",
            ("start time", _node.Clock.GetUtcNow() - took),
            ("time spent", took),
            ("remote", call.Remote?.ToString()),
            ("response type", outcome.Method.Path),
            ("request count", outcome.MessagesReceived),
            ("request size", outcome.BytesReceived),
            ("response count", outcome.MessagesSent),
            ("response size", outcome.BytesSent),
            ("request content", ""));
    }
}
