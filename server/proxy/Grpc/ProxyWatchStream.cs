using System.Collections.Concurrent;
using System.Threading.Channels;
using Etcdserverpb;
using Google.Protobuf;
using Perf.Grpc;
using Metadata = Perf.Grpc.Metadata;

namespace Perf.Proxy.Grpc;

/// <summary>
/// A client's watch stream. Answers wait in a bounded queue; a client that lets it fill loses its stream, opens another
/// and goes on where it was, as clients do.
/// </summary>
internal sealed class ProxyWatchStream(WatchProxy owner, KeyNamespace keys, Metadata headers)
{
    private const int AnswersMax = 4096;

    private readonly ConcurrentDictionary<long, ProxyWatcher> _watchers = new();
    private readonly Channel<WatchResponse> _answers = Channel.CreateBounded<WatchResponse>(
        new BoundedChannelOptions(AnswersMax) { SingleReader = true });

    private long _nextId;

    public async Task ServeAsync(ServerCall call)
    {
        Task writing = WriteAsync(call);
        try
        {
            while (await call.ReadMessageAsync().ConfigureAwait(false))
            {
                WatchRequest request = WatchRequest.Parser.Read(call);
                switch (request.RequestUnionCase)
                {
                    case WatchRequest.RequestUnionOneofCase.CreateRequest:
                        await CreateAsync(request.CreateRequest, call.Cancelled).ConfigureAwait(false);
                        break;
                    case WatchRequest.RequestUnionOneofCase.CancelRequest:
                        Cancel(request.CancelRequest.WatchId);
                        break;
                    case WatchRequest.RequestUnionOneofCase.ProgressRequest:
                        await TellProgressAsync(call.Cancelled).ConfigureAwait(false);
                        break;
                }
            }

            // A client that sends no more still listens.
            await writing.ConfigureAwait(false);
        }
        finally
        {
            _answers.Writer.TryComplete();
            foreach (ProxyWatcher watcher in _watchers.Values)
            {
                owner.Leave(watcher);
            }

            await writing.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }
    }

    /// <summary>Any thread.</summary>
    public void Post(WatchResponse answer)
    {
        if (!_answers.Writer.TryWrite(answer))
        {
            _answers.Writer.TryComplete(new RpcException(
                StatusCode.Unavailable, "the watch stream's reader is too slow: open another and go on"));
        }
    }

    /// <summary>A watch that the cluster has ended.</summary>
    public void Ended(ProxyWatcher watcher, WatchResponse answer)
    {
        if (_watchers.TryRemove(watcher.Id, out _))
        {
            Post(answer);
        }
    }

    private async Task CreateAsync(WatchCreateRequest request, CancellationToken cancelled)
    {
        ByteString key = request.Key.IsEmpty ? ByteString.CopyFrom(0) : request.Key;
        ByteString end = request.RangeEnd;
        bool isOpen = end.Length == 1 && end[0] == 0;
        if (!end.IsEmpty && !isOpen && key.Span.SequenceCompareTo(end.Span) >= 0)
        {
            Refuse("mvcc: watcher range is empty", new ResponseHeader());
            return;
        }

        RangeResponse now;
        try
        {
            now = await NowAsync(key, end, cancelled).ConfigureAwait(false);
        }
        catch (RpcException e) when (e.Code is StatusCode.PermissionDenied or StatusCode.Unauthenticated or StatusCode.InvalidArgument)
        {
            Refuse(e.ToString(), new ResponseHeader());
            return;
        }

        long id = request.WatchId;
        if (id == 0)
        {
            while (_watchers.ContainsKey(_nextId))
            {
                _nextId++;
            }

            id = _nextId++;
        }

        var range = new WatchRange(
            keys.IsNone ? key : keys.Add(key),
            keys.IsNone ? end : keys.AddEnd(end),
            (headers.Get("token") ?? headers.Get("authorization") ?? "") + (headers.Get("hasleader") == "true" ? "!" : ""));
        var watcher = new ProxyWatcher(this, id, range, request)
        {
            NextRevision = request.StartRevision > 0 ? request.StartRevision : now.Header.Revision + 1,
        };
        if (request.StartRevision < 0)
        {
            Refuse("etcdserver: mvcc: required revision has been compacted", now.Header);
            return;
        }

        if (!_watchers.TryAdd(id, watcher))
        {
            Refuse("mvcc: duplicate watch ID provided on the WatchStream", now.Header);
            return;
        }

        Post(new WatchResponse { Header = now.Header, WatchId = id, Created = true });
        owner.Join(watcher, headers);
    }

    /// <summary>Whoever may not read the range is told so now; else it is a count of one key.</summary>
    private Task<RangeResponse> NowAsync(ByteString key, ByteString end, CancellationToken cancelled)
    {
        if (headers.Get("token") is null && headers.Get("authorization") is null)
        {
            return owner.NowAsync(new RangeRequest { Key = keys.IsNone ? key : keys.Add(key), CountOnly = true }, headers, cancelled);
        }

        var request = new RangeRequest { Key = key, RangeEnd = end, Limit = 1, KeysOnly = true };
        keys.Apply(request);
        return owner.NowAsync(request, headers, cancelled);
    }

    private void Refuse(string reason, ResponseHeader header) => Post(new WatchResponse
    {
        Header = header,
        WatchId = -1,
        Created = true,
        Canceled = true,
        CancelReason = reason,
    });

    private void Cancel(long id)
    {
        if (_watchers.TryRemove(id, out ProxyWatcher? watcher))
        {
            owner.Leave(watcher);
            Post(new WatchResponse { Header = new ResponseHeader(), WatchId = id, Canceled = true });
        }
    }

    /// <summary>What all watchers of the stream have seen; nothing is said while one has seen nothing.</summary>
    private async Task TellProgressAsync(CancellationToken cancelled)
    {
        RangeResponse now = await NowAsync(ByteString.CopyFrom(0), ByteString.Empty, cancelled).ConfigureAwait(false);
        ResponseHeader header = now.Header;
        if (!_watchers.IsEmpty)
        {
            header.Revision = Math.Min(header.Revision, owner.SeenBy(_watchers.Values));
        }

        if (header.Revision > 0)
        {
            Post(new WatchResponse { Header = header, WatchId = -1 });
        }
    }

    private async Task WriteAsync(ServerCall call)
    {
        await call.SendHeadersAsync().ConfigureAwait(false);
        await foreach (WatchResponse answer in _answers.Reader.ReadAllAsync(call.Cancelled).ConfigureAwait(false))
        {
            answer.WriteTo(call.StartMessage(answer.CalculateSize()));
            await call.FlushAsync().ConfigureAwait(false);
        }
    }
}
