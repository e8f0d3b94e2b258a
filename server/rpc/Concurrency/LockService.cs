using Etcdserverpb;
using Google.Protobuf;
using Perf.Grpc;
using Perf.Rpc.InProcess;
using V3Lockpb;

namespace Perf.Rpc.Concurrency;

/// <summary>v3lockpb.Lock: locks out of keys, leases and watches, made here instead of in the client.</summary>
internal sealed class LockService(LocalClient client)
{
    public void Map(GrpcRouter router)
    {
        router.Map("/v3lockpb.Lock/Lock", MethodKind.Unary, Lock);
        router.Map("/v3lockpb.Lock/Unlock", MethodKind.Unary, Unlock);
    }

    private async ValueTask Lock(ServerCall call)
    {
        LockRequest request = Messages.Parse(LockRequest.Parser, call);
        QueueKey key = await QueueKey.OfAsync(client, call, request.Name, request.Lease).ConfigureAwait(false);
        TxnResponse entered = await key.EnterAsync(ByteString.Empty).ConfigureAwait(false);
        Google.Protobuf.Collections.RepeatedField<Mvccpb.KeyValue> first = entered.Responses[1].ResponseRange.Kvs;
        ResponseHeader header = entered.Header;
        if (first.Count > 0 && first[0].CreateRevision != key.CreateRevision)
        {
            RangeResponse own;
            try
            {
                await key.WaitAsync().ConfigureAwait(false);
                own = await key.RangeAsync(new RangeRequest { Key = key.Key }).ConfigureAwait(false);
            }
            catch (Exception e) when (e is OperationCanceledException or RpcException)
            {
                // Whoever waits no more must not be waited for.
                await key.LeaveAsync().ConfigureAwait(false);
                throw;
            }

            if (own.Kvs.Count == 0)
            {
                call.Fail(StatusCode.Unknown, "mutex: session is expired");
                return;
            }

            header = own.Header;
        }

        Messages.Write(call, new LockResponse { Header = header, Key = key.Key });
    }

    private async ValueTask Unlock(ServerCall call)
    {
        UnlockRequest request = Messages.Parse(UnlockRequest.Parser, call);
        DeleteRangeResponse answer = await client.CallAsync<DeleteRangeResponse>(
            "/etcdserverpb.KV/DeleteRange", new DeleteRangeRequest { Key = request.Key }, call, call.Cancelled)
            .ConfigureAwait(false);
        Messages.Write(call, new UnlockResponse { Header = answer.Header });
    }
}
