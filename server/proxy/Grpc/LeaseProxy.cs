using System.Collections.Concurrent;
using Etcdserverpb;
using Google.Protobuf;
using Perf.Grpc;
using Metadata = Perf.Grpc.Metadata;

namespace Perf.Proxy.Grpc;

/// <summary>
/// Keep-alives through the proxy: those of all clients with the same token go over one stream to the cluster, and one of
/// a lease that is under way serves all who ask for it meanwhile.
/// </summary>
internal sealed class LeaseProxy(Upstream upstream)
{
    private readonly ConcurrentDictionary<string, KeepAliveStream> _streams = new(StringComparer.Ordinal);

    public void Map(GrpcRouter router) =>
        router.Map("/etcdserverpb.Lease/LeaseKeepAlive", MethodKind.Duplex, ServeAsync);

    private async ValueTask ServeAsync(ServerCall call)
    {
        Metadata headers = Upstream.Headers(call);
        string who = (headers.Get("token") ?? "") + (headers.Get("hasleader") == "true" ? "!" : "");
        KeepAliveStream stream = _streams.GetOrAdd(who, _ => new KeepAliveStream(upstream, headers));
        while (await call.ReadMessageAsync().ConfigureAwait(false))
        {
            LeaseKeepAliveRequest request = LeaseKeepAliveRequest.Parser.Read(call);
            LeaseKeepAliveResponse answer = await stream.KeepAliveAsync(request.ID).WaitAsync(call.Cancelled).ConfigureAwait(false);
            call.WriteMessage(answer.ToByteArray());
            await call.FlushAsync().ConfigureAwait(false);
        }
    }

    /// <summary>One stream to the cluster, opened when it is needed, opened again when it has failed.</summary>
    private sealed class KeepAliveStream(Upstream upstream, Metadata headers)
    {
        private const string Path = "/etcdserverpb.Lease/LeaseKeepAlive";

        private readonly Lock _gate = new();
        private readonly SemaphoreSlim _sending = new(1, 1);
        private readonly Dictionary<long, TaskCompletionSource<LeaseKeepAliveResponse>> _asked = [];
        private ClientStream<ReadOnlyMemory<byte>, ReadOnlyMemory<byte>>? _stream;

        /// <summary>Asks, or waits with those who have asked already. Throws <see cref="RpcException"/>.</summary>
        public Task<LeaseKeepAliveResponse> KeepAliveAsync(long lease)
        {
            TaskCompletionSource<LeaseKeepAliveResponse>? answer;
            lock (_gate)
            {
                if (_asked.TryGetValue(lease, out answer))
                {
                    return answer.Task;
                }

                answer = new TaskCompletionSource<LeaseKeepAliveResponse>(TaskCreationOptions.RunContinuationsAsynchronously);
                _asked.Add(lease, answer);
            }

            _ = SendAsync(lease);
            return answer.Task;
        }

        private async Task SendAsync(long lease)
        {
            await _sending.WaitAsync().ConfigureAwait(false);
            try
            {
                if (_stream is null)
                {
                    var opened = await upstream.OpenAsync(Path, headers, CancellationToken.None).ConfigureAwait(false);
                    _stream = opened;
                    _ = ReadAsync(opened);
                }

                await _stream.WriteAsync(new LeaseKeepAliveRequest { ID = lease }.ToByteArray()).ConfigureAwait(false);
            }
            catch (RpcException e)
            {
                Fail(e);
            }
            finally
            {
                _sending.Release();
            }
        }

        private async Task ReadAsync(ClientStream<ReadOnlyMemory<byte>, ReadOnlyMemory<byte>> stream)
        {
            var failure = new RpcException(StatusCode.Unavailable, "etcdserver: server stopped");
            try
            {
                while (await stream.MoveNextAsync().ConfigureAwait(false))
                {
                    LeaseKeepAliveResponse answer = LeaseKeepAliveResponse.Parser.ParseFrom(stream.Current.Span);
                    lock (_gate)
                    {
                        if (_asked.Remove(answer.ID, out TaskCompletionSource<LeaseKeepAliveResponse>? asker))
                        {
                            asker.SetResult(answer);
                        }
                    }
                }
            }
            catch (RpcException e)
            {
                failure = e;
            }

            await _sending.WaitAsync().ConfigureAwait(false);
            _stream = null;
            _sending.Release();
            Fail(failure);
            await stream.DisposeAsync().ConfigureAwait(false);
        }

        /// <summary>Everybody who waits is told; their clients ask again, and that opens another stream.</summary>
        private void Fail(RpcException failure)
        {
            lock (_gate)
            {
                foreach (TaskCompletionSource<LeaseKeepAliveResponse> asker in _asked.Values)
                {
                    asker.TrySetException(failure);
                }

                _asked.Clear();
            }
        }
    }
}
