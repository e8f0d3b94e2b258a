using System.Globalization;
using Etcdserverpb;
using Google.Protobuf;
using Perf.Cluster.Tests.Harness;
using Perf.Grpc;
using Perf.Tests.Security;
using Xunit;

namespace Perf.Cluster.Tests.Security;

/// <summary>
/// One cluster of Debian's etcd and ours, peers under TLS, auth on: who may do what is the same at every member while
/// roles change under load and members come back by snapshot (etcd's PR #11652 and issue #14571).
/// </summary>
public sealed class MixedAuthTests : IDisposable
{
    private const int Port = 31840;
    private const string Real = "real";

    private static readonly string[] _names = [Real, "ours1", "ours2"];
    private static readonly string[] _users = ["u0", "u1"];
    private static readonly string[] _roles = ["r0", "r1", "r2"];
    private static readonly TimeSpan _patience = TimeSpan.FromSeconds(60);

    private readonly TempDirectory _scratch = new();
    private readonly Authority _ca = new("peers");
    private readonly Dictionary<string, EtcdProcess> _running = [];
    private readonly Random _random = new(5);
    private int _denied;
    private int _allowed;

    public void Dispose()
    {
        foreach (EtcdProcess process in _running.Values)
        {
            process.Dispose();
        }

        _ca.Dispose();
        _scratch.Dispose();
    }

    [InteropFact]
    public async Task All_members_decide_alike_while_roles_change_and_members_come_back_by_snapshot()
    {
        foreach (string name in _names)
        {
            Launch(name);
        }

        foreach (EtcdProcess process in _running.Values)
        {
            process.WaitUntilHealthy();
        }

        SetUp();
        using var enough = new CancellationTokenSource();
        Task<int> load = LoadAsync(enough.Token);
        await RoundsAsync(4);

        // Debian's member misses role changes and much of the log: ours, one of which leads now, send a snapshot.
        Kill(Real);
        await RoundsAsync(3);
        await PutManyAsync("ours1", 300);
        Launch(Real).WaitUntilHealthy();
        await RoundsAsync(3);
        Assert.Contains("applied snapshot", _running[Real].Log, StringComparison.Ordinal);

        // And the other way round: Debian's leads, and keeps 5,000 entries behind its snapshot.
        Kill("ours2");
        await LeadAsync(Real);
        await RoundsAsync(2);
        await PutManyAsync(Real, 5300);
        Launch("ours2").WaitUntilHealthy();
        await RoundsAsync(3);
        Assert.NotEmpty(Directory.GetFiles(Path.Combine(_scratch["ours2"], "member", "snap"), "*.snap"));

        await enough.CancelAsync();
        Assert.True(await load > 50, "there was hardly any load");
        Assert.True(_denied > 100 && _allowed > 100, $"{_denied} denied, {_allowed} allowed");
        await SameStateAsync();
    }

    private static ByteString Bytes(string text) => ByteString.CopyFromUtf8(text);

    private static string Text(int number) => number.ToString(CultureInfo.InvariantCulture);

    private EtcdProcess Launch(string name)
    {
        int port = Port + (10 * Array.IndexOf(_names, name));
        bool again = Directory.Exists(_scratch[name]);
        (string certFile, string keyFile) = _ca.Save(_ca.Issue(name), name);
        string[] arguments =
        [
            "--name", name,
            "--listen-peer-urls", Peer(name), "--initial-advertise-peer-urls", Peer(name),
            "--initial-cluster", string.Join(',', _names.Select(n => $"{n}={Peer(n)}")),
            "--peer-cert-file", certFile, "--peer-key-file", keyFile,
            "--peer-trusted-ca-file", _ca.CaFile, "--peer-client-cert-auth",
            "--snapshot-count", "100", "--bcrypt-cost", "4", "--log-level", again ? "info" : "warn",
        ];
        EtcdProcess process = name == Real
            ? RealEtcd.Launch(_scratch[name], port, arguments)
            : PerfProcess.Launch(
                _scratch[name], port, [.. arguments, "--speak-as", "3.4", "--experimental-snapshot-catchup-entries", "10"]);
        _running[name] = process;
        return process;
    }

    private void Kill(string name)
    {
        _running[name].Kill();
        _running[name].Dispose();
        _running.Remove(name);
    }

    private static string Peer(string name) => $"https://127.0.0.1:{Port + 1 + (10 * Array.IndexOf(_names, name))}";

    private void SetUp()
    {
        var etcdctl = new Etcdctl(_running["ours1"]);
        etcdctl.Succeed("user add root:pw");
        etcdctl.Succeed("user grant-role root root");
        foreach (string role in _roles)
        {
            etcdctl.Succeed("role add " + role);
        }

        foreach (string user in _users)
        {
            etcdctl.Succeed($"user add {user}:pw");
        }

        etcdctl.Succeed("auth enable");
    }

    /// <summary>Roles change through any member; then every member is asked the same, and answers alike.</summary>
    private async Task RoundsAsync(int count)
    {
        // Whoever came back by a snapshot has never heard of the old tokens.
        Dictionary<string, Voice> voices = [];
        foreach ((string name, EtcdProcess process) in _running)
        {
            voices[name] = await Voice.OpenAsync(process, "root", [.. _users, "root"]);
        }

        for (int round = 0; round < count; round++)
        {
            for (int i = 0; i < 4; i++)
            {
                await ChangeAsync(voices[_running.Keys.ElementAt(_random.Next(_running.Count))]);
            }

            foreach (string user in _users)
            {
                foreach ((string method, IMessage request) in Questions())
                {
                    (StatusCode Code, string Text)? first = null;
                    foreach ((string name, Voice voice) in voices)
                    {
                        (StatusCode Code, string Text) answer = await voice.AskAsync(user, method, request);
                        Assert.True(answer.Code is StatusCode.OK or StatusCode.PermissionDenied, $"{name}: {answer}");
                        first ??= answer;
                        Assert.True(first == answer, $"{user} {method} {request}: {first} and at {name} {answer}");
                    }

                    _ = first!.Value.Code == StatusCode.OK ? _allowed++ : _denied++;
                }
            }
        }

        foreach (Voice voice in voices.Values)
        {
            await voice.DisposeAsync();
        }
    }

    private async Task ChangeAsync(Voice voice)
    {
        string role = _roles[_random.Next(_roles.Length)];
        string user = _users[_random.Next(_users.Length)];
        char key = (char)('a' + _random.Next(5));
        ByteString end = Bytes(_random.Next(3) switch { 0 => "", 1 => "\0", _ => ((char)(key + 2)).ToString() });
        (string Method, IMessage Request) change = _random.Next(6) switch
        {
            0 => ("UserRevokeRole", new AuthUserRevokeRoleRequest { Name = user, Role = role }),
            1 => ("RoleRevokePermission", new AuthRoleRevokePermissionRequest { Role = role, Key = Bytes($"{key}"), RangeEnd = end }),
            2 => ("UserGrantRole", new AuthUserGrantRoleRequest { User = user, Role = role }),
            3 => ("UserGrantRole", new AuthUserGrantRoleRequest { User = user, Role = "r0" }),
            _ => ("RoleGrantPermission", new AuthRoleGrantPermissionRequest
            {
                Name = role,
                Perm = new Authpb.Permission
                {
                    PermType = (Authpb.Permission.Types.Type)_random.Next(3),
                    Key = Bytes($"{key}"),
                    RangeEnd = end,
                },
            }),
        };
        (StatusCode code, string text) = await voice.AskAsync("root", "/etcdserverpb.Auth/" + change.Method, change.Request);

        // What is not there cannot be taken back.
        Assert.True(code is StatusCode.OK or StatusCode.FailedPrecondition, text);
    }

    private List<(string Method, IMessage Request)> Questions()
    {
        const string Kv = "/etcdserverpb.KV/";
        var questions = new List<(string, IMessage)>();
        foreach (string key in (string[])["a", "b", "c", "d", "e", "f"])
        {
            questions.Add((Kv + "Range", new RangeRequest { Key = Bytes(key) }));
            questions.Add((Kv + "Put", new PutRequest { Key = Bytes(key), Value = Bytes("v"), PrevKv = _random.Next(2) == 0 }));
        }

        questions.Add((Kv + "Range", new RangeRequest { Key = Bytes("a"), RangeEnd = Bytes("c") }));
        questions.Add((Kv + "Range", new RangeRequest { Key = Bytes("b"), RangeEnd = Bytes("\0") }));
        questions.Add((Kv + "DeleteRange", new DeleteRangeRequest { Key = Bytes("c"), RangeEnd = Bytes("e"), PrevKv = true }));
        questions.Add((Kv + "Txn", new TxnRequest
        {
            Compare = { new Compare { Key = Bytes("a"), RangeEnd = Bytes("b") } },
            Success = { new RequestOp { RequestPut = new PutRequest { Key = Bytes("b") } } },
            Failure = { new RequestOp { RequestDeleteRange = new DeleteRangeRequest { Key = Bytes("c") } } },
        }));
        return questions;
    }

    /// <summary>
    /// Writes by users at all members all the while, also such as 3.4 lets through and our doors do not: whoever let
    /// them in, they have the same effect everywhere. The number of those that had one.
    /// </summary>
    private async Task<int> LoadAsync(CancellationToken enough)
    {
        int done = 0;
        while (!enough.IsCancellationRequested)
        {
            foreach (string name in _names)
            {
                try
                {
                    await using Voice voice = await Voice.OpenAsync(Port + (10 * Array.IndexOf(_names, name)), "root", _users);
                    for (int i = 0; i < 30 && !enough.IsCancellationRequested; i++)
                    {
                        string user = _users[i % _users.Length];
                        var nested = new TxnRequest
                        {
                            Success =
                            {
                                new RequestOp { RequestPut = new PutRequest { Key = Bytes($"{(char)('a' + (i % 7))}") } },
                                new RequestOp { RequestDeleteRange = new DeleteRangeRequest { Key = Bytes("x") } },
                            },
                        };
                        (StatusCode code, _) = await voice.AskAsync(user, "/etcdserverpb.KV/Txn", new TxnRequest
                        {
                            Success = { new RequestOp { RequestTxn = nested } },
                        });
                        done += code == StatusCode.OK ? 1 : 0;
                        (code, _) = await voice.AskAsync(
                            user,
                            "/etcdserverpb.KV/Put",
                            new PutRequest { Key = Bytes($"{(char)('a' + (i % 7))}load"), Value = Bytes(Text(i)) });
                        done += code == StatusCode.OK ? 1 : 0;
                        await Task.Delay(5, CancellationToken.None);
                    }
                }
                catch (RpcException)
                {
                    // That one is away, or does not know the tokens any more.
                    await Task.Delay(20, CancellationToken.None);
                }
            }
        }

        return done;
    }

    private async Task PutManyAsync(string name, int count)
    {
        await using Voice voice = await Voice.OpenAsync(_running[name], "root", ["root"]);
        await Parallel.ForEachAsync(
            Enumerable.Range(0, count),
            new ParallelOptions { MaxDegreeOfParallelism = 64 },
            async (i, _) => Assert.Equal(
                StatusCode.OK,
                (await voice.AskAsync("root", "/etcdserverpb.KV/Put", new PutRequest { Key = Bytes($"many/{i}") })).Code));
    }

    private async Task LeadAsync(string target)
    {
        await UntilAsync(() => $"{target} leads", async () =>
        {
            ulong wanted = 0;
            foreach ((string name, EtcdProcess process) in _running)
            {
                await using Voice voice = await Voice.OpenAsync(process, "root", ["root"]);
                StatusResponse status = await voice.CallAsync<StatusResponse>("/etcdserverpb.Maintenance/Status", new StatusRequest());
                wanted = name == target ? status.Header.MemberId : wanted;
                if (wanted != 0 && status.Leader == wanted)
                {
                    return true;
                }

                if (wanted != 0 && status.Leader == status.Header.MemberId)
                {
                    await voice.AskAsync("root", "/etcdserverpb.Maintenance/MoveLeader", new MoveLeaderRequest { TargetID = wanted });
                }
            }

            return false;
        });
    }

    /// <summary>The same revision and hash everywhere, and the same users and roles.</summary>
    private async Task SameStateAsync()
    {
        Dictionary<string, string> states = [];
        await UntilAsync(() => "all members are the same: " + string.Join('\n', states), async () =>
        {
            states.Clear();
            foreach ((string name, EtcdProcess process) in _running)
            {
                await using Voice voice = await Voice.OpenAsync(process, "root", ["root"]);
                HashKVResponse hash = await voice.CallAsync<HashKVResponse>("/etcdserverpb.Maintenance/HashKV", new HashKVRequest());
                string state = $"{hash.Header.Revision} {hash.Hash} {hash.CompactRevision}";
                foreach (string role in _roles)
                {
                    AuthRoleGetResponse got = await voice.CallAsync<AuthRoleGetResponse>(
                        "/etcdserverpb.Auth/RoleGet", new AuthRoleGetRequest { Role = role });
                    state += $" {role}: {string.Join(' ', got.Perm)}";
                }

                foreach (string user in _users)
                {
                    AuthUserGetResponse got = await voice.CallAsync<AuthUserGetResponse>(
                        "/etcdserverpb.Auth/UserGet", new AuthUserGetRequest { Name = user });
                    state += $" {user}: {string.Join(' ', got.Roles)}";
                }

                states[name] = state;
            }

            return states.Values.Distinct().Count() == 1;
        });
        Assert.Equal(3, states.Count);
    }

    private static async Task UntilAsync(Func<string> what, Func<Task<bool>> holds)
    {
        long end = Environment.TickCount64 + (long)_patience.TotalMilliseconds;
        string trouble = "";
        while (true)
        {
            try
            {
                if (await holds())
                {
                    return;
                }
            }
            catch (RpcException e)
            {
                trouble = e.Message;
            }

            Assert.True(Environment.TickCount64 < end, $"not in time: {what()} {trouble}");
            await Task.Delay(50);
        }
    }

    /// <summary>Several users' tokens at one member.</summary>
    private sealed class Voice : IAsyncDisposable
    {
        private readonly GrpcChannel _channel;
        private readonly Dictionary<string, string> _tokens = [];
        private readonly string _default;

        private Voice(GrpcChannel channel, string @default)
        {
            _channel = channel;
            _default = @default;
        }

        public static Task<Voice> OpenAsync(EtcdProcess process, string @default, string[] users) =>
            OpenAsync(process.Port, @default, users);

        public static async Task<Voice> OpenAsync(int port, string @default, string[] users)
        {
            var voice = new Voice(new GrpcChannel($"http://127.0.0.1:{Text(port)}"), @default);
            try
            {
                foreach (string user in users)
                {
                    await voice.AuthenticateAsync(user);
                }

                return voice;
            }
            catch
            {
                await voice.DisposeAsync();
                throw;
            }
        }

        /// <summary>How a call ends. What a change of roles got in the way of is asked again, as clients do.</summary>
        public async Task<(StatusCode Code, string Text)> AskAsync(string user, string path, IMessage request)
        {
            for (int tries = 0; ; tries++)
            {
                try
                {
                    await _channel.UnaryAsync(path, request.ToByteArray(), Options(user));
                    return (StatusCode.OK, "");
                }
                catch (RpcException e) when (tries < 200
                    && (e.Code is StatusCode.Unavailable || e.Message.Contains("revision of auth store is old", StringComparison.Ordinal)))
                {
                    await Task.Delay(50);
                }
                catch (RpcException e)
                {
                    return (e.Code, e.Message);
                }
            }
        }

        public async Task<T> CallAsync<T>(string path, IMessage request)
            where T : IMessage<T>, new()
        {
            var answer = new T();
            answer.MergeFrom((await _channel.UnaryAsync(path, request.ToByteArray(), Options(_default))).Span);
            return answer;
        }

        public ValueTask DisposeAsync() => _channel.DisposeAsync();

        private async Task AuthenticateAsync(string user)
        {
            var request = new AuthenticateRequest { Name = user, Password = "pw" };
            ReadOnlyMemory<byte> answer = await _channel.UnaryAsync(
                "/etcdserverpb.Auth/Authenticate", request.ToByteArray(), CallOptions.Timeout(TimeSpan.FromSeconds(20)));
            _tokens[user] = AuthenticateResponse.Parser.ParseFrom(answer.Span).Token;
        }

        private CallOptions Options(string user) =>
            CallOptions.Timeout(TimeSpan.FromSeconds(20), new Perf.Grpc.Metadata { { "token", _tokens[user] } });
    }
}
