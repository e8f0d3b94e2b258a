using Etcdserverpb;
using Google.Protobuf;
using Perf.Grpc;
using Perf.Rpc.Access;
using V3Electionpb;
using V3Lockpb;
using Xunit;

namespace Perf.Rpc.Tests.Security;

/// <summary>Nobody comes in by a method that somebody forgot (CVE-2026-33413) or by a range spelled oddly (GHSA-xg4h-6gfc-h4m8).</summary>
public sealed class DoorTests : IAsyncLifetime
{
    private static readonly string[] Open =
    [
        "/etcdserverpb.Auth/Authenticate", "/grpc.health.v1.Health/Check", "/grpc.health.v1.Health/Watch",
        "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
        "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
    ];

    private static readonly ClientMethod<WatchRequest, WatchResponse> WatchMethod = new(
        "/etcdserverpb.Watch/Watch", m => m.ToByteArray(), bytes => WatchResponse.Parser.ParseFrom(bytes.Span));

    private readonly RpcServer _server = new();

    public Task InitializeAsync() => _server.InitializeAsync();

    public Task DisposeAsync() => _server.DisposeAsync();

    [Fact]
    public async Task Every_method_refuses_who_does_not_say_who_he_is()
    {
        await EnableAsync();
        Dictionary<string, IMessage> requests = Requests();
        foreach (string path in await ServedAsync())
        {
            if (Open.Contains(path))
            {
                Assert.True(AccessTable.TryFind(path, out AccessRule rule) && rule == AccessRule.Open, path);
                continue;
            }

            string text = path == WatchMethod.Path
                ? (await WatchAsync("a", "", token: null)).CancelReason
                : (await _server.StatusAsync(path, requests[path])).Text;
            Assert.True(text.EndsWith("user name is empty", StringComparison.Ordinal), $"{path}: {text}");

            // And a token that nobody was given is no better than none.
            (StatusCode Code, string Text) forged = path == WatchMethod.Path
                ? await ForgedWatchAsync()
                : await _server.StatusAsync(path, requests[path], "forgedforgedforg.1");
            Assert.True(forged.Code == StatusCode.Unauthenticated, $"{path}: {forged}");
        }
    }

    [Theory]
    [InlineData("b", "")]
    [InlineData("b", "c")]
    [InlineData("b", "d")]
    [InlineData("c", "\0")]
    public async Task What_a_range_gives_lies_inside_the_grant_however_it_is_spelled(string from, string to)
    {
        string[] keys = ["a", "b", "b\0", "c", "d"];
        await _server.CallAsync<AuthRoleAddResponse>("/etcdserverpb.Auth/RoleAdd", new AuthRoleAddRequest { Name = "r" });
        await _server.CallAsync<AuthRoleGrantPermissionResponse>(
            "/etcdserverpb.Auth/RoleGrantPermission",
            new AuthRoleGrantPermissionRequest
            {
                Name = "r",
                Perm = new Authpb.Permission
                {
                    PermType = Authpb.Permission.Types.Type.Readwrite,
                    Key = Bytes(from),
                    RangeEnd = Bytes(to),
                },
            });
        await AddUserAsync("u", "r");
        await EnableAsync();
        string root = await TokenAsync("root");
        string user = await TokenAsync("u");
        await PutAllAsync();
        int allowed = 0;
        foreach (string key in keys)
        {
            foreach (string end in (string[])["", "\0", key + "\0", "a", "b", "c", "d", "z"])
            {
                string what = $"[{key},{end}) with [{from},{to})".Replace("\0", "\\0", StringComparison.Ordinal);
                var range = new RangeRequest { Key = Bytes(key), RangeEnd = Bytes(end) };
                var serializable = new RangeRequest(range) { Serializable = true };
                var txn = new TxnRequest { Success = { new RequestOp { RequestRange = range } } };
                var compare = new TxnRequest { Compare = { new Compare { Key = range.Key, RangeEnd = range.RangeEnd } } };
                var delete = new DeleteRangeRequest { Key = range.Key, RangeEnd = range.RangeEnd, PrevKv = true };

                // All doors decide alike, and what comes out of them lies inside.
                bool may = await MayAsync<RangeResponse>("KV/Range", range, a => a.Kvs);
                allowed += may ? 1 : 0;
                Assert.Equal((what, may), (what, await MayAsync<RangeResponse>("KV/Range", serializable, a => a.Kvs)));
                Assert.Equal((what, may), (what, await MayAsync<TxnResponse>("KV/Txn", txn, a => a.Responses[0].ResponseRange.Kvs)));
                Assert.Equal((what, may), (what, await MayAsync<TxnResponse>("KV/Txn", compare, _ => [])));
                Assert.Equal((what, may), (what, await MayAsync<DeleteRangeResponse>("KV/DeleteRange", delete, a => a.PrevKvs)));
                await PutAllAsync();

                // A watch from the first revision on: history comes at once. An inverted range has none.
                bool inverted = end.Length > 0 && end != "\0" && string.CompareOrdinal(end, key) <= 0;
                WatchResponse watched = await WatchAsync(key, end, user, wantsEvents: !inverted);
                Assert.True(may || watched.Canceled, $"{what}: watch {watched}");
                Assert.All(watched.Events, e => Assert.True(IsInside(e.Kv.Key.ToStringUtf8()), what));

                async Task<bool> MayAsync<T>(string method, IMessage request, Func<T, IEnumerable<Mvccpb.KeyValue>> kvs)
                    where T : IMessage<T>, new()
                {
                    (StatusCode code, string text) = await _server.StatusAsync("/etcdserverpb." + method, request, user);
                    Assert.True(code is StatusCode.OK or StatusCode.PermissionDenied, $"{what}: {text}");
                    if (code == StatusCode.OK)
                    {
                        await PutAllAsync();
                        T answer = await _server.CallAsync<T>("/etcdserverpb." + method, request, user);
                        Assert.All(kvs(answer), kv => Assert.True(IsInside(kv.Key.ToStringUtf8()), what));
                    }

                    return code == StatusCode.OK;
                }
            }
        }

        Assert.True(allowed > 0);

        bool IsInside(string key) => to.Length == 0
            ? key == from
            : string.CompareOrdinal(key, from) >= 0 && (to == "\0" || string.CompareOrdinal(key, to) < 0);

        async Task PutAllAsync()
        {
            var all = new TxnRequest();
            foreach (string key in keys)
            {
                all.Success.Add(new RequestOp { RequestPut = new PutRequest { Key = Bytes(key), Value = Bytes("of " + key) } });
            }

            await _server.CallAsync<TxnResponse>("/etcdserverpb.KV/Txn", all, root);
        }
    }

    private static Dictionary<string, IMessage> Requests()
    {
        ByteString key = Bytes("a");
        var leader = new LeaderKey { Name = key, Key = key, Rev = 1, Lease = 1 };
        var perm = new Authpb.Permission { Key = key };
        return new Dictionary<string, IMessage>(StringComparer.Ordinal)
        {
            ["/etcdserverpb.KV/Range"] = new RangeRequest { Key = key },
            ["/etcdserverpb.KV/RangeStream"] = new RangeRequest { Key = key },
            ["/etcdserverpb.KV/Put"] = new PutRequest { Key = key },
            ["/etcdserverpb.KV/DeleteRange"] = new DeleteRangeRequest { Key = key },
            ["/etcdserverpb.KV/Txn"] = new TxnRequest { Success = { new RequestOp { RequestPut = new PutRequest { Key = key } } } },
            ["/etcdserverpb.KV/Compact"] = new CompactionRequest { Revision = 1 },
            ["/etcdserverpb.Lease/LeaseGrant"] = new LeaseGrantRequest { TTL = 60 },
            ["/etcdserverpb.Lease/LeaseRevoke"] = new LeaseRevokeRequest { ID = 1 },
            ["/etcdserverpb.Lease/LeaseKeepAlive"] = new LeaseKeepAliveRequest { ID = 1 },
            ["/etcdserverpb.Lease/LeaseTimeToLive"] = new LeaseTimeToLiveRequest { ID = 1 },
            ["/etcdserverpb.Lease/LeaseLeases"] = new LeaseLeasesRequest(),
            ["/etcdserverpb.Cluster/MemberAdd"] = new MemberAddRequest { PeerURLs = { "http://127.0.0.1:1" } },
            ["/etcdserverpb.Cluster/MemberRemove"] = new MemberRemoveRequest { ID = 1 },
            ["/etcdserverpb.Cluster/MemberUpdate"] = new MemberUpdateRequest { ID = 1, PeerURLs = { "http://127.0.0.1:1" } },
            ["/etcdserverpb.Cluster/MemberList"] = new MemberListRequest(),
            ["/etcdserverpb.Cluster/MemberPromote"] = new MemberPromoteRequest { ID = 1 },
            ["/etcdserverpb.Maintenance/Alarm"] = new AlarmRequest(),
            ["/etcdserverpb.Maintenance/Status"] = new StatusRequest(),
            ["/etcdserverpb.Maintenance/Defragment"] = new DefragmentRequest(),
            ["/etcdserverpb.Maintenance/Hash"] = new HashRequest(),
            ["/etcdserverpb.Maintenance/HashKV"] = new HashKVRequest(),
            ["/etcdserverpb.Maintenance/Snapshot"] = new SnapshotRequest(),
            ["/etcdserverpb.Maintenance/MoveLeader"] = new MoveLeaderRequest { TargetID = 1 },
            ["/etcdserverpb.Maintenance/Downgrade"] = new DowngradeRequest { Version = "3.4.0" },
            ["/etcdserverpb.Auth/AuthEnable"] = new AuthEnableRequest(),
            ["/etcdserverpb.Auth/AuthDisable"] = new AuthDisableRequest(),
            ["/etcdserverpb.Auth/AuthStatus"] = new AuthStatusRequest(),
            ["/etcdserverpb.Auth/UserAdd"] = new AuthUserAddRequest { Name = "v", Password = "x" },
            ["/etcdserverpb.Auth/UserGet"] = new AuthUserGetRequest { Name = "root" },
            ["/etcdserverpb.Auth/UserList"] = new AuthUserListRequest(),
            ["/etcdserverpb.Auth/UserDelete"] = new AuthUserDeleteRequest { Name = "root" },
            ["/etcdserverpb.Auth/UserChangePassword"] = new AuthUserChangePasswordRequest { Name = "root", Password = "x" },
            ["/etcdserverpb.Auth/UserGrantRole"] = new AuthUserGrantRoleRequest { User = "root", Role = "root" },
            ["/etcdserverpb.Auth/UserRevokeRole"] = new AuthUserRevokeRoleRequest { Name = "root", Role = "root" },
            ["/etcdserverpb.Auth/RoleAdd"] = new AuthRoleAddRequest { Name = "x" },
            ["/etcdserverpb.Auth/RoleGet"] = new AuthRoleGetRequest { Role = "x" },
            ["/etcdserverpb.Auth/RoleList"] = new AuthRoleListRequest(),
            ["/etcdserverpb.Auth/RoleDelete"] = new AuthRoleDeleteRequest { Role = "x" },
            ["/etcdserverpb.Auth/RoleGrantPermission"] = new AuthRoleGrantPermissionRequest { Name = "x", Perm = perm },
            ["/etcdserverpb.Auth/RoleRevokePermission"] = new AuthRoleRevokePermissionRequest { Role = "x", Key = key },
            ["/v3lockpb.Lock/Lock"] = new LockRequest { Name = key },
            ["/v3lockpb.Lock/Unlock"] = new UnlockRequest { Key = key },
            ["/v3electionpb.Election/Campaign"] = new CampaignRequest { Name = key, Lease = 1 },
            ["/v3electionpb.Election/Proclaim"] = new ProclaimRequest { Leader = leader },
            ["/v3electionpb.Election/Leader"] = new LeaderRequest { Name = key },
            ["/v3electionpb.Election/Observe"] = new LeaderRequest { Name = key },
            ["/v3electionpb.Election/Resign"] = new ResignRequest { Leader = leader },
        };
    }

    private static ByteString Bytes(string text) => ByteString.CopyFromUtf8(text);

    private async Task<string[]> ServedAsync()
    {
        string metrics = await _server.Http.GetStringAsync("/metrics");
        return
        [
            .. metrics.Split('\n')
                .Where(line => line.StartsWith("grpc_server_started_total{", StringComparison.Ordinal))
                .Select(line => line.Split('"'))
                .Select(parts => $"/{parts[3]}/{parts[1]}"),
        ];
    }

    /// <summary>The refusal of a watch, or, when they are wanted, its first events.</summary>
    private async Task<WatchResponse> WatchAsync(string key, string end, string? token, bool wantsEvents = true)
    {
        await using ClientStream<WatchRequest, WatchResponse> stream = _server.Channel.Open(WatchMethod, RpcServer.Options(token));
        await stream.WriteAsync(new WatchRequest
        {
            CreateRequest = new WatchCreateRequest { Key = Bytes(key), RangeEnd = Bytes(end), StartRevision = 1 },
        });
        while (await stream.MoveNextAsync())
        {
            if (stream.Current.Canceled || stream.Current.Events.Count > 0 || !wantsEvents)
            {
                return stream.Current;
            }
        }

        throw new InvalidOperationException("the stream ended");
    }

    private async Task<(StatusCode Code, string Text)> ForgedWatchAsync()
    {
        // The refusal comes before the request is read, and the reset behind it may overtake it: asked again then.
        for (int tries = 0; ; tries++)
        {
            RpcException e = await Assert.ThrowsAsync<RpcException>(() => WatchAsync("a", "", "forgedforgedforg.1"));
            if (e.Code == StatusCode.Unauthenticated || tries == 50)
            {
                return (e.Code, e.Message);
            }
        }
    }

    private async Task AddUserAsync(string name, string role)
    {
        await _server.CallAsync<AuthUserAddResponse>(
            "/etcdserverpb.Auth/UserAdd", new AuthUserAddRequest { Name = name, Password = "pw" });
        await _server.CallAsync<AuthUserGrantRoleResponse>(
            "/etcdserverpb.Auth/UserGrantRole", new AuthUserGrantRoleRequest { User = name, Role = role });
    }

    private async Task EnableAsync()
    {
        await AddUserAsync("root", "root");
        await _server.CallAsync<AuthEnableResponse>("/etcdserverpb.Auth/AuthEnable", new AuthEnableRequest());
    }

    private async Task<string> TokenAsync(string name) => (await _server.CallAsync<AuthenticateResponse>(
        "/etcdserverpb.Auth/Authenticate", new AuthenticateRequest { Name = name, Password = "pw" })).Token;
}
