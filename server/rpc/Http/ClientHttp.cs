using System.Text.Json;
using Microsoft.AspNetCore.Http;
using Perf.Node;
using Perf.Rpc.Http.Gateway;
using Perf.Store;
using Perf.Store.Maintenance;

namespace Perf.Rpc.Http;

/// <summary>Plain HTTP on the client port.</summary>
internal sealed class ClientHttp(EtcdNode node, JsonGateway? gateway)
{
    public Task Serve(HttpContext context)
    {
        string path = context.Request.Path.Value ?? "";
        if (gateway is not null && JsonGateway.Owns(path))
        {
            return gateway.ServeAsync(context);
        }

        switch (path)
        {
            case "/health":
                return HealthAsync(context);
            case "/version":
                return Text(context, 200, "application/json", Version());
            default:
                return Text(context, 404, "text/plain; charset=utf-8", "404 page not found\n");
        }
    }

    private static Task Text(HttpContext context, int status, string type, string text)
    {
        context.Response.StatusCode = status;
        context.Response.ContentType = type;
        return context.Response.WriteAsync(text);
    }

    private string Version() => JsonSerializer.Serialize(new Dictionary<string, string>
    {
        ["etcdserver"] = node.ServerVersion,
        ["etcdcluster"] = node.ClusterVersion?.ToString() ?? "not_decided",
    });

    private async Task HealthAsync(HttpContext context)
    {
        if (!HttpMethods.IsGet(context.Request.Method))
        {
            context.Response.Headers.Allow = "GET";
            await Text(context, 405, "text/plain; charset=utf-8", "Method Not Allowed\n").ConfigureAwait(false);
            return;
        }

        string reason = await ReasonAsync(context).ConfigureAwait(false);
        await Text(
            context,
            reason.Length == 0 ? 200 : 503,
            "text/plain; charset=utf-8",
            $"{{\"health\":\"{(reason.Length == 0 ? "true" : "false")}\",\"reason\":\"{reason}\"}}").ConfigureAwait(false);
    }

    private async Task<string> ReasonAsync(HttpContext context)
    {
        foreach (AlarmMember alarm in node.State.Machine.Alarms.Active)
        {
            string name = alarm.Kind.ToString().ToUpperInvariant();
            if (!context.Request.Query["exclude"].Contains(name))
            {
                return $"ALARM {name}";
            }
        }

        if (context.Request.Query["serializable"] == "true")
        {
            return "";
        }

        if (node.Raft.Leader == 0)
        {
            return "RAFT NO LEADER";
        }

        StoreError error = await node.LinearizableAsync().ConfigureAwait(false);
        return error == StoreError.None ? "" : $"RANGE ERROR:{StatusMapping.Of(error).Text}";
    }
}
