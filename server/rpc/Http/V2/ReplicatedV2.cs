using Perf.Node;
using Perf.Store;
using Perf.Store.V2;

namespace Perf.Rpc.Http.V2;

/// <summary>etcd's own v2 tree: changed by entries of the log, read where the client asks.</summary>
internal sealed class ReplicatedV2(EtcdNode node) : IV2Server
{
    private V2Store Store => node.State.Machine.V2;

    public async Task<V2Result> DoAsync(V2Request request)
    {
        if (request is { Method: "GET", Quorum: false } or { Method: "HEAD" })
        {
            return Store.Get(request.Path, request.Recursive, request.Sorted);
        }

        (StoreError error, V2Result result) = await node
            .DoV2Async(request.Method == "GET" ? request with { Method = "QGET" } : request).ConfigureAwait(false);
        return error == StoreError.None
            ? result
            : new V2Error(V2ErrorCode.RaftInternal, StatusMapping.Of(error).Text, 0);
    }

    public Task<(IV2Watch? Watch, V2Error? Error)> WatchAsync(V2Request request, CancellationToken cancelled)
    {
        V2Error? error = Store.Watch(
            request.Path, request.Recursive, request.Stream, request.Since, out V2Watcher? watcher);
        return Task.FromResult<(IV2Watch?, V2Error?)>((watcher is null ? null : new TreeWatch(watcher), error));
    }

    public string StoreStatistics() => Store.StatisticsJson();

    private sealed class TreeWatch(V2Watcher watcher) : IV2Watch
    {
        public ulong StartIndex => watcher.StartIndex;

        public async ValueTask<V2Event?> NextAsync(CancellationToken cancelled) =>
            await watcher.Events.WaitToReadAsync(cancelled).ConfigureAwait(false)
                && watcher.Events.TryRead(out V2Event? change)
                ? change
                : null;

        public ValueTask DisposeAsync()
        {
            watcher.Dispose();
            return default;
        }
    }
}
