using System.Diagnostics;
using System.Net.Http.Json;
using System.Text;
using System.Text.Json;
using Xunit;

namespace Perf.Node.Tests.Cluster;

/// <summary>A process of Debian's etcd, spoken to by HTTP.</summary>
internal sealed class RealMember : IAsyncDisposable
{
    public const string Program = "/usr/bin/etcd";

    private static readonly HttpClient s_http = new() { Timeout = TimeSpan.FromSeconds(10) };

    /// <summary>Names as they are: ID, TTL.</summary>
    private static readonly JsonSerializerOptions s_names = new();

    private readonly Process _process;
    private readonly StringBuilder _log = new();
    private readonly string _client;
    private readonly string _peer;

    private RealMember(Process process, string client, string peer)
    {
        _process = process;
        _client = client;
        _peer = peer;
    }

    public static RealMember Start(
        string name, string directory, string peerUrl, string clientUrl, string initialCluster, bool joins, int snapshotCount)
    {
        var start = new ProcessStartInfo(Program) { RedirectStandardError = true, RedirectStandardOutput = true };
        foreach (string argument in (string[])
            [
                "--name", name, "--data-dir", directory,
                "--listen-peer-urls", peerUrl, "--initial-advertise-peer-urls", peerUrl,
                "--listen-client-urls", clientUrl, "--advertise-client-urls", clientUrl,
                "--initial-cluster", initialCluster, "--initial-cluster-state", joins ? "existing" : "new",
                "--snapshot-count", snapshotCount.ToString(System.Globalization.CultureInfo.InvariantCulture),
                "--heartbeat-interval", "100", "--election-timeout", "1000", "--logger", "zap",
            ])
        {
            start.ArgumentList.Add(argument);
        }

        var member = new RealMember(Process.Start(start)!, clientUrl, peerUrl);
        member._process.ErrorDataReceived += (_, line) =>
        {
            lock (member._log)
            {
                member._log.AppendLine(line.Data);
            }
        };
        member._process.BeginErrorReadLine();
        member._process.BeginOutputReadLine();
        return member;
    }

    public string Log
    {
        get
        {
            lock (_log)
            {
                return _log.ToString();
            }
        }
    }

    /// <summary>Text of the last answer, for messages.</summary>
    public string LastAnswer { get; private set; } = "";

    public bool HasExited => _process.HasExited;

    /// <summary>One call of the JSON gateway that must succeed.</summary>
    public async Task MustAsync(string path, object body) =>
        Assert.True(await CallAsync(path, body) is not null, $"{path}: {LastAnswer}");

    /// <summary>One call of the JSON gateway; null when the member does not answer, or refuses.</summary>
    public async Task<JsonElement?> CallAsync(string path, object body)
    {
        try
        {
            using HttpResponseMessage response = await s_http.PostAsJsonAsync(_client + path, body, s_names);
            LastAnswer = await response.Content.ReadAsStringAsync();
            return response.IsSuccessStatusCode ? JsonSerializer.Deserialize<JsonElement>(LastAnswer) : null;
        }
        catch (Exception e) when (e is HttpRequestException or TaskCanceledException)
        {
            return null;
        }
    }

    public async Task PutAsync(string key, string value)
    {
        long end = Environment.TickCount64 + (long)TestCluster.Patience.TotalMilliseconds;
        while (await CallAsync("/v3/kv/put", new { key = Base64(key), value = Base64(value) }) is null)
        {
            Assert.True(Environment.TickCount64 < end, $"put of {key} through a real member: {Tail()}");
            await Task.Delay(50);
        }
    }

    /// <summary>Leader's id as this member sees it; 0: none.</summary>
    public async Task<ulong> LeaderAsync()
    {
        JsonElement? status = await CallAsync("/v3/maintenance/status", new { });
        return status is { } known && known.TryGetProperty("leader", out JsonElement leader)
            ? ulong.Parse(leader.GetString()!, System.Globalization.CultureInfo.InvariantCulture)
            : 0;
    }

    /// <summary>(hash, compact revision, revision) as the peer port tells them, of real members and ours alike.</summary>
    public static async Task<(ulong Hash, long Compact, long Revision)?> HashKvAsync(string peerUrl)
    {
        try
        {
            using var request = new HttpRequestMessage(HttpMethod.Get, peerUrl + "/members/hashkv")
            {
                Content = new StringContent("{\"revision\":0}"),
            };
            using HttpResponseMessage response = await s_http.SendAsync(request);
            if (!response.IsSuccessStatusCode)
            {
                return null;
            }

            JsonElement json = await response.Content.ReadFromJsonAsync<JsonElement>();
            return (
                json.GetProperty("hash").GetUInt64(),
                json.TryGetProperty("compact_revision", out JsonElement compact) ? compact.GetInt64() : 0,
                json.GetProperty("header").GetProperty("revision").GetInt64());
        }
        catch (Exception e) when (e is HttpRequestException or TaskCanceledException)
        {
            return null;
        }
    }

    public Task<(ulong Hash, long Compact, long Revision)?> HashKvAsync() => HashKvAsync(_peer);

    public string Tail() => Log.Length > 3000 ? Log[^3000..] : Log;

    /// <summary>Asks it to stop and waits.</summary>
    public async ValueTask DisposeAsync()
    {
        if (!_process.HasExited)
        {
            using Process kill = Process.Start("kill", ["-TERM", _process.Id.ToString(System.Globalization.CultureInfo.InvariantCulture)]);
            using var limit = new CancellationTokenSource(TimeSpan.FromSeconds(10));
            try
            {
                await _process.WaitForExitAsync(limit.Token);
            }
            catch (OperationCanceledException)
            {
                _process.Kill();
            }
        }

        _process.Dispose();
    }

    public static string Base64(string text) => Convert.ToBase64String(Encoding.UTF8.GetBytes(text));
}
