using Perf.Rpc.Access;
using Xunit;

namespace Perf.Rpc.Tests;

/// <summary>Every RPC says who may call it, and the server holds to it (RELIABILITY 3, SURFACE 1.11).</summary>
public sealed class AccessTableTests
{
    [Fact]
    public async Task RPC10_EveryServedMethodHasARow()
    {
        RpcServer server = await RpcServer.StartAsync();
        try
        {
            string metrics = await server.Http.GetStringAsync("/metrics");
            string[] served =
            [
                .. metrics.Split('\n')
                    .Where(line => line.StartsWith("grpc_server_started_total{", StringComparison.Ordinal))
                    .Select(line => line.Split('"'))
                    .Select(parts => $"/{parts[3]}/{parts[1]}"),
            ];
            Assert.Equal(53, served.Length);
            Assert.All(served, path => Assert.True(AccessTable.TryFind(path, out _), path));
        }
        finally
        {
            await server.DisposeAsync();
        }
    }

    [Fact]
    public async Task AUT09_NobodyTheUserAndRootAtEveryDoor()
    {
        RpcServer server = await RpcServer.StartAsync();
        try
        {
            await server.JsonAsync("/v3/auth/user/add", """{"name":"root","password":"pw"}""");
            await server.JsonAsync("/v3/auth/user/add", """{"name":"u","password":"pw"}""");
            await server.JsonAsync("/v3/auth/user/grant", """{"user":"root","role":"root"}""");
            await server.JsonAsync("/v3/auth/enable", "{}");
            string user = await TokenAsync(server, "u");
            string root = await TokenAsync(server, "root");

            // Requests that are harmless to root and refused to a user with no permissions at all.
            (string Path, string Body, int Nobody, int User, int Root)[] rows =
            [
                ("kv/range", """{"key":"YQ=="}""", 400, 403, 200),
                ("kv/range", """{"key":"YQ==","serializable":true}""", 400, 403, 200),
                ("kv/put", """{"key":"YQ=="}""", 400, 403, 200),
                ("kv/deleterange", """{"key":"YQ=="}""", 400, 403, 200),
                ("kv/txn", """{"success":[{"request_range":{"key":"YQ=="}}]}""", 400, 403, 200),
                ("kv/txn", """{"success":[{"request_put":{"key":"YQ=="}}]}""", 400, 403, 200),
                ("kv/txn", """{"compare":[{"key":"YQ=="}],"failure":[{"request_put":{"key":"YQ=="}}]}""", 400, 403, 200),
                ("kv/compaction", """{"revision":"1"}""", 400, 403, 200),
                ("lease/grant", """{"TTL":"100","ID":"4711"}""", 400, 200, 400),
                ("kv/put", """{"key":"bA==","lease":"4711"}""", 400, 403, 200),
                ("lease/leases", "{}", 400, 403, 200),
                ("lease/timetolive", """{"ID":"4711"}""", 400, 200, 200),
                ("lease/timetolive", """{"ID":"4711","keys":true}""", 400, 403, 200),
                ("lease/revoke", """{"ID":"4711"}""", 400, 403, 200),
                ("cluster/member/list", "{}", 400, 200, 200),
                ("cluster/member/remove", """{"ID":"1"}""", 400, 403, 404),
                ("cluster/member/promote", """{"ID":"1"}""", 400, 403, 404),
                ("maintenance/status", "{}", 400, 200, 200),
                ("maintenance/alarm", "{}", 400, 200, 200),
                ("maintenance/alarm", """{"action":"DEACTIVATE"}""", 400, 403, 200),
                ("maintenance/hash", "{}", 500, 500, 200),
                ("maintenance/hashkv", "{}", 500, 500, 200),
                ("maintenance/defragment", "{}", 500, 500, 200),
                ("maintenance/snapshot", "{}", 500, 500, 200),
                ("maintenance/transfer-leadership", """{"targetID":"1"}""", 400, 403, 400),
                ("maintenance/downgrade", """{"action":"VALIDATE","version":"3.4"}""", 400, 403, 200),
                ("auth/status", "{}", 400, 403, 200),
                ("auth/enable", "{}", 400, 403, 200),
                ("auth/user/list", "{}", 400, 403, 200),
                ("auth/user/get", """{"name":"root"}""", 400, 403, 200),
                ("auth/user/get", """{"name":"u"}""", 400, 200, 200),
                ("auth/user/add", """{"name":"v","password":"x"}""", 400, 403, 200),
                ("auth/role/list", "{}", 400, 403, 200),
            ];
            foreach ((string path, string body, int nobody, int asUser, int asRoot) in rows)
            {
                Assert.Equal((path, body, nobody), (path, body, (await server.PostAsync("/v3/" + path, body)).Status));
                Assert.Equal((path, body, asUser), (path, body, (await server.PostAsync("/v3/" + path, body, user)).Status));
                root = await TokenAsync(server, "root");
                Assert.Equal((path, body, asRoot), (path, body, (await server.PostAsync("/v3/" + path, body, root)).Status));
                user = await TokenAsync(server, "u");
            }
        }
        finally
        {
            await server.DisposeAsync();
        }
    }

    private static async Task<string> TokenAsync(RpcServer server, string name) =>
        (await server.JsonAsync("/v3/auth/authenticate", $$"""{"name":"{{name}}","password":"pw"}"""))
            .GetProperty("token").GetString()!;
}
