using Microsoft.AspNetCore.Http;
using Perf.Node.Config;

namespace Perf.Rpc.Http;

/// <summary>What browsers may do: the host names we answer to and the origins we let in (SURFACE HTTP-09, HTTP-10).</summary>
internal sealed class HttpGate(ServerConfig config)
{
    private readonly HashSet<string> _hosts = new(config.HostWhitelist, StringComparer.Ordinal);
    private readonly HashSet<string> _origins = new(config.Cors, StringComparer.Ordinal);

    /// <summary>True when the request goes on; else it has been answered.</summary>
    public bool TryEnter(HttpContext context, out Task answered)
    {
        // A page that rebinds its name to our address can do so only in the clear: it has no certificate for us.
        string host = context.Request.Host.Host;
        if (!context.Request.IsHttps && !Allows(_hosts, host))
        {
            answered = PlainText.WriteAsync(
                context,
                421,
                $"""

                The Host header of this request names a host that this member does not answer to.

                Either use TLS, where every name is allowed, or allow the name:
                  etcd --host-whitelist "{host}"

                This keeps pages in browsers from reaching the member by DNS rebinding (CVE-2018-5702).

                """);
            return false;
        }

        string origin = context.Request.Headers.Origin.ToString();
        if (Allows(_origins, "*"))
        {
            AddOrigin(context, "*");
        }
        else if (_origins.Contains(origin))
        {
            AddOrigin(context, origin);
        }

        answered = Task.CompletedTask;
        return !HttpMethods.IsOptions(context.Request.Method);
    }

    private static bool Allows(HashSet<string> names, string name) =>
        names.Count == 0 || names.Contains("*") || names.Contains(name);

    private static void AddOrigin(HttpContext context, string origin)
    {
        IHeaderDictionary headers = context.Response.Headers;
        headers.AccessControlAllowMethods = "POST, GET, OPTIONS, PUT, DELETE";
        headers.AccessControlAllowOrigin = origin;
        headers.AccessControlAllowHeaders = "accept, content-type, authorization";
    }
}
