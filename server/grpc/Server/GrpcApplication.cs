using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Features;

namespace Perf.Grpc;

/// <summary>What every connection serves: the methods, and the fallback for all else. To Kestrel it is the fallback alone.</summary>
internal sealed class GrpcApplication : IHttpApplication<IFeatureCollection>
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

    public SpareStreams SpareStreams { get; } = new();

    public int ReceiveBytesMax { get; }

    public Action<string, Exception?>? Trouble { get; }

    public CallEnded? CallEnded { get; }

    public static bool IsGrpcContentType(string text)
    {
        const string Base = "application/grpc";
        return text.StartsWith(Base, StringComparison.OrdinalIgnoreCase)
            && (text.Length == Base.Length || text[Base.Length] is '+' or ';');
    }

    public IFeatureCollection CreateContext(IFeatureCollection contextFeatures) => contextFeatures;

    public Task ProcessRequestAsync(IFeatureCollection context) => FallbackAsync(context);

    public void DisposeContext(IFeatureCollection context, Exception? exception)
    {
    }

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
