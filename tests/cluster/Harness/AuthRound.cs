using Authpb;
using Etcdserverpb;
using Google.Protobuf;
using Perf.Grpc;
using Xunit;

namespace Perf.Cluster.Tests.Harness;

/// <summary>
/// Users, roles and permissions made, authentication on for a while and off again. Whoever has no token meanwhile is
/// refused, on every member.
/// </summary>
internal sealed class AuthRound(Random random)
{
    private int _round;

    /// <summary>One round; leaves root, some users and some roles behind, and authentication off.</summary>
    public async Task RunAsync(IReadOnlyList<Caller> callers)
    {
        string name = $"user{_round}";
        string role = $"role{_round}";
        if (_round++ == 0)
        {
            await AskAsync("UserAdd", new AuthUserAddRequest { Name = "root", Password = "secret" }, AuthUserAddResponse.Parser);
            await AskAsync("RoleAdd", new AuthRoleAddRequest { Name = "root" }, AuthRoleAddResponse.Parser);
            await AskAsync("UserGrantRole", new AuthUserGrantRoleRequest { User = "root", Role = "root" }, AuthUserGrantRoleResponse.Parser);
        }

        await AskAsync("UserAdd", new AuthUserAddRequest { Name = name, Password = "secret" }, AuthUserAddResponse.Parser);
        await AskAsync("RoleAdd", new AuthRoleAddRequest { Name = role }, AuthRoleAddResponse.Parser);
        var permission = new Permission
        {
            PermType = Permission.Types.Type.Readwrite,
            Key = ByteString.CopyFromUtf8($"auth/{name}/"),
            RangeEnd = ByteString.CopyFromUtf8($"auth/{name}0"),
        };
        await AskAsync(
            "RoleGrantPermission",
            new AuthRoleGrantPermissionRequest { Name = role, Perm = permission },
            AuthRoleGrantPermissionResponse.Parser);
        await AskAsync("UserGrantRole", new AuthUserGrantRoleRequest { User = name, Role = role }, AuthUserGrantRoleResponse.Parser);

        Caller one = Any();
        await one.CallAsync("Auth/AuthEnable", new AuthEnableRequest(), AuthEnableResponse.Parser);
        string root = await TokenAsync(one, "root");
        string user = await TokenAsync(one, name);
        await one.CallAsync("KV/Put", Put($"auth/{name}/own"), PutResponse.Parser, user);
        await RefusedAsync(StatusCode.PermissionDenied, Put("auth/other"), user);
        await RefusedAsync(StatusCode.InvalidArgument, Put("auth/other"), token: null);
        await one.CallAsync("KV/Put", Put("auth/other"), PutResponse.Parser, root);
        await one.CallAsync("Auth/AuthDisable", new AuthDisableRequest(), AuthDisableResponse.Parser, root);
        if (random.Next(2) == 0)
        {
            await AskAsync("RoleDelete", new AuthRoleDeleteRequest { Role = role }, AuthRoleDeleteResponse.Parser);
            await AskAsync("UserDelete", new AuthUserDeleteRequest { Name = name }, AuthUserDeleteResponse.Parser);
        }

        async Task RefusedAsync(StatusCode code, PutRequest request, string? token)
        {
            RpcException refused = await Assert.ThrowsAsync<RpcException>(
                () => one.CallAsync("KV/Put", request, PutResponse.Parser, token));
            Assert.Equal(code, refused.Code);
        }

        // What one member has answered, another may still have to apply: users and roles are made at one after another.
        Task<TResponse> AskAsync<TRequest, TResponse>(string method, TRequest request, MessageParser<TResponse> parser)
            where TRequest : IMessage<TRequest>
            where TResponse : IMessage<TResponse> => Any().CallAsync("Auth/" + method, request, parser);

        Caller Any() => callers[random.Next(callers.Count)];
    }

    /// <summary>Names of users and roles as this member has them.</summary>
    public static async Task<string> ListAsync(Caller caller)
    {
        AuthUserListResponse users = await caller.CallAsync("Auth/UserList", new AuthUserListRequest(), AuthUserListResponse.Parser);
        AuthRoleListResponse roles = await caller.CallAsync("Auth/RoleList", new AuthRoleListRequest(), AuthRoleListResponse.Parser);
        return $"{string.Join(' ', users.Users)}; {string.Join(' ', roles.Roles)}";
    }

    private static PutRequest Put(string key) => new()
    {
        Key = ByteString.CopyFromUtf8(key),
        Value = ByteString.CopyFromUtf8("value"),
    };

    private static async Task<string> TokenAsync(Caller caller, string name)
    {
        AuthenticateResponse answer = await caller.CallAsync(
            "Auth/Authenticate", new AuthenticateRequest { Name = name, Password = "secret" }, AuthenticateResponse.Parser);
        return answer.Token;
    }
}
