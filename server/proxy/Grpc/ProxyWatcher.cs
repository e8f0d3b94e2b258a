using Etcdserverpb;
using Mvccpb;

namespace Perf.Proxy.Grpc;

/// <summary>A client's watch: what of a shared one it wants.</summary>
internal sealed class ProxyWatcher(ProxyWatchStream stream, long id, WatchRange range, WatchCreateRequest wanted)
{
    private readonly bool _noPuts = wanted.Filters.Contains(WatchCreateRequest.Types.FilterType.Noput);
    private readonly bool _noDeletes = wanted.Filters.Contains(WatchCreateRequest.Types.FilterType.Nodelete);

    public long Id { get; } = id;

    public WatchRange Range { get; } = range;

    /// <summary>The shared watch it is on; guarded by the proxy's lock.</summary>
    public Broadcast? Broadcast { get; set; }

    /// <summary>The first revision it has not seen.</summary>
    public long NextRevision { get; set; }

    /// <summary>An answer of the shared watch, as this client asked for it. Under the proxy's lock.</summary>
    public void Post(WatchResponse shared)
    {
        var answer = new WatchResponse { Header = shared.Header, WatchId = Id };
        foreach (Event change in shared.Events)
        {
            if (change.Kv.ModRevision < NextRevision
                || (change.Type == Event.Types.EventType.Put ? _noPuts : _noDeletes))
            {
                continue;
            }

            answer.Events.Add(wanted.PrevKv || change.PrevKv is null
                ? change
                : new Event { Type = change.Type, Kv = change.Kv });
        }

        bool isProgress = shared.Events.Count == 0 && shared.Header.Revision >= NextRevision - 1 && wanted.ProgressNotify;
        if (shared.Events.Count > 0)
        {
            NextRevision = Math.Max(NextRevision, shared.Events[^1].Kv.ModRevision + 1);
        }

        if (answer.Events.Count > 0 || isProgress)
        {
            stream.Post(answer);
        }
    }

    /// <summary>The cluster has ended the shared watch.</summary>
    public void End(WatchResponse reason)
    {
        WatchResponse answer = reason.Clone();
        answer.WatchId = Id;
        answer.Created = false;
        stream.Ended(this, answer);
    }
}
