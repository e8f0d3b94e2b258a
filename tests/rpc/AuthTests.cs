using Etcdserverpb;
using Google.Protobuf;
using Perf.Grpc;
using Xunit;

namespace Perf.Rpc.Tests;

/// <summary>etcdserverpb.Auth and what it means to the other services (SURFACE 1.11).</summary>
public sealed class AuthTests : IAsyncLifetime
{
    private const string Auth = "/etcdserverpb.Auth/";
    private const string Kv = "/etcdserverpb.KV/";

    private readonly RpcServer _server = new();

    public Task InitializeAsync() => _server.InitializeAsync();

    public Task DisposeAsync() => _server.DisposeAsync();

    [Fact]
    public async Task AUT01_EnableWantsRootWithTheRootRole()
    {
        Assert.Equal(
            (StatusCode.FailedPrecondition, "etcdserver: root user does not exist"),
            await _server.StatusAsync(Auth + "AuthEnable", new AuthEnableRequest()));
        await AddUserAsync("root", "pw");
        Assert.Equal(
            (StatusCode.FailedPrecondition, "etcdserver: root user does not have root role"),
            await _server.StatusAsync(Auth + "AuthEnable", new AuthEnableRequest()));
        await GrantRoleAsync("root", "root");
        await _server.CallAsync<AuthEnableResponse>(Auth + "AuthEnable", new AuthEnableRequest());
        string root = await TokenAsync("root", "pw");
        await _server.CallAsync<AuthEnableResponse>(Auth + "AuthEnable", new AuthEnableRequest(), root);
        AuthStatusResponse status = await _server.CallAsync<AuthStatusResponse>(
            Auth + "AuthStatus", new AuthStatusRequest(), root);
        Assert.True(status.Enabled);
        Assert.Equal(3UL, status.AuthRevision);
    }

    [Fact]
    public async Task AUT03_AuthenticateAnswers()
    {
        Assert.Equal(
            (StatusCode.FailedPrecondition, "etcdserver: authentication is not enabled"),
            await AuthenticateAsync("root", "pw"));
        await EnableAsync();
        string root = await TokenAsync("root", "pw");
        await _server.CallAsync<AuthUserAddResponse>(
            Auth + "UserAdd",
            new AuthUserAddRequest { Name = "cert", Options = new Authpb.UserAddOptions { NoPassword = true } },
            root);

        (StatusCode, string) failed =
            (StatusCode.InvalidArgument, "etcdserver: authentication failed, invalid user ID or password");
        Assert.Equal(failed, await AuthenticateAsync("root", "wrong"));
        Assert.Equal(failed, await AuthenticateAsync("nobody", "pw"));
        Assert.Equal(
            (StatusCode.Unknown, "auth: authentication failed, password was given for no password user"),
            await AuthenticateAsync("cert", "pw"));
        Assert.Matches("^[a-zA-Z]{16}\\.[0-9]+$", root);
    }

    [Fact]
    public async Task AUT03_APasswordIsNeverInTheLog()
    {
        const string Secret = "Zq7-not-in-any-file-4711";
        await AddUserAsync("root", Secret);
        await GrantRoleAsync("root", "root");
        await _server.CallAsync<AuthEnableResponse>(Auth + "AuthEnable", new AuthEnableRequest());
        string root = await TokenAsync("root", Secret);
        await _server.CallAsync<AuthUserChangePasswordResponse>(
            Auth + "UserChangePassword", new AuthUserChangePasswordRequest { Name = "root", Password = Secret + "2" }, root);
        Assert.NotEmpty(await TokenAsync("root", Secret + "2"));

        await _server.StopAsync();
        byte[] secret = System.Text.Encoding.UTF8.GetBytes(Secret);
        foreach (string file in Directory.EnumerateFiles(
            _server.Node.Config.DataDir, "*", SearchOption.AllDirectories))
        {
            using FileStream stream = Open(file);
            byte[] head = new byte[Math.Min(stream.Length, 1 << 20)];
            stream.ReadExactly(head);
            Assert.True(head.AsSpan().IndexOf(secret) < 0, file);
        }

        // A child of another test, between fork and exec, has a copy of the lock for a moment.
        static FileStream Open(string file)
        {
            for (long end = Environment.TickCount64 + 30_000; ; Thread.Sleep(20))
            {
                try
                {
                    return new FileStream(file, FileMode.Open, FileAccess.Read, FileShare.ReadWrite);
                }
                catch (IOException) when (Environment.TickCount64 < end)
                {
                }
            }
        }
    }

    [Fact]
    public async Task AUT04_UserAddRefusals()
    {
        Assert.Equal(
            (StatusCode.InvalidArgument, "etcdserver: user name is empty"),
            await _server.StatusAsync(Auth + "UserAdd", new AuthUserAddRequest { Password = "x" }));
        await AddUserAsync("u", "x");
        Assert.Equal(
            (StatusCode.FailedPrecondition, "etcdserver: user name already exists"),
            await _server.StatusAsync(Auth + "UserAdd", new AuthUserAddRequest { Name = "u", Password = "x" }));
        Assert.Equal(
            StatusCode.Unknown,
            (await _server.StatusAsync(
                Auth + "UserAdd", new AuthUserAddRequest { Name = "l", Password = new string('x', 73) })).Code);
    }

    [Fact]
    public async Task AUT05_RootStaysWhileAuthIsOn()
    {
        await EnableAsync();
        string root = await TokenAsync("root", "pw");
        (StatusCode, string) refused = (StatusCode.InvalidArgument, "etcdserver: invalid auth management");
        Assert.Equal(
            refused, await _server.StatusAsync(Auth + "UserDelete", new AuthUserDeleteRequest { Name = "root" }, root));
        Assert.Equal(
            refused, await _server.StatusAsync(Auth + "RoleDelete", new AuthRoleDeleteRequest { Role = "root" }, root));
        Assert.Equal(
            refused,
            await _server.StatusAsync(
                Auth + "UserRevokeRole", new AuthUserRevokeRoleRequest { Name = "root", Role = "root" }, root));
    }

    [Fact]
    public async Task AUT10_PermissionsDecideKeyByKey()
    {
        string user = await EnableWithUserAsync();
        await _server.CallAsync<PutResponse>(Kv + "Put", Put("a1"), user);
        Assert.Single((await _server.CallAsync<RangeResponse>(Kv + "Range", Range("a1"), user)).Kvs);

        (StatusCode, string) denied = (StatusCode.PermissionDenied, "etcdserver: permission denied");
        Assert.Equal(denied, await _server.StatusAsync(Kv + "Put", Put("b1"), user));
        Assert.Equal(denied, await _server.StatusAsync(Kv + "Range", Range("b1"), user));
        Assert.Equal(denied, await _server.StatusAsync(Kv + "Compact", new CompactionRequest { Revision = 1 }, user));

        var txn = new TxnRequest();
        txn.Success.Add(new RequestOp { RequestRange = Range("a1") });
        txn.Failure.Add(new RequestOp { RequestTxn = new TxnRequest { Success = { new RequestOp { RequestPut = Put("b1") } } } });
        Assert.Equal(denied, await _server.StatusAsync(Kv + "Txn", txn, user));
    }

    [Fact]
    public async Task AUT09_UserGetIsForRootAndOneself()
    {
        string user = await EnableWithUserAsync();
        AuthUserGetResponse self = await _server.CallAsync<AuthUserGetResponse>(
            Auth + "UserGet", new AuthUserGetRequest { Name = "u" }, user);
        Assert.Equal(["r"], self.Roles);
        Assert.Equal(
            StatusCode.PermissionDenied,
            (await _server.StatusAsync(Auth + "UserGet", new AuthUserGetRequest { Name = "root" }, user)).Code);
        await _server.CallAsync<AuthRoleGetResponse>(Auth + "RoleGet", new AuthRoleGetRequest { Role = "r" }, user);
        Assert.Equal(
            StatusCode.PermissionDenied,
            (await _server.StatusAsync(Auth + "UserList", new AuthUserListRequest(), user)).Code);
    }

    [Fact]
    public async Task AUT12_NoTokenBadTokenOldRevision()
    {
        string user = await EnableWithUserAsync();
        (StatusCode, string) empty = (StatusCode.InvalidArgument, "etcdserver: user name is empty");
        Assert.Equal(empty, await _server.StatusAsync(Kv + "Put", Put("a1")));
        Assert.Equal(empty, await _server.StatusAsync(Kv + "Range", Range("a1")));
        (StatusCode, string) invalid = (StatusCode.Unauthenticated, "etcdserver: invalid auth token");
        foreach (string token in new[] { "x", "x.y", "abcdefghijklmnop.1", "abcdefghijklmnop.99999999" })
        {
            Assert.Equal(invalid, await _server.StatusAsync(Kv + "Range", Range("a1"), token));
        }

        await _server.CallAsync<PutResponse>(Kv + "Put", Put("a1"), "Bearer " + user);
    }

    [Fact]
    public async Task AUT08_AChangedPasswordEndsTheUsersTokens()
    {
        string user = await EnableWithUserAsync();
        string root = await TokenAsync("root", "pw");
        await _server.CallAsync<AuthUserChangePasswordResponse>(
            Auth + "UserChangePassword", new AuthUserChangePasswordRequest { Name = "u", Password = "new" }, root);
        Assert.Equal(
            StatusCode.Unauthenticated, (await _server.StatusAsync(Kv + "Range", Range("a1"), user)).Code);
        Assert.Equal(StatusCode.InvalidArgument, (await AuthenticateAsync("u", "pw")).Code);
        Assert.NotEmpty(await TokenAsync("u", "new"));
    }

    [Fact]
    public async Task AUT02_DisableNeedsRootAndIsFreeWhenOff()
    {
        await _server.CallAsync<AuthDisableResponse>(Auth + "AuthDisable", new AuthDisableRequest());
        string user = await EnableWithUserAsync();
        Assert.Equal(
            StatusCode.PermissionDenied,
            (await _server.StatusAsync(Auth + "AuthDisable", new AuthDisableRequest(), user)).Code);
        await _server.CallAsync<AuthDisableResponse>(
            Auth + "AuthDisable", new AuthDisableRequest(), await TokenAsync("root", "pw"));
        await _server.CallAsync<PutResponse>(Kv + "Put", Put("b1"));
    }

    [Fact]
    public async Task MNT09_MaintenanceAndMembersByRole()
    {
        string user = await EnableWithUserAsync();
        const string Maintenance = "/etcdserverpb.Maintenance/";
        Assert.Equal(
            (StatusCode.InvalidArgument, "etcdserver: user name is empty"),
            await _server.StatusAsync(Maintenance + "Status", new StatusRequest()));
        await _server.CallAsync<StatusResponse>(Maintenance + "Status", new StatusRequest(), user);
        await _server.CallAsync<AlarmResponse>(Maintenance + "Alarm", new AlarmRequest(), user);
        Assert.Equal(
            StatusCode.InvalidArgument, (await _server.StatusAsync(Maintenance + "Alarm", new AlarmRequest())).Code);
        Assert.Equal(
            StatusCode.PermissionDenied,
            (await _server.StatusAsync(
                Maintenance + "Alarm", new AlarmRequest { Action = AlarmRequest.Types.AlarmAction.Deactivate }, user)).Code);

        // These four let the store's own text out, with no code of its own.
        (StatusCode, string) bare = (StatusCode.Unknown, "auth: permission denied");
        Assert.Equal(bare, await _server.StatusAsync(Maintenance + "Hash", new HashRequest(), user));
        Assert.Equal(bare, await _server.StatusAsync(Maintenance + "HashKV", new HashKVRequest(), user));
        Assert.Equal(bare, await _server.StatusAsync(Maintenance + "Defragment", new DefragmentRequest(), user));
        Assert.Equal(
            StatusCode.InvalidArgument,
            (await _server.StatusAsync("/etcdserverpb.Cluster/MemberList", new MemberListRequest())).Code);
        await _server.CallAsync<MemberListResponse>(
            "/etcdserverpb.Cluster/MemberList", new MemberListRequest(), user);
    }

    private static PutRequest Put(string key) => new()
    {
        Key = ByteString.CopyFromUtf8(key),
        Value = ByteString.CopyFromUtf8("v"),
    };

    private static RangeRequest Range(string key) => new() { Key = ByteString.CopyFromUtf8(key) };

    private Task<AuthUserAddResponse> AddUserAsync(string name, string password, string? token = null) =>
        _server.CallAsync<AuthUserAddResponse>(
            Auth + "UserAdd", new AuthUserAddRequest { Name = name, Password = password }, token);

    private Task<AuthUserGrantRoleResponse> GrantRoleAsync(string user, string role) =>
        _server.CallAsync<AuthUserGrantRoleResponse>(
            Auth + "UserGrantRole", new AuthUserGrantRoleRequest { User = user, Role = role });

    private Task<(StatusCode Code, string Text)> AuthenticateAsync(string name, string password) =>
        _server.StatusAsync(Auth + "Authenticate", new AuthenticateRequest { Name = name, Password = password });

    private async Task<string> TokenAsync(string name, string password) =>
        (await _server.CallAsync<AuthenticateResponse>(
            Auth + "Authenticate", new AuthenticateRequest { Name = name, Password = password })).Token;

    private async Task EnableAsync()
    {
        await AddUserAsync("root", "pw");
        await GrantRoleAsync("root", "root");
        await _server.CallAsync<AuthEnableResponse>(Auth + "AuthEnable", new AuthEnableRequest());
    }

    /// <summary>Auth on, and a user "u" that may do anything to keys from a to b; its token.</summary>
    private async Task<string> EnableWithUserAsync()
    {
        await AddUserAsync("u", "pw");
        await _server.CallAsync<AuthRoleAddResponse>(Auth + "RoleAdd", new AuthRoleAddRequest { Name = "r" });
        await _server.CallAsync<AuthRoleGrantPermissionResponse>(
            Auth + "RoleGrantPermission",
            new AuthRoleGrantPermissionRequest
            {
                Name = "r",
                Perm = new Authpb.Permission
                {
                    PermType = Authpb.Permission.Types.Type.Readwrite,
                    Key = ByteString.CopyFromUtf8("a"),
                    RangeEnd = ByteString.CopyFromUtf8("b"),
                },
            });
        await GrantRoleAsync("u", "r");
        await EnableAsync();
        return await TokenAsync("u", "pw");
    }
}
