using Etcdserverpb;
using Perf.Grpc;
using Metadata = Perf.Grpc.Metadata;

namespace Perf.Proxy.Grpc;

/// <summary>
/// Watches through the proxy. Clients who watch the same range with the same token share one watch of the cluster: each
/// sees every event of its range once and in order, from the revision it asked for.
/// </summary>
internal sealed class WatchProxy(Upstream upstream, KeyNamespace keys, ProxyFigures figures)
{
    private readonly Lock _gate = new();
    private readonly Dictionary<WatchRange, List<Broadcast>> _broadcasts = [];

    public void Map(GrpcRouter router) =>
        router.Map("/etcdserverpb.Watch/Watch", MethodKind.Duplex, ServeAsync);

    /// <summary>Watches of the cluster that are open.</summary>
    public int Count
    {
        get
        {
            lock (_gate)
            {
                return _broadcasts.Values.Sum(list => list.Count);
            }
        }
    }

    /// <summary>The cluster's header now, which a new watch's answer carries; also refuses who may not read.</summary>
    public Task<RangeResponse> NowAsync(RangeRequest request, Metadata headers, CancellationToken cancelled) =>
        upstream.CallAsync<RangeResponse>("/etcdserverpb.KV/Range", request, headers, null, mayRepeat: true, cancelled);

    /// <summary>Lets a watcher join a watch of its range that has not passed its revision, or begins one.</summary>
    public void Join(ProxyWatcher watcher, Metadata headers)
    {
        lock (_gate)
        {
            if (!_broadcasts.TryGetValue(watcher.Range, out List<Broadcast>? list))
            {
                _broadcasts.Add(watcher.Range, list = []);
            }

            foreach (Broadcast candidate in list)
            {
                if (candidate.NextRevision <= watcher.NextRevision)
                {
                    candidate.Watchers.Add(watcher);
                    watcher.Broadcast = candidate;
                    figures.WatchersShared(1);
                    return;
                }
            }

            var broadcast = new Broadcast(this, upstream, watcher.Range, headers, watcher.NextRevision);
            broadcast.Watchers.Add(watcher);
            watcher.Broadcast = broadcast;
            list.Add(broadcast);
            broadcast.Start();
        }
    }

    public void Leave(ProxyWatcher watcher)
    {
        lock (_gate)
        {
            if (watcher.Broadcast is not { } broadcast || !broadcast.Watchers.Remove(watcher))
            {
                return;
            }

            watcher.Broadcast = null;
            if (broadcast.Watchers.Count == 0)
            {
                Forget(broadcast);
                broadcast.Stop();
            }
            else
            {
                figures.WatchersShared(-1);
            }
        }
    }

    /// <summary>Lowest revision that all watchers of a stream have seen everything up to; 0: one has seen nothing yet.</summary>
    public long SeenBy(IEnumerable<ProxyWatcher> watchers)
    {
        lock (_gate)
        {
            long seen = long.MaxValue;
            foreach (ProxyWatcher watcher in watchers)
            {
                seen = Math.Min(seen, (watcher.Broadcast?.NextRevision ?? 1) - 1);
            }

            return seen == long.MaxValue ? 0 : seen;
        }
    }

    /// <summary>An answer of the cluster goes to all watchers; a watch that has caught up with another gives it its own.</summary>
    public void Deliver(Broadcast broadcast, WatchResponse answer)
    {
        keys.Strip(answer.Events.Select(e => e.Kv).Concat(answer.Events.Select(e => e.PrevKv).Where(kv => kv is not null)));
        lock (_gate)
        {
            foreach (ProxyWatcher watcher in broadcast.Watchers)
            {
                watcher.Post(answer);
            }

            figures.EventsShared(answer.Events.Count * Math.Max(0, broadcast.Watchers.Count - 1));
            long last = answer.Events.Count > 0 ? answer.Events[^1].Kv.ModRevision : answer.Header.Revision;
            broadcast.NextRevision = Math.Max(broadcast.NextRevision, last + 1);
            Broadcast? other = _broadcasts.GetValueOrDefault(broadcast.Range)?
                .Find(b => b != broadcast && b.NextRevision == broadcast.NextRevision);
            if (other is not null && answer.Events.Count > 0)
            {
                figures.WatchersShared(broadcast.Watchers.Count);
                foreach (ProxyWatcher watcher in broadcast.Watchers)
                {
                    watcher.Broadcast = other;
                    other.Watchers.Add(watcher);
                }

                broadcast.Watchers.Clear();
                Forget(broadcast);
                broadcast.Stop();
            }
        }
    }

    /// <summary>The cluster has ended a watch: so it ends for everybody on it.</summary>
    public void End(Broadcast broadcast, WatchResponse reason)
    {
        lock (_gate)
        {
            foreach (ProxyWatcher watcher in broadcast.Watchers)
            {
                watcher.Broadcast = null;
                watcher.End(reason);
            }

            figures.WatchersShared(-Math.Max(0, broadcast.Watchers.Count - 1));
            broadcast.Watchers.Clear();
            Forget(broadcast);
        }
    }

    private void Forget(Broadcast broadcast)
    {
        if (_broadcasts.TryGetValue(broadcast.Range, out List<Broadcast>? list))
        {
            list.Remove(broadcast);
            if (list.Count == 0)
            {
                _broadcasts.Remove(broadcast.Range);
            }
        }
    }

    private async ValueTask ServeAsync(ServerCall call)
    {
        var stream = new ProxyWatchStream(this, keys, Upstream.Headers(call));
        await stream.ServeAsync(call).ConfigureAwait(false);
    }
}
