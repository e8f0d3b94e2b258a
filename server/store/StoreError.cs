namespace Perf.Store;

/// <summary>
/// Why the store refused a request. The numbers never leave the process; rpc/StatusMapping.cs turns a name into
/// the status and text that clients know (SURFACE 1.13).
/// </summary>
public enum StoreError
{
    None = 0,

    /// <summary>The request's bytes are not the message they claim to be.</summary>
    Malformed,

    /// <summary>The log asks for something this version does not know; nothing was changed.</summary>
    UnknownRequest,

    // Keys and transactions.
    EmptyKey,
    KeyNotFound,
    ValueProvided,
    LeaseProvided,
    TooManyOps,
    DuplicateKey,
    InvalidSortOption,
    Compacted,
    FutureRev,
    RequestTooLarge,
    TooManyRequests,

    // Alarms.
    NoSpace,
    Corrupt,

    // Leases.
    LeaseNotFound,
    LeaseExist,
    LeaseTtlTooLarge,

    // Members.
    MemberExist,
    PeerUrlExist,
    MemberNotEnoughStarted,
    MemberBadUrls,
    MemberNotFound,
    MemberNotLearner,
    LearnerNotReady,
    TooManyLearners,

    /// <summary>The id once was a member's: it is never accepted again.</summary>
    MemberIdRemoved,
    ClusterIdMismatch,

    // Users and roles.
    RootUserNotExist,
    RootRoleNotExist,
    UserAlreadyExist,
    UserEmpty,
    UserNotFound,
    RoleAlreadyExist,
    RoleNotFound,
    RoleEmpty,
    AuthFailed,

    /// <summary>A password was given for a user that has none, or cannot be kept.</summary>
    NoPasswordUser,
    PermissionNotGiven,
    PermissionDenied,
    RoleNotGranted,
    PermissionNotGranted,
    AuthNotEnabled,
    InvalidAuthToken,
    InvalidAuthMgmt,
    AuthOldRevision,

    // Versions.
    WrongDowngradeVersionFormat,
    InvalidDowngradeTargetVersion,
    DowngradeInProcess,
    NoInflightDowngrade,
    ClusterVersionUnavailable,

    // Watches.
    WatcherRangeEmpty,
    DuplicateWatchId,
    WatchCanceled,

    // Agreement and life of the process.
    NoLeader,
    NotLeader,
    LeaderChanged,
    BadLeaderTransferee,
    NotSupportedForLearner,
    NotCapable,
    Stopped,
    Timeout,

    /// <summary>The buckets hold the request's effects already, from before a restart or a snapshot; its answer is gone.</summary>
    AnswerLost,
    TimeoutDueToLeaderFail,
    TimeoutDueToConnectionLost,
    TimeoutWaitAppliedIndex,
    Unhealthy,
    Canceled,
    DeadlineExceeded,
}
