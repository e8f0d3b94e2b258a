using Etcdserverpb;
using Google.Protobuf;
using Mvccpb;
using Perf.Grpc;
using Perf.Rpc.InProcess;
using V3Electionpb;

namespace Perf.Rpc.Concurrency;

/// <summary>v3electionpb.Election: whoever's key came first leads, and its value is what the leader says.</summary>
internal sealed class ElectionService(LocalClient client)
{
    private const string NotLeader = "election: not leader";
    private const string NoLeader = "election: no leader";
    private const string NoLeaderField = "\"leader\" field must be provided";

    public void Map(GrpcRouter router)
    {
        router.Map("/v3electionpb.Election/Campaign", MethodKind.Unary, Campaign);
        router.Map("/v3electionpb.Election/Proclaim", MethodKind.Unary, Proclaim);
        router.Map("/v3electionpb.Election/Leader", MethodKind.Unary, Leader);
        router.Map("/v3electionpb.Election/Observe", MethodKind.ServerStream, Observe);
        router.Map("/v3electionpb.Election/Resign", MethodKind.Unary, Resign);
    }

    private async ValueTask Campaign(ServerCall call)
    {
        CampaignRequest request = Messages.Parse(CampaignRequest.Parser, call);
        QueueKey key = await QueueKey.OfAsync(client, call, request.Name, request.Lease).ConfigureAwait(false);
        TxnResponse entered = await key.EnterAsync(request.Value).ConfigureAwait(false);
        var leader = new LeaderKey { Name = request.Name, Key = key.Key, Rev = key.CreateRevision, Lease = key.Lease };
        if (!entered.Succeeded && entered.Responses[0].ResponseRange.Kvs[0].Value != request.Value
            && await PutAsync(call, leader, request.Value).ConfigureAwait(false) is null)
        {
            call.Fail(StatusCode.Unknown, NotLeader);
            return;
        }

        try
        {
            await key.WaitAsync().ConfigureAwait(false);
        }
        catch (OperationCanceledException)
        {
            await key.LeaveAsync().ConfigureAwait(false);
            throw;
        }

        Messages.Write(call, new CampaignResponse { Header = entered.Header, Leader = leader });
    }

    private async ValueTask Proclaim(ServerCall call)
    {
        ProclaimRequest request = Messages.Parse(ProclaimRequest.Parser, call);
        if (request.Leader is null)
        {
            call.Fail(StatusCode.Unknown, NoLeaderField);
        }
        else if (await PutAsync(call, request.Leader, request.Value).ConfigureAwait(false) is { } header)
        {
            Messages.Write(call, new ProclaimResponse { Header = header });
        }
        else
        {
            call.Fail(StatusCode.Unknown, NotLeader);
        }
    }

    private async ValueTask Leader(ServerCall call)
    {
        LeaderRequest request = Messages.Parse(LeaderRequest.Parser, call);
        RangeResponse answer = await FirstAsync(call, QueueKey.PrefixOf(request.Name)).ConfigureAwait(false);
        if (answer.Kvs.Count == 0)
        {
            call.Fail(StatusCode.Unknown, NoLeader);
        }
        else
        {
            Messages.Write(call, new LeaderResponse { Header = answer.Header, Kv = answer.Kvs[0] });
        }
    }

    private async ValueTask Resign(ServerCall call)
    {
        ResignRequest request = Messages.Parse(ResignRequest.Parser, call);
        if (request.Leader is null)
        {
            call.Fail(StatusCode.Unknown, NoLeaderField);
            return;
        }

        TxnResponse answer = await IfStillAsync(
            call,
            request.Leader,
            new RequestOp { RequestDeleteRange = new DeleteRangeRequest { Key = request.Leader.Key } }).ConfigureAwait(false);
        Messages.Write(call, new ResignResponse { Header = answer.Header });
    }

    private async ValueTask Observe(ServerCall call)
    {
        LeaderRequest request = Messages.Parse(LeaderRequest.Parser, call);
        ByteString prefix = QueueKey.PrefixOf(request.Name);
        while (true)
        {
            RangeResponse first = await FirstAsync(call, prefix).ConfigureAwait(false);
            KeyValue leader;
            ResponseHeader header = first.Header;
            if (first.Kvs.Count > 0)
            {
                leader = first.Kvs[0];
            }
            else
            {
                leader = await FirstPutAsync(call, prefix, header.Revision).ConfigureAwait(false);
                header.Revision = leader.ModRevision;
            }

            await TellAsync(call, header, leader).ConfigureAwait(false);
            await FollowAsync(call, leader.Key, header.Revision + 1).ConfigureAwait(false);
        }
    }

    private async Task<KeyValue> FirstPutAsync(ServerCall call, ByteString prefix, long revision)
    {
        await using LocalWatch watch = client.Watch(
            new WatchCreateRequest { Key = prefix, RangeEnd = QueueKey.Behind(prefix), StartRevision = revision }, call);
        while (true)
        {
            WatchResponse answer = await watch.NextAsync(call.Cancelled).ConfigureAwait(false);
            if (answer.Events.FirstOrDefault(ev => ev.Type == Event.Types.EventType.Put) is { } put)
            {
                return put.Kv;
            }
        }
    }

    /// <summary>Tells what the leader says until it leads no more.</summary>
    private async Task FollowAsync(ServerCall call, ByteString key, long revision)
    {
        await using LocalWatch watch = client.Watch(
            new WatchCreateRequest { Key = key, StartRevision = revision }, call);
        while (true)
        {
            WatchResponse answer = await watch.NextAsync(call.Cancelled).ConfigureAwait(false);
            foreach (Event ev in answer.Events)
            {
                if (ev.Type == Event.Types.EventType.Delete)
                {
                    return;
                }

                await TellAsync(call, answer.Header, ev.Kv).ConfigureAwait(false);
            }
        }
    }

    private static ValueTask TellAsync(ServerCall call, ResponseHeader header, KeyValue leader)
    {
        Messages.Write(call, new LeaderResponse { Header = header, Kv = leader });
        return call.FlushAsync();
    }

    private Task<RangeResponse> FirstAsync(ServerCall call, ByteString prefix) => client.CallAsync<RangeResponse>(
        "/etcdserverpb.KV/Range", QueueKey.First(prefix), call, call.Cancelled);

    /// <summary>Puts the leader's value; null when it leads no more.</summary>
    private async Task<ResponseHeader?> PutAsync(ServerCall call, LeaderKey leader, ByteString value)
    {
        TxnResponse answer = await IfStillAsync(
            call,
            leader,
            new RequestOp { RequestPut = new PutRequest { Key = leader.Key, Value = value, Lease = leader.Lease } })
            .ConfigureAwait(false);
        return answer.Succeeded ? answer.Header : null;
    }

    private Task<TxnResponse> IfStillAsync(ServerCall call, LeaderKey leader, RequestOp op) => client.CallAsync<TxnResponse>(
        "/etcdserverpb.KV/Txn",
        new TxnRequest { Compare = { QueueKey.IsCreatedAt(leader.Key, leader.Rev) }, Success = { op } },
        call,
        call.Cancelled);
}
