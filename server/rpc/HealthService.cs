using Grpc.Health.V1;
using Perf.Grpc;
using StatusCode = Perf.Grpc.StatusCode;

namespace Perf.Rpc;

/// <summary>grpc.health.v1.Health: one service, the empty name; serving once clients are let in.</summary>
internal sealed class HealthService
{
    private volatile bool _serving = true;
    private volatile TaskCompletionSource _changed = new(TaskCreationOptions.RunContinuationsAsynchronously);

    /// <summary>False while the member does not serve; watchers are told.</summary>
    public bool Serving
    {
        get => _serving;
        set
        {
            if (_serving == value)
            {
                return;
            }

            _serving = value;
            Interlocked.Exchange(ref _changed, new(TaskCreationOptions.RunContinuationsAsynchronously)).TrySetResult();
        }
    }

    public void Map(GrpcRouter router)
    {
        router.Map("/grpc.health.v1.Health/Check", MethodKind.Unary, Check);
        router.Map("/grpc.health.v1.Health/Watch", MethodKind.ServerStream, Watch);
    }

    private HealthCheckResponse Answer() => new()
    {
        Status = _serving
            ? HealthCheckResponse.Types.ServingStatus.Serving
            : HealthCheckResponse.Types.ServingStatus.NotServing,
    };

    private ValueTask Check(ServerCall call)
    {
        HealthCheckRequest request = Messages.Parse(HealthCheckRequest.Parser, call);
        if (request.Service.Length > 0)
        {
            call.Fail(StatusCode.NotFound, "unknown service");
        }
        else
        {
            Messages.Write(call, Answer());
        }

        return default;
    }

    private async ValueTask Watch(ServerCall call)
    {
        HealthCheckRequest request = Messages.Parse(HealthCheckRequest.Parser, call);
        while (true)
        {
            Task changed = _changed.Task;
            Messages.Write(call, request.Service.Length > 0
                ? new HealthCheckResponse { Status = HealthCheckResponse.Types.ServingStatus.ServiceUnknown }
                : Answer());
            await call.FlushAsync().ConfigureAwait(false);
            await changed.WaitAsync(call.Cancelled).ConfigureAwait(false);
        }
    }
}
