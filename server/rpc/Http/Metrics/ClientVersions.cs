using System.Collections.Concurrent;
using System.Runtime.CompilerServices;
using Perf.Grpc;

namespace Perf.Rpc.Http.Metrics;

/// <summary>How many calls came from clients of which version, by what they say in their metadata (SURFACE REQ-06).</summary>
internal sealed class ClientVersions
{
    /// <summary>
    /// Series in all, one of each kind for those without a version among them: what clients make up must not grow the
    /// page without end.
    /// </summary>
    public const int SeriesMax = 12;

    private const string Header = "client-api-version";
    private const string Unknown = "unknown";

    private readonly ConcurrentDictionary<(MethodKind Kind, string Version), StrongBox<long>> _counts = new();

    public ClientVersions()
    {
        foreach (MethodKind kind in Enum.GetValues<MethodKind>())
        {
            _counts[(kind, Unknown)] = new StrongBox<long>();
        }
    }

    /// <summary>All counts, in order.</summary>
    public IEnumerable<(MethodKind Kind, string Version, long Count)> All =>
        _counts.OrderBy(count => count.Key).Select(count => (count.Key.Kind, count.Key.Version, Volatile.Read(ref count.Value.Value)));

    /// <summary>Counts a call. Any thread.</summary>
    public void Count(MethodKind kind, ServerCall call) => Interlocked.Increment(ref (call.Tally ??= Find(kind, call)).Value);

    private StrongBox<long> Find(MethodKind kind, ServerCall call)
    {
        if (!call.TryGetHeader(Header, out string version) || version.Length == 0)
        {
            version = Unknown;
        }

        return _counts.TryGetValue((kind, version), out StrongBox<long>? count) ? count
            : _counts.Count < SeriesMax ? _counts.GetOrAdd((kind, version), _ => new StrongBox<long>())
            : _counts[(kind, Unknown)];
    }
}
