using Etcdserverpb;
using Google.Protobuf;

namespace Perf.Client;

/// <summary>Users, roles and the switch for authentication. Thread-safe.</summary>
public sealed class Auth
{
    private readonly Caller _caller;

    internal Auth(Caller caller) => _caller = caller;

    /// <summary>Turns authentication on; user root with role root must exist.</summary>
    public Task<EtcdResponse> EnableAsync(CancellationToken cancellation = default) => ChangeAsync(
        "AuthEnable", new AuthEnableRequest(), AuthEnableResponse.Parser, m => m.Header, cancellation);

    /// <summary>Turns authentication off.</summary>
    public Task<EtcdResponse> DisableAsync(CancellationToken cancellation = default) => ChangeAsync(
        "AuthDisable", new AuthDisableRequest(), AuthDisableResponse.Parser, m => m.Header, cancellation);

    /// <summary>Tells whether authentication is on.</summary>
    public async Task<AuthStatusResponse> StatusAsync(CancellationToken cancellation = default) =>
        AuthStatusResponse.From(await ReadAsync(
            "AuthStatus", new AuthStatusRequest(), Etcdserverpb.AuthStatusResponse.Parser, cancellation)
            .ConfigureAwait(false));

    /// <summary>Adds a user; with a null password one that can only come by certificate.</summary>
    public Task<EtcdResponse> UserAddAsync(
        string name, string? password, CancellationToken cancellation = default) => ChangeAsync(
        "UserAdd",
        new AuthUserAddRequest
        {
            Name = name,
            Password = password ?? "",
            Options = new Authpb.UserAddOptions { NoPassword = password is null },
        },
        AuthUserAddResponse.Parser,
        m => m.Header,
        cancellation);

    /// <summary>Deletes a user.</summary>
    public Task<EtcdResponse> UserDeleteAsync(string name, CancellationToken cancellation = default) => ChangeAsync(
        "UserDelete",
        new AuthUserDeleteRequest { Name = name },
        AuthUserDeleteResponse.Parser,
        m => m.Header,
        cancellation);

    /// <summary>The roles of a user.</summary>
    public async Task<NamesResponse> UserGetAsync(string name, CancellationToken cancellation = default)
    {
        AuthUserGetResponse m = await ReadAsync(
            "UserGet", new AuthUserGetRequest { Name = name }, AuthUserGetResponse.Parser, cancellation)
            .ConfigureAwait(false);
        return NamesResponse.From(m.Header, m.Roles, m);
    }

    /// <summary>All users.</summary>
    public async Task<NamesResponse> UserListAsync(CancellationToken cancellation = default)
    {
        AuthUserListResponse m = await ReadAsync(
            "UserList", new AuthUserListRequest(), AuthUserListResponse.Parser, cancellation).ConfigureAwait(false);
        return NamesResponse.From(m.Header, m.Users, m);
    }

    /// <summary>Replaces a user's password.</summary>
    public Task<EtcdResponse> UserChangePasswordAsync(
        string name, string password, CancellationToken cancellation = default) => ChangeAsync(
        "UserChangePassword",
        new AuthUserChangePasswordRequest { Name = name, Password = password },
        AuthUserChangePasswordResponse.Parser,
        m => m.Header,
        cancellation);

    /// <summary>Gives a user a role.</summary>
    public Task<EtcdResponse> UserGrantRoleAsync(
        string name, string role, CancellationToken cancellation = default) => ChangeAsync(
        "UserGrantRole",
        new AuthUserGrantRoleRequest { User = name, Role = role },
        AuthUserGrantRoleResponse.Parser,
        m => m.Header,
        cancellation);

    /// <summary>Takes a role from a user.</summary>
    public Task<EtcdResponse> UserRevokeRoleAsync(
        string name, string role, CancellationToken cancellation = default) => ChangeAsync(
        "UserRevokeRole",
        new AuthUserRevokeRoleRequest { Name = name, Role = role },
        AuthUserRevokeRoleResponse.Parser,
        m => m.Header,
        cancellation);

    /// <summary>Adds a role.</summary>
    public Task<EtcdResponse> RoleAddAsync(string name, CancellationToken cancellation = default) => ChangeAsync(
        "RoleAdd", new AuthRoleAddRequest { Name = name }, AuthRoleAddResponse.Parser, m => m.Header, cancellation);

    /// <summary>Deletes a role.</summary>
    public Task<EtcdResponse> RoleDeleteAsync(string name, CancellationToken cancellation = default) => ChangeAsync(
        "RoleDelete",
        new AuthRoleDeleteRequest { Role = name },
        AuthRoleDeleteResponse.Parser,
        m => m.Header,
        cancellation);

    /// <summary>A role's permissions.</summary>
    public async Task<RoleGetResponse> RoleGetAsync(string name, CancellationToken cancellation = default) =>
        RoleGetResponse.From(await ReadAsync(
            "RoleGet", new AuthRoleGetRequest { Role = name }, AuthRoleGetResponse.Parser, cancellation)
            .ConfigureAwait(false));

    /// <summary>All roles.</summary>
    public async Task<NamesResponse> RoleListAsync(CancellationToken cancellation = default)
    {
        AuthRoleListResponse m = await ReadAsync(
            "RoleList", new AuthRoleListRequest(), AuthRoleListResponse.Parser, cancellation).ConfigureAwait(false);
        return NamesResponse.From(m.Header, m.Roles, m);
    }

    /// <summary>Gives a role a permission.</summary>
    public Task<EtcdResponse> RoleGrantPermissionAsync(
        string role, Permission permission, CancellationToken cancellation = default) => ChangeAsync(
        "RoleGrantPermission",
        new AuthRoleGrantPermissionRequest
        {
            Name = role,
            Perm = new Authpb.Permission
            {
                PermType = (Authpb.Permission.Types.Type)permission.Type,
                Key = Wire.String(permission.Key),
                RangeEnd = Wire.String(permission.RangeEnd),
            },
        },
        AuthRoleGrantPermissionResponse.Parser,
        m => m.Header,
        cancellation);

    /// <summary>Takes from a role the permission on exactly this key or range.</summary>
    public Task<EtcdResponse> RoleRevokePermissionAsync(
        string role, Bytes key, Bytes rangeEnd, CancellationToken cancellation = default) => ChangeAsync(
        "RoleRevokePermission",
        new AuthRoleRevokePermissionRequest { Role = role, Key = Wire.String(key), RangeEnd = Wire.String(rangeEnd) },
        AuthRoleRevokePermissionResponse.Parser,
        m => m.Header,
        cancellation);

    private async Task<EtcdResponse> ChangeAsync<TAnswer>(
        string method,
        IMessage request,
        MessageParser<TAnswer> parser,
        Func<TAnswer, Etcdserverpb.ResponseHeader?> header,
        CancellationToken cancellation)
        where TAnswer : IMessage<TAnswer>
    {
        TAnswer answer = await _caller.UnaryAsync(
            "/etcdserverpb.Auth/" + method, request, parser, Repeat.WhenNotSent, cancellation).ConfigureAwait(false);
        return EtcdResponse.From(header(answer), answer);
    }

    private Task<TAnswer> ReadAsync<TAnswer>(
        string method, IMessage request, MessageParser<TAnswer> parser, CancellationToken cancellation)
        where TAnswer : IMessage<TAnswer> =>
        _caller.UnaryAsync(
            "/etcdserverpb.Auth/" + method, request, parser, Repeat.WhenUnavailable, cancellation);
}
