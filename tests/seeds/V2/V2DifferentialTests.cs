using System.Globalization;
using Perf.Cluster.Tests.Harness;
using Perf.Seeds.Tests.Harness;
using Xunit;

namespace Perf.Seeds.Tests.V2;

/// <summary>The same requests to Debian's etcd and to ours: the same answers, indexes included (SURFACE 2.3).</summary>
[Collection(BesideProxies.Name)]
public sealed class V2DifferentialTests
{
    private const int Requests = 400;

    private static readonly string[] s_keys =
        ["/a", "/b", "/dir", "/dir/a", "/dir/b", "/dir/sub", "/dir/sub/c", "/_hidden", "/dir/_h/d", "", "/a/under-a-file"];

    private static readonly string[] s_values = ["1", "2", "", "a b", "<&>\"\\", "\u4e2d\u6587"];

    [ProgramFact(ProgramFactAttribute.Etcd)]
    public async Task V2_01_to_05_Answers_are_those_of_a_real_etcd()
    {
        using var directory = new TempDirectory();
        using RealEtcd real = RealEtcd.Start(directory["real"], FreePort.NextPair(), "--enable-v2");
        using PerfProcess ours = PerfProcess.Start(directory["ours"], FreePort.NextPair(), "--enable-v2");
        using var pair = new Pair(real, ours);
        await pair.AlignAsync();

        await Fixed(pair);
        await Random(pair, new Random(20261121));
        await Watches(pair);
        await Users(pair);
        await pair.SameAsync("GET", "/v2/stats/store", withHeaders: false, compareBody: false);
    }

    /// <summary>What each rule of the form says, once.</summary>
    private static async Task Fixed(Pair pair)
    {
        await pair.SameAsync("PUT", "/v2/keys/foo", "value=bar");
        await pair.SameAsync("PUT", "/v2/keys/foo?value=query", "value=body");
        await pair.SameAsync("PUT", "/v2/keys/foo?value=query");
        await pair.SameAsync("GET", "/v2/keys/foo");
        await pair.SameAsync("HEAD", "/v2/keys/foo");
        await pair.SameAsync("GET", "/v2/keys/foo?quorum=true");
        await pair.SameAsync("GET", "/v2/keys/nokey");
        await pair.SameAsync("GET", "/v2/keys//foo/../foo");
        await pair.SameAsync("GET", "/v2/keys/foo/");
        await pair.SameAsync("GET", "/v2/keys/a%2Fb%20c");
        await pair.SameAsync("PUT", "/v2/keys/a%2Fb%20c", "value=1");
        await pair.SameAsync("PATCH", "/v2/keys/foo");
        await pair.SameAsync("PUT", "/v2/keys/foo", "value=a;b");
        await pair.SameAsync("PUT", "/v2/keys/foo", "value=%zz");
        await pair.SameAsync("PUT", "/v2/keys/foo", "value=x", "text/plain");
        await pair.SameAsync("PUT", "/v2/keys", "value=root");
        await pair.SameAsync("DELETE", "/v2/keys/?recursive=true");
        foreach (string bad in (string[])
        [
            "prevIndex=x", "waitIndex=-1", "recursive=x", "sorted=yes", "wait=x", "dir=2", "quorum=x", "stream=x",
            "wait=true", "prevValue=", "noValueOnSuccess=x", "ttl=x", "ttl=-1", "prevExist=x", "refresh=x",
            "refresh=true&value=1", "refresh=true", "refresh=true&ttl=100",
        ])
        {
            await pair.SameAsync("PUT", "/v2/keys/form", bad);
        }

        await pair.SameAsync("PUT", "/v2/keys/ttl", "value=1&ttl=500");
        await pair.SameAsync("PUT", "/v2/keys/ttl", "ttl=600&refresh=true&prevExist=true");
        await pair.SameAsync("GET", "/v2/keys/ttl");
        await pair.SameAsync("PUT", "/v2/keys/ttl", "ttl=&value=forever");
        await pair.SameAsync("PUT", "/v2/keys/ttldir", "dir=true&ttl=500");
        await pair.SameAsync("PUT", "/v2/keys/terse?noValueOnSuccess=true", "value=1");
        await pair.SameAsync("POST", "/v2/keys/queue", "value=first");
        await pair.SameAsync("POST", "/v2/keys/queue", "value=second");
        await pair.SameAsync("GET", "/v2/keys/queue?sorted=true&recursive=true");
        await pair.SameAsync("GET", "/v2/keys/_etcd");
        await pair.SameAsync("GET", "/v2/nothing");
        await pair.SameAsync("GET", "/v2/keysandmore");
        await pair.SameAsync("POST", "/v2/machines");
        await pair.SameAsync("GET", "/v2/members/nobody");
        await pair.SameAsync("DELETE", "/v2/members/");
        await pair.SameAsync("DELETE", "/v2/members/xyz");
        await pair.SameAsync("DELETE", "/v2/members/1234");
        await pair.SameAsync("POST", "/v2/members", "{}", "text/plain");
        await pair.SameAsync("GET", "/v2/stats/leader", withHeaders: false, compareBody: false);
        await pair.SameAsync("GET", "/v2/stats/self", withHeaders: false, compareBody: false);
        await pair.SameAsync("POST", "/v2/stats/self");
    }

    /// <summary>Requests drawn at random from few keys, so that they meet.</summary>
    private static async Task Random(Pair pair, Random random)
    {
        for (int i = 0; i < Requests; i++)
        {
            string method = Pick(random, "GET", "GET", "PUT", "PUT", "PUT", "PUT", "POST", "DELETE");
            string path = "/v2/keys" + Pick(random, s_keys);
            var form = new List<string>();
            Maybe(0.3, $"recursive={Truth()}");
            Maybe(0.3, $"dir={Truth()}");
            Maybe(0.2, "sorted=true");
            if (method is "PUT" or "POST")
            {
                Maybe(0.8, "value=" + Uri.EscapeDataString(Pick(random, s_values)));
                Maybe(0.2, "ttl=" + random.Next(500, 900).ToString(CultureInfo.InvariantCulture));
            }

            if (method is "PUT" or "DELETE")
            {
                // A directory's TTL alone is 3.4's to change, not 3.5's: what must be there gets a value.
                if (random.NextDouble() < 0.2)
                {
                    form.RemoveAll(f => f.StartsWith("value=", StringComparison.Ordinal));
                    form.AddRange([$"prevExist={Truth()}", "value=u"]);
                }

                Maybe(0.25, "prevValue=" + Uri.EscapeDataString(Pick(random, s_values)));
                Maybe(0.2, "prevIndex=" + (pair.Index - (ulong)random.Next(0, 6)).ToString(CultureInfo.InvariantCulture));
            }

            string query = string.Join('&', form);
            if (method is "GET" or "DELETE")
            {
                await pair.SameAsync(method, path + "?" + query);
            }
            else
            {
                await pair.SameAsync(method, path, query);
            }

            void Maybe(double chance, string field)
            {
                if (random.NextDouble() < chance)
                {
                    form.Add(field);
                }
            }
        }

        string Truth() => Pick(random, "true", "false");
    }

    private static async Task Watches(Pair pair)
    {
        await pair.SameAsync("PUT", "/v2/keys/watched", "value=1");
        ulong from = pair.Index;
        await pair.SameAsync("PUT", "/v2/keys/watched", "value=2");
        await pair.SameAsync("GET", $"/v2/keys/watched?wait=true&waitIndex={from}");
        await pair.SameAsync("GET", $"/v2/keys/watched?wait=true&waitIndex={from + 1}");
        await pair.SameAsync("GET", $"/v2/keys?wait=true&recursive=true&waitIndex={from}");

        // Somebody who streams, and somebody who waits below what is removed.
        Func<Task<string[]>> streamed = await pair.StreamAsync("/v2/keys/tree?wait=true&recursive=true&stream=true", 8);
        await pair.SameAsync("PUT", "/v2/keys/tree/a", "value=1");
        await pair.SameAsync("PUT", "/v2/keys/tree/_hidden", "value=1");
        await pair.SameAsync("PUT", "/v2/keys/tree/sub/other", "value=2");
        Func<Task<string[]>> below = await pair.StreamAsync("/v2/keys/tree/sub/other?wait=true", 1);
        await pair.SameAsync("PUT", "/v2/keys/tree/a", "prevValue=1&value=3");
        await pair.SameAsync("DELETE", "/v2/keys/tree/a");
        await pair.SameAsync("PUT", "/v2/keys/tree/short", "value=4&ttl=0");
        await pair.ExpiredAsync("/v2/keys/tree/short");
        await pair.SameAsync("DELETE", "/v2/keys/tree?recursive=true");
        string[] told = await below();
        Assert.Equal(told[0], told[1]);
        told = await streamed();
        Assert.Equal(told[0], told[1]);

        // What the history has no longer.
        for (int i = 0; i < 1001; i++)
        {
            await pair.DoAsync("PUT", "/v2/keys/many", "value=" + i.ToString(CultureInfo.InvariantCulture));
        }

        await pair.SameAsync("GET", $"/v2/keys/watched?wait=true&waitIndex={from}");
    }

    private static async Task Users(Pair pair)
    {
        const string Json = "application/json";
        await pair.SameAsync("GET", "/v2/auth/enable", withHeaders: false);
        await pair.SameAsync("GET", "/v2/auth/users", withHeaders: false);
        await pair.SameAsync("GET", "/v2/auth/roles", withHeaders: false);
        await pair.SameAsync("PUT", "/v2/auth/enable", withHeaders: false);
        await pair.SameAsync("DELETE", "/v2/auth/enable", withHeaders: false);
        await pair.SameAsync("PUT", "/v2/auth/users/root", """{"user":"root","password":"pw"}""", Json, withHeaders: false);
        await pair.SameAsync("PUT", "/v2/auth/users/u", """{"user":"u","password":"pw"}""", Json, withHeaders: false);
        await pair.SameAsync("PUT", "/v2/auth/users/u", """{"user":"v"}""", Json, withHeaders: false);
        await pair.SameAsync("PUT", "/v2/auth/users/u", "{", Json, withHeaders: false);
        await pair.SameAsync("PUT", "/v2/auth/users/nopw", """{"user":"nopw"}""", Json, withHeaders: false);
        await pair.SameAsync(
            "PUT",
            "/v2/auth/roles/r",
            """{"role":"r","permissions":{"kv":{"read":["/open/*"],"write":["/open/w"]}}}""",
            Json,
            withHeaders: false);
        await pair.SameAsync("PUT", "/v2/auth/roles/r", """{"role":"r"}""", Json, withHeaders: false);
        await pair.SameAsync(
            "PUT", "/v2/auth/roles/r", """{"role":"r","grant":{"kv":{"write":["/open/*"]}}}""", Json, withHeaders: false);
        await pair.SameAsync(
            "PUT", "/v2/auth/roles/r", """{"role":"r","grant":{"kv":{"write":["/open/*"]}}}""", Json, withHeaders: false);
        await pair.SameAsync(
            "PUT", "/v2/auth/roles/r", """{"role":"r","revoke":{"kv":{"write":["/open/w"]}}}""", Json, withHeaders: false);
        await pair.SameAsync("PUT", "/v2/auth/roles/root", """{"role":"root"}""", Json, withHeaders: false);
        await pair.SameAsync("PUT", "/v2/auth/users/u", """{"user":"u","grant":["r"]}""", Json, withHeaders: false);
        await pair.SameAsync("PUT", "/v2/auth/users/u", """{"user":"u","grant":["r"]}""", Json, withHeaders: false);
        await pair.SameAsync("PUT", "/v2/auth/users/u", """{"user":"u","revoke":["x"]}""", Json, withHeaders: false);
        await pair.SameAsync("GET", "/v2/auth/users/u", withHeaders: false);
        await pair.SameAsync("GET", "/v2/auth/users/none", withHeaders: false);
        await pair.SameAsync("GET", "/v2/auth/roles/none", withHeaders: false);
        await pair.SameAsync("GET", "/v2/auth/roles/r/x", withHeaders: false);
        await pair.SameAsync("PUT", "/v2/auth/enable", withHeaders: false);
        await pair.SameAsync("GET", "/v2/auth/users", withHeaders: false);
        await pair.SameAsync("GET", "/v2/auth/users", user: "root:pw", withHeaders: false);
        await pair.SameAsync("GET", "/v2/auth/roles", user: "root:pw", withHeaders: false);
        await pair.SameAsync(
            "PUT",
            "/v2/auth/roles/guest",
            """{"role":"guest","revoke":{"kv":{"read":["/*"],"write":["/*"]}}}""",
            Json,
            user: "root:pw",
            withHeaders: false);
        foreach (string? who in (string?[])["root:pw", "u:pw", "u:wrong", null])
        {
            await pair.SameAsync("PUT", "/v2/keys/open/x", "value=1", user: who);
            await pair.SameAsync("GET", "/v2/keys/open/x", user: who);
            await pair.SameAsync("GET", "/v2/keys/open?recursive=true", user: who);
            await pair.SameAsync("PUT", "/v2/keys/closed", "value=1", user: who);
            await pair.SameAsync("DELETE", "/v2/members/1234", user: who, withHeaders: false);
        }

        await pair.SameAsync("DELETE", "/v2/auth/users/root", user: "root:pw", withHeaders: false);
        await pair.SameAsync("DELETE", "/v2/auth/enable", user: "u:pw", withHeaders: false);
        await pair.SameAsync("DELETE", "/v2/auth/enable", user: "root:pw", withHeaders: false);
        await pair.SameAsync("DELETE", "/v2/auth/users/u", withHeaders: false);
        await pair.SameAsync("DELETE", "/v2/auth/users/u", withHeaders: false);
        await pair.SameAsync("DELETE", "/v2/auth/roles/r", withHeaders: false);
        await pair.SameAsync("DELETE", "/v2/auth/roles/root", withHeaders: false);
    }

    private static T Pick<T>(Random random, params T[] choices) => choices[random.Next(choices.Length)];

    /// <summary>Both servers, asked the same one after the other.</summary>
    private sealed class Pair(RealEtcd real, PerfProcess ours) : IDisposable
    {
        private static readonly TimeSpan s_patience = TimeSpan.FromSeconds(60);

        private readonly V2Client _real = new(real);
        private readonly V2Client _ours = new(ours);

        /// <summary>Both servers' index after the last answer that told one.</summary>
        public ulong Index { get; private set; }

        /// <summary>The membership takes a few indexes, more or fewer by version: writes here make the two equal.</summary>
        public async Task AlignAsync()
        {
            while (true)
            {
                ulong one = (await _real.SendAsync("GET", "/v2/keys/none")).Index;
                ulong other = (await _ours.SendAsync("GET", "/v2/keys/none")).Index;
                Index = one;
                if (one == other)
                {
                    return;
                }

                await (one < other ? _real : _ours).SendAsync("PUT", "/v2/keys/align", "value=1");
                await (one < other ? _ours : _real).SendAsync("GET", "/v2/keys/none");
            }
        }

        public async Task<(V2Reply Real, V2Reply Ours)> DoAsync(
            string method, string path, string? form = null, string type = "application/x-www-form-urlencoded", string? user = null) =>
            (await _real.SendAsync(method, path, form, type, user), await _ours.SendAsync(method, path, form, type, user));

        public async Task SameAsync(
            string method,
            string path,
            string? form = null,
            string type = "application/x-www-form-urlencoded",
            string? user = null,
            bool withHeaders = true,
            bool compareBody = true)
        {
            (V2Reply one, V2Reply other) = await DoAsync(method, path, form, type, user);
            string what = $"{method} {path} {form} {user}\n";
            if (compareBody)
            {
                Assert.Equal(what + one.Comparable(withHeaders), what + other.Comparable(withHeaders));
            }
            else
            {
                Assert.Equal(
                    what + string.Join(',', one.Json.AsObject().Select(p => p.Key).Where(k => !k.Contains("Rate", StringComparison.Ordinal))),
                    what + string.Join(',', other.Json.AsObject().Select(p => p.Key)));
            }

            if (one.Headers.ContainsKey("X-Etcd-Index") && one.Index > 0)
            {
                Index = one.Index;
            }
        }

        /// <summary>Waits until a key has expired on both, and says nothing of when.</summary>
        public async Task ExpiredAsync(string path)
        {
            DateTime end = DateTime.UtcNow + s_patience;
            while (true)
            {
                (V2Reply one, V2Reply other) = await DoAsync("GET", path);
                if (one.Status == 404 && other.Status == 404)
                {
                    return;
                }

                Assert.True(DateTime.UtcNow < end, $"{path}: {one.Status} {other.Status}");
                await Task.Delay(20);
            }
        }

        /// <summary>Begins a watch on both; what comes back waits for so many events of each.</summary>
        public async Task<Func<Task<string[]>>> StreamAsync(string path, int events)
        {
            StreamReader[] streams = [await _real.OpenAsync(path), await _ours.OpenAsync(path)];
            return async () =>
            {
                var told = new List<string>();
                foreach (StreamReader stream in streams)
                {
                    var lines = new List<string>();
                    while (lines.Count < events)
                    {
                        string? line = await stream.ReadLineAsync().WaitAsync(s_patience);
                        if (line is null)
                        {
                            break;
                        }

                        lines.Add(line);
                    }

                    told.Add(new V2Reply(200, string.Join('\n', lines), new Dictionary<string, string>()).Comparable());
                    stream.Dispose();
                }

                return [.. told];
            };
        }

        public void Dispose()
        {
            _real.Dispose();
            _ours.Dispose();
        }
    }
}
