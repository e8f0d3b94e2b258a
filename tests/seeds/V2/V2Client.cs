using System.Globalization;
using System.Text;
using System.Text.Json.Nodes;
using Perf.Cluster.Tests.Harness;

namespace Perf.Seeds.Tests.V2;

/// <summary>What a v2 server answered.</summary>
internal sealed record V2Reply(int Status, string Body, IReadOnlyDictionary<string, string> Headers)
{
    public ulong Index => ulong.Parse(Headers["X-Etcd-Index"], CultureInfo.InvariantCulture);

    public JsonNode Json => JsonNode.Parse(Body)!;

    /// <summary>
    /// The answer as it must be equal on all servers: nodes in order, since etcd's order is chance, and times told only
    /// by being there.
    /// </summary>
    public string Comparable(bool withHeaders = true)
    {
        var text = new StringBuilder($"{Status}");
        if (withHeaders)
        {
            foreach (string name in (string[])["X-Etcd-Index", "Allow", "Content-Type", "Location"])
            {
                text.Append(CultureInfo.InvariantCulture, $" {name}={Headers.GetValueOrDefault(name, "")}");
            }

            foreach (string name in (string[])["X-Etcd-Cluster-Id", "X-Raft-Index", "X-Raft-Term"])
            {
                text.Append(CultureInfo.InvariantCulture, $" {name}={(Headers.ContainsKey(name) ? "there" : "")}");
            }
        }

        string body = Body;
        if (Body.StartsWith('{'))
        {
            // A stream's events come one a line.
            body = string.Join('\n', Body.TrimEnd('\n').Split('\n').Select(line => Ordered(JsonNode.Parse(line))!.ToJsonString()))
                + (Body.EndsWith('\n') ? "\n" : "");
        }

        return text.Append(' ').Append(body).ToString();
    }

    private static JsonNode? Ordered(JsonNode? node)
    {
        switch (node)
        {
            case JsonObject source:
                var target = new JsonObject();
                foreach ((string name, JsonNode? value) in source)
                {
                    target[name] = name switch
                    {
                        "expiration" or "ttl" => "a time",
                        "nodes" => new JsonArray([.. ((JsonArray)value!).OrderBy(
                            n => (string?)n!["key"], StringComparer.Ordinal).Select(Ordered)]),
                        _ => Ordered(value),
                    };
                }

                return target;
            case JsonArray array:
                return new JsonArray([.. array.Select(Ordered)]);
            default:
                return node?.DeepClone();
        }
    }
}

/// <summary>A v2 server, asked as curl asks.</summary>
internal sealed class V2Client : IDisposable
{
    private readonly HttpClient _http;

    public V2Client(EtcdProcess server)
        : this(new Uri(server.Url))
    {
    }

    public V2Client(Uri server)
    {
        _http = new HttpClient(new SocketsHttpHandler { AllowAutoRedirect = false })
        {
            BaseAddress = server,
            Timeout = TimeSpan.FromSeconds(60),
        };
    }

    public async Task<V2Reply> SendAsync(
        string method, string path, string? form = null, string type = "application/x-www-form-urlencoded", string? user = null)
    {
        using var request = new HttpRequestMessage(new HttpMethod(method), path);
        if (form is not null)
        {
            request.Content = new ByteArrayContent(Encoding.UTF8.GetBytes(form));
            request.Content.Headers.TryAddWithoutValidation("Content-Type", type);
        }

        if (user is not null)
        {
            request.Headers.TryAddWithoutValidation(
                "Authorization", "Basic " + Convert.ToBase64String(Encoding.UTF8.GetBytes(user)));
        }

        using HttpResponseMessage response = await _http.SendAsync(request);
        var headers = new Dictionary<string, string>(StringComparer.OrdinalIgnoreCase);
        foreach ((string name, IEnumerable<string> values) in response.Headers.Concat(response.Content.Headers))
        {
            headers[name] = string.Join(",", values);
        }

        return new V2Reply((int)response.StatusCode, await response.Content.ReadAsStringAsync(), headers);
    }

    public async Task<JsonNode> GetAsync(string path)
    {
        V2Reply reply = await SendAsync("GET", path);
        return reply.Status == 200 ? reply.Json : throw new InvalidOperationException($"{path}: {reply.Status} {reply.Body}");
    }

    /// <summary>A stream of answers, read line by line.</summary>
    public async Task<StreamReader> OpenAsync(string path)
    {
        HttpResponseMessage response = await _http.GetAsync(path, HttpCompletionOption.ResponseHeadersRead);
        return new StreamReader(await response.Content.ReadAsStreamAsync());
    }

    public void Dispose() => _http.Dispose();
}
