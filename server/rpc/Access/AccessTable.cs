using static Perf.Rpc.Access.AccessRule;

namespace Perf.Rpc.Access;

/// <summary>
/// Who may call what: a row for every RPC (SURFACE 1.11, MNT-09, MBR-09, CMP-05). An RPC without a row does not start.
/// </summary>
internal static class AccessTable
{
    private static readonly Dictionary<string, AccessRule> Rows = new(StringComparer.Ordinal)
    {
        ["/etcdserverpb.KV/Range"] = Keys,
        ["/etcdserverpb.KV/RangeStream"] = Keys,
        ["/etcdserverpb.KV/Put"] = Keys,
        ["/etcdserverpb.KV/DeleteRange"] = Keys,
        ["/etcdserverpb.KV/Txn"] = Keys,
        ["/etcdserverpb.KV/Compact"] = Root,

        ["/etcdserverpb.Watch/Watch"] = Keys,

        ["/etcdserverpb.Lease/LeaseGrant"] = User,
        ["/etcdserverpb.Lease/LeaseRevoke"] = UserAndKeys,
        ["/etcdserverpb.Lease/LeaseKeepAlive"] = UserAndKeys,
        ["/etcdserverpb.Lease/LeaseTimeToLive"] = UserAndKeys,
        ["/etcdserverpb.Lease/LeaseLeases"] = UserAndKeys,

        ["/etcdserverpb.Cluster/MemberAdd"] = Root,
        ["/etcdserverpb.Cluster/MemberRemove"] = Root,
        ["/etcdserverpb.Cluster/MemberUpdate"] = Root,
        ["/etcdserverpb.Cluster/MemberList"] = User,
        ["/etcdserverpb.Cluster/MemberPromote"] = Root,

        ["/etcdserverpb.Maintenance/Alarm"] = AlarmAction,
        ["/etcdserverpb.Maintenance/Status"] = User,
        ["/etcdserverpb.Maintenance/Defragment"] = RootBare,
        ["/etcdserverpb.Maintenance/Hash"] = RootBare,
        ["/etcdserverpb.Maintenance/HashKV"] = RootBare,
        ["/etcdserverpb.Maintenance/Snapshot"] = RootBare,
        ["/etcdserverpb.Maintenance/MoveLeader"] = Root,
        ["/etcdserverpb.Maintenance/Downgrade"] = Root,

        ["/etcdserverpb.Auth/AuthEnable"] = RootAtApply,
        ["/etcdserverpb.Auth/AuthDisable"] = RootAtApply,
        ["/etcdserverpb.Auth/AuthStatus"] = RootAtApply,
        ["/etcdserverpb.Auth/Authenticate"] = Open,
        ["/etcdserverpb.Auth/UserAdd"] = RootAtApply,
        ["/etcdserverpb.Auth/UserGet"] = SelfAtApply,
        ["/etcdserverpb.Auth/UserList"] = RootAtApply,
        ["/etcdserverpb.Auth/UserDelete"] = RootAtApply,
        ["/etcdserverpb.Auth/UserChangePassword"] = RootAtApply,
        ["/etcdserverpb.Auth/UserGrantRole"] = RootAtApply,
        ["/etcdserverpb.Auth/UserRevokeRole"] = RootAtApply,
        ["/etcdserverpb.Auth/RoleAdd"] = RootAtApply,
        ["/etcdserverpb.Auth/RoleGet"] = HolderAtApply,
        ["/etcdserverpb.Auth/RoleList"] = RootAtApply,
        ["/etcdserverpb.Auth/RoleDelete"] = RootAtApply,
        ["/etcdserverpb.Auth/RoleGrantPermission"] = RootAtApply,
        ["/etcdserverpb.Auth/RoleRevokePermission"] = RootAtApply,

        // These make KV and Watch calls in the name of their caller, and those have rows of their own.
        ["/v3lockpb.Lock/Lock"] = Keys,
        ["/v3lockpb.Lock/Unlock"] = Keys,
        ["/v3electionpb.Election/Campaign"] = Keys,
        ["/v3electionpb.Election/Proclaim"] = Keys,
        ["/v3electionpb.Election/Leader"] = Keys,
        ["/v3electionpb.Election/Observe"] = Keys,
        ["/v3electionpb.Election/Resign"] = Keys,

        ["/grpc.health.v1.Health/Check"] = Open,
        ["/grpc.health.v1.Health/Watch"] = Open,
        ["/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"] = Open,
        ["/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"] = Open,
    };

    /// <summary>True when the RPC has a row.</summary>
    public static bool TryFind(string path, out AccessRule rule) => Rows.TryGetValue(path, out rule);
}
