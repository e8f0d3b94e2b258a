using System.Buffers;
using Perf.Grpc;
using Perf.Node;
using Perf.Store;
using Perf.Store.Auth;
using Perf.Store.Watch;

namespace Perf.Rpc;

/// <summary>etcdserverpb.Watch: reads requests, lets the hub's pump write the answers.</summary>
internal sealed class WatchService(EtcdNode node, Admission admission)
{
    public void Map(GrpcRouter router) => router.Map("/etcdserverpb.Watch/Watch", MethodKind.Duplex, Watch);

    private async ValueTask Watch(ServerCall call)
    {
        StoreError error = admission.Admit(call);
        if (error != StoreError.None)
        {
            StatusMapping.Fail(call, error);
            return;
        }

        await call.SendHeadersAsync().ConfigureAwait(false);
        var output = new WatchOutput(call);
        WatchStream stream = node.State.Watches.Open(output, (key, end) => Refuse(call, key, end));
        output.Stream = stream;
        using Timer progress = ProgressTimer(stream);
        using LeaderGuard? guard = Admission.WantsLeader(call) ? new LeaderGuard(node) : null;
        bool leaderLost = false;
        try
        {
            while (true)
            {
                await output.WaitForRoomAsync().ConfigureAwait(false);
                Task<bool> read = call.ReadMessageAsync().AsTask();
                Task first = guard is null
                    ? await Task.WhenAny(read, stream.Completed).ConfigureAwait(false)
                    : await Task.WhenAny(read, stream.Completed, guard.Lost).ConfigureAwait(false);
                if (guard is not null && first == guard.Lost)
                {
                    leaderLost = true;
                    break;
                }

                if (first == stream.Completed)
                {
                    break;
                }

                if (!await read.ConfigureAwait(false))
                {
                    // The client asks for nothing more; what it has asked for goes on.
                    leaderLost = await RemainAsync(stream, guard, call.Cancelled).ConfigureAwait(false);
                    break;
                }

                if (!Handle(stream, call.Message))
                {
                    StatusMapping.Fail(call, StoreError.Malformed);
                    break;
                }
            }
        }
        finally
        {
            stream.Close();
            await stream.Completed.ConfigureAwait(false);
            await output.DrainAsync().ConfigureAwait(false);
        }

        if (leaderLost)
        {
            StatusMapping.Fail(call, StoreError.NoLeader);
        }
    }

    /// <summary>Until the stream ends, the client goes or, that is true, the leader is lost.</summary>
    private static async Task<bool> RemainAsync(WatchStream stream, LeaderGuard? guard, CancellationToken cancelled)
    {
        var gone = Task.Delay(Timeout.Infinite, cancelled);
        Task first = await Task.WhenAny(gone, stream.Completed, guard?.Lost ?? gone).ConfigureAwait(false);
        return guard is not null && first == guard.Lost;
    }

    private static bool Handle(WatchStream stream, in ReadOnlySequence<byte> message)
    {
        using var request = new ContiguousMessage(message);
        return stream.TryHandle(request.Span);
    }

    private Timer ProgressTimer(WatchStream stream)
    {
        // Up to a tenth of jitter, as etcd has it, so that streams opened together do not report together.
        TimeSpan interval = node.Config.WatchProgressNotifyInterval;
        interval += interval * (Random.Shared.NextDouble() / 10);
        return new Timer(_ => stream.ReportProgress(), null, interval, interval);
    }

    private string? Refuse(ServerCall call, ReadOnlySpan<byte> key, ReadOnlySpan<byte> end)
    {
        StoreError error = admission.Subject(call, out AuthSubject subject);
        if (error == StoreError.None && !subject.MayDoEverything)
        {
            error = subject.Check(PermissionKind.Read, key, end);
        }

        if (error == StoreError.None)
        {
            return null;
        }

        (StatusCode code, string text) = StatusMapping.Of(error);
        return $"rpc error: code = {code} desc = {text}";
    }

    /// <summary>The call's response stream as the hub's pump sees it.</summary>
    private sealed class WatchOutput(ServerCall call) : IWatchOutput
    {
        private volatile Task? _slow;

        public WatchStream? Stream { get; set; }

        /// <summary>A flush that did not complete at once: the client's window is closed.</summary>
        public bool IsFull => _slow is { IsCompleted: false };

        public IBufferWriter<byte> StartMessage(int bytes) => call.StartMessage(bytes);

        public bool TryFlush()
        {
            if (IsFull)
            {
                return false;
            }

            ValueTask flush = call.FlushAsync();
            if (flush.IsCompletedSuccessfully)
            {
                flush.GetAwaiter().GetResult();
                return true;
            }

            Task slow = flush.AsTask();
            _slow = slow;
            slow.GetAwaiter().UnsafeOnCompleted(() => Stream?.Resume());
            return true;
        }

        /// <summary>Requests are not read either while answers cannot leave.</summary>
        public Task WaitForRoomAsync() => Swallow(_slow);

        public Task DrainAsync() => Swallow(_slow);

        private static async Task Swallow(Task? task)
        {
            if (task is not null)
            {
                await task.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            }
        }
    }
}
