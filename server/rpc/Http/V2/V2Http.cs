using System.Security.Cryptography;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Features;
using Perf.Node;
using Perf.Store.V2;

namespace Perf.Rpc.Http.V2;

/// <summary>The v2 API under /v2/, and /new, which makes tokens of a discovery service that lives in its keys.</summary>
internal sealed class V2Http
{
    /// <summary>Where the tokens are, below the keys.</summary>
    private const string Registry = "/_etcd/registry/";

    private readonly IV2Server _server;
    private readonly V2Keys _keys;
    private readonly V2Members _members;
    private readonly V2Stats _stats;
    private readonly V2AuthHttp _auth;
    private readonly EtcdNode _node;

    public V2Http(EtcdNode node, IV2Server server)
    {
        _node = node;
        _server = server;
        var auth = new V2Auth(node, server);
        var access = new V2Access(node, auth);
        _keys = new V2Keys(node, server, access);
        _members = new V2Members(node, access);
        _stats = new V2Stats(node, server);
        _auth = new V2AuthHttp(node, auth, access);
    }

    public static bool Owns(string path) =>
        path == "/new" || path == "/v2" || path.StartsWith("/v2/", StringComparison.Ordinal);

    public Task ServeAsync(HttpContext context)
    {
        if (!TryPath(context, out string path))
        {
            return PlainText.WriteAsync(context, 400, "Bad Request\n");
        }

        string clean = Clean(path);
        if (clean != path)
        {
            // As Go's router does: the one true name of a path is elsewhere.
            context.Response.Headers.Location = Uri.EscapeDataString(clean).Replace("%2F", "/", StringComparison.Ordinal)
                + context.Request.QueryString.Value;
            return MovedAsync(context);
        }

        return path switch
        {
            V2Keys.Prefix => _keys.ServeAsync(context, ""),
            "/new" => NewTokenAsync(context),
            "/v2/machines" => _members.ServeMachines(context),
            "/v2/members" => _members.ServeAsync(context, ""),
            "/v2/stats/store" => _stats.ServeStore(context),
            "/v2/stats/self" => _stats.ServeSelf(context),
            "/v2/stats/leader" => _stats.ServeLeader(context),
            _ when Below(path, V2Keys.Prefix + "/") is { } key => _keys.ServeAsync(context, "/" + key),
            _ when Below(path, "/v2/members/") is { } member => _members.ServeAsync(context, member),
            _ when Below(path, "/v2/auth/") is { } auth => _auth.ServeAsync(context, auth),
            _ => PlainText.WriteAsync(context, 404, "404 page not found\n"),
        };
    }

    private static Task MovedAsync(HttpContext context)
    {
        context.Response.StatusCode = StatusCodes.Status301MovedPermanently;
        if (!HttpMethods.IsGet(context.Request.Method) && !HttpMethods.IsHead(context.Request.Method))
        {
            return Task.CompletedTask;
        }

        context.Response.ContentType = "text/html; charset=utf-8";
        return context.Response.WriteAsync($"<a href=\"{context.Response.Headers.Location}\">Moved Permanently</a>.\n\n");
    }

    private static string? Below(string path, string prefix) =>
        path.StartsWith(prefix, StringComparison.Ordinal) ? path[prefix.Length..] : null;

    /// <summary>The path as Go sees it: every escape undone, a slash's too.</summary>
    private static bool TryPath(HttpContext context, out string path)
    {
        string target = context.Features.Get<IHttpRequestFeature>()?.RawTarget ?? "";
        if (target.Length == 0 || target[0] != '/')
        {
            path = context.Request.Path.Value ?? "/";
            return true;
        }

        int end = target.AsSpan().IndexOfAny('?', '#');
        return V2Form.TryUnescape(end < 0 ? target : target[..end], plusIsBlank: false, out path, out _);
    }

    private static string Clean(string path)
    {
        string clean = V2Path.Clean(path);
        return clean != "/" && path.EndsWith('/') ? clean + "/" : clean;
    }

    /// <summary>
    /// GET /new?size=N: a cluster of N will find itself under a fresh token, whose URL is the answer
    /// (SURFACE DSC-01).
    /// </summary>
    private async Task NewTokenAsync(HttpContext context)
    {
        V2Form form = await V2Form.ReadAsync(context.Request, context.RequestAborted).ConfigureAwait(false);
        ulong size = 3;
        if (form.Has("size") && (!form.TryNumber("size", out size) || size == 0))
        {
            await PlainText.WriteAsync(context, 400, "size is not a number of members\n").ConfigureAwait(false);
            return;
        }

        string token = Convert.ToHexStringLower(RandomNumberGenerator.GetBytes(16));
        V2Result result = await _server.DoAsync(new V2Request
        {
            Method = "PUT",
            Path = $"{V2Keys.Root}{Registry}{token}/_config/size",
            Value = size.ToString(System.Globalization.CultureInfo.InvariantCulture),
            PrevExist = false,
        }).ConfigureAwait(false);
        if (result.Error is not null)
        {
            await V2Answers.ErrorAsync(context, result.Error).ConfigureAwait(false);
            return;
        }

        _node.Log.Info("created a discovery token", ("token", token), ("size", size));
        await PlainText.WriteAsync(
            context, 200, $"{context.Request.Scheme}://{context.Request.Host}{V2Keys.Prefix}{Registry}{token}").ConfigureAwait(false);
    }
}
