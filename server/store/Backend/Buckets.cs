namespace Perf.Store.Backend;

/// <summary>Names of the buckets and of the keys in <c>meta</c> (FORMATS A.3).</summary>
public static class Buckets
{
    public const string Key = "key";
    public const string Meta = "meta";
    public const string Lease = "lease";
    public const string Alarm = "alarm";
    public const string Auth = "auth";
    public const string AuthUsers = "authUsers";
    public const string AuthRoles = "authRoles";
    public const string Members = "members";
    public const string MembersRemoved = "members_removed";
    public const string Cluster = "cluster";

    /// <summary>All ten, made at start where missing.</summary>
    public static readonly IReadOnlyList<string> All =
    [
        Alarm, Auth, AuthRoles, AuthUsers, Cluster, Key, Lease, Members, MembersRemoved, Meta,
    ];

    public static ReadOnlySpan<byte> ConsistentIndexKey => "consistent_index"u8;

    public static ReadOnlySpan<byte> TermKey => "term"u8;

    public static ReadOnlySpan<byte> ConfStateKey => "confState"u8;

    public static ReadOnlySpan<byte> ScheduledCompactKey => "scheduledCompactRev"u8;

    public static ReadOnlySpan<byte> FinishedCompactKey => "finishedCompactRev"u8;

    public static ReadOnlySpan<byte> StorageVersionKey => "storageVersion"u8;
}
