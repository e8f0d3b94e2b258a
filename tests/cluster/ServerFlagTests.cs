using System.Diagnostics;
using System.Net;
using System.Net.Sockets;
using System.Text.Json;
using Etcdserverpb;
using Perf.Cluster.Tests.Harness;
using Perf.Grpc;
using Xunit;

namespace Perf.Cluster.Tests;

/// <summary>Flags of the server whose effect is seen from outside alone.</summary>
[Collection(SingleMembers.Name)]
public sealed class ServerFlagTests : IDisposable
{
    private const int Port = 31780;
    private const int OtherPort = 31784;

    private static readonly TimeSpan _patience = TimeSpan.FromSeconds(60);

    private readonly TempDirectory _scratch = new();

    public void Dispose() => _scratch.Dispose();

    [Fact]
    public void Data_lies_where_the_introduction_says()
    {
        using PerfProcess server = PerfProcess.Start(_scratch["data"], Port);
        Assert.True(File.Exists(_scratch["data/member/snap/db"]));
        Assert.True(File.Exists(_scratch["data/member/wal/0000000000000000-0000000000000000.wal"]));
        Eventually(() => File.Exists(_scratch["data/member/wal/0.tmp"]));
    }

    [Fact]
    public async Task Wal_dir_holds_the_log_and_is_found_again()
    {
        using (PerfProcess server = PerfProcess.Start(_scratch["data"], Port, "--wal-dir", _scratch["log"]))
        {
            await using var caller = new Caller(server);
            await caller.PutAsync("key", "value");
            server.Kill();
        }

        Assert.NotEmpty(Directory.GetFiles(_scratch["log"], "*.wal"));
        Assert.False(Directory.Exists(_scratch["data/member/wal"]));
        using PerfProcess again = PerfProcess.Start(_scratch["data"], Port, "--wal-dir", _scratch["log"]);
        await using var reader = new Caller(again);
        Assert.Single((await reader.EverythingAsync()).Kvs);
    }

    [Fact]
    public async Task Quota_backend_bytes_ends_writing_and_raises_the_alarm()
    {
        using PerfProcess server = PerfProcess.Start(_scratch["data"], Port, "--quota-backend-bytes", "400000");
        await using var caller = new Caller(server);
        var value = new string('x', 50_000);
        RpcException refused = await Assert.ThrowsAsync<RpcException>(async () =>
        {
            for (int i = 0; i < 1000; i++)
            {
                await caller.PutAsync($"key{i}", value);
            }
        });
        Assert.Equal("etcdserver: mvcc: database space exceeded", refused.Message);
        AlarmResponse alarms = await caller.AlarmAsync(new AlarmRequest());
        Assert.Equal(AlarmType.Nospace, Assert.Single(alarms.Alarms).Alarm);
    }

    [Fact]
    public async Task Max_snapshots_leaves_so_many()
    {
        using PerfProcess server = PerfProcess.Start(
            _scratch["data"], Port, "--snapshot-count", "10", "--max-snapshots", "2");
        await using var caller = new Caller(server);
        var seen = new HashSet<string>();
        for (var waited = Stopwatch.StartNew(); seen.Count < 5;)
        {
            Assert.True(waited.Elapsed < _patience, $"only {seen.Count} snapshots");
            await caller.PutAsync("key", "value");
            seen.UnionWith(Snapshots());
        }

        Eventually(() => Snapshots().Length <= 2);

        string[] Snapshots() => Directory.GetFiles(_scratch["data/member/snap"], "*.snap");
    }

    [Fact]
    public void Socket_reuse_port_lets_two_share_an_address()
    {
        using PerfProcess first = PerfProcess.Start(_scratch["one"], Port, "--socket-reuse-port");
        using PerfProcess second = PerfProcess.Start(
            _scratch["two"],
            OtherPort,
            "--socket-reuse-port",
            "--listen-client-urls",
            $"{first.Url},http://127.0.0.1:{OtherPort}");
        using PerfProcess third = PerfProcess.Launch(_scratch["three"], Port);
        Assert.NotEqual(0, third.WaitForExit());
        Assert.Contains("address already in use", third.Log, StringComparison.Ordinal);
    }

    [Fact]
    public void Socket_reuse_address_serves_on_an_address_just_left()
    {
        for (int i = 0; i < 2; i++)
        {
            using PerfProcess server = PerfProcess.Start(_scratch["data"], Port, "--socket-reuse-address");
            server.Kill();
        }
    }

    [Fact]
    public void Without_the_ticks_in_advance_a_first_election_takes_its_time()
    {
        var waited = Stopwatch.StartNew();
        string[] slow = ["--initial-election-tick-advance=false", "--election-timeout=3000", "--heartbeat-interval=100"];
        using PerfProcess a = LaunchOfTwo("a", Port, slow);
        using PerfProcess b = LaunchOfTwo("b", OtherPort, slow);
        a.WaitUntilHealthy();
        Assert.True(waited.Elapsed > TimeSpan.FromSeconds(3), $"led after {waited.Elapsed}");
    }

    [Fact]
    public void Log_level_logger_and_outputs_decide_what_is_said_where()
    {
        string file = _scratch["log"];
        using (PerfProcess server = PerfProcess.Start(
            _scratch["data"],
            Port,
            "--logger=zap",
            "--log-level=error",
            $"--log-outputs={file}",
            "--enable-log-rotation",
            "--log-rotation-config-json={\"maxsize\": 1}"))
        {
            server.Kill();
        }

        Assert.DoesNotContain("\"level\":\"info\"", File.ReadAllText(file), StringComparison.Ordinal);
        using (PerfProcess server = PerfProcess.Start(
            _scratch["data"], Port, "--log-level=debug", $"--log-outputs={file}", "--enable-log-rotation"))
        {
            server.Kill();
        }

        Assert.Contains("\"msg\":\"ready to serve client requests\"", File.ReadAllText(file), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Metrics_extensive_adds_a_histogram_of_each_call()
    {
        Assert.DoesNotContain("grpc_server_handling_seconds_bucket", await MetricsAsync("basic"), StringComparison.Ordinal);
        Assert.Contains("grpc_server_handling_seconds_bucket", await MetricsAsync("extensive"), StringComparison.Ordinal);

        async Task<string> MetricsAsync(string level)
        {
            using PerfProcess server = PerfProcess.Start(_scratch["data"], Port, "--metrics", level);
            await using var caller = new Caller(server);
            await caller.PutAsync("key", "value");
            using var http = new HttpClient();
            return await http.GetStringAsync(server.Url + "/metrics");
        }
    }

    [Fact]
    public async Task Bootstrap_defrag_threshold_makes_the_file_small_only_where_it_frees_enough()
    {
        const string Flag = "--experimental-bootstrap-defrag-threshold-megabytes";

        // Where the last live page lies is chance: sometimes the file has become small before the start. Then it is filled again.
        for (var waited = Stopwatch.StartNew(); !await TryAsync();)
        {
            Assert.True(waited.Elapsed < _patience, "there is never anything to free");
        }

        async Task<bool> TryAsync()
        {
            using (PerfProcess server = PerfProcess.Start(_scratch["data"], Port))
            {
                await using var caller = new Caller(server);
                PutResponse last = new();
                for (int i = 0; i < 60; i++)
                {
                    last = await caller.PutAsync("key", new string('x', 150_000));
                }

                await caller.CompactAsync(new CompactionRequest { Revision = last.Header.Revision, Physical = true });
                server.Stop();
            }

            using (PerfProcess server = PerfProcess.Start(_scratch["data"], Port, Flag, "1000"))
            {
                Assert.Equal("Skipping defragmentation", Decision(server).Words);
                server.Stop();
            }

            long before = new FileInfo(_scratch["data/member/snap/db"]).Length;
            using PerfProcess again = PerfProcess.Start(_scratch["data"], Port, Flag, "1");
            (string words, long freeable) = Decision(again);
            Assert.Equal(freeable >= 1 << 20 ? "starting defragmentation" : "Skipping defragmentation", words);
            if (freeable < 1 << 20)
            {
                return false;
            }

            Eventually(() => new FileInfo(_scratch["data/member/snap/db"]).Length <= before - (freeable / 2));
            return true;
        }

        static (string Words, long Freeable) Decision(PerfProcess server)
        {
            string? line = null;
            Eventually(() => (line = server.Log.Split('\n').FirstOrDefault(
                l => l.Contains("defragmentation\"", StringComparison.Ordinal))) is not null);
            JsonElement said = JsonDocument.Parse(line!).RootElement;
            return (
                said.GetProperty("msg").GetString()!,
                said.GetProperty("current-db-size-bytes").GetInt64() - said.GetProperty("current-db-size-in-use-bytes").GetInt64());
        }
    }

    [SyncErrorFact]
    public async Task Unsafe_no_fsync_asks_the_disk_for_nothing()
    {
        using PerfProcess server = PerfProcess.Start(_scratch["data"], Port, "--unsafe-no-fsync");
        await using var caller = new Caller(server);
        using SyncErrors errors = SyncErrors.Attach(server, Directory.GetFiles(_scratch["data/member/wal"]));
        for (int i = 0; i < 20; i++)
        {
            await caller.PutAsync("key", "value");
        }

        server.Kill();
    }

    [Fact]
    public async Task Force_new_cluster_makes_one_member_of_the_last_one_left()
    {
        using (PerfProcess a = LaunchOfTwo("a", Port))
        using (PerfProcess b = LaunchOfTwo("b", OtherPort))
        {
            a.WaitUntilHealthy();
            await using var caller = new Caller(a);
            await caller.PutAsync("key", "value");
            a.Kill();
        }

        using PerfProcess alone = PerfProcess.Start(
            _scratch["a"], Port, "--name", "a", "--force-new-cluster", "--initial-advertise-peer-urls", $"http://127.0.0.1:{Port + 1}");
        await using var reader = new Caller(alone);
        Assert.Single((await reader.EverythingAsync()).Kvs);
        byte[] members = (await reader.CallAsync("/etcdserverpb.Cluster/MemberList", [])).ToArray();
        Assert.Single(MemberListResponse.Parser.ParseFrom(members).Members);
    }

    [Fact]
    public async Task Discovery_proxy_is_asked_in_the_services_place()
    {
        using var proxy = new TcpListener(IPAddress.Loopback, 0);
        proxy.Start();
        using PerfProcess server = PerfProcess.Launch(
            _scratch["data"],
            Port,
            "--discovery=http://discovery.invalid/token",
            $"--discovery-proxy=http://{proxy.LocalEndpoint}",
            "--initial-advertise-peer-urls",
            $"http://127.0.0.1:{Port + 1}");
        using var patience = new CancellationTokenSource(_patience);
        using TcpClient asked = await proxy.AcceptTcpClientAsync(patience.Token);
        using var reader = new StreamReader(asked.GetStream());
        string? request = await reader.ReadLineAsync(patience.Token);
        Assert.StartsWith("GET http://discovery.invalid/token/", request, StringComparison.Ordinal);
    }

    /// <summary>One of two founding members, a and b.</summary>
    private PerfProcess LaunchOfTwo(string name, int port, params string[] more) => PerfProcess.Launch(
        _scratch[name],
        port,
        [
            "--name", name, "--initial-advertise-peer-urls", $"http://127.0.0.1:{port + 1}",
            "--initial-cluster", $"a=http://127.0.0.1:{Port + 1},b=http://127.0.0.1:{OtherPort + 1}", .. more,
        ]);

    private static void Eventually(Func<bool> holds)
    {
        for (var waited = Stopwatch.StartNew(); !holds(); Thread.Sleep(20))
        {
            Assert.True(waited.Elapsed < _patience, "not in time");
        }
    }
}
