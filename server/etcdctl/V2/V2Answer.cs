using System.Globalization;
using System.Net;
using System.Text.Json;
using Perf.Etcdctl.Printing;

namespace Perf.Etcdctl.V2;

/// <summary>A node of the v2 tree.</summary>
internal sealed record V2Node(
    string Key, bool Dir, string Value, IReadOnlyList<V2Node>? Nodes, ulong Created, ulong Modified, string Expiration, long Ttl)
{
    public static V2Node Read(JsonElement json) => new(
        Text(json, "key"),
        json.TryGetProperty("dir", out JsonElement dir) && dir.ValueKind == JsonValueKind.True,
        Text(json, "value"),
        json.TryGetProperty("nodes", out JsonElement nodes) && nodes.ValueKind == JsonValueKind.Array
            ? [.. nodes.EnumerateArray().Select(Read)]
            : null,
        Number(json, "createdIndex"),
        Number(json, "modifiedIndex"),
        Text(json, "expiration"),
        json.TryGetProperty("ttl", out JsonElement ttl) && ttl.TryGetInt64(out long seconds) ? seconds : 0);

    public void Write(JsonText json)
    {
        json.Open('{').Field("key", Key, always: true).Field("dir", Dir).Field("value", Value, always: true).Name("nodes");
        if (Nodes is null)
        {
            json.Raw("null");
        }
        else
        {
            json.List(Nodes, (j, node) => node.Write(j));
        }

        json.Field("createdIndex", Created, always: true).Field("modifiedIndex", Modified, always: true)
            .Field("expiration", Expiration).Field("ttl", Ttl).Close('}');
    }

    internal static string Text(JsonElement json, string name) =>
        json.TryGetProperty(name, out JsonElement value) && value.ValueKind == JsonValueKind.String
            ? value.GetString()!
            : "";

    internal static ulong Number(JsonElement json, string name) =>
        json.TryGetProperty(name, out JsonElement value) && value.ValueKind == JsonValueKind.Number
            && value.TryGetUInt64(out ulong number)
            ? number
            : 0;
}

/// <summary>What a v2 request that was carried out answers.</summary>
internal sealed record V2Answer(string Action, V2Node Node, V2Node? Previous, ulong Index)
{
    public static V2Answer Read(JsonElement json, string index)
    {
        if (!json.TryGetProperty("node", out JsonElement node) || node.ValueKind != JsonValueKind.Object)
        {
            throw V2Exception.InvalidJson();
        }

        return new V2Answer(
            V2Node.Text(json, "action"),
            V2Node.Read(node),
            json.TryGetProperty("prevNode", out JsonElement previous) && previous.ValueKind == JsonValueKind.Object
                ? V2Node.Read(previous)
                : null,
            ulong.TryParse(index, CultureInfo.InvariantCulture, out ulong number) ? number : 0);
    }

    public string ToJson()
    {
        JsonText json = new JsonText(decode: false).Open('{').Field("action", Action, always: true).Name("node");
        Node.Write(json);
        json.Name("prevNode");
        if (Previous is null)
        {
            json.Raw("null");
        }
        else
        {
            Previous.Write(json);
        }

        return json.Close('}').ToString();
    }
}

/// <summary>What a v2 request was refused with, or why it did not arrive.</summary>
internal sealed class V2Exception : Exception
{
    private V2Exception(string message, string detail = "")
        : base(message) => Detail = detail;

    /// <summary>Lines behind the error, or empty.</summary>
    public string Detail { get; }

    public static V2Exception InvalidJson() => new(
        "client: response is invalid json. The endpoint is probably not valid etcd cluster endpoint.");

    public static V2Exception Timeout() =>
        new("client: etcd cluster is unavailable or misconfigured; context deadline exceeded");

    public static V2Exception Unreachable(IEnumerable<string> reasons)
    {
        string[] lines = [.. reasons.Select((reason, i) => $"error #{i}: {reason}\n")];
        return new(
            "client: etcd cluster is unavailable or misconfigured" + string.Concat(lines.Select(l => "; " + l)),
            string.Concat(lines));
    }

    public static V2Exception UnexpectedStatus(HttpStatusCode status) => new($"unexpected status code {(int)status}");

    public static V2Exception Of(string message) => new(message);

    public static V2Exception Refused(JsonElement json) => new(
        $"{V2Node.Number(json, "errorCode")}: {V2Node.Text(json, "message")} ({V2Node.Text(json, "cause")}) "
        + $"[{V2Node.Number(json, "index")}]");
}
