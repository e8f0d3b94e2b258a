namespace Perf.Client;

/// <summary>What a permission allows.</summary>
public enum PermissionType
{
    /// <summary>Gets and watches.</summary>
    Read = 0,

    /// <summary>Puts and deletes.</summary>
    Write = 1,

    /// <summary>Both.</summary>
    ReadWrite = 2,
}

/// <summary>A permission on one key, or on [Key, RangeEnd).</summary>
public sealed record Permission
{
    /// <summary>What is allowed.</summary>
    public PermissionType Type { get; init; }

    /// <summary>The key, or where the range begins.</summary>
    public Bytes Key { get; init; }

    /// <summary>Empty for one key, <see cref="Bytes.Zero"/> for no upper bound.</summary>
    public Bytes RangeEnd { get; init; }

    internal static Permission From(Authpb.Permission m) => new()
    {
        Type = (PermissionType)m.PermType,
        Key = m.Key.Memory,
        RangeEnd = m.RangeEnd.Memory,
    };
}

/// <summary>Whether authentication is on.</summary>
public sealed class AuthStatusResponse : EtcdResponse
{
    /// <summary>True while requests need a user.</summary>
    public bool Enabled { get; init; }

    /// <summary>Counts the changes of users, roles and the switch.</summary>
    public ulong AuthRevision { get; init; }

    internal static AuthStatusResponse From(Etcdserverpb.AuthStatusResponse m) => new()
    {
        HasHeader = m.Header is not null,
        Header = ResponseHeader.From(m.Header),
        Enabled = m.Enabled,
        AuthRevision = m.AuthRevision,
        Message = m,
    };
}

/// <summary>Names: of users, of roles, of a user's roles.</summary>
public sealed class NamesResponse : EtcdResponse
{
    /// <summary>In the order of the server.</summary>
    public IReadOnlyList<string> Names { get; init; } = [];

    internal static NamesResponse From(
        Etcdserverpb.ResponseHeader? header, IEnumerable<string> names, Google.Protobuf.IMessage message) => new()
        {
            HasHeader = header is not null,
            Header = ResponseHeader.From(header),
            Names = names.ToArray(),
            Message = message,
        };
}

/// <summary>A role's permissions.</summary>
public sealed class RoleGetResponse : EtcdResponse
{
    /// <summary>What the role may do.</summary>
    public IReadOnlyList<Permission> Permissions { get; init; } = [];

    internal static RoleGetResponse From(Etcdserverpb.AuthRoleGetResponse m) => new()
    {
        HasHeader = m.Header is not null,
        Header = ResponseHeader.From(m.Header),
        Permissions = m.Perm.Select(Permission.From).ToArray(),
        Message = m,
    };
}
