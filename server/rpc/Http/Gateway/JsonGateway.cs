using System.Buffers;
using System.Text.Json;
using Microsoft.AspNetCore.Http;
using Perf.Grpc;
using Perf.Node;
using Perf.Node.Security;
using Perf.Rpc.InProcess;
using Perf.Store.Commands;

namespace Perf.Rpc.Http.Gateway;

/// <summary>
/// etcd's JSON gateway: POST /v3/... with a JSON body is the same call as over gRPC, served by the same handlers behind
/// the same guard (SURFACE 2.1). Only the spelling differs.
/// </summary>
internal sealed class JsonGateway(EtcdNode node, GrpcRouter router)
{
    private const string Prefix = "/v3/";
    private const string BetaPrefix = "/v3beta/";
    private const string CertificateText =
        "CommonName of client sending a request against gateway will be ignored and not used as expected";

    /// <summary>JSON takes more room than the message in it: base64 alone four bytes for three.</summary>
    private const int JsonFactor = 2;

    /// <summary>Made for the first request: descriptors take tens of milliseconds of a start, and most never ask.</summary>
    private readonly Lazy<Dictionary<string, GatewayRoute>> _routes = new(() => GatewayRoutes.For(router));

    /// <summary>True for paths that are the gateway's to answer.</summary>
    public static bool Owns(string path) =>
        path.StartsWith(Prefix, StringComparison.Ordinal) || path.StartsWith(BetaPrefix, StringComparison.Ordinal);

    /// <summary>Serves a request on a path of the gateway.</summary>
    public Task ServeAsync(HttpContext context)
    {
        string path = context.Request.Path.Value ?? "";
        if (path.StartsWith(BetaPrefix, StringComparison.Ordinal))
        {
            path = string.Concat(Prefix, path.AsSpan(BetaPrefix.Length));
        }

        if (!_routes.Value.TryGetValue(path, out GatewayRoute? route))
        {
            return PlainText.WriteAsync(context, 404, "Not Found\n");
        }

        if (WebSocketDoor.IsWanted(context))
        {
            return WebSocketDoor.ServeAsync(context, ServeAsync);
        }

        if (!HttpMethods.IsPost(context.Request.Method))
        {
            return PlainText.WriteAsync(context, 405, "Method Not Allowed\n");
        }

        if (node.ClientTls.NamesUsers
            && node.State.Machine.Auth.Enabled
            && context.Connection.ClientCertificate is { } certificate
            && CertificateNames.CommonName(certificate).Length > 0)
        {
            return PlainText.WriteAsync(context, 400, CertificateText + "\n");
        }

        return route.Streams ? StreamAsync(context, route) : CallAsync(context, route);
    }

    private static Func<string, string?> Headers(HttpContext context) => name =>
    {
        IHeaderDictionary headers = context.Request.Headers;
        return name switch
        {
            "token" => headers.Authorization.ToString(),
            "hasleader" or "client-api-version" => headers["Grpc-Metadata-" + name].ToString(),
            _ => null,
        };
    };

    private JsonSplitter Body(HttpContext context) =>
        new(context.Request.BodyReader, JsonFactor * node.Config.MaxRequestBytes);

    private async Task CallAsync(HttpContext context, GatewayRoute route)
    {
        var message = new ProtoBuffer(512);
        try
        {
            byte[]? json = await Body(context).NextAsync(context.RequestAborted).ConfigureAwait(false);
            if (json is not null)
            {
                JsonToProto.Convert(json, route.Input, message);
            }
        }
        catch (JsonError e)
        {
            await ErrorAsync(context, StatusCode.InvalidArgument, e.Message).ConfigureAwait(false);
            return;
        }

        var call = new InProcessCall(route.Method, Headers(context), context.RequestAborted);
        await call.RunAsync(message.WrittenMemory).ConfigureAwait(false);
        if (call.Status != StatusCode.OK)
        {
            await ErrorAsync(context, call.Status, call.StatusMessage).ConfigureAwait(false);
            return;
        }

        Begin(context, 200);
        using (var writer = new Utf8JsonWriter(context.Response.BodyWriter, ProtoToJson.Options))
        {
            ProtoToJson.Write(call.Written.WrittenSpan, route.Output, writer);
        }

        await context.Response.BodyWriter.FlushAsync().ConfigureAwait(false);
    }

    private async Task StreamAsync(HttpContext context, GatewayRoute route)
    {
        JsonSplitter body = Body(context);
        ReadOnlyMemory<byte>? first = null;
        if (!route.TakesStream)
        {
            try
            {
                var message = new ProtoBuffer(256);
                byte[]? json = await body.NextAsync(context.RequestAborted).ConfigureAwait(false);
                if (json is not null)
                {
                    JsonToProto.Convert(json, route.Input, message);
                }

                first = message.WrittenMemory;
            }
            catch (JsonError e)
            {
                await ErrorAsync(context, StatusCode.InvalidArgument, e.Message).ConfigureAwait(false);
                return;
            }
        }

        Begin(context, 200);
        var call = new GatewayStream(context, route, body, Headers(context));
        await call.RunAsync(first).ConfigureAwait(false);
        if (context.RequestAborted.IsCancellationRequested)
        {
            return;
        }

        await call.FlushAsync().ConfigureAwait(false);
        if (call.Status != StatusCode.OK)
        {
            if (!call.HasSent)
            {
                context.Response.StatusCode = GatewayStatus.Http(call.Status);
            }

            WriteStreamError(context, call.Status, call.StatusMessage);
            await context.Response.BodyWriter.FlushAsync().ConfigureAwait(false);
        }
    }

    private static void Begin(HttpContext context, int status)
    {
        context.Response.StatusCode = status;
        context.Response.ContentType = "application/json";
        context.Response.Headers["Grpc-Metadata-Content-Type"] = "application/grpc";
    }

    private async Task ErrorAsync(HttpContext context, StatusCode code, string message)
    {
        context.Response.StatusCode = GatewayStatus.Http(code);
        context.Response.ContentType = "application/json";
        using (var writer = new Utf8JsonWriter(context.Response.BodyWriter, ProtoToJson.Options))
        {
            writer.WriteStartObject();
            if (node.Config.SpeakAs >= Store.Membership.SpeakAs.V36)
            {
                writer.WriteNumber("code"u8, (int)code);
                writer.WriteString("message"u8, message);
                writer.WriteStartArray("details"u8);
                writer.WriteEndArray();
            }
            else
            {
                writer.WriteString("error"u8, message);
                writer.WriteString("message"u8, message);
                writer.WriteNumber("code"u8, (int)code);
            }

            writer.WriteEndObject();
        }

        await context.Response.BodyWriter.FlushAsync().ConfigureAwait(false);
    }

    private static void WriteStreamError(HttpContext context, StatusCode code, string message)
    {
        int http = GatewayStatus.Http(code);
        using (var writer = new Utf8JsonWriter(context.Response.BodyWriter, ProtoToJson.Options))
        {
            writer.WriteStartObject();
            writer.WriteStartObject("error"u8);
            writer.WriteNumber("grpc_code"u8, (int)code);
            writer.WriteNumber("http_code"u8, http);
            writer.WriteString("message"u8, message);
            writer.WriteString("http_status"u8, Microsoft.AspNetCore.WebUtilities.ReasonPhrases.GetReasonPhrase(http));
            writer.WriteEndObject();
            writer.WriteEndObject();
        }

        context.Response.BodyWriter.Write("\n"u8);
    }
}
