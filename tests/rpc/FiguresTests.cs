using Etcdserverpb;
using Google.Protobuf;
using Grpc.Health.V1;
using Perf.Grpc;
using Xunit;
using Metadata = Perf.Grpc.Metadata;

namespace Perf.Rpc.Tests;

/// <summary>Figures that say what was done, profiles, and what a slow request leaves behind (SURFACE 10, HTTP-07, RPC-08).</summary>
public sealed class FiguresTests : IAsyncLifetime
{
    private readonly RpcServer _server = new()
    {
        Configure = config =>
        {
            config.Metrics = "extensive";
            config.EnablePprof = true;
            config.StopServiceOnDefrag = true;
            config.WarningApplyDuration = TimeSpan.FromTicks(1);
        },
    };

    public Task InitializeAsync() => _server.InitializeAsync();

    public Task DisposeAsync() => _server.DisposeAsync();

    [Fact]
    public async Task MET_FiguresMoveWithWhatIsDone()
    {
        await _server.JsonAsync("/v3/kv/put", """{"key":"YQ==","value":"MQ=="}""");
        await _server.JsonAsync("/v3/kv/put", """{"key":"YQ==","value":"Mg=="}""");
        await _server.JsonAsync("/v3/kv/compaction", """{"revision":"3","physical":true}""");
        await _server.JsonAsync("/v3/maintenance/hashkv", "{}");
        await _server.JsonAsync("/v3/maintenance/hash", "{}");
        await _server.JsonAsync("/v3/maintenance/defragment", "{}");
        await _server.CallAsync<RangeResponse>("/etcdserverpb.KV/Range", new RangeRequest { Key = ByteString.CopyFromUtf8("a") });
        string page = "";
        string[] moved =
        [
            "etcd_server_apply_duration_seconds_count{op=\"Put\",success=\"true\",version=\"v3\"}",
            "etcd_server_slow_apply_total", "etcd_disk_wal_write_bytes_total", "etcd_debugging_mvcc_db_compaction_keys_total",
            "etcd_debugging_mvcc_db_compaction_last", "etcd_debugging_mvcc_db_compaction_total_duration_milliseconds_count",
            "etcd_disk_backend_defrag_duration_seconds_count", "etcd_mvcc_hash_duration_seconds_count",
            "etcd_mvcc_hash_rev_duration_seconds_count", "dotnet_gc_allocated_bytes_total",
            "grpc_server_handling_seconds_count{grpc_method=\"Range\",grpc_service=\"etcdserverpb.KV\",grpc_type=\"unary\"}",
            "etcd_server_client_requests_total{client_api_version=\"unknown\",type=\"unary\"}",
        ];
        string[] still = moved;
        for (int look = 0; look < 300 && still.Length > 0; look++)
        {
            page = await _server.Http.GetStringAsync("/metrics");
            still = [.. moved.Where(name => !page.Split('\n').Any(line => line.StartsWith(name + " ", StringComparison.Ordinal) && !line.EndsWith(" 0", StringComparison.Ordinal)))];
            await Task.Delay(50);
        }

        Assert.Empty(still);
        Assert.Contains("# TYPE etcd_disk_defrag_inflight gauge", page);
    }

    [Fact]
    public async Task REQ06_ClientsAreCountedByTheirVersion()
    {
        var headers = new Metadata { { "client-api-version", "3.5" } };
        await _server.Channel.UnaryAsync(
            "/etcdserverpb.KV/Range",
            new RangeRequest { Key = ByteString.CopyFromUtf8("a") }.ToByteArray(),
            CallOptions.Timeout(TimeSpan.FromSeconds(20), headers));
        Assert.Contains(
            "etcd_server_client_requests_total{client_api_version=\"3.5\",type=\"unary\"} 1\n",
            await _server.Http.GetStringAsync("/metrics"));

        // Whatever clients make up, the page stays of a size.
        for (int i = 0; i < 100; i++)
        {
            var made = new Metadata { { "client-api-version", $"9.{i}" } };
            await _server.Channel.UnaryAsync(
                "/grpc.health.v1.Health/Check", Array.Empty<byte>(), CallOptions.Timeout(TimeSpan.FromSeconds(20), made));
        }

        string page = await _server.Http.GetStringAsync("/metrics");
        Assert.InRange(page.Split("etcd_server_client_requests_total{").Length, 6, 13);
    }

    [Fact]
    public async Task HTTP07_ProfilesAreThoseOfDotNet()
    {
        Assert.Contains("profile?seconds=30", await _server.Http.GetStringAsync("/debug/pprof/"));
        Assert.Contains("generation 0", await _server.Http.GetStringAsync("/debug/pprof/heap"));
        Assert.StartsWith("threads: ", await _server.Http.GetStringAsync("/debug/pprof/goroutine"));
        Assert.NotEmpty(await _server.Http.GetStringAsync("/debug/pprof/cmdline"));
        foreach ((string path, int status) in new[] { ("mutex", 404), ("nothing", 404), ("profile?seconds=0", 500) })
        {
            using HttpResponseMessage response = await _server.Http.GetAsync("/debug/pprof/" + path);
            Assert.Equal(status, (int)response.StatusCode);
        }

        byte[] trace = await _server.Http.GetByteArrayAsync("/debug/pprof/trace?seconds=1");
        Assert.Equal("Nettrace"u8, trace.AsSpan(0, 8));
    }

    [Fact]
    public async Task RPC08_NotServingWhileDefragmenting()
    {
        var method = new ClientMethod<HealthCheckRequest, HealthCheckResponse>(
            "/grpc.health.v1.Health/Watch",
            message => message.ToByteArray(),
            bytes => HealthCheckResponse.Parser.ParseFrom(bytes.Span));
        await using ClientStream<HealthCheckRequest, HealthCheckResponse> watch = _server.Channel.ServerStream(
            method, new HealthCheckRequest(), CallOptions.Timeout(TimeSpan.FromSeconds(60)));
        Assert.True(await watch.MoveNextAsync());
        Assert.Equal(HealthCheckResponse.Types.ServingStatus.Serving, watch.Current.Status);

        // A watcher is told the newest state: of a short absence it may hear nothing, so there are several.
        Task<bool> told = ToldAsync();
        while (!told.IsCompleted)
        {
            await _server.CallAsync<DefragmentResponse>("/etcdserverpb.Maintenance/Defragment", new DefragmentRequest());
        }

        Assert.True(await told);
        Assert.Equal(
            HealthCheckResponse.Types.ServingStatus.Serving,
            (await _server.CallAsync<HealthCheckResponse>("/grpc.health.v1.Health/Check", new HealthCheckRequest())).Status);

        async Task<bool> ToldAsync()
        {
            while (await watch.MoveNextAsync())
            {
                if (watch.Current.Status == HealthCheckResponse.Types.ServingStatus.NotServing)
                {
                    return true;
                }
            }

            return false;
        }
    }

    [Fact]
    public async Task HTTP07_WithoutTheFlagThereAreNone()
    {
        RpcServer own = await RpcServer.StartAsync();
        try
        {
            using HttpResponseMessage response = await own.Http.GetAsync("/debug/pprof/");
            Assert.Equal(404, (int)response.StatusCode);
        }
        finally
        {
            await own.DisposeAsync();
        }
    }
}
