using Perf.Store.Commands;

namespace Perf.Store.Watch;

/// <summary>
/// One client's watch stream. Requests may come from any thread, in order; they are answered by the pump, between
/// events and in the same order. Only the pump touches the rest.
/// </summary>
public sealed class WatchStream
{
    private const string CompactedReason = "etcdserver: mvcc: required revision has been compacted";

    private readonly WatchShard _shard;
    private readonly WatchPermission? _permission;
    private readonly TaskCompletionSource _completed = new(TaskCreationOptions.RunContinuationsAsynchronously);

    internal WatchStream(WatchShard shard, IWatchOutput output, WatchPermission? permission)
    {
        _shard = shard;
        Output = output;
        _permission = permission;
    }

    /// <summary>Done when the hub has let go of the output: after <see cref="Close"/>, or after the output threw.</summary>
    public Task Completed => _completed.Task;

    internal IWatchOutput Output { get; }

    internal Dictionary<long, Watcher> Watchers { get; } = [];

    /// <summary>
    /// Ids of watches that compaction has ended. As in etcd they stay taken until the client cancels them, and that is
    /// answered.
    /// </summary>
    internal HashSet<long> Overtaken { get; } = [];

    /// <summary>Watchers that wait for the output.</summary>
    internal List<Watcher> Paused { get; } = [];

    /// <summary>Watchers that are behind or paused: while there are any, no progress is reported for all.</summary>
    internal int Lagging { get; set; }

    /// <summary>The id that the next watch without one is tried with.</summary>
    internal long NextId { get; set; }

    /// <summary>Has messages that were not flushed.</summary>
    internal bool IsDirty { get; set; }

    /// <summary>The output threw; no more is written to it.</summary>
    internal bool IsFaulted { get; set; }

    /// <summary>
    /// Takes a WatchRequest. False when the bytes are not one; a request of unknown kind is ignored (WCH-19).
    /// </summary>
    public bool TryHandle(ReadOnlySpan<byte> request)
    {
        if (!WatchRequestView.TryParse(request, out WatchRequestView view))
        {
            return false;
        }
        switch (view.Kind)
        {
            case WatchRequestKind.Create:
                if (!WatchCreateView.TryParse(view.Body, out WatchCreateView create))
                {
                    return false;
                }
                Create(create);
                return true;

            case WatchRequestKind.Cancel:
                if (!WatchCancelView.TryParse(view.Body, out WatchCancelView cancel))
                {
                    return false;
                }
                Cancel(cancel.WatchId);
                return true;

            case WatchRequestKind.Progress:
                RequestProgress();
                return true;

            default:
                return true;
        }
    }

    /// <summary>Asks for a watch. Permission is decided here, on the caller's thread.</summary>
    public void Create(in WatchCreateView request)
    {
        // An empty key is the smallest one; the end that is a single zero byte is none at all.
        byte[] key = request.Key.IsEmpty ? [0] : request.Key.ToArray();
        string? refusal = request.StartRevision < 0 ? CompactedReason : _permission?.Invoke(key, request.RangeEnd);
        bool isOpenEnd = request.RangeEnd is [0];
        _shard.Enqueue(new WatchCommand
        {
            Kind = WatchCommandKind.Create,
            Stream = this,
            WatchId = request.WatchId,
            StartRevision = request.StartRevision,
            ProgressNotify = request.ProgressNotify,
            Refusal = refusal,
            Target = new WatchTarget(
                key,
                isOpenEnd || request.RangeEnd.IsEmpty ? null : request.RangeEnd.ToArray(),
                IsRange: !request.RangeEnd.IsEmpty)
            {
                NoPut = request.NoPut,
                NoDelete = request.NoDelete,
                PreviousKv = request.PrevKv,
                Fragment = request.Fragment,
            },
        });
    }

    /// <summary>Ends a watch; an unknown id gets no answer.</summary>
    public void Cancel(long watchId) =>
        _shard.Enqueue(new WatchCommand { Kind = WatchCommandKind.Cancel, Stream = this, WatchId = watchId });

    /// <summary>
    /// Asks for the revision up to which every watch of the stream has been sent everything. No answer while one of
    /// them is behind.
    /// </summary>
    public void RequestProgress() =>
        _shard.Enqueue(new WatchCommand { Kind = WatchCommandKind.Progress, Stream = this });

    /// <summary>
    /// The progress interval of this stream has passed (10 minutes and some jitter): watches with progress_notify
    /// that were sent nothing in it are told how far they are.
    /// </summary>
    public void ReportProgress() =>
        _shard.Enqueue(new WatchCommand { Kind = WatchCommandKind.ReportProgress, Stream = this });

    /// <summary>The output is no longer full.</summary>
    public void Resume() => _shard.Signal();

    /// <summary>Ends the stream and all its watches. The output is in use until <see cref="Completed"/>.</summary>
    public void Close() => _shard.Enqueue(new WatchCommand { Kind = WatchCommandKind.Close, Stream = this });

    /// <summary>True for an id that no new watch can have.</summary>
    internal bool IsTaken(long watchId) => Watchers.ContainsKey(watchId) || Overtaken.Contains(watchId);

    internal void Complete() => _completed.TrySetResult();
}
