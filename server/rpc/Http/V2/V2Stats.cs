using System.Globalization;
using Microsoft.AspNetCore.Http;
using Perf.Node;
using Perf.Store.Membership;

namespace Perf.Rpc.Http.V2;

/// <summary>
/// /v2/stats. What this server does not measure, the times of single append requests to followers, is there at zero:
/// the page's readers look for the names.
/// </summary>
internal sealed class V2Stats(EtcdNode node, IV2Server server)
{
    private readonly DateTimeOffset _start = node.Clock.GetUtcNow();

    public Task ServeStore(HttpContext context) => V2Answers.Allows(context, out Task answered, "GET")
        ? V2Answers.JsonAsync(context, 200, server.StoreStatistics())
        : answered;

    public Task ServeSelf(HttpContext context) => V2Answers.Allows(context, out Task answered, "GET")
        ? V2Answers.JsonAsync(context, 200, Self())
        : answered;

    public Task ServeLeader(HttpContext context)
    {
        if (!V2Answers.Allows(context, out Task answered, "GET"))
        {
            return answered;
        }

        return node.IsLeader
            ? V2Answers.JsonAsync(context, 200, Leader())
            : V2Answers.MessageAsync(context, 403, "not current leader");
    }

    private string Self() => V2Answers.Json(writer =>
    {
        string start = _start.UtcDateTime.ToString("yyyy-MM-dd'T'HH:mm:ss.fffffff'Z'", CultureInfo.InvariantCulture);
        writer.WriteString("name"u8, node.Config.Name);
        writer.WriteString("id"u8, MemberIds.Hex(node.MemberId));
        writer.WriteString("state"u8, node.IsLeader ? "StateLeader" : "StateFollower");
        writer.WriteString("startTime"u8, start);
        writer.WriteStartObject("leaderInfo"u8);
        writer.WriteString("leader"u8, node.Raft.Leader == 0 ? "" : MemberIds.Hex(node.Raft.Leader));
        writer.WriteString("uptime"u8, Uptime(node.Clock.GetUtcNow() - _start));
        writer.WriteString("startTime"u8, start);
        writer.WriteEndObject();
        writer.WriteNumber("recvAppendRequestCnt"u8, 0);
        writer.WriteNumber("sendAppendRequestCnt"u8, 0);
    });

    private string Leader() => V2Answers.Json(writer =>
    {
        writer.WriteString("leader"u8, MemberIds.Hex(node.MemberId));
        writer.WriteStartObject("followers"u8);
        foreach (Member member in node.State.Machine.Members.Current.Members.Where(m => m.Id != node.MemberId))
        {
            double millis = node.RoundTrip(member.Id).TotalMilliseconds;
            writer.WriteStartObject(MemberIds.Hex(member.Id));
            writer.WriteStartObject("latency"u8);
            writer.WriteNumber("current"u8, millis);
            writer.WriteNumber("average"u8, millis);
            writer.WriteNumber("standardDeviation"u8, 0);
            writer.WriteNumber("minimum"u8, millis);
            writer.WriteNumber("maximum"u8, millis);
            writer.WriteEndObject();
            writer.WriteStartObject("counts"u8);
            writer.WriteNumber("fail"u8, 0);
            writer.WriteNumber("success"u8, 0);
            writer.WriteEndObject();
            writer.WriteEndObject();
        }

        writer.WriteEndObject();
    });

    /// <summary>A span as Go prints one: "1h2m3.5s".</summary>
    private static string Uptime(TimeSpan span) => string.Create(
        CultureInfo.InvariantCulture,
        $"{(span.TotalHours >= 1 ? $"{(long)span.TotalHours}h" : "")}{(span.TotalMinutes >= 1 ? $"{span.Minutes}m" : "")}{span.Seconds + (span.Milliseconds / 1000.0)}s");
}
