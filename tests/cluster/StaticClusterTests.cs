using System.Buffers.Binary;
using System.Diagnostics;
using System.Net;
using System.Security.Cryptography;
using System.Text;
using Perf.Cluster.Tests.Harness;
using Xunit;

namespace Perf.Cluster.Tests;

/// <summary>Three machines that know each other from their command lines, as the clustering guide starts them.</summary>
public sealed class StaticClusterTests
{
    private static readonly string[] _names = ["etcd-1", "etcd-4", "etcd-5"];

    [NetworkFact(needsEtcdctl: true)]
    public void The_guides_three_commands_give_the_members_that_it_prints()
    {
        // Its addresses and ports, on three machines of their own; one token for all of them.
        using var lab = new NetworkLab("192.168.56", [101, 104, 105, 1], hasDoor: false);
        using var scratch = new TempDirectory();
        List<PerfProcess> members = [];
        try
        {
            for (int i = 0; i < 3; i++)
            {
                members.Add(LaunchAsTheGuide(lab.Hosts[i], scratch, i, "etcd-cluster-1"));
            }

            string status = MemberGroup.Eventually(
                () => Ask(lab.Hosts[3], "endpoint", "status"),
                text => text.Split('\n').Length == 4 && text.Split("true, false,").Length == 2,
                "three serve and one of them leads",
                text => text + string.Join('\n', members.Select(m => m.Log)));
            string[] lines = status.TrimEnd().Split('\n');
            Assert.Equal(3, lines.Length);
            Assert.StartsWith("192.168.56.101:2379, 11796896800e7f4d, 3.5.33, ", lines[0], StringComparison.Ordinal);
            Assert.StartsWith("192.168.56.104:2379, 6c7e4d4a727fd015, 3.5.33, ", lines[1], StringComparison.Ordinal);
            Assert.StartsWith("192.168.56.105:2379, e544486745ceaf82, 3.5.33, ", lines[2], StringComparison.Ordinal);
            Assert.Equal("OK\n", Ask(lab.Hosts[3], "put", "foo", "bar"));

            // The loss of any one of them is survived.
            members[0].Kill();
            MemberGroup.Eventually(
                () => Ask(lab.Hosts[3], "get", "foo"), text => text == "foo\nbar\n", "two of three serve");
        }
        finally
        {
            members.ForEach(m => m.Dispose());
        }
    }

    [Fact]
    public async Task Three_addresses_of_one_machine_serve_as_the_guides_three_machines()
    {
        using var group = new Aliases("etcd-cluster-1", "etcd-cluster-1", "etcd-cluster-1");
        group.WaitUntilHealthy();
        MemberGroup.Eventually(
            () => group.Members.Select(m => StatusOf(m).Leader).Distinct().ToArray(),
            leaders => leaders.Length == 1 && leaders[0] != 0,
            "they agree on a leader");
        for (int i = 0; i < 3; i++)
        {
            // etcd's rule: the first eight bytes of a SHA-1 over the sorted peer URLs and the token.
            byte[] hash = SHA1.HashData(Encoding.ASCII.GetBytes(group.PeerUrls[i] + "etcd-cluster-1"));
            Assert.Equal(BinaryPrimitives.ReadUInt64BigEndian(hash), StatusOf(group.Members[i]).Header.MemberId);
        }

        await using var caller = new Caller(group.Members[1]);
        await caller.PutAsync("foo", "bar");
    }

    [Fact]
    public async Task With_a_token_each_as_printed_none_finds_the_others_and_each_says_why()
    {
        using var group = new Aliases("etcd-cluster-1", "etcd-cluster-4", "etcd-cluster-5");
        foreach (PerfProcess member in group.Members)
        {
            MemberGroup.Eventually(
                () => member.Log,
                log => log.Contains("\"request cluster ID mismatch\"", StringComparison.Ordinal)
                    && log.Contains("\"412 cluster ID mismatch\"", StringComparison.Ordinal),
                "a member refuses strangers and is refused by them",
                log => log);
            Assert.False(member.HasExited);
        }

        using var http = new HttpClient();
        using var request = new HttpRequestMessage(HttpMethod.Get, group.PeerUrls[0] + "/raft/stream/message/1");
        request.Headers.Add("X-Server-From", "1");
        request.Headers.Add("X-Server-Version", "3.4.23");
        request.Headers.Add("X-Min-Cluster-Version", "3.0.0");
        request.Headers.Add("X-Etcd-Cluster-ID", "1");
        using HttpResponseMessage answer = await http.SendAsync(request);
        Assert.Equal(HttpStatusCode.PreconditionFailed, answer.StatusCode);
    }

    private static Etcdserverpb.StatusResponse StatusOf(EtcdProcess member)
    {
        return AskAsync().Result;

        async Task<Etcdserverpb.StatusResponse> AskAsync()
        {
            await using var caller = new Caller(member);
            return await caller.StatusAsync();
        }
    }

    private static PerfProcess LaunchAsTheGuide(NetworkHost host, TempDirectory scratch, int i, string token) =>
        PerfProcess.LaunchOn(
            host,
            scratch[_names[i]],
            2379,
            "--name", _names[i],
            "--listen-client-urls", $"http://{host.Address}:2379,http://127.0.0.1:2379",
            "--advertise-client-urls", $"http://{host.Address}:2379",
            "--listen-peer-urls", $"http://{host.Address}:2380",
            "--initial-advertise-peer-urls", $"http://{host.Address}:2380",
            "--initial-cluster-token", token,
            "--initial-cluster",
            "etcd-1=http://192.168.56.101:2380,etcd-4=http://192.168.56.104:2380,etcd-5=http://192.168.56.105:2380",
            "--initial-cluster-state", "new");

    private static string Ask(NetworkHost from, params string[] command)
    {
        var start = new ProcessStartInfo("ip") { RedirectStandardOutput = true, RedirectStandardError = true };
        string[] arguments =
        [
            "netns", "exec", from.Namespace, "env", "ETCDCTL_API=3", Etcdctl.Program,
            "--endpoints=192.168.56.101:2379,192.168.56.104:2379,192.168.56.105:2379",
            .. command,
        ];
        foreach (string argument in arguments)
        {
            start.ArgumentList.Add(argument);
        }

        using Process process = Process.Start(start)!;
        process.ErrorDataReceived += (_, _) => { };
        process.BeginErrorReadLine();
        string output = process.StandardOutput.ReadToEnd();
        process.WaitForExit();
        return output;
    }

    /// <summary>The guide's members on 127.0.56.101, .104 and .105, each with the token given.</summary>
    private sealed class Aliases : IDisposable
    {
        private readonly TempDirectory _scratch = new();

        public Aliases(params string[] tokens)
        {
            int port = FreePort.NextPair();
            PeerUrls = [.. new[] { 101, 104, 105 }.Select(last => $"http://127.0.56.{last}:{port + 1}")];
            for (int i = 0; i < 3; i++)
            {
                Members.Add(PerfProcess.Launch(
                    _scratch[_names[i]],
                    FreePort.NextPair(),
                    "--name", _names[i],
                    "--listen-peer-urls", PeerUrls[i],
                    "--initial-advertise-peer-urls", PeerUrls[i],
                    "--initial-cluster-token", tokens[i],
                    "--initial-cluster", string.Join(',', _names.Zip(PeerUrls, (name, url) => $"{name}={url}"))));
            }
        }

        public List<PerfProcess> Members { get; } = [];

        public string[] PeerUrls { get; }

        public void WaitUntilHealthy() => Members.ForEach(m => m.WaitUntilHealthy());

        public void Dispose()
        {
            Members.ForEach(m => m.Dispose());
            _scratch.Dispose();
        }
    }
}
