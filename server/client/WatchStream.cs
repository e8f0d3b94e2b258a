using System.Threading.Channels;
using Etcdserverpb;

namespace Perf.Client;

/// <summary>
/// The stream that carries all watches of a client. State is under one lock, requests go out through a queue, and the
/// loop that reads answers is also the one that reopens a broken stream and resumes each watch.
/// </summary>
/// <remarks>
/// Creates are sent one at a time: the server answers a create with an id of its choice and nothing that names the
/// request, so at most one may be unanswered.
/// </remarks>
internal sealed class WatchStream
{
    private static readonly TimeSpan ReconnectDelay = TimeSpan.FromMilliseconds(100);

    private readonly Caller _caller;
    private readonly bool _requireLeader;
    private readonly object _gate = new();
    private readonly List<Watching> _watchings = [];
    private readonly Dictionary<long, Watching> _byId = [];
    private readonly Queue<Watching> _toCreate = new();
    private Watching? _creating;
    private ChannelWriter<WatchRequest>? _outgoing;
    private CancellationTokenSource? _attempt;
    private bool _running;

    public WatchStream(Caller caller, bool requireLeader)
    {
        _caller = caller;
        _requireLeader = requireLeader;
    }

    public void Add(Watching watching)
    {
        lock (_gate)
        {
            _watchings.Add(watching);
            if (!_running)
            {
                _running = true;
                _ = Task.Run(RunAsync);
                return;
            }

            if (_outgoing is not null)
            {
                _toCreate.Enqueue(watching);
                CreateNextLocked();
            }
        }
    }

    public void Remove(Watching watching)
    {
        lock (_gate)
        {
            if (!_watchings.Remove(watching))
            {
                return;
            }

            if (watching.Id >= 0 && _byId.Remove(watching.Id))
            {
                CancelLocked(watching.Id);
            }

            if (_watchings.Count == 0)
            {
                _attempt?.Cancel();
            }
        }
    }

    public void RequestProgress()
    {
        lock (_gate)
        {
            _outgoing?.TryWrite(new WatchRequest { ProgressRequest = new WatchProgressRequest() });
        }
    }

    /// <summary>True when no other member could do better: the watch was refused, not interrupted.</summary>
    private static bool EndsWatches(EtcdException e) =>
        e.Code is not (RpcCode.Unavailable or RpcCode.Internal) || e.Detail == EtcdErrors.NoLeader;

    private static bool IsStaleToken(string reason) =>
        reason.EndsWith(EtcdErrors.InvalidAuthToken, StringComparison.Ordinal)
        || reason.EndsWith(EtcdErrors.AuthOldRevision, StringComparison.Ordinal);

    private async Task RunAsync()
    {
        while (true)
        {
            using var attempt = CancellationTokenSource.CreateLinkedTokenSource(_caller.Closed);
            lock (_gate)
            {
                if (_watchings.Count == 0)
                {
                    _running = false;
                    return;
                }

                _attempt = attempt;
            }

            Exception? end = null;
            try
            {
                await ServeAsync(attempt).ConfigureAwait(false);
            }
            catch (EtcdException e) when (_caller.MayRefresh(e))
            {
                _caller.ForgetToken();
            }
            catch (EtcdException e)
            {
                _caller.Warn($"watch stream: {e.Message}");
                end = EndsWatches(e) ? e : null;
            }
            catch (OperationCanceledException)
            {
                end = _caller.Closed.IsCancellationRequested
                    ? new EtcdException(RpcCode.Canceled, "the client was closed")
                    : null;
            }

            List<Watching>? ended = null;
            lock (_gate)
            {
                _attempt = null;
                _outgoing = null;
                _creating = null;
                _toCreate.Clear();
                _byId.Clear();
                foreach (Watching watching in _watchings)
                {
                    watching.Id = -1;
                    watching.Fragments = null;
                    watching.FragmentMessages = null;
                }

                if (end is not null)
                {
                    ended = [.. _watchings];
                    _watchings.Clear();
                }
            }

            ended?.ForEach(w => w.End(end));
            bool more;
            lock (_gate)
            {
                more = _watchings.Count > 0;
            }

            if (more)
            {
                await Task.Delay(ReconnectDelay).ConfigureAwait(false);
            }
        }
    }

    private async Task ServeAsync(CancellationTokenSource attempt)
    {
        await using Duplex<WatchRequest, Etcdserverpb.WatchResponse> call =
            await _caller.OpenAsync<WatchRequest, Etcdserverpb.WatchResponse>(
                "/etcdserverpb.Watch/Watch",
                Etcdserverpb.WatchResponse.Parser,
                _requireLeader,
                endpoint: null,
                attempt.Token).ConfigureAwait(false);
        Channel<WatchRequest> outgoing = Channel.CreateUnbounded<WatchRequest>(
            new UnboundedChannelOptions { SingleReader = true });
        lock (_gate)
        {
            _outgoing = outgoing.Writer;
            foreach (Watching watching in _watchings)
            {
                _toCreate.Enqueue(watching);
            }

            CreateNextLocked();
        }

        Task sender = SendAsync(call, outgoing.Reader, attempt.Token);
        try
        {
            while (await call.ReceiveAsync().ConfigureAwait(false) is { } answer)
            {
                if (Take(answer) is { } reason)
                {
                    // The token went stale under the stream: reopen it with a fresh one, resuming every watch.
                    _caller.ForgetToken();
                    _caller.Warn($"watch stream: {reason}");
                    return;
                }
            }
        }
        finally
        {
            outgoing.Writer.TryComplete();
            await attempt.CancelAsync().ConfigureAwait(false);
            await sender.ConfigureAwait(false);
        }
    }

    private static async Task SendAsync(
        Duplex<WatchRequest, Etcdserverpb.WatchResponse> call,
        ChannelReader<WatchRequest> requests,
        CancellationToken cancellation)
    {
        try
        {
            await foreach (WatchRequest request in requests.ReadAllAsync(cancellation).ConfigureAwait(false))
            {
                await call.SendAsync(request, cancellation).ConfigureAwait(false);
            }
        }
        catch (Exception e) when (e is EtcdException or OperationCanceledException)
        {
            // The receiving side reports why the stream broke.
        }
    }

    private void CreateNextLocked()
    {
        while (_creating is null && _outgoing is not null && _toCreate.TryDequeue(out Watching? next))
        {
            if (!_watchings.Contains(next))
            {
                continue;
            }

            _creating = next;
            var create = new WatchCreateRequest
            {
                Key = Wire.String(next.Key),
                RangeEnd = Wire.String(next.RangeEnd),
                StartRevision = next.NextRevision,
                ProgressNotify = next.Options.ProgressNotify,
                PrevKv = next.Options.PrevKv,
                Fragment = true,
            };
            if (next.Options.NoPut)
            {
                create.Filters.Add(WatchCreateRequest.Types.FilterType.Noput);
            }

            if (next.Options.NoDelete)
            {
                create.Filters.Add(WatchCreateRequest.Types.FilterType.Nodelete);
            }

            _outgoing.TryWrite(new WatchRequest { CreateRequest = create });
        }
    }

    private void CancelLocked(long id) =>
        _outgoing?.TryWrite(new WatchRequest { CancelRequest = new WatchCancelRequest { WatchId = id } });

    /// <summary>Handles one answer. Returns a reason when the stream must be reopened with a fresh token.</summary>
    private string? Take(Etcdserverpb.WatchResponse answer)
    {
        if (answer.Canceled && IsStaleToken(answer.CancelReason) && _caller.HasCredentials)
        {
            return answer.CancelReason;
        }

        Watching? ended = null;
        List<(Watching To, WatchResponse Response)> deliveries = [];
        lock (_gate)
        {
            if (answer.Created)
            {
                ended = TakeCreatedLocked(answer);
            }
            else if (answer.WatchId == -1 && !answer.Canceled)
            {
                foreach (Watching watching in _byId.Values)
                {
                    ProgressLocked(watching, answer, deliveries);
                }
            }
            else if (_byId.TryGetValue(answer.WatchId, out Watching? watching))
            {
                if (answer.CompactRevision != 0 || answer.Canceled)
                {
                    _byId.Remove(answer.WatchId);
                    _watchings.Remove(watching);
                    ended = watching;
                }
                else if (answer.Events.Count > 0 || watching.Fragments is not null)
                {
                    EventsLocked(watching, answer, deliveries);
                }
                else
                {
                    ProgressLocked(watching, answer, deliveries);
                }
            }
        }

        foreach ((Watching to, WatchResponse response) in deliveries)
        {
            to.Deliver(response);
        }

        ended?.End(answer.CompactRevision != 0
            ? new CompactedException(answer.CompactRevision)
            : new EtcdException(
                answer.CancelReason.Length > 0 ? RpcCode.FailedPrecondition : RpcCode.OutOfRange,
                answer.CancelReason.Length > 0 ? answer.CancelReason : EtcdErrors.FutureRevision));
        return null;
    }

    /// <summary>Returns the watch when the server refused it.</summary>
    private Watching? TakeCreatedLocked(Etcdserverpb.WatchResponse answer)
    {
        Watching? created = _creating;
        _creating = null;
        try
        {
            if (created is null || !_watchings.Contains(created))
            {
                if (!answer.Canceled)
                {
                    CancelLocked(answer.WatchId);
                }

                return null;
            }

            if (answer.Canceled)
            {
                _watchings.Remove(created);
                return created;
            }

            created.Id = answer.WatchId;
            _byId[answer.WatchId] = created;
            if (created.NextRevision == 0)
            {
                created.NextRevision = answer.Header.Revision + 1;
            }

            created.Accepted();
            return null;
        }
        finally
        {
            CreateNextLocked();
        }
    }

    private static void EventsLocked(
        Watching watching,
        Etcdserverpb.WatchResponse answer,
        List<(Watching To, WatchResponse Response)> deliveries)
    {
        List<WatchEvent> events = watching.Fragments ?? new List<WatchEvent>(answer.Events.Count);
        List<Mvccpb.Event> messages = watching.FragmentMessages ?? [];
        foreach (Mvccpb.Event e in answer.Events)
        {
            // A server that resumes a little early must not make an event come twice.
            if (e.Kv.ModRevision >= watching.NextRevision)
            {
                events.Add(WatchEvent.From(e));
                messages.Add(e);
            }
        }

        if (answer.Fragment)
        {
            watching.Fragments = events;
            watching.FragmentMessages = messages;
            return;
        }

        Etcdserverpb.WatchResponse whole = answer;
        if (messages.Count != answer.Events.Count)
        {
            watching.Fragments = null;
            watching.FragmentMessages = null;
            whole = new Etcdserverpb.WatchResponse { Header = answer.Header };
            whole.Events.AddRange(messages);
        }

        if (events.Count == 0)
        {
            return;
        }

        watching.NextRevision = Math.Max(watching.NextRevision, events[^1].Kv.ModRevision + 1);
        deliveries.Add((watching, new WatchResponse
        {
            Header = ResponseHeader.From(answer.Header),
            Events = events,
            Message = whole,
        }));
    }

    private static void ProgressLocked(
        Watching watching,
        Etcdserverpb.WatchResponse answer,
        List<(Watching To, WatchResponse Response)> deliveries)
    {
        if (answer.Header is null || answer.Header.Revision + 1 < watching.NextRevision)
        {
            return;
        }

        watching.NextRevision = answer.Header.Revision + 1;
        deliveries.Add((watching, new WatchResponse
        {
            Header = ResponseHeader.From(answer.Header),
            Message = answer,
        }));
    }
}
