using System.Diagnostics;
using System.Text;
using System.Text.Json;
using Perf.Cluster.Tests.Harness;
using Xunit;

namespace Perf.Surface.Tests.Stacks;

/// <summary>Debian's Patroni with PostgreSQL 15 and its etcd3 store, which speaks to our JSON gateway.</summary>
[Collection(OtherStacks.Name)]
public sealed class PatroniTests
{
    private const string Patroni = "patroni";
    private const string PatroniCtl = "patronictl";
    private const string Binaries = "/usr/lib/postgresql/15/bin";

    private static readonly TimeSpan _patience = TimeSpan.FromSeconds(120);

    [ProgramsFact("patroni", Patroni, PatroniCtl, Binaries + "/initdb", "setpriv")]
    public async Task Patroni_elects_a_leader_fails_over_and_its_history_is_readable()
    {
        using var directory = new TempDirectory();
        using PerfProcess server = PerfProcess.Start(directory["etcd"], FreePort.NextPair());

        // PostgreSQL refuses to run as root, and wants its files to be its own.
        string home = Directory.CreateDirectory(directory["postgres"]).FullName;
        Script.Run("/bin/chmod", "711", directory.Path);
        if (Environment.UserName == "root")
        {
            Script.Run("/bin/chown", "postgres:", home);
        }

        var nodes = new List<Node>();
        try
        {
            nodes.Add(new Node("pg1", home, server));
            nodes.Add(new Node("pg2", home, server));
            using var http = new HttpClient { Timeout = TimeSpan.FromSeconds(5) };
            Node leader = await UntilAsync(http, nodes, members => members.Count == 2
                && members.Values.Count(m => m == "leader/running") == 1
                && members.Values.Count(m => m is "replica/running" or "replica/streaming") == 1);

            leader.Kill();
            nodes.Remove(leader);
            Node next = await UntilAsync(http, nodes, members => members.GetValueOrDefault(nodes[0].Name) == "leader/running");
            Assert.NotSame(leader, next);

            JsonElement entry = await HistoryAsync(http, next);
            Assert.Equal(1, entry[0].GetInt32());
            Assert.Equal(next.Name, entry[4].GetString());
            Assert.Contains(next.Name, next.Control("history", "perf"), StringComparison.Ordinal);

            // What Patroni keeps is there for everybody.
            var etcdctl = new Etcdctl(server);
            if (File.Exists(Etcdctl.Program))
            {
                Assert.Equal(next.Name, etcdctl.Succeed("get /service/perf/leader --print-value-only").Trim());
                Assert.Contains(next.Name, etcdctl.Succeed("get /service/perf/history --print-value-only"), StringComparison.Ordinal);
            }
        }
        finally
        {
            nodes.ForEach(n => n.Dispose());
            await DeleteAsync(home);
        }
    }

    /// <summary>What PostgreSQL has started may outlive it for a moment, and write.</summary>
    private static async Task DeleteAsync(string home)
    {
        for (var waited = Stopwatch.StartNew(); Directory.Exists(home); await Task.Delay(100))
        {
            try
            {
                Directory.Delete(home, recursive: true);
            }
            catch (IOException) when (waited.Elapsed < _patience)
            {
                // Once more.
            }
        }
    }

    /// <summary>Waits until the cluster is as wanted, in the eyes of the first node; its leader.</summary>
    private static async Task<Node> UntilAsync(
        HttpClient http, List<Node> nodes, Func<Dictionary<string, string>, bool> condition)
    {
        string last = "";
        for (var waited = Stopwatch.StartNew(); waited.Elapsed < _patience; await Task.Delay(200))
        {
            try
            {
                last = await http.GetStringAsync(nodes[0].Url + "/cluster");
            }
            catch (Exception e) when (e is HttpRequestException or TaskCanceledException)
            {
                continue;
            }

            using var cluster = JsonDocument.Parse(last);
            var members = cluster.RootElement.GetProperty("members").EnumerateArray().ToDictionary(
                m => m.GetProperty("name").GetString()!,
                m => $"{m.GetProperty("role").GetString()}/{m.GetProperty("state").GetString()}");
            Node? leader = nodes.Find(n => members.GetValueOrDefault(n.Name) == "leader/running");
            if (leader is not null && condition(members))
            {
                return leader;
            }
        }

        throw new InvalidOperationException($"the cluster is {last}\n{string.Join('\n', nodes.Select(n => n.Log))}");
    }

    private static async Task<JsonElement> HistoryAsync(HttpClient http, Node node)
    {
        for (var waited = Stopwatch.StartNew(); waited.Elapsed < _patience; await Task.Delay(200))
        {
            JsonElement history = JsonDocument.Parse(await http.GetStringAsync(node.Url + "/history")).RootElement;
            if (history.GetArrayLength() > 0)
            {
                return history[0];
            }
        }

        throw new InvalidOperationException("no history\n" + node.Log);
    }

    /// <summary>A Patroni with its PostgreSQL.</summary>
    private sealed class Node : IDisposable
    {
        private readonly string _configuration;
        private readonly string _data;
        private readonly Process _process;
        private readonly StringBuilder _log = new();

        public Node(string name, string home, EtcdProcess etcd)
        {
            int port = FreePort.NextPair();
            Name = name;
            Url = $"http://127.0.0.1:{port}";
            _data = Path.Combine(home, name);
            _configuration = Path.Combine(home, name + ".yml");
            File.WriteAllText(_configuration, $$"""
                scope: perf
                namespace: /service/
                name: {{name}}
                restapi: {listen: '127.0.0.1:{{port}}', connect_address: '127.0.0.1:{{port}}'}
                etcd3: {hosts: '{{etcd.Endpoint}}'}
                bootstrap:
                  dcs:
                    ttl: 10
                    loop_wait: 1
                    retry_timeout: 3
                    postgresql:
                      use_pg_rewind: false
                      parameters: {fsync: 'off', shared_buffers: 16MB, max_connections: 20}
                  initdb: [{encoding: UTF8}, {locale: C}, no-sync]
                  pg_hba: ['local all all trust', 'host all all 127.0.0.1/32 trust', 'host replication all 127.0.0.1/32 trust']
                postgresql:
                  listen: 127.0.0.1:{{port + 1}}
                  connect_address: 127.0.0.1:{{port + 1}}
                  data_dir: {{_data}}
                  bin_dir: {{Binaries}}
                  pgpass: {{_data}}.pass
                  authentication: {superuser: {username: postgres, password: p}, replication: {username: replicator, password: r} }
                  parameters: {unix_socket_directories: '{{home}}'}
                """);

            // setpriv becomes the program, so that the signal that kills reaches it.
            string[] user = Environment.UserName == "root" ? ["--reuid=postgres", "--regid=postgres", "--init-groups"] : [];
            _process = Process.Start(new ProcessStartInfo("setpriv", [.. user, Patroni, _configuration])
            {
                RedirectStandardOutput = true,
                RedirectStandardError = true,
                WorkingDirectory = "/",
            })!;
            _process.OutputDataReceived += (_, line) => Note(line.Data);
            _process.ErrorDataReceived += (_, line) => Note(line.Data);
            _process.BeginOutputReadLine();
            _process.BeginErrorReadLine();
        }

        public string Name { get; }

        public string Url { get; }

        public string Log
        {
            get
            {
                lock (_log)
                {
                    return $"{Name}:\n{_log}";
                }
            }
        }

        /// <summary>What patronictl prints.</summary>
        public string Control(params string[] arguments)
        {
            using Process control = Process.Start(new ProcessStartInfo(PatroniCtl, ["-c", _configuration, .. arguments])
            {
                RedirectStandardOutput = true,
            })!;
            string output = control.StandardOutput.ReadToEnd();
            control.WaitForExit();
            Assert.Equal(0, control.ExitCode);
            return output;
        }

        /// <summary>Patroni and PostgreSQL at once, as when their machine is lost.</summary>
        public void Kill()
        {
            _process.Kill();
            string pidFile = Path.Combine(_data, "postmaster.pid");
            if (File.Exists(pidFile))
            {
                int pid = int.Parse(File.ReadLines(pidFile).First());
                try
                {
                    Process.GetProcessById(pid).Kill();
                }
                catch (ArgumentException)
                {
                    // It has ended already.
                }
            }

            _process.WaitForExit();
        }

        public void Dispose()
        {
            Kill();
            _process.Dispose();
        }

        private void Note(string? line)
        {
            lock (_log)
            {
                _log.AppendLine(line);
            }
        }
    }
}
