using System.Globalization;
using System.Net;
using System.Text.Json;
using Perf.Node.Logging;

namespace Perf.Etcd.Bootstrap;

/// <summary>
/// The discovery protocol over the v2 API (SURFACE 5.2): a directory with the number of founders in it, where each
/// puts its name and peer URLs under its id and waits until the directory is complete.
/// </summary>
internal sealed class DiscoveryV2 : IDisposable
{
    /// <summary>Pauses grow up to two to the power of this, in seconds.</summary>
    private const int PauseExponentMax = 8;

    private const int AnswerBytesMax = 8 << 20;

    private static readonly TimeSpan RequestPatience = TimeSpan.FromSeconds(5);

    private readonly HttpClient _http;
    private readonly string _url;
    private readonly string _self;
    private readonly Log _log;
    private readonly Func<int, CancellationToken, Task> _pause;

    /// <summary><paramref name="self"/>: this member's id; <paramref name="pause"/> waits before the n-th repetition.</summary>
    public DiscoveryV2(string url, string proxy, string self, Log log, Func<int, CancellationToken, Task>? pause = null)
    {
        _url = url.TrimEnd('/');
        _self = self;
        _log = log;
        _pause = pause ?? ((failures, cancelled) =>
            Task.Delay(TimeSpan.FromSeconds(1 << Math.Min(failures, PauseExponentMax)), cancelled));
        var handler = new SocketsHttpHandler
        {
            UseProxy = proxy.Length > 0,
            Proxy = proxy.Length > 0 ? new WebProxy(proxy.Contains("://", StringComparison.Ordinal) ? proxy : "http://" + proxy) : null,
        };
        _http = new HttpClient(handler) { Timeout = Timeout.InfiniteTimeSpan, MaxResponseContentBufferSize = AnswerBytesMax };
    }

    /// <summary>Takes a place and waits for the others; the value of --initial-cluster.</summary>
    public async Task<string> JoinAsync(string contents, CancellationToken cancelled)
    {
        // A full cluster is seen before anything is written.
        await CheckAsync(cancelled).ConfigureAwait(false);
        await RegisterAsync(contents, cancelled).ConfigureAwait(false);
        Found found = await CheckAsync(cancelled).ConfigureAwait(false);
        return Join(await WaitAsync(found, cancelled).ConfigureAwait(false), found.Size);
    }

    /// <summary>Who the cluster is, without taking a place.</summary>
    public async Task<string> LookAsync(CancellationToken cancelled)
    {
        try
        {
            Found found = await CheckAsync(cancelled).ConfigureAwait(false);
            return Join(await WaitAsync(found, cancelled).ConfigureAwait(false), found.Size);
        }
        catch (ClusterFullException e)
        {
            return e.InitialCluster;
        }
    }

    public void Dispose() => _http.Dispose();

    /// <summary>The size and who is there, oldest first. Throws when the places are taken and none is ours.</summary>
    private async Task<Found> CheckAsync(CancellationToken cancelled)
    {
        Reply size = await AskAsync("GET", "/_config/size", null, cancelled).ConfigureAwait(false);
        if (size.ErrorCode != 0)
        {
            throw new DiscoveryException(size.IsMissing ? "size key not found" : size.Text);
        }

        if (!uint.TryParse(size.Node?.Value, NumberStyles.None, CultureInfo.InvariantCulture, out uint count) || count == 0)
        {
            throw new DiscoveryException("size key is bad");
        }

        Reply listed = await AskAsync("GET", "", null, cancelled).ConfigureAwait(false);
        if (listed.ErrorCode != 0)
        {
            throw new DiscoveryException(listed.Text);
        }

        List<Node> nodes = [.. (listed.Node?.Nodes ?? []).Where(n => !n.IsConfig).OrderBy(n => n.CreatedIndex)];
        int own = nodes.FindIndex(n => n.Name == _self);
        if (nodes.Count >= count && (own < 0 || own >= count))
        {
            throw new ClusterFullException(string.Join(',', nodes.Take((int)count).Select(n => n.Value)));
        }

        return new Found(nodes, count, listed.Index);
    }

    private async Task RegisterAsync(string contents, CancellationToken cancelled)
    {
        Reply created = await AskAsync(
            "PUT", $"/{_self}?prevExist=false", contents, cancelled, mayRepeat: false).ConfigureAwait(false);
        if (created.ErrorCode != 0)
        {
            throw new DiscoveryException(created.ErrorCode == 105 ? "found duplicate id" : created.Text);
        }

        // The member that took it may be ahead of the one that will be asked next: wait until that one shows it.
        ulong index = created.Node?.CreatedIndex ?? 0;
        await AskAsync(
            "GET",
            string.Create(CultureInfo.InvariantCulture, $"/{_self}?wait=true&waitIndex={index}"),
            null,
            cancelled,
            isWait: true).ConfigureAwait(false);
        _log.Info("registered itself from discovery URL", ("discovery-url", _url), ("node", contents));
    }

    private async Task<List<Node>> WaitAsync(Found found, CancellationToken cancelled)
    {
        var all = found.Nodes.Take((int)found.Size).ToList();
        foreach (Node node in all)
        {
            _log.Info("found peer from discovery server", ("discovery-url", _url), ("node", node.Value));
        }

        ulong index = found.Index + 1;
        while (all.Count < found.Size)
        {
            _log.Info(
                "found peers from discovery server; waiting for more",
                ("discovery-url", _url),
                ("found-peers", all.Count),
                ("needed-peers", found.Size - all.Count));
            Reply told = await AskAsync(
                "GET",
                string.Create(CultureInfo.InvariantCulture, $"?recursive=true&wait=true&waitIndex={index}"),
                null,
                cancelled,
                isWait: true).ConfigureAwait(false);
            if (told.ErrorCode != 0)
            {
                // The service's history does not reach so far back: look anew.
                found = await CheckAsync(cancelled).ConfigureAwait(false);
                all = [.. found.Nodes.Take((int)found.Size)];
                index = found.Index + 1;
                continue;
            }

            if (told.Node is not { } node)
            {
                continue;
            }

            index = Math.Max(index, node.ModifiedIndex) + 1;
            if (!node.IsConfig && node.Value is not null && all.TrueForAll(n => n.Name != node.Name))
            {
                _log.Info("found peer from discovery server", ("discovery-url", _url), ("node", node.Value));
                all.Add(node);
            }
        }

        return all;
    }

    private static string Join(IEnumerable<Node> nodes, uint size)
    {
        string all = string.Join(',', nodes.Select(n => n.Value));
        string[] names =
        [
            .. all.Split(',').Select(pair => pair.Split('=')[0]).Distinct(StringComparer.Ordinal),
        ];
        return names.Length == size ? all : throw new DiscoveryException("found duplicate name");
    }

    /// <summary>A request, repeated with growing pauses while the service cannot be reached.</summary>
    private async Task<Reply> AskAsync(
        string method, string below, string? value, CancellationToken cancelled, bool isWait = false, bool mayRepeat = true)
    {
        for (int failures = 1; ; failures++)
        {
            using var limit = CancellationTokenSource.CreateLinkedTokenSource(cancelled);
            if (!isWait)
            {
                limit.CancelAfter(RequestPatience);
            }

            try
            {
                using var request = new HttpRequestMessage(new HttpMethod(method), _url + below);
                if (value is not null)
                {
                    request.Content = new FormUrlEncodedContent([new("value", value)]);
                }

                using HttpResponseMessage response = await _http.SendAsync(request, limit.Token).ConfigureAwait(false);
                string body = await response.Content.ReadAsStringAsync(limit.Token).ConfigureAwait(false);
                if ((int)response.StatusCode >= 500)
                {
                    throw new HttpRequestException($"{(int)response.StatusCode} {body.Trim()}");
                }

                if (body.Length == 0)
                {
                    // A wait that has ended without an event.
                    return new Reply();
                }

                return Reply.Read(response, body);
            }
            catch (Exception e) when (e is HttpRequestException or OperationCanceledException or IOException)
            {
                cancelled.ThrowIfCancellationRequested();
                if (!mayRepeat)
                {
                    throw new DiscoveryException(e.Message);
                }

                _log.Warn(
                    "failed to reach the discovery service; will retry",
                    ("discovery-url", _url),
                    ("reason", $"{method} {below}"),
                    ("backoff-failures", failures),
                    ("error", e));
                await _pause(failures, cancelled).ConfigureAwait(false);
            }
        }
    }

    private sealed record Found(List<Node> Nodes, uint Size, ulong Index);

    private sealed record Node(string Key, string? Value, ulong CreatedIndex, ulong ModifiedIndex, IReadOnlyList<Node> Nodes)
    {
        public string Name => Key[(Key.LastIndexOf('/') + 1)..];

        public bool IsConfig => Name == "_config" || Key.Contains("/_config/", StringComparison.Ordinal);

        public static Node Read(JsonElement source) => new(
            source.TryGetProperty("key", out JsonElement key) ? key.GetString() ?? "" : "",
            source.TryGetProperty("value", out JsonElement value) ? value.GetString() : null,
            source.TryGetProperty("createdIndex", out JsonElement created) ? created.GetUInt64() : 0,
            source.TryGetProperty("modifiedIndex", out JsonElement modified) ? modified.GetUInt64() : 0,
            source.TryGetProperty("nodes", out JsonElement nodes) ? [.. nodes.EnumerateArray().Select(Read)] : []);
    }

    private sealed record Reply
    {
        public int ErrorCode { get; private init; }

        public string Text { get; private init; } = "";

        public Node? Node { get; private init; }

        public ulong Index { get; private init; }

        public bool IsMissing => ErrorCode == 100;

        /// <summary>Throws <see cref="DiscoveryException"/> for what is no answer of the v2 API.</summary>
        public static Reply Read(HttpResponseMessage response, string body)
        {
            try
            {
                using JsonDocument document = JsonDocument.Parse(body.Split('\n')[0]);
                JsonElement root = document.RootElement;
                if (root.TryGetProperty("errorCode", out JsonElement code))
                {
                    string message = root.TryGetProperty("message", out JsonElement text) ? text.GetString() ?? "" : "";
                    string cause = root.TryGetProperty("cause", out JsonElement why) ? why.GetString() ?? "" : "";
                    return new Reply { ErrorCode = code.GetInt32(), Text = $"{code.GetInt32()}: {message} ({cause})" };
                }

                ulong index = response.Headers.TryGetValues("X-Etcd-Index", out IEnumerable<string>? values)
                    && ulong.TryParse(values.First(), NumberStyles.None, CultureInfo.InvariantCulture, out ulong told)
                    ? told
                    : 0;
                return new Reply { Node = Node.Read(root.GetProperty("node")), Index = index };
            }
            catch (Exception e) when (e is JsonException or KeyNotFoundException or InvalidOperationException or FormatException)
            {
                throw new DiscoveryException("bad discovery endpoint");
            }
        }
    }
}
