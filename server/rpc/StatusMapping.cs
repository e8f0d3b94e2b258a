using Perf.Grpc;
using Perf.Store;

namespace Perf.Rpc;

/// <summary>
/// The one table from reasons to gRPC codes and texts. Clients compare the texts to the letter to map errors back, so
/// they are part of the interface (etcd api/v3rpc/rpctypes; SURFACE 1.13). Below this room nobody has heard of gRPC.
/// </summary>
public static class StatusMapping
{
    private const string Prefix = "etcdserver: ";

    private static readonly Dictionary<StoreError, (StatusCode Code, string Text)> Table = new()
    {
        [StoreError.Malformed] = (StatusCode.Internal, "grpc: failed to unmarshal the received message"),
        [StoreError.UnknownRequest] = (StatusCode.Unimplemented, Prefix + "unknown request"),

        [StoreError.EmptyKey] = (StatusCode.InvalidArgument, Prefix + "key is not provided"),
        [StoreError.KeyNotFound] = (StatusCode.InvalidArgument, Prefix + "key not found"),
        [StoreError.ValueProvided] = (StatusCode.InvalidArgument, Prefix + "value is provided"),
        [StoreError.LeaseProvided] = (StatusCode.InvalidArgument, Prefix + "lease is provided"),
        [StoreError.TooManyOps] = (StatusCode.InvalidArgument, Prefix + "too many operations in txn request"),
        [StoreError.DuplicateKey] = (StatusCode.InvalidArgument, Prefix + "duplicate key given in txn request"),
        [StoreError.InvalidSortOption] = (StatusCode.InvalidArgument, Prefix + "invalid sort option"),
        [StoreError.Compacted] = (StatusCode.OutOfRange, Prefix + "mvcc: required revision has been compacted"),
        [StoreError.FutureRev] = (StatusCode.OutOfRange, Prefix + "mvcc: required revision is a future revision"),
        [StoreError.RequestTooLarge] = (StatusCode.InvalidArgument, Prefix + "request is too large"),
        [StoreError.TooManyRequests] = (StatusCode.ResourceExhausted, Prefix + "too many requests"),

        [StoreError.NoSpace] = (StatusCode.ResourceExhausted, Prefix + "mvcc: database space exceeded"),
        [StoreError.Corrupt] = (StatusCode.DataLoss, Prefix + "corrupt cluster"),

        [StoreError.LeaseNotFound] = (StatusCode.NotFound, Prefix + "requested lease not found"),
        [StoreError.LeaseExist] = (StatusCode.FailedPrecondition, Prefix + "lease already exists"),
        [StoreError.LeaseTtlTooLarge] = (StatusCode.OutOfRange, Prefix + "too large lease TTL"),

        [StoreError.MemberExist] = (StatusCode.FailedPrecondition, Prefix + "member ID already exist"),
        [StoreError.PeerUrlExist] = (StatusCode.FailedPrecondition, Prefix + "Peer URLs already exists"),

        // etcd answers with its client's error here, which has no code of its own on the wire.
        [StoreError.MemberNotEnoughStarted] =
            (StatusCode.Unknown, Prefix + "re-configuration failed due to not enough started members"),
        [StoreError.MemberBadUrls] = (StatusCode.InvalidArgument, Prefix + "given member URLs are invalid"),
        [StoreError.MemberNotFound] = (StatusCode.NotFound, Prefix + "member not found"),
        [StoreError.MemberIdRemoved] = (StatusCode.NotFound, Prefix + "member not found"),
        [StoreError.MemberNotLearner] =
            (StatusCode.FailedPrecondition, Prefix + "can only promote a learner member"),
        [StoreError.LearnerNotReady] = (
            StatusCode.FailedPrecondition,
            Prefix + "can only promote a learner member which is in sync with leader"),
        [StoreError.TooManyLearners] =
            (StatusCode.FailedPrecondition, Prefix + "too many learner members in cluster"),
        [StoreError.ClusterIdMismatch] = (StatusCode.FailedPrecondition, Prefix + "cluster ID mismatch"),

        [StoreError.RootUserNotExist] = (StatusCode.FailedPrecondition, Prefix + "root user does not exist"),
        [StoreError.RootRoleNotExist] =
            (StatusCode.FailedPrecondition, Prefix + "root user does not have root role"),
        [StoreError.UserAlreadyExist] = (StatusCode.FailedPrecondition, Prefix + "user name already exists"),
        [StoreError.UserEmpty] = (StatusCode.InvalidArgument, Prefix + "user name is empty"),
        [StoreError.UserNotFound] = (StatusCode.FailedPrecondition, Prefix + "user name not found"),
        [StoreError.RoleAlreadyExist] = (StatusCode.FailedPrecondition, Prefix + "role name already exists"),
        [StoreError.RoleNotFound] = (StatusCode.FailedPrecondition, Prefix + "role name not found"),
        [StoreError.RoleEmpty] = (StatusCode.InvalidArgument, Prefix + "role name is empty"),
        [StoreError.AuthFailed] =
            (StatusCode.InvalidArgument, Prefix + "authentication failed, invalid user ID or password"),

        // etcd has no row for this one, so its bare text goes out.
        [StoreError.NoPasswordUser] =
            (StatusCode.Unknown, "auth: authentication failed, password was given for no password user"),
        [StoreError.PermissionNotGiven] = (StatusCode.InvalidArgument, Prefix + "permission not given"),
        [StoreError.PermissionDenied] = (StatusCode.PermissionDenied, Prefix + "permission denied"),
        [StoreError.RoleNotGranted] =
            (StatusCode.FailedPrecondition, Prefix + "role is not granted to the user"),
        [StoreError.PermissionNotGranted] =
            (StatusCode.FailedPrecondition, Prefix + "permission is not granted to the role"),
        [StoreError.AuthNotEnabled] = (StatusCode.FailedPrecondition, Prefix + "authentication is not enabled"),
        [StoreError.InvalidAuthToken] = (StatusCode.Unauthenticated, Prefix + "invalid auth token"),
        [StoreError.InvalidAuthMgmt] = (StatusCode.InvalidArgument, Prefix + "invalid auth management"),
        [StoreError.AuthOldRevision] = (StatusCode.InvalidArgument, Prefix + "revision of auth store is old"),

        [StoreError.WrongDowngradeVersionFormat] =
            (StatusCode.InvalidArgument, Prefix + "wrong downgrade target version format"),
        [StoreError.InvalidDowngradeTargetVersion] =
            (StatusCode.InvalidArgument, Prefix + "invalid downgrade target version"),
        [StoreError.DowngradeInProcess] =
            (StatusCode.FailedPrecondition, Prefix + "cluster has a downgrade job in progress"),
        [StoreError.NoInflightDowngrade] =
            (StatusCode.FailedPrecondition, Prefix + "no inflight downgrade job"),
        [StoreError.ClusterVersionUnavailable] =
            (StatusCode.Unavailable, Prefix + "cluster version not found during downgrade"),

        // The two watch reasons are texts of a cancelled watch, never of a call.
        [StoreError.WatcherRangeEmpty] = (StatusCode.InvalidArgument, "mvcc: watcher range is empty"),
        [StoreError.DuplicateWatchId] =
            (StatusCode.InvalidArgument, "mvcc: duplicate watch ID provided on the WatchStream"),
        [StoreError.WatchCanceled] = (StatusCode.Cancelled, Prefix + "watch canceled"),

        [StoreError.NoLeader] = (StatusCode.Unavailable, Prefix + "no leader"),
        [StoreError.NotLeader] = (StatusCode.FailedPrecondition, Prefix + "not leader"),
        [StoreError.LeaderChanged] = (StatusCode.Unavailable, Prefix + "leader changed"),
        [StoreError.BadLeaderTransferee] =
            (StatusCode.FailedPrecondition, Prefix + "bad leader transferee"),
        [StoreError.NotSupportedForLearner] =
            (StatusCode.Unavailable, Prefix + "rpc not supported for learner"),
        [StoreError.NotCapable] = (StatusCode.Unavailable, Prefix + "not capable"),
        [StoreError.Stopped] = (StatusCode.Unavailable, Prefix + "server stopped"),
        [StoreError.Timeout] = (StatusCode.Unavailable, Prefix + "request timed out"),

        // It was applied, but what it answered is not known any more: to its client the same as no answer in time.
        [StoreError.AnswerLost] = (StatusCode.Unavailable, Prefix + "request timed out"),
        [StoreError.TimeoutDueToLeaderFail] =
            (StatusCode.Unavailable, Prefix + "request timed out, possibly due to previous leader failure"),
        [StoreError.TimeoutDueToConnectionLost] =
            (StatusCode.Unavailable, Prefix + "request timed out, possibly due to connection lost"),
        [StoreError.TimeoutWaitAppliedIndex] = (
            StatusCode.Unavailable,
            Prefix + "request timed out, waiting for the applied index took too long"),
        [StoreError.Unhealthy] = (StatusCode.Unavailable, Prefix + "unhealthy cluster"),
        [StoreError.Canceled] = (StatusCode.Cancelled, Prefix + "request canceled"),
        [StoreError.DeadlineExceeded] = (StatusCode.DeadlineExceeded, Prefix + "context deadline exceeded"),
    };

    /// <summary>Code and text of a reason. Unknown reasons are a mistake of ours and say so.</summary>
    public static (StatusCode Code, string Text) Of(StoreError error) =>
        Table.TryGetValue(error, out (StatusCode, string) row)
            ? row
            : (StatusCode.Unknown, $"{Prefix}unexpected error {error}");

    /// <summary>Ends a call with a reason; <paramref name="text"/> replaces the table's where the store has its own.</summary>
    public static void Fail(ServerCall call, StoreError error, string? text = null)
    {
        (StatusCode code, string standard) = Of(error);
        call.Fail(text is null ? code : StatusCode.Unknown, text ?? standard);
    }
}
