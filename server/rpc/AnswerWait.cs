using System.Collections.Concurrent;
using System.Runtime.CompilerServices;
using System.Threading.Tasks.Sources;
using Perf.Grpc;
using Perf.Node.Consensus;

namespace Perf.Rpc;

/// <summary>
/// A unary call that waits for its request's answer. By hand what an async method would be: the runtime's pooling builder keeps
/// one box for each processor, and with hundreds under way nearly every call made a new one.
/// </summary>
internal sealed class AnswerWait : IValueTaskSource
{
    private static readonly ConcurrentQueue<AnswerWait> Spare = new();

    private readonly Action _onCompleted;
    private ConfiguredValueTaskAwaitable.ConfiguredValueTaskAwaiter _completion;
    private ManualResetValueTaskSourceCore<bool> _core;
    private ServerCall? _call;
    private PendingRequest? _request;

    private AnswerWait() => _onCompleted = Finish;

    /// <summary>Completes when the answer is written and the request given back. To be awaited once.</summary>
    public static ValueTask For(ServerCall call, PendingRequest request)
    {
        ConfiguredValueTaskAwaitable.ConfiguredValueTaskAwaiter completion =
            request.Completion.ConfigureAwait(false).GetAwaiter();
        AnswerWait wait = Spare.TryDequeue(out AnswerWait? spare) ? spare : new AnswerWait();
        wait._completion = completion;
        wait._call = call;
        wait._request = request;
        var task = new ValueTask(wait, wait._core.Version);
        if (completion.IsCompleted)
        {
            wait.Finish();
        }
        else
        {
            completion.UnsafeOnCompleted(wait._onCompleted);
        }

        return task;
    }

    void IValueTaskSource.GetResult(short token)
    {
        try
        {
            _core.GetResult(token);
        }
        finally
        {
            _core.Reset();
            if (Spare.Count < PendingTable.KeptMax)
            {
                Spare.Enqueue(this);
            }
        }
    }

    ValueTaskSourceStatus IValueTaskSource.GetStatus(short token) => _core.GetStatus(token);

    void IValueTaskSource.OnCompleted(
        Action<object?> continuation, object? state, short token, ValueTaskSourceOnCompletedFlags flags) =>
        _core.OnCompleted(continuation, state, token, flags);

    private void Finish()
    {
        Exception? failure = null;
        try
        {
            _completion.GetResult();
            Proposals.Answer(_call!, _request!);
            _request!.Dispose();
        }
        catch (Exception e)
        {
            failure = e;
        }

        _completion = default;
        _call = null;
        _request = null;
        if (failure is null)
        {
            _core.SetResult(true);
        }
        else
        {
            _core.SetException(failure);
        }
    }
}
