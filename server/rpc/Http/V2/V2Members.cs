using System.Globalization;
using System.Text.Json;
using Microsoft.AspNetCore.Http;
using Perf.Node;
using Perf.Node.Config;
using Perf.Store;
using Perf.Store.Membership;

namespace Perf.Rpc.Http.V2;

/// <summary>/v2/members and /v2/machines.</summary>
internal sealed class V2Members(EtcdNode node, V2Access access)
{
    private const int BodyBytesMax = 1 << 20;

    private MembershipView Members => node.State.Machine.Members.Current;

    /// <summary>Client URLs of all members.</summary>
    public Task ServeMachines(HttpContext context) =>
        V2Answers.Allows(context, out Task answered, "GET", "HEAD")
            ? PlainText.WriteAsync(
                context, 200, string.Join(", ", Members.Members.SelectMany(m => m.ClientUrls).Order(StringComparer.Ordinal)))
            : answered;

    public async Task ServeAsync(HttpContext context, string below)
    {
        if (!V2Answers.Allows(context, out Task answered, "GET", "POST", "DELETE", "PUT"))
        {
            await answered.ConfigureAwait(false);
            return;
        }

        if (!await access.MayWriteAsRootAsync(context).ConfigureAwait(false))
        {
            await V2Answers.MessageAsync(context, 401, "Insufficient credentials").ConfigureAwait(false);
            return;
        }

        context.Response.Headers["X-Etcd-Cluster-Id"] = MemberIds.Hex(node.ClusterId);
        await (context.Request.Method switch
        {
            "GET" => GetAsync(context, below),
            "POST" => AddAsync(context),
            "DELETE" => ChangeAsync(context, below, id => RemoveAsync(context, id)),
            _ => ChangeAsync(context, below, id => UpdateAsync(context, id)),
        }).ConfigureAwait(false);
    }

    private Task GetAsync(HttpContext context, string below)
    {
        switch (below)
        {
            case "":
                return V2Answers.JsonAsync(context, 200, V2Answers.Json(writer =>
                {
                    writer.WriteStartArray("members"u8);
                    foreach (Member member in Members.Members)
                    {
                        writer.WriteStartObject();
                        Write(writer, member);
                        writer.WriteEndObject();
                    }

                    writer.WriteEndArray();
                }) + "\n");
            case "leader":
                return Members.Find(node.Raft.Leader) is { } leader
                    ? V2Answers.JsonAsync(context, 200, V2Answers.Json(writer => Write(writer, leader)) + "\n")
                    : V2Answers.MessageAsync(context, 503, "During election");
            default:
                return V2Answers.MessageAsync(context, 404, "Not found");
        }
    }

    private async Task AddAsync(HttpContext context)
    {
        if (await UrlsAsync(context).ConfigureAwait(false) is not { } urls)
        {
            return;
        }

        (StoreError error, ulong id) = await node.AddMemberAsync(urls, isLearner: false).ConfigureAwait(false);
        if (error == StoreError.None)
        {
            var member = new Member { Id = id, PeerUrls = [.. urls.Order(StringComparer.Ordinal)] };
            await V2Answers.JsonAsync(context, 201, V2Answers.Json(writer => Write(writer, member)) + "\n").ConfigureAwait(false);
            return;
        }

        await FailAsync(context, error, id).ConfigureAwait(false);
    }

    private static Task ChangeAsync(HttpContext context, string below, Func<ulong, Task> change) =>
        below.Length == 0 ? PlainText.WriteAsync(context, 405, "Method Not Allowed\n")
        : ulong.TryParse(below, NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out ulong id) ? change(id)
        : V2Answers.MessageAsync(context, 404, $"No such member: {below}");

    private async Task RemoveAsync(HttpContext context, ulong id)
    {
        StoreError error = Members.IsRemoved(id)
            ? StoreError.MemberIdRemoved
            : await node.RemoveMemberAsync(id).ConfigureAwait(false);
        await DoneAsync(context, error, id).ConfigureAwait(false);
    }

    private async Task UpdateAsync(HttpContext context, ulong id)
    {
        if (await UrlsAsync(context).ConfigureAwait(false) is { } urls)
        {
            await DoneAsync(context, await node.UpdateMemberAsync(id, urls).ConfigureAwait(false), id).ConfigureAwait(false);
        }
    }

    private static Task DoneAsync(HttpContext context, StoreError error, ulong id)
    {
        if (error != StoreError.None)
        {
            return FailAsync(context, error, id);
        }

        context.Response.StatusCode = StatusCodes.Status204NoContent;
        return Task.CompletedTask;
    }

    private static Task FailAsync(HttpContext context, StoreError error, ulong id)
    {
        (int status, string text) = error switch
        {
            StoreError.MemberExist => (409, "membership: ID exists"),
            StoreError.PeerUrlExist => (409, "membership: peerURL exists"),
            StoreError.MemberIdRemoved => (410, $"Member permanently removed: {MemberIds.Hex(id)}"),
            StoreError.MemberNotFound => (404, $"No such member: {MemberIds.Hex(id)}"),
            _ => (500, "Internal Server Error"),
        };
        return V2Answers.MessageAsync(context, status, text);
    }

    /// <summary>The peer URLs of the body; null when it was refused.</summary>
    private static async Task<IReadOnlyList<string>?> UrlsAsync(HttpContext context)
    {
        string type = (context.Request.ContentType ?? "").Split(';')[0].Trim();
        if (type != "application/json")
        {
            await V2Answers.MessageAsync(
                context, 415, $"Bad Content-Type {type}, accept application/json").ConfigureAwait(false);
            return null;
        }

        try
        {
            byte[] body = await V2AuthHttp.BodyAsync(context.Request, BodyBytesMax).ConfigureAwait(false);
            using JsonDocument document = JsonDocument.Parse(body);
            string[] urls = document.RootElement.TryGetProperty("peerURLs", out JsonElement list)
                ? [.. list.EnumerateArray().Select(url => url.GetString() ?? "")]
                : [];
            return urls.Length > 0
                ? EtcdUrls.Parse(string.Join(',', urls))
                : throw new FormatException("no valid URLs given");
        }
        catch (Exception e) when (e is JsonException or FormatException or InvalidOperationException or InvalidDataException)
        {
            await V2Answers.MessageAsync(context, 400, e.Message).ConfigureAwait(false);
            return null;
        }
    }

    private static void Write(Utf8JsonWriter writer, Member member)
    {
        writer.WriteString("id"u8, MemberIds.Hex(member.Id));
        writer.WriteString("name"u8, member.Name);
        WriteList(writer, "peerURLs", member.PeerUrls);
        WriteList(writer, "clientURLs", member.ClientUrls);
    }

    private static void WriteList(Utf8JsonWriter writer, string name, IReadOnlyList<string> texts)
    {
        writer.WriteStartArray(name);
        foreach (string text in texts)
        {
            writer.WriteStringValue(text);
        }

        writer.WriteEndArray();
    }
}
