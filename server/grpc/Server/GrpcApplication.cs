using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Hosting.Server.Abstractions;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Features;

namespace Perf.Grpc;

/// <summary>What Kestrel runs for each request: gRPC calls here, everything else in the fallback.</summary>
internal sealed class GrpcApplication : IHttpApplication<KestrelCall>
{
    private readonly RequestDelegate? _fallback;

    public GrpcApplication(GrpcRouter router, GrpcServerOptions options)
    {
        Router = router;
        ReceiveBytesMax = options.ReceiveBytesMax;
        Trouble = options.Trouble;
        CallEnded = options.CallEnded;
        _fallback = options.Fallback;
    }

    public GrpcRouter Router { get; }

    public int ReceiveBytesMax { get; }

    public Action<string, Exception?>? Trouble { get; }

    public CallEnded? CallEnded { get; }

    public static bool IsGrpcContentType(string text)
    {
        const string Base = "application/grpc";
        return text.StartsWith(Base, StringComparison.OrdinalIgnoreCase)
            && (text.Length == Base.Length || text[Base.Length] is '+' or ';');
    }

    public KestrelCall CreateContext(IFeatureCollection contextFeatures)
    {
        KestrelCall call;
        if (contextFeatures is IHostContextContainer<KestrelCall> container)
        {
            call = container.HostContext ??= new KestrelCall(this);
        }
        else
        {
            call = new KestrelCall(this);
        }

        call.Begin(contextFeatures);
        return call;
    }

    public Task ProcessRequestAsync(KestrelCall context) => context.RunAsync();

    public void DisposeContext(KestrelCall context, Exception? exception) => context.End();

    public Task FallbackAsync(IFeatureCollection features)
    {
        RequestDelegate? fallback = features.Get<IListenFeature>()?.Endpoint.Fallback ?? _fallback;
        if (fallback is not null)
        {
            return fallback(new DefaultHttpContext(features));
        }

        IHttpRequestFeature request = features.GetRequiredFeature<IHttpRequestFeature>();
        IHttpResponseFeature response = features.GetRequiredFeature<IHttpResponseFeature>();
        if (request.Protocol != "HTTP/2")
        {
            response.StatusCode = StatusCodes.Status404NotFound;
            return Task.CompletedTask;
        }

        response.StatusCode = StatusCodes.Status415UnsupportedMediaType;
        response.Headers.ContentType = "application/grpc";
        response.Headers.GrpcStatus = "3";
        response.Headers.GrpcMessage =
            WireText.EncodeMessage($"invalid gRPC request content-type \"{request.Headers.ContentType}\"");
        return Task.CompletedTask;
    }
}
