using System.Diagnostics;
using System.Text.Json.Nodes;
using Perf.Cluster.Tests.Harness;
using Perf.Seeds.Tests.Harness;
using Xunit;

namespace Perf.Seeds.Tests.V2;

/// <summary>The v2 API of our server by itself: with a real client, across restarts, without the flag, over v3 keys.</summary>
[Collection(BesideProxies.Name)]
public sealed class V2ServerTests
{
    private static readonly TimeSpan s_patience = TimeSpan.FromSeconds(60);

    /// <summary>What a program that uses python-etcd does, locks and watches included.</summary>
    private const string PythonProgram = """
        import sys, threading, time
        import etcd, etcd.auth
        client = etcd.Client(host='127.0.0.1', port=int(sys.argv[1]), allow_reconnect=False)
        client.write('/conf/a', '1')
        assert client.read('/conf/a').value == '1'
        client.test_and_set('/conf/a', '2', '1')
        try:
            client.test_and_set('/conf/a', '3', '1')
            assert False
        except etcd.EtcdCompareFailed:
            pass
        client.write('/conf/new', 'x', prevExist=False)
        try:
            client.write('/conf/new', 'x', prevExist=False)
            assert False
        except etcd.EtcdAlreadyExist:
            pass
        try:
            client.read('/none')
            assert False
        except etcd.EtcdKeyNotFound:
            pass
        client.write('/queue', 'one', append=True)
        client.write('/queue', 'two', append=True)
        assert [c.value for c in client.read('/queue', sorted=True, recursive=True).children] == ['one', 'two']
        index = client.read('/conf/a').etcd_index
        client.write('/conf/a', '9')
        assert client.watch('/conf/a', index=index + 1).value == '9'
        seen = []
        def wait():
            for event in client.eternal_watch('/tree', recursive=True):
                seen.append((event.action, event.key))
                if event.action == 'delete':
                    return
        watcher = threading.Thread(target=wait)
        watcher.start()
        deadline = time.time() + 60
        while not seen and time.time() < deadline:
            client.write('/tree/leaf', 'v')
            time.sleep(0.05)
        client.delete('/tree', recursive=True, dir=True)
        watcher.join(60)
        assert seen[-1][0] == 'delete', seen
        client.write('/ttl', 'v', ttl=1)
        assert client.read('/ttl').ttl == 1
        while time.time() < deadline + 60:
            try:
                client.read('/ttl')
                time.sleep(0.05)
            except etcd.EtcdKeyNotFound:
                break
        lock = etcd.Lock(client, 'work')
        assert lock.acquire(blocking=True, lock_ttl=30)
        assert lock.is_acquired
        lock.release()
        assert len(client.members) == 1
        assert client.leader['name'] == 'default'
        assert client.stats['name'] == 'default'
        assert client.store_stats['setsSuccess'] > 0
        user = etcd.auth.EtcdUser(client, 'root')
        user.password = 'secret'
        user.write()
        assert [u['user'] for u in etcd.auth.EtcdUser(client, 'root').names] == ['root']
        assert not etcd.auth.Auth(client).active
        print('done')
        """;

    [ProgramFact(ProgramFactAttribute.PythonEtcd)]
    public void V2_05_Debians_python_client_is_at_home()
    {
        using var directory = new TempDirectory();
        using PerfProcess server = PerfProcess.Start(directory["data"], FreePort.NextPair(), "--enable-v2");
        (int code, string output) = RunPython(PythonProgram, server.Port.ToString(System.Globalization.CultureInfo.InvariantCulture));
        Assert.True(code == 0 && output.EndsWith("done\n", StringComparison.Ordinal), output);
    }

    /// <summary>The tree is in the log until a .snap has it; both must come back.</summary>
    [Fact]
    public async Task V2_keys_survive_a_crash_and_a_snapshot()
    {
        using var directory = new TempDirectory();
        int port = FreePort.NextPair();
        string[] flags = ["--enable-v2", "--snapshot-count", "20", "--experimental-snapshot-catchup-entries", "5"];
        string before;
        using (PerfProcess server = PerfProcess.Start(directory["data"], port, flags))
        {
            using var client = new V2Client(server);
            for (int i = 0; i < 60; i++)
            {
                await client.SendAsync("PUT", $"/v2/keys/dir/k{i % 7}", $"value={i}&ttl=900");
            }

            await client.SendAsync("POST", "/v2/keys/queue", "value=1");
            before = (await client.SendAsync("GET", "/v2/keys?recursive=true")).Comparable(withHeaders: false);
            await WaitForAsync(() => Directory.EnumerateFiles(Path.Combine(directory["data"], "member", "snap"), "*.snap").Any());
            server.Kill();
        }

        using PerfProcess again = PerfProcess.Start(directory["data"], port, flags);
        using var reader = new V2Client(again);
        Assert.Equal(before, (await reader.SendAsync("GET", "/v2/keys?recursive=true")).Comparable(withHeaders: false));
    }

    [Fact]
    public async Task V2_without_the_flag_is_not_there_and_write_only_does_not_go_with_it()
    {
        using var directory = new TempDirectory();
        using (PerfProcess server = PerfProcess.Start(directory["data"], FreePort.NextPair()))
        {
            using var client = new V2Client(server);
            Assert.Equal(404, (await client.SendAsync("GET", "/v2/keys")).Status);
            Assert.Equal(404, (await client.SendAsync("GET", "/new?size=3")).Status);
        }

        using PerfProcess refused = PerfProcess.Launch(
            directory["other"], FreePort.NextPair(), "--enable-v2", "--v2-deprecation", "write-only");
        Assert.Equal(1, refused.WaitForExit());
        Assert.Contains(
            "--enable-v2 and --v2-deprecation=write-only are mutually exclusive", refused.Log, StringComparison.Ordinal);
    }

    /// <summary>Keys that users have put there stop a member that is to give the v2 store up.</summary>
    [Fact]
    public async Task V2_content_is_refused_by_write_only_and_let_through_by_skip_check()
    {
        using var directory = new TempDirectory();
        int port = FreePort.NextPair();
        string[] quick = ["--snapshot-count", "5"];
        using (PerfProcess server = PerfProcess.Start(directory["data"], port, ["--enable-v2", .. quick]))
        {
            using var client = new V2Client(server);
            for (int i = 0; i < 20; i++)
            {
                await client.SendAsync("PUT", "/v2/keys/mine", "value=1");
            }

            await WaitForAsync(() => Directory.EnumerateFiles(Path.Combine(directory["data"], "member", "snap"), "*.snap").Any());
            Assert.Equal(0, server.Stop());
        }

        using (PerfProcess refused = PerfProcess.Launch(directory["data"], port, "--v2-deprecation", "write-only"))
        {
            Assert.Equal(1, refused.WaitForExit());
            Assert.Contains("detected disallowed custom content in v2store", refused.Log, StringComparison.Ordinal);
        }

        using PerfProcess let = PerfProcess.Start(directory["data"], port, "--v2-deprecation", "write-only-skip-check");
    }

    /// <summary>Below a prefix of v3 keys the same API, seen by v3 clients too.</summary>
    [Fact]
    public async Task V2_06_The_v2_api_over_v3_keys()
    {
        using var directory = new TempDirectory();
        using PerfProcess server = PerfProcess.Start(
            directory["data"], FreePort.NextPair(), "--enable-v2", "--experimental-enable-v2v3", "/v2");
        using var client = new V2Client(server);
        Assert.Equal(201, (await client.SendAsync("PUT", "/v2/keys/dir/a", "value=1")).Status);
        JsonNode set = (await client.SendAsync("PUT", "/v2/keys/dir/a", "value=2")).Json;
        Assert.Equal("1", (string?)set["prevNode"]!["value"]);
        Assert.Equal("/dir/a", (string?)set["node"]!["key"]);
        Assert.Equal(200, (await client.SendAsync("PUT", "/v2/keys/dir/sub/b", "value=3")).Status is 201 ? 200 : 0);
        JsonNode listed = await client.GetAsync("/v2/keys/?recursive=true&sorted=true");
        Assert.Equal("/dir/sub/b", (string?)listed["node"]!["nodes"]![0]!["nodes"]![1]!["nodes"]![0]!["key"]);

        V2Reply failed = await client.SendAsync("PUT", "/v2/keys/dir/a", "value=9&prevValue=1");
        Assert.Equal(412, failed.Status);
        Assert.Equal("[1 != 2]", (string?)failed.Json["cause"]);
        Assert.Equal(200, (await client.SendAsync("PUT", "/v2/keys/dir/a", "value=9&prevValue=2")).Status);
        Assert.Equal(412, (await client.SendAsync("PUT", "/v2/keys/dir/a", "value=9&prevExist=false")).Status);
        Assert.Equal(200, (await client.SendAsync("PUT", "/v2/keys/dir/a", "value=10&prevExist=true")).Status);
        Assert.Equal(404, (await client.SendAsync("PUT", "/v2/keys/none", "value=10&prevExist=true")).Status);
        Assert.Equal(400, (await client.SendAsync("PUT", "/v2/keys/dir/a/under", "value=1")).Status);
        Assert.Equal(403, (await client.SendAsync("PUT", "/v2/keys/dir", "value=1")).Status);
        Assert.Equal(500, (await client.SendAsync("PUT", "/v2/keys/ttl", "value=1&ttl=5")).Status);
        Assert.Equal(404, (await client.SendAsync("GET", "/v2/keys/none")).Status);

        V2Reply queued = await client.SendAsync("POST", "/v2/keys/queue", "value=1");
        Assert.Equal(201, queued.Status);
        Assert.StartsWith("/queue/0", (string?)queued.Json["node"]!["key"], StringComparison.Ordinal);

        ulong index = (ulong)(await client.GetAsync("/v2/keys/dir/a"))["node"]!["modifiedIndex"]!;
        Assert.Equal("10", (string?)(await client.GetAsync($"/v2/keys/dir/a?wait=true&waitIndex={index}"))["node"]!["value"]);
        using StreamReader stream = await client.OpenAsync("/v2/keys/dir?wait=true&recursive=true&stream=true");
        Assert.Equal(403, (await client.SendAsync("DELETE", "/v2/keys/dir")).Status);
        Assert.Equal(403, (await client.SendAsync("DELETE", "/v2/keys/dir?dir=true")).Status);
        Assert.Equal(412, (await client.SendAsync("DELETE", "/v2/keys/dir/a?prevValue=1")).Status);
        Assert.Equal(200, (await client.SendAsync("DELETE", "/v2/keys/dir/a?prevValue=10")).Status);
        JsonNode told = JsonNode.Parse((await stream.ReadLineAsync().WaitAsync(s_patience))!)!;
        Assert.Equal("compareAndDelete", (string?)told["action"]);
        Assert.Equal(200, (await client.SendAsync("DELETE", "/v2/keys/dir?recursive=true")).Status);
        Assert.Equal(404, (await client.SendAsync("GET", "/v2/keys/dir/sub/b")).Status);
        Assert.Equal(200, (await client.SendAsync("GET", "/v2/members")).Status);
    }

    [Fact]
    public async Task DSC_01_A_fresh_token_of_our_own_service()
    {
        using var directory = new TempDirectory();
        using PerfProcess server = PerfProcess.Start(directory["data"], FreePort.NextPair(), "--enable-v2");
        using var client = new V2Client(server);
        V2Reply reply = await client.SendAsync("GET", "/new?size=5");
        Assert.Equal(200, reply.Status);
        Assert.StartsWith(server.Url + "/v2/keys/_etcd/registry/", reply.Body, StringComparison.Ordinal);
        JsonNode size = await client.GetAsync(new Uri(reply.Body).AbsolutePath + "/_config/size");
        Assert.Equal("5", (string?)size["node"]!["value"]);
        Assert.Equal(400, (await client.SendAsync("GET", "/new?size=many")).Status);
    }

    private static (int Code, string Output) RunPython(string program, params string[] arguments)
    {
        var start = new ProcessStartInfo("/usr/bin/python3")
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        foreach (string argument in (string[])["-W", "ignore", "-c", program, .. arguments])
        {
            start.ArgumentList.Add(argument);
        }

        using Process process = Process.Start(start)!;
        Task<string> errors = process.StandardError.ReadToEndAsync();
        string output = process.StandardOutput.ReadToEnd();
        process.WaitForExit();
        return (process.ExitCode, errors.Result + output);
    }

    private static async Task WaitForAsync(Func<bool> condition)
    {
        for (var waited = Stopwatch.StartNew(); !condition(); await Task.Delay(20))
        {
            Assert.True(waited.Elapsed < s_patience, "waited too long");
        }
    }
}
