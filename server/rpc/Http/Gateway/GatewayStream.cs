using System.Buffers;
using System.IO.Pipelines;
using System.Text.Json;
using Microsoft.AspNetCore.Http;
using Perf.Grpc;
using Perf.Rpc.InProcess;
using Perf.Store.Commands;

namespace Perf.Rpc.Http.Gateway;

/// <summary>A streaming call of the gateway: JSON values in, lines of {"result":...} out as the handler flushes them.</summary>
internal sealed class GatewayStream : InProcessCall
{
    private readonly HttpContext _context;
    private readonly GatewayRoute _route;
    private readonly JsonSplitter _requests;
    private readonly ProtoBuffer _request = new(256);

    public GatewayStream(HttpContext context, GatewayRoute route, JsonSplitter requests, Func<string, string?> header)
        : base(route.Method, header, context.RequestAborted)
    {
        _context = context;
        _route = route;
        _requests = requests;
    }

    /// <summary>Something was sent: an error can no longer be an HTTP status.</summary>
    public bool HasSent { get; private set; }

    /// <inheritdoc/>
    public override async ValueTask FlushAsync()
    {
        if (Encode())
        {
            HasSent = true;
            FlushResult flushed = await _context.Response.BodyWriter.FlushAsync(Cancelled).ConfigureAwait(false);
            if (flushed.IsCompleted)
            {
                throw new OperationCanceledException("context canceled");
            }
        }
    }

    /// <inheritdoc/>
    protected override async ValueTask<bool> NextAsync()
    {
        if (!_route.TakesStream)
        {
            return false;
        }

        byte[]? json = await _requests.NextAsync(Cancelled).ConfigureAwait(false);
        if (json is null)
        {
            return false;
        }

        try
        {
            _request.Clear();
            JsonToProto.Convert(json, _route.Input, _request);
        }
        catch (JsonError e)
        {
            throw new RpcException(StatusCode.InvalidArgument, e.Message);
        }

        SetMessage(_request.WrittenMemory);
        return true;
    }

    /// <summary>Everything written since, as lines; false when there was nothing.</summary>
    private bool Encode()
    {
        if (MessageBytes.Count == 0)
        {
            return false;
        }

        PipeWriter target = _context.Response.BodyWriter;
        ReadOnlySpan<byte> written = Written.WrittenSpan;
        foreach (int bytes in MessageBytes)
        {
            using (var writer = new Utf8JsonWriter(target, ProtoToJson.Options))
            {
                writer.WriteStartObject();
                writer.WritePropertyName("result"u8);
                ProtoToJson.Write(written[..bytes], _route.Output, writer);
                writer.WriteEndObject();
            }

            target.Write("\n"u8);
            written = written[bytes..];
        }

        MessageBytes.Clear();
        Written.ResetWrittenCount();
        return true;
    }
}
