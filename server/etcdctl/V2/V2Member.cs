using System.Text.Json;

namespace Perf.Etcdctl.V2;

/// <summary>A member as /v2/members tells of it; the id is text.</summary>
internal sealed record V2Member(string Id, string Name, IReadOnlyList<string> PeerUrls, IReadOnlyList<string> ClientUrls)
{
    public static V2Member Read(JsonElement json) => new(
        V2Node.Text(json, "id"), V2Node.Text(json, "name"), Texts(json, "peerURLs"), Texts(json, "clientURLs"));

    private static string[] Texts(JsonElement json, string name) =>
        json.TryGetProperty(name, out JsonElement list) && list.ValueKind == JsonValueKind.Array
            ? [.. list.EnumerateArray().Select(item => item.GetString() ?? "")]
            : [];
}
