using Etcdserverpb;
using Google.Protobuf;
using Perf.Grpc;
using Metadata = Perf.Grpc.Metadata;

namespace Perf.Proxy.Grpc;

/// <summary>What watchers must have in common to share a watch: the range, and who they are.</summary>
internal readonly record struct WatchRange(ByteString Key, ByteString End, string Who);

/// <summary>
/// One watch of the cluster. Everything is asked for (previous values, progress, all kinds of events), since each watcher
/// wants something else of it. When the stream breaks it is opened again where it broke. Watchers and revision are
/// guarded by the proxy's lock.
/// </summary>
internal sealed class Broadcast(
    WatchProxy owner, Upstream upstream, WatchRange range, Metadata headers, long nextRevision)
{
    private const string Path = "/etcdserverpb.Watch/Watch";

    private static readonly TimeSpan Pause = TimeSpan.FromMilliseconds(100);

    private readonly CancellationTokenSource _stop = new();

    public WatchRange Range { get; } = range;

    public List<ProxyWatcher> Watchers { get; } = [];

    /// <summary>Everything below has been delivered.</summary>
    public long NextRevision { get; set; } = nextRevision;

    public void Start() => _ = Task.Run(RunAsync);

    public void Stop() => _stop.Cancel();

    private async Task RunAsync()
    {
        while (!_stop.IsCancellationRequested)
        {
            try
            {
                if (await FollowAsync().ConfigureAwait(false) is { } reason)
                {
                    owner.End(this, reason);
                    return;
                }

                await Task.Delay(Pause, _stop.Token).ConfigureAwait(false);
            }
            catch (OperationCanceledException)
            {
                return;
            }
            catch (RpcException e) when (e.Code is StatusCode.Unavailable or StatusCode.Cancelled or StatusCode.Internal)
            {
                // The member has gone, or has no leader: another one, from where we are.
                if (headers.Get("hasleader") == "true" && e.Message == "etcdserver: no leader")
                {
                    owner.End(this, new WatchResponse { Canceled = true, CancelReason = "etcdserver: no leader" });
                    return;
                }

                try
                {
                    await Task.Delay(Pause, _stop.Token).ConfigureAwait(false);
                }
                catch (OperationCanceledException)
                {
                    return;
                }
            }
            catch (Exception e) when (e is RpcException or InvalidProtocolBufferException)
            {
                owner.End(this, new WatchResponse { Canceled = true, CancelReason = e.ToString() });
                return;
            }
        }
    }

    /// <summary>The cluster's reason to end the watch; null when only the stream has ended.</summary>
    private async Task<WatchResponse?> FollowAsync()
    {
        await using var stream = await upstream.OpenAsync(Path, headers, _stop.Token).ConfigureAwait(false);
        var create = new WatchCreateRequest
        {
            Key = Range.Key,
            RangeEnd = Range.End,
            StartRevision = NextRevision,
            PrevKv = true,
            ProgressNotify = true,
        };
        await stream.WriteAsync(new WatchRequest { CreateRequest = create }.ToByteArray()).ConfigureAwait(false);
        while (await stream.MoveNextAsync().ConfigureAwait(false))
        {
            WatchResponse answer = WatchResponse.Parser.ParseFrom(stream.Current.Span);
            if (answer.Canceled)
            {
                return answer;
            }

            if (!answer.Created)
            {
                owner.Deliver(this, answer);
            }
        }

        return null;
    }
}
