using Microsoft.AspNetCore.Http;

namespace Perf.Rpc.Http;

/// <summary>Short answers as Go's http.Error gives them.</summary>
internal static class PlainText
{
    public static Task WriteAsync(HttpContext context, int status, string text, string type = "text/plain; charset=utf-8")
    {
        context.Response.StatusCode = status;
        context.Response.ContentType = type;
        if (status >= 400)
        {
            context.Response.Headers.XContentTypeOptions = "nosniff";
        }

        return context.Response.WriteAsync(text);
    }

    /// <summary>The answer to another method than the one there is.</summary>
    public static Task NotAllowedAsync(HttpContext context, string allowed)
    {
        context.Response.Headers.Allow = allowed;
        return WriteAsync(context, 405, "Method Not Allowed\n");
    }
}
