using System.Buffers;
using Etcdserverpb;
using Google.Protobuf;
using Perf.Grpc;

namespace Perf.Proxy.Grpc;

/// <summary>What goes through as it comes: single calls and streams, byte for byte, by the client's own token.</summary>
internal sealed class ForwardProxy(Upstream upstream, KeyNamespace keys)
{
    /// <summary>Calls that change nothing: another member may be asked when one is unavailable.</summary>
    private static readonly string[] Reads =
    [
        "/etcdserverpb.Lease/LeaseLeases", "/etcdserverpb.Maintenance/Status", "/etcdserverpb.Maintenance/Hash",
        "/etcdserverpb.Maintenance/HashKV", "/etcdserverpb.Auth/AuthStatus", "/etcdserverpb.Auth/UserGet",
        "/etcdserverpb.Auth/UserList", "/etcdserverpb.Auth/RoleGet", "/etcdserverpb.Auth/RoleList",
        "/v3electionpb.Election/Leader", "/grpc.health.v1.Health/Check",
    ];

    private static readonly string[] Writes =
    [
        "/etcdserverpb.Lease/LeaseGrant", "/etcdserverpb.Lease/LeaseRevoke",
        "/etcdserverpb.Cluster/MemberAdd", "/etcdserverpb.Cluster/MemberRemove", "/etcdserverpb.Cluster/MemberUpdate",
        "/etcdserverpb.Cluster/MemberPromote",
        "/etcdserverpb.Maintenance/Alarm", "/etcdserverpb.Maintenance/Defragment", "/etcdserverpb.Maintenance/Downgrade",
        "/etcdserverpb.Auth/AuthEnable", "/etcdserverpb.Auth/AuthDisable", "/etcdserverpb.Auth/Authenticate",
        "/etcdserverpb.Auth/UserAdd", "/etcdserverpb.Auth/UserDelete", "/etcdserverpb.Auth/UserChangePassword",
        "/etcdserverpb.Auth/UserGrantRole", "/etcdserverpb.Auth/UserRevokeRole", "/etcdserverpb.Auth/RoleAdd",
        "/etcdserverpb.Auth/RoleDelete", "/etcdserverpb.Auth/RoleGrantPermission", "/etcdserverpb.Auth/RoleRevokePermission",
        "/v3lockpb.Lock/Lock", "/v3lockpb.Lock/Unlock",
        "/v3electionpb.Election/Campaign", "/v3electionpb.Election/Proclaim", "/v3electionpb.Election/Resign",
    ];

    private static readonly string[] Streams =
        ["/etcdserverpb.Maintenance/Snapshot", "/v3electionpb.Election/Observe", "/grpc.health.v1.Health/Watch"];

    public void Map(GrpcRouter router)
    {
        foreach (string path in Reads)
        {
            router.Map(path, MethodKind.Unary, call => OnceAsync(call, mayRepeat: true));
        }

        foreach (string path in Writes)
        {
            router.Map(path, MethodKind.Unary, call => OnceAsync(call, mayRepeat: false));
        }

        foreach (string path in Streams)
        {
            router.Map(path, MethodKind.ServerStream, StreamAsync);
        }

        if (keys.IsNone)
        {
            // etcd 3.7's; an older member says that it knows none. With a namespace its answers would have to be read.
            router.Map("/etcdserverpb.KV/RangeStream", MethodKind.ServerStream, StreamAsync);
        }

        router.Map("/etcdserverpb.Maintenance/MoveLeader", MethodKind.Unary, MoveLeaderAsync);
        router.Map("/etcdserverpb.Lease/LeaseTimeToLive", MethodKind.Unary, TimeToLiveAsync);
    }

    private async ValueTask OnceAsync(ServerCall call, bool mayRepeat)
    {
        await call.ReadMessageAsync().ConfigureAwait(false);
        ReadOnlyMemory<byte> answer = await CallAsync(call, call.Message.ToArray(), mayRepeat).ConfigureAwait(false);
        call.WriteMessage(answer.Span);
    }

    private Task<ReadOnlyMemory<byte>> CallAsync(ServerCall call, ReadOnlyMemory<byte> request, bool mayRepeat) =>
        upstream.CallAsync(call.Path, request, Upstream.Headers(call), call.Deadline, mayRepeat, call.Cancelled);

    /// <summary>Only the leader hands over: the members are asked in turn until one is it.</summary>
    private async ValueTask MoveLeaderAsync(ServerCall call)
    {
        await call.ReadMessageAsync().ConfigureAwait(false);
        byte[] request = call.Message.ToArray();
        for (int left = upstream.Endpoints.Count; ; left--)
        {
            try
            {
                call.WriteMessage((await CallAsync(call, request, mayRepeat: false).ConfigureAwait(false)).Span);
                return;
            }
            catch (RpcException e) when (left > 1 && e.Message == "etcdserver: not leader")
            {
                // The next one may be.
            }
        }
    }

    private async ValueTask TimeToLiveAsync(ServerCall call)
    {
        await call.ReadMessageAsync().ConfigureAwait(false);
        ReadOnlyMemory<byte> answer = await CallAsync(call, call.Message.ToArray(), mayRepeat: true).ConfigureAwait(false);
        if (keys.IsNone)
        {
            call.WriteMessage(answer.Span);
            return;
        }

        LeaseTimeToLiveResponse read = LeaseTimeToLiveResponse.Parser.ParseFrom(answer.Span);
        ByteString[] inside = [.. read.Keys.Select(keys.Remove)];
        read.Keys.Clear();
        read.Keys.AddRange(inside);
        call.WriteMessage(read.ToByteArray());
    }

    private async ValueTask StreamAsync(ServerCall call)
    {
        await call.ReadMessageAsync().ConfigureAwait(false);
        byte[] request = call.Message.ToArray();
        await using var stream = await upstream.OpenAsync(
            call.Path, Upstream.Headers(call), call.Cancelled).ConfigureAwait(false);
        await stream.WriteAsync(request).ConfigureAwait(false);
        await stream.CompleteAsync().ConfigureAwait(false);
        while (await stream.MoveNextAsync().ConfigureAwait(false))
        {
            call.WriteMessage(stream.Current.Span);
            await call.FlushAsync().ConfigureAwait(false);
        }
    }
}
