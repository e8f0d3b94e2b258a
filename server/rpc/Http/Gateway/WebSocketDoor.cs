using System.Buffers;
using System.IO.Pipelines;
using System.Net.WebSockets;
using System.Security.Cryptography;
using System.Text;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Features;

namespace Perf.Rpc.Http.Gateway;

/// <summary>
/// The gateway for browsers that stream: each message of the socket is a piece of the body, each line of the answer is a
/// message (SURFACE GW-07). A token comes as a second protocol, after "Bearer", because a page can set nothing else.
/// </summary>
internal static class WebSocketDoor
{
    private const string Bearer = "Bearer";
    private const string Version = "13";

    /// <summary>What RFC 6455 1.3 has a server append to the client's key.</summary>
    private const string AcceptSuffix = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

    private const int ReceiveBytes = 8192;

    /// <summary>True for a request that wants to become a socket.</summary>
    public static bool IsWanted(HttpContext context) =>
        HttpMethods.IsGet(context.Request.Method)
        && context.Features.Get<IHttpUpgradeFeature>() is { IsUpgradableRequest: true }
        && string.Equals(context.Request.Headers.Upgrade.ToString(), "websocket", StringComparison.OrdinalIgnoreCase);

    /// <summary>Serves the socket as one POST to the same path, until either side ends it.</summary>
    public static async Task ServeAsync(HttpContext context, Func<HttpContext, Task> serve)
    {
        IHeaderDictionary asked = context.Request.Headers;
        string key = asked.SecWebSocketKey.ToString();
        if (key.Length == 0 || asked.SecWebSocketVersion.ToString() != Version)
        {
            await PlainText.WriteAsync(context, 400, "Bad Request\n").ConfigureAwait(false);
            return;
        }

        string protocols = asked.SecWebSocketProtocol.ToString();
        bool isBearer = protocols.StartsWith(Bearer, StringComparison.Ordinal);
        IHeaderDictionary headers = context.Response.Headers;
        headers.Connection = "Upgrade";
        headers.Upgrade = "websocket";
        headers.SecWebSocketAccept = Convert.ToBase64String(SHA1.HashData(Encoding.ASCII.GetBytes(key + AcceptSuffix)));
        if (isBearer)
        {
            headers.SecWebSocketProtocol = Bearer;
        }

        Stream transport = await context.Features.Get<IHttpUpgradeFeature>()!.UpgradeAsync().ConfigureAwait(false);
        using var socket = WebSocket.CreateFromStream(
            transport, new WebSocketCreationOptions { IsServer = true, SubProtocol = isBearer ? Bearer : null });
        using var ended = CancellationTokenSource.CreateLinkedTokenSource(context.RequestAborted);
        var requests = new Pipe();
        var answers = new Pipe();
        Task receiving = ReceiveAsync(socket, requests.Writer, ended);
        Task sending = SendAsync(answers.Reader, socket, ended);
        try
        {
            await serve(Inner(context, Token(protocols), requests.Reader, answers.Writer, ended.Token)).ConfigureAwait(false);
        }
        catch (OperationCanceledException)
        {
            // The client has gone.
        }
        finally
        {
            await answers.Writer.CompleteAsync().ConfigureAwait(false);
            await sending.ConfigureAwait(false);
            await ended.CancelAsync().ConfigureAwait(false);
            await receiving.ConfigureAwait(false);
        }
    }

    /// <summary>What stands behind "Bearer," in the list of protocols; empty when nothing does.</summary>
    private static string Token(string protocols)
    {
        int at = protocols.IndexOf(Bearer + ",", StringComparison.Ordinal);
        return at < 0 ? "" : protocols[(at + Bearer.Length + 1)..].Trim();
    }

    /// <summary>The request as the gateway serves it.</summary>
    private static DefaultHttpContext Inner(
        HttpContext context, string token, PipeReader requests, PipeWriter answers, CancellationToken ended)
    {
        var inner = new DefaultHttpContext { RequestAborted = ended };
        inner.Request.Method = HttpMethods.Post;
        inner.Request.Path = context.Request.Path;
        foreach ((string name, Microsoft.Extensions.Primitives.StringValues value) in context.Request.Headers)
        {
            inner.Request.Headers[name] = value;
        }

        if (token.Length > 0)
        {
            inner.Request.Headers.Authorization = $"{Bearer} {token}";
        }

        inner.Connection.ClientCertificate = context.Connection.ClientCertificate;
        inner.Request.Body = requests.AsStream();
        inner.Response.Body = answers.AsStream();
        return inner;
    }

    private static async Task ReceiveAsync(WebSocket socket, PipeWriter requests, CancellationTokenSource ended)
    {
        try
        {
            while (true)
            {
                ValueWebSocketReceiveResult received = await socket.ReceiveAsync(
                    requests.GetMemory(ReceiveBytes), ended.Token).ConfigureAwait(false);
                if (received.MessageType == WebSocketMessageType.Close)
                {
                    await socket.CloseOutputAsync(WebSocketCloseStatus.NormalClosure, null, ended.Token).ConfigureAwait(false);
                    break;
                }

                requests.Advance(received.Count);
                if (received.EndOfMessage)
                {
                    requests.Write("\n"u8);
                }

                FlushResult flushed = await requests.FlushAsync(ended.Token).ConfigureAwait(false);
                if (flushed.IsCompleted)
                {
                    break;
                }
            }
        }
        catch (Exception e) when (e is WebSocketException or IOException or OperationCanceledException)
        {
            // Gone without a word.
        }

        await requests.CompleteAsync().ConfigureAwait(false);
        await ended.CancelAsync().ConfigureAwait(false);
    }

    private static async Task SendAsync(PipeReader answers, WebSocket socket, CancellationTokenSource ended)
    {
        try
        {
            while (true)
            {
                ReadResult read = await answers.ReadAsync(ended.Token).ConfigureAwait(false);
                ReadOnlySequence<byte> rest = read.Buffer;
                while (rest.PositionOf((byte)'\n') is { } end)
                {
                    await SendAsync(socket, rest.Slice(0, end), ended.Token).ConfigureAwait(false);
                    rest = rest.Slice(rest.GetPosition(1, end));
                }

                if (read.IsCompleted && !rest.IsEmpty)
                {
                    await SendAsync(socket, rest, ended.Token).ConfigureAwait(false);
                    rest = rest.Slice(rest.End);
                }

                answers.AdvanceTo(rest.Start, rest.End);
                if (read.IsCompleted)
                {
                    await socket.CloseOutputAsync(WebSocketCloseStatus.NormalClosure, null, ended.Token).ConfigureAwait(false);
                    break;
                }
            }
        }
        catch (Exception e) when (e is WebSocketException or IOException or OperationCanceledException)
        {
            // Nobody is there any more: the call ends, and what it still writes is dropped.
        }

        await answers.CompleteAsync().ConfigureAwait(false);
        await ended.CancelAsync().ConfigureAwait(false);
    }

    private static async ValueTask SendAsync(WebSocket socket, ReadOnlySequence<byte> line, CancellationToken cancellation)
    {
        SequencePosition at = line.Start;
        do
        {
            bool isMore = line.TryGet(ref at, out ReadOnlyMemory<byte> piece);
            bool isLast = !isMore || line.Slice(at).IsEmpty;
            await socket.SendAsync(piece, WebSocketMessageType.Text, isLast, cancellation).ConfigureAwait(false);
            if (isLast)
            {
                return;
            }
        }
        while (true);
    }
}
