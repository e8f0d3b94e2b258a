namespace Perf.Client;

/// <summary>gRPC's status codes, by their numbers on the wire.</summary>
public enum RpcCode
{
    /// <summary>All is well; never in an exception.</summary>
    Ok = 0,

    /// <summary>The call was given up by the client, or by a server that shuts down.</summary>
    Canceled = 1,

    /// <summary>An error that the server has no code for.</summary>
    Unknown = 2,

    /// <summary>The request makes no sense, whatever the state of the data.</summary>
    InvalidArgument = 3,

    /// <summary>The time was over. A write may or may not have been applied.</summary>
    DeadlineExceeded = 4,

    /// <summary>A lease, member, user or role that does not exist.</summary>
    NotFound = 5,

    /// <summary>A lease that exists.</summary>
    AlreadyExists = 6,

    /// <summary>The user may not do this.</summary>
    PermissionDenied = 7,

    /// <summary>The quota is reached, there are too many requests, or a message is too large.</summary>
    ResourceExhausted = 8,

    /// <summary>Not in this state of the cluster, such as authentication being off.</summary>
    FailedPrecondition = 9,

    /// <summary>Not used by etcd.</summary>
    Aborted = 10,

    /// <summary>A revision that is compacted away or still to come.</summary>
    OutOfRange = 11,

    /// <summary>A call that this version of the server does not have.</summary>
    Unimplemented = 12,

    /// <summary>The transport broke a rule.</summary>
    Internal = 13,

    /// <summary>No leader, or the connection broke. A write may or may not have been applied.</summary>
    Unavailable = 14,

    /// <summary>The data is damaged.</summary>
    DataLoss = 15,

    /// <summary>The token is not, or no longer, taken.</summary>
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
    /// <summary>The revision is compacted away: read at a newer one, or anew.</summary>
    public const string Compacted = "etcdserver: mvcc: required revision has been compacted";

    /// <summary>The revision is still to come.</summary>
    public const string FutureRevision = "etcdserver: mvcc: required revision is a future revision";

    /// <summary>The quota is reached: only reads, deletes and compaction go until the alarm is taken down.</summary>
    public const string NoSpace = "etcdserver: mvcc: database space exceeded";

    /// <summary>The lease has expired or was revoked, and its keys are gone with it.</summary>
    public const string LeaseNotFound = "etcdserver: requested lease not found";

    /// <summary>The member sees no leader.</summary>
    public const string NoLeader = "etcdserver: no leader";

    /// <summary>The leader changed while the request was under way.</summary>
    public const string LeaderChanged = "etcdserver: leader changed";

    /// <summary>The user may not do this with this key.</summary>
    public const string PermissionDenied = "etcdserver: permission denied";

    /// <summary>Authentication is off.</summary>
    public const string AuthNotEnabled = "etcdserver: authentication is not enabled";

    /// <summary>User or password are wrong.</summary>
    public const string AuthFailed = "etcdserver: authentication failed, invalid user ID or password";

    /// <summary>The token is not, or no longer, taken; the client fetches another by itself.</summary>
    public const string InvalidAuthToken = "etcdserver: invalid auth token";

    /// <summary>Users or roles changed after the token was made; the client fetches another by itself.</summary>
    public const string AuthOldRevision = "etcdserver: revision of auth store is old";

    /// <summary>Authentication is on and the request came without a user.</summary>
    public const string UserEmpty = "etcdserver: user name is empty";

    /// <summary>Authentication cannot be turned on before user root has role root.</summary>
    public const string RootRoleNotExist = "etcdserver: root user does not have root role";

    /// <summary>The server has ended a watch.</summary>
    public const string WatchCanceled = "etcdserver: watch canceled";

    /// <summary>The server has more under way than it takes on: try again later.</summary>
    public const string TooManyRequests = "etcdserver: too many requests";

    /// <summary>The request is larger than the server's --max-request-bytes.</summary>
    public const string RequestTooLarge = "etcdserver: request is too large";

    /// <summary>No such member.</summary>
    public const string MemberNotFound = "etcdserver: member not found";

    /// <summary>The cluster did not agree in time. A write may or may not have been applied.</summary>
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
