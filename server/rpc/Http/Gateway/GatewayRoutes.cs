using Google.Protobuf.Reflection;
using Perf.Grpc;

namespace Perf.Rpc.Http.Gateway;

/// <summary>A path of the gateway and the RPC behind it.</summary>
internal sealed record GatewayRoute(string Path, GrpcMethod Method, MessageDescriptor Input, MessageDescriptor Output)
{
    /// <summary>The answer comes in pieces.</summary>
    public bool Streams => Method.Kind is MethodKind.ServerStream or MethodKind.Duplex;

    /// <summary>The request may come in pieces.</summary>
    public bool TakesStream => Method.Kind is MethodKind.ClientStream or MethodKind.Duplex;
}

/// <summary>The 51 paths of etcd's gateway (SURFACE GW-02).</summary>
internal static class GatewayRoutes
{
    /// <summary>Paths below /v3/, and the RPCs.</summary>
    public static readonly (string Path, string Rpc)[] All =
    [
        ("kv/range", "etcdserverpb.KV/Range"),
        ("kv/put", "etcdserverpb.KV/Put"),
        ("kv/deleterange", "etcdserverpb.KV/DeleteRange"),
        ("kv/txn", "etcdserverpb.KV/Txn"),
        ("kv/compaction", "etcdserverpb.KV/Compact"),
        ("watch", "etcdserverpb.Watch/Watch"),
        ("lease/grant", "etcdserverpb.Lease/LeaseGrant"),
        ("lease/revoke", "etcdserverpb.Lease/LeaseRevoke"),
        ("lease/keepalive", "etcdserverpb.Lease/LeaseKeepAlive"),
        ("lease/timetolive", "etcdserverpb.Lease/LeaseTimeToLive"),
        ("lease/leases", "etcdserverpb.Lease/LeaseLeases"),
        ("kv/lease/revoke", "etcdserverpb.Lease/LeaseRevoke"),
        ("kv/lease/timetolive", "etcdserverpb.Lease/LeaseTimeToLive"),
        ("kv/lease/leases", "etcdserverpb.Lease/LeaseLeases"),
        ("cluster/member/add", "etcdserverpb.Cluster/MemberAdd"),
        ("cluster/member/remove", "etcdserverpb.Cluster/MemberRemove"),
        ("cluster/member/update", "etcdserverpb.Cluster/MemberUpdate"),
        ("cluster/member/list", "etcdserverpb.Cluster/MemberList"),
        ("cluster/member/promote", "etcdserverpb.Cluster/MemberPromote"),
        ("maintenance/alarm", "etcdserverpb.Maintenance/Alarm"),
        ("maintenance/status", "etcdserverpb.Maintenance/Status"),
        ("maintenance/defragment", "etcdserverpb.Maintenance/Defragment"),
        ("maintenance/hash", "etcdserverpb.Maintenance/Hash"),
        ("maintenance/hashkv", "etcdserverpb.Maintenance/HashKV"),
        ("maintenance/snapshot", "etcdserverpb.Maintenance/Snapshot"),
        ("maintenance/transfer-leadership", "etcdserverpb.Maintenance/MoveLeader"),
        ("maintenance/downgrade", "etcdserverpb.Maintenance/Downgrade"),
        ("auth/enable", "etcdserverpb.Auth/AuthEnable"),
        ("auth/disable", "etcdserverpb.Auth/AuthDisable"),
        ("auth/status", "etcdserverpb.Auth/AuthStatus"),
        ("auth/authenticate", "etcdserverpb.Auth/Authenticate"),
        ("auth/user/add", "etcdserverpb.Auth/UserAdd"),
        ("auth/user/get", "etcdserverpb.Auth/UserGet"),
        ("auth/user/list", "etcdserverpb.Auth/UserList"),
        ("auth/user/delete", "etcdserverpb.Auth/UserDelete"),
        ("auth/user/changepw", "etcdserverpb.Auth/UserChangePassword"),
        ("auth/user/grant", "etcdserverpb.Auth/UserGrantRole"),
        ("auth/user/revoke", "etcdserverpb.Auth/UserRevokeRole"),
        ("auth/role/add", "etcdserverpb.Auth/RoleAdd"),
        ("auth/role/get", "etcdserverpb.Auth/RoleGet"),
        ("auth/role/list", "etcdserverpb.Auth/RoleList"),
        ("auth/role/delete", "etcdserverpb.Auth/RoleDelete"),
        ("auth/role/grant", "etcdserverpb.Auth/RoleGrantPermission"),
        ("auth/role/revoke", "etcdserverpb.Auth/RoleRevokePermission"),
        ("lock/lock", "v3lockpb.Lock/Lock"),
        ("lock/unlock", "v3lockpb.Lock/Unlock"),
        ("election/campaign", "v3electionpb.Election/Campaign"),
        ("election/proclaim", "v3electionpb.Election/Proclaim"),
        ("election/leader", "v3electionpb.Election/Leader"),
        ("election/observe", "v3electionpb.Election/Observe"),
        ("election/resign", "v3electionpb.Election/Resign"),
    ];

    /// <summary>The routes whose RPC the router serves, by whole path.</summary>
    public static Dictionary<string, GatewayRoute> For(GrpcRouter router)
    {
        var routes = new Dictionary<string, GatewayRoute>(StringComparer.Ordinal);
        foreach ((string path, string rpc) in All)
        {
            if (router.TryFind("/" + rpc, out GrpcMethod? method))
            {
                MethodDescriptor described = Describe(method);
                routes["/v3/" + path] = new GatewayRoute("/v3/" + path, method, described.InputType, described.OutputType);
            }
        }

        return routes;
    }

    private static MethodDescriptor Describe(GrpcMethod method) => ServedFiles.All
        .SelectMany(file => file.Services)
        .First(service => service.FullName == method.Service)
        .FindMethodByName(method.Name);
}
