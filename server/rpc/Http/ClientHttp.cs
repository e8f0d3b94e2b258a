using System.Buffers;
using System.Text;
using System.Text.Json;
using Microsoft.AspNetCore.Http;
using Perf.Node;
using Perf.Rpc.Http.Gateway;
using Perf.Rpc.Http.Health;
using Perf.Rpc.Http.Metrics;
using Perf.Rpc.Http.Profiles;
using Perf.Rpc.Http.V2;
using Perf.Store.Membership;

namespace Perf.Rpc.Http;

/// <summary>Plain HTTP on the client port.</summary>
internal sealed class ClientHttp(
    EtcdNode node, HealthChecks health, MetricsPage metrics, JsonGateway? gateway, V2Http? v2)
{
    /// <summary>Profiles are served on request; who looks for them without is told where to look (SURFACE HTTP-07).</summary>
    private const string NoProfiles =
        "404 no Go profiles: this server runs on .NET. --enable-pprof serves its own; counters are at /metrics and /debug/vars; "
        + "dotnet-trace, dotnet-counters and dotnet-dump attach to the process.\n";

    private readonly HttpGate _gate = new(node.Config);
    private readonly RuntimeProfiles? _profiles = node.Config.EnablePprof ? new RuntimeProfiles() : null;

    public Task Serve(HttpContext context)
    {
        if (!_gate.TryEnter(context, out Task answered))
        {
            return answered;
        }

        string path = context.Request.Path.Value ?? "";
        return gateway is not null && JsonGateway.Owns(path) ? gateway.ServeAsync(context)
            : v2 is not null && V2Http.Owns(path) ? v2.ServeAsync(context)
            : TryServeMonitoring(context, path, out Task serving) ? serving
            : _profiles is not null && path.StartsWith(RuntimeProfiles.Prefix, StringComparison.Ordinal)
                ? _profiles.ServeAsync(context, path)
            : path switch
            {
                "/version" => GetAsync(context, "application/json", Version),
                "/debug/vars" => GetAsync(context, "application/json; charset=utf-8", Variables),
                _ when path.StartsWith("/debug/pprof", StringComparison.Ordinal) =>
                    PlainText.WriteAsync(context, 404, NoProfiles),
                _ => PlainText.WriteAsync(context, 404, "404 page not found\n"),
            };
    }

    /// <summary>What a metrics address serves: health and figures, nothing else.</summary>
    public Task ServeMonitoring(HttpContext context) =>
        TryServeMonitoring(context, context.Request.Path.Value ?? "", out Task serving)
            ? serving
            : PlainText.WriteAsync(context, 404, "404 page not found\n");

    private bool TryServeMonitoring(HttpContext context, string path, out Task serving)
    {
        if (path == "/metrics")
        {
            serving = metrics.ServeAsync(context);
            return true;
        }

        return health.TryServe(context, path, out serving);
    }

    private static Task GetAsync(HttpContext context, string type, Func<string> text) =>
        HttpMethods.IsGet(context.Request.Method)
            ? PlainText.WriteAsync(context, 200, text(), type)
            : PlainText.NotAllowedAsync(context, "GET");

    private string Version() => Json(writer =>
    {
        writer.WriteString("etcdserver"u8, node.ServerVersion);
        writer.WriteString("etcdcluster"u8, node.ClusterVersion?.ToString() ?? "not_decided");
        if (node.Config.SpeakAs >= SpeakAs.V36)
        {
            writer.WriteString("storage"u8, "3.6.0");
        }
    });

    /// <summary>Go's expvar page, as far as it has a meaning here.</summary>
    private string Variables() => Json(writer =>
    {
        writer.WriteStartArray("cmdline"u8);
        foreach (string argument in Environment.GetCommandLineArgs())
        {
            writer.WriteStringValue(argument);
        }

        writer.WriteEndArray();
        writer.WriteNumber("file_descriptor_limit"u8, ProcessFigures.Read().FilesMax);
        writer.WriteStartObject("memstats"u8);
        writer.WriteNumber("Alloc"u8, GC.GetTotalMemory(forceFullCollection: false));
        writer.WriteNumber("TotalAlloc"u8, GC.GetTotalAllocatedBytes());
        writer.WriteNumber("Sys"u8, Environment.WorkingSet);
        writer.WriteNumber("NumGC"u8, GC.CollectionCount(0));
        writer.WriteEndObject();
        writer.WriteStartObject("raft.status"u8);
        writer.WriteString("id"u8, MemberIds.Hex(node.MemberId));
        writer.WriteNumber("term"u8, node.Raft.Term);
        writer.WriteString("lead"u8, MemberIds.Hex(node.Raft.Leader));
        writer.WriteNumber("commit"u8, node.Raft.Commit);
        writer.WriteNumber("applied"u8, node.Pipeline.AppliedIndex);
        writer.WriteString("raftState"u8, node.IsLeader ? "StateLeader" : "StateFollower");
        writer.WriteEndObject();
    });

    private static string Json(Action<Utf8JsonWriter> write)
    {
        var buffer = new ArrayBufferWriter<byte>();
        using (var writer = new Utf8JsonWriter(buffer, ProtoToJson.Options))
        {
            writer.WriteStartObject();
            write(writer);
            writer.WriteEndObject();
        }

        return Encoding.UTF8.GetString(buffer.WrittenSpan);
    }
}
