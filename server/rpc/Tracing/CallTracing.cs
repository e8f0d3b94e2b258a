using System.Diagnostics;
using OpenTelemetry;
using OpenTelemetry.Exporter;
using OpenTelemetry.Resources;
using OpenTelemetry.Trace;
using Perf.Grpc;
using Perf.Node.Config;

namespace Perf.Rpc.Tracing;

/// <summary>
/// A span for each call, sent to a collector by OTLP over gRPC. A client's traceparent makes the call part of its trace;
/// whether others are sampled is decided by chance.
/// </summary>
internal sealed class CallTracing : IDisposable
{
    private const string ParentHeader = "traceparent";
    private const string StateHeader = "tracestate";
    private const double SamplesPerMillionMax = 1_000_000;

    private readonly ActivitySource _source;
    private readonly TracerProvider _provider;

    private CallTracing(TracingSettings settings)
    {
        // A source of its own for each: members of one process do not hear each other's spans.
        _source = new ActivitySource("etcd-" + Guid.NewGuid().ToString("N"));
        Sampler chance = settings.SamplesPerMillion <= 0
            ? new AlwaysOffSampler()
            : new TraceIdRatioBasedSampler(Math.Min(1, settings.SamplesPerMillion / SamplesPerMillionMax));
        string? instance = settings.InstanceId.Length > 0 ? settings.InstanceId : null;
        _provider = Sdk.CreateTracerProviderBuilder()
            .AddSource(_source.Name)
            .SetSampler(new ParentBasedSampler(chance))
            .SetResourceBuilder(ResourceBuilder.CreateEmpty().AddService(
                settings.ServiceName, autoGenerateServiceInstanceId: false, serviceInstanceId: instance))
            .AddOtlpExporter(options =>
            {
                options.Protocol = OtlpExportProtocol.Grpc;
                options.Endpoint = new Uri("http://" + settings.Address);
            })
            .Build();
    }

    /// <summary>Null unless --experimental-enable-distributed-tracing.</summary>
    public static CallTracing? For(ServerConfig config) => config.Tracing.Enabled ? new CallTracing(config.Tracing) : null;

    public GrpcHandler Around(GrpcMethod method, GrpcHandler handler)
    {
        string name = $"{method.Service}/{method.Name}";
        return call => TraceAsync(call, method, name, handler);
    }

    /// <summary>Sends what is left.</summary>
    public void Dispose()
    {
        _provider.Dispose();
        _source.Dispose();
    }

    private async ValueTask TraceAsync(ServerCall call, GrpcMethod method, string name, GrpcHandler handler)
    {
        ActivityContext parent = default;
        if (call.TryGetHeader(ParentHeader, out string text))
        {
            call.TryGetHeader(StateHeader, out string state);
            ActivityContext.TryParse(text, state, isRemote: true, out parent);
        }

        using Activity? span = _source.StartActivity(name, ActivityKind.Server, parent);
        span?.SetTag("rpc.system", "grpc");
        span?.SetTag("rpc.service", method.Service);
        span?.SetTag("rpc.method", method.Name);
        try
        {
            await handler(call).ConfigureAwait(false);
        }
        catch (Exception e)
        {
            span?.SetStatus(ActivityStatusCode.Error, e.Message);
            throw;
        }
    }
}
