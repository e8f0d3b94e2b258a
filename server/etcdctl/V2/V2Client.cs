using System.Net;
using System.Net.Http.Headers;
using System.Net.Sockets;
using System.Text;
using System.Text.Json;
using Perf.Client;
using Perf.Etcdctl.Commands;
using Perf.Etcdctl.Printing;

namespace Perf.Etcdctl.V2;

/// <summary>HTTP requests to /v2 of the endpoints in turn, until one answers.</summary>
internal sealed class V2Client : IDisposable
{
    private readonly HttpClient _http;

    public V2Client(IReadOnlyList<string> endpoints, EtcdTls? tls, string user, string password)
    {
        Endpoints = endpoints;
        _http = PlainHttp.Client(tls, Timeout.InfiniteTimeSpan);
        if (user.Length > 0)
        {
            _http.DefaultRequestHeaders.Authorization = new AuthenticationHeaderValue(
                "Basic", Convert.ToBase64String(Encoding.UTF8.GetBytes($"{user}:{password}")));
        }
    }

    public IReadOnlyList<string> Endpoints { get; private set; }

    /// <summary>Takes the members' client URLs as endpoints. False when they publish none.</summary>
    public async Task<bool> SyncAsync(CancellationToken cancellation)
    {
        string[] found = [.. (await MembersAsync(cancellation).ConfigureAwait(false)).SelectMany(m => m.ClientUrls)];
        if (found.Length == 0)
        {
            return false;
        }

        // An endpoint that was given and is a member's stays the first to be asked.
        Endpoints = [.. found.OrderBy(f => Endpoints.Contains(f) ? 0 : 1)];
        return true;
    }

    /// <summary>The members as an endpoint knows them.</summary>
    public async Task<IReadOnlyList<V2Member>> MembersAsync(CancellationToken cancellation)
    {
        (HttpStatusCode status, string body, _) =
            await SendAsync(HttpMethod.Get, "/v2/members", null, cancellation).ConfigureAwait(false);
        if (status != HttpStatusCode.OK)
        {
            throw V2Exception.UnexpectedStatus(status);
        }

        using JsonDocument json = Parse(body);
        return json.RootElement.TryGetProperty("members", out JsonElement members) && members.ValueKind == JsonValueKind.Array
            ? [.. members.EnumerateArray().Select(V2Member.Read)]
            : throw V2Exception.InvalidJson();
    }

    /// <summary>A request on a member ("" for a new one, "leader" for that): the answer's status and body.</summary>
    public async Task<(HttpStatusCode Status, string Body)> MemberAsync(
        HttpMethod method, string id, IReadOnlyList<string>? peerUrls, CancellationToken cancellation)
    {
        Func<HttpContent>? content = null;
        if (peerUrls is not null)
        {
            string text = new JsonText(decode: false).Open('{').Name("peerURLs")
                .List(peerUrls, (json, url) => json.String(url)).Close('}').ToString();
            content = () => new StringContent(text, Encoding.UTF8, "application/json");
        }

        string path = "/v2/members" + (id.Length > 0 ? "/" + Uri.EscapeDataString(id) : "");
        (HttpStatusCode status, string body, _) = await SendAsync(method, path, content, cancellation).ConfigureAwait(false);
        return (status, body);
    }

    /// <summary>What a URL answers to GET, whatever the status; throws <see cref="HttpRequestException"/>.</summary>
    public async Task<string> GetTextAsync(string url, CancellationToken cancellation)
    {
        using HttpResponseMessage response = await _http.GetAsync(url, cancellation).ConfigureAwait(false);
        return await response.Content.ReadAsStringAsync(cancellation).ConfigureAwait(false);
    }

    /// <summary>A request on the tree of keys. Null when the server ended a wait without an answer.</summary>
    public async Task<V2Answer?> KeysAsync(
        HttpMethod method,
        string key,
        IReadOnlyList<(string Name, string Value)> query,
        IReadOnlyList<(string Name, string Value)>? form,
        CancellationToken cancellation)
    {
        string path = "/v2/keys" + string.Join('/', (key.StartsWith('/') ? key : "/" + key).Split('/').Select(Uri.EscapeDataString));
        if (query.Count > 0)
        {
            path += "?" + string.Join('&', query.Select(q => q.Name + "=" + Uri.EscapeDataString(q.Value)));
        }

        (HttpStatusCode status, string body, string index) =
            await SendAsync(method, path, Form(form), cancellation).ConfigureAwait(false);
        bool done = status is HttpStatusCode.OK or HttpStatusCode.Created;
        if (done && body.Length == 0)
        {
            return null;
        }

        using JsonDocument json = Parse(body);
        return done ? V2Answer.Read(json.RootElement, index) : throw V2Exception.Refused(json.RootElement);
    }

    public void Dispose() => _http.Dispose();

    private static Func<HttpContent>? Form(IReadOnlyList<(string Name, string Value)>? form) => form is null
        ? null
        : () => new FormUrlEncodedContent(form.Select(f => KeyValuePair.Create(f.Name, f.Value)));

    private static JsonDocument Parse(string body)
    {
        try
        {
            var json = JsonDocument.Parse(body);
            return json.RootElement.ValueKind == JsonValueKind.Object ? json : throw V2Exception.InvalidJson();
        }
        catch (JsonException)
        {
            throw V2Exception.InvalidJson();
        }
    }

    /// <summary>Why a connection did not come about, in Go's words where they are known.</summary>
    public static string Reason(HttpRequestException e, string url) =>
        e.InnerException is SocketException { SocketErrorCode: SocketError.ConnectionRefused }
            ? $"dial tcp {new Uri(url).Authority}: connect: connection refused"
            : e.Message;

    private async Task<(HttpStatusCode Status, string Body, string Index)> SendAsync(
        HttpMethod method, string path, Func<HttpContent>? content, CancellationToken cancellation)
    {
        var reasons = new List<string>();
        foreach (string endpoint in Endpoints)
        {
            using var request = new HttpRequestMessage(method, endpoint.TrimEnd('/') + path) { Content = content?.Invoke() };

            try
            {
                using HttpResponseMessage response = await _http.SendAsync(request, cancellation).ConfigureAwait(false);
                string body = await response.Content.ReadAsStringAsync(cancellation).ConfigureAwait(false);
                if ((int)response.StatusCode / 100 == 5)
                {
                    reasons.Add($"client: etcd member {endpoint} has no leader");
                    continue;
                }

                string index = response.Headers.TryGetValues("X-Etcd-Index", out IEnumerable<string>? values)
                    ? values.First()
                    : "";
                return (response.StatusCode, body, index);
            }
            catch (HttpRequestException e)
            {
                reasons.Add(Reason(e, endpoint));
            }
        }

        throw V2Exception.Unreachable(reasons);
    }
}
