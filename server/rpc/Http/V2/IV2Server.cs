using Perf.Store.V2;

namespace Perf.Rpc.Http.V2;

/// <summary>A watch of the v2 API.</summary>
internal interface IV2Watch : IAsyncDisposable
{
    /// <summary>The index when it began.</summary>
    ulong StartIndex { get; }

    /// <summary>The next event; null when there will be none.</summary>
    ValueTask<V2Event?> NextAsync(CancellationToken cancelled);
}

/// <summary>What the v2 API stands on: the replicated v2 tree, or the v3 keys under a prefix.</summary>
internal interface IV2Server
{
    /// <summary>Does a request; GET and HEAD here and now, everything else through the log.</summary>
    Task<V2Result> DoAsync(V2Request request);

    /// <summary>Begins a watch; one of the two is null.</summary>
    Task<(IV2Watch? Watch, V2Error? Error)> WatchAsync(V2Request request, CancellationToken cancelled);

    /// <summary>GET /v2/stats/store.</summary>
    string StoreStatistics();
}
