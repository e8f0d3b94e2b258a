namespace Perf.Client;

/// <summary>gRPC's status codes, by their numbers on the wire.</summary>
public enum RpcCode
{
    Ok = 0,
    Canceled = 1,
    Unknown = 2,
    InvalidArgument = 3,
    DeadlineExceeded = 4,
    NotFound = 5,
    AlreadyExists = 6,
    PermissionDenied = 7,
    ResourceExhausted = 8,
    FailedPrecondition = 9,
    Aborted = 10,
    OutOfRange = 11,
    Unimplemented = 12,
    Internal = 13,
    Unavailable = 14,
    DataLoss = 15,
    Unauthenticated = 16,
}

/// <summary>
/// A request that etcd refused, or that did not reach it. <see cref="Exception.Message"/> is etcd's own text for the
/// errors it is known for (<see cref="EtcdErrors"/>) and <c>rpc error: code = .. desc = ..</c> for any other.
/// </summary>
public class EtcdException : Exception
{
    /// <summary>Makes the exception for a status as it came from the wire.</summary>
    public EtcdException(RpcCode code, string detail, Exception? inner = null)
        : base(EtcdErrors.IsKnown(detail) ? detail : $"rpc error: code = {code} desc = {detail}", inner)
    {
        Code = code;
        Detail = detail;
    }

    /// <summary>Makes an exception of the client itself, whose text stands alone.</summary>
    protected EtcdException(RpcCode code, string detail, string message)
        : base(message)
    {
        Code = code;
        Detail = detail;
    }

    /// <summary>The status code.</summary>
    public RpcCode Code { get; }

    /// <summary>The status message without decoration; compare it with <see cref="EtcdErrors"/>.</summary>
    public string Detail { get; }

    /// <summary>True when the request provably never left this machine, so that repeating it cannot apply it twice.</summary>
    internal bool NotSent { get; init; }

    /// <summary>The time given for the call is over. Whether a write was applied is unknown.</summary>
    public static EtcdException DeadlineExceeded() =>
        new(RpcCode.DeadlineExceeded, "context deadline exceeded", "context deadline exceeded");
}

/// <summary>The revision asked for has been compacted away.</summary>
public sealed class CompactedException : EtcdException
{
    /// <summary>Makes the exception with the oldest revision that can still be read.</summary>
    public CompactedException(long compactRevision)
        : base(RpcCode.OutOfRange, EtcdErrors.Compacted) => CompactRevision = compactRevision;

    /// <summary>The oldest revision that can still be read, or 0 when the server did not say.</summary>
    public long CompactRevision { get; }
}

/// <summary>etcd's error texts, by which a client recognises them.</summary>
public static class EtcdErrors
{
    public const string Compacted = "etcdserver: mvcc: required revision has been compacted";
    public const string FutureRevision = "etcdserver: mvcc: required revision is a future revision";
    public const string NoSpace = "etcdserver: mvcc: database space exceeded";
    public const string LeaseNotFound = "etcdserver: requested lease not found";
    public const string NoLeader = "etcdserver: no leader";
    public const string LeaderChanged = "etcdserver: leader changed";
    public const string PermissionDenied = "etcdserver: permission denied";
    public const string AuthNotEnabled = "etcdserver: authentication is not enabled";
    public const string AuthFailed = "etcdserver: authentication failed, invalid user ID or password";
    public const string InvalidAuthToken = "etcdserver: invalid auth token";
    public const string AuthOldRevision = "etcdserver: revision of auth store is old";
    public const string UserEmpty = "etcdserver: user name is empty";
    public const string RootRoleNotExist = "etcdserver: root user does not have root role";
    public const string WatchCanceled = "etcdserver: watch canceled";
    public const string TooManyRequests = "etcdserver: too many requests";
    public const string RequestTooLarge = "etcdserver: request is too large";
    public const string MemberNotFound = "etcdserver: member not found";
    public const string Timeout = "etcdserver: request timed out";

    private static readonly HashSet<string> Known = new(
        new[]
        {
            "key is not provided", "key not found", "value is provided", "lease is provided",
            "too many operations in txn request", "duplicate key given in txn request",
            "given member URLs are invalid", "request is too large", "user name is empty", "role name is empty",
            "authentication failed, invalid user ID or password", "permission not given", "invalid auth management",
            "revision of auth store is old", "wrong downgrade target version format",
            "invalid downgrade target version", "invalid client api version", "invalid sort option",
            "mvcc: required revision has been compacted", "mvcc: required revision is a future revision",
            "too large lease TTL", "mvcc: database space exceeded", "too many requests", "requested lease not found",
            "member not found", "lease already exists", "member ID already exist", "Peer URLs already exists",
            "re-configuration failed due to not enough started members", "can only promote a learner member",
            "can only promote a learner member which is in sync with leader", "too many learner members in cluster",
            "cluster ID mismatch", "root user does not exist", "root user does not have root role",
            "user name already exists", "user name not found", "role name already exists", "role name not found",
            "role is not granted to the user", "permission is not granted to the role",
            "authentication is not enabled", "not leader", "bad leader transferee",
            "cluster has a downgrade job in progress", "no inflight downgrade job", "permission denied",
            "invalid auth token", "corrupt cluster", "watch canceled", "request canceled",
            "context deadline exceeded", "no leader", "leader changed", "server stopped", "request timed out",
            "request timed out, possibly due to previous leader failure",
            "request timed out, possibly due to connection lost",
            "request timed out, waiting for the applied index took too long", "unhealthy cluster", "not capable",
            "rpc not supported for learner", "cluster version not found during downgrade",
        }.Select(text => "etcdserver: " + text),
        StringComparer.Ordinal);

    /// <summary>True when the text is one of etcd's own.</summary>
    public static bool IsKnown(string detail) => Known.Contains(detail);
}
