using System.Runtime.CompilerServices;
using Perf.Grpc;
using Perf.Store;

namespace Perf.Rpc.Access;

/// <summary>Counts the calls under way, of all connections together, and refuses those above a limit.</summary>
internal sealed class CallLimit(int callsMax)
{
    private int _running;

    /// <summary>The same methods, each counted.</summary>
    public GrpcRouter Around(GrpcRouter services)
    {
        var limited = new GrpcRouter();
        foreach (GrpcMethod method in services.Methods)
        {
            GrpcHandler handler = method.Handler;
            limited.Map(method.Path, method.Kind, call => Serve(call, handler), method.ReceiveBytesMax);
        }

        return limited;
    }

    private ValueTask Serve(ServerCall call, GrpcHandler handler)
    {
        if (Interlocked.Increment(ref _running) > callsMax)
        {
            Interlocked.Decrement(ref _running);
            StatusMapping.Fail(call, StoreError.TooManyRequests);
            return default;
        }

        return RunAsync(call, handler);
    }

    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder))]
    private async ValueTask RunAsync(ServerCall call, GrpcHandler handler)
    {
        try
        {
            await handler(call).ConfigureAwait(false);
        }
        finally
        {
            Interlocked.Decrement(ref _running);
        }
    }
}
