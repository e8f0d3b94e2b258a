using System.Buffers;
using System.Globalization;
using System.Text;
using System.Text.Json;
using Microsoft.AspNetCore.Http;
using Perf.Rpc.Http.Gateway;
using Perf.Store.V2;

namespace Perf.Rpc.Http.V2;

/// <summary>The forms of v2 answers.</summary>
internal static class V2Answers
{
    public const string JsonType = "application/json";

    /// <summary>A refused operation on keys.</summary>
    public static Task ErrorAsync(HttpContext context, V2Error error)
    {
        context.Response.Headers["X-Etcd-Index"] = error.Index.ToString(CultureInfo.InvariantCulture);
        return JsonAsync(context, error.HttpStatus, error.ToJson() + "\n");
    }

    /// <summary>Anything else that was refused.</summary>
    public static Task MessageAsync(HttpContext context, int status, string message) => JsonAsync(
        context, status, Json(writer => writer.WriteString("message"u8, message)));

    public static Task JsonAsync(HttpContext context, int status, string json)
    {
        context.Response.StatusCode = status;
        context.Response.ContentType = JsonType;
        byte[] body = Encoding.UTF8.GetBytes(json);
        context.Response.ContentLength = body.Length;
        return context.Response.Body.WriteAsync(body).AsTask();
    }

    /// <summary>True when the method is one of those; else the request has been answered.</summary>
    public static bool Allows(HttpContext context, out Task answered, params ReadOnlySpan<string> methods)
    {
        answered = Task.CompletedTask;
        foreach (string method in methods)
        {
            if (method == context.Request.Method)
            {
                return true;
            }
        }

        answered = PlainText.NotAllowedAsync(context, string.Join(",", methods!));
        return false;
    }

    /// <summary>An object as text.</summary>
    public static string Json(Action<Utf8JsonWriter> write)
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
