using System.Security.Cryptography.X509Certificates;
using System.Threading.Channels;
using Etcdserverpb;
using Google.Protobuf;
using Perf.Grpc;

namespace Perf.Rpc.InProcess;

/// <summary>A watch stream of this process with one watch on it.</summary>
internal sealed class LocalWatch : InProcessCall, IAsyncDisposable
{
    private readonly Channel<WatchResponse> _answers = Channel.CreateUnbounded<WatchResponse>();
    private readonly CancellationTokenSource _ended;
    private Task _serving = Task.CompletedTask;

    private LocalWatch(
        GrpcMethod method, Func<string, string?> header, CancellationTokenSource ended, X509Certificate2? certificate)
        : base(method, header, ended.Token, certificate)
    {
        _ended = ended;
    }

    public static LocalWatch Start(
        GrpcMethod method,
        WatchCreateRequest request,
        Func<string, string?> header,
        CancellationToken cancelled,
        X509Certificate2? certificate)
    {
        var watch = new LocalWatch(
            method, header, CancellationTokenSource.CreateLinkedTokenSource(cancelled), certificate);
        watch._serving = watch.ServeAsync(new WatchRequest { CreateRequest = request });
        return watch;
    }

    /// <summary>The next answer that says something; throws <see cref="RpcException"/> when the watch has ended.</summary>
    public async ValueTask<WatchResponse> NextAsync(CancellationToken cancelled)
    {
        while (true)
        {
            WatchResponse answer = await _answers.Reader.ReadAsync(cancelled).ConfigureAwait(false);
            if (answer.Canceled)
            {
                throw answer.CompactRevision > 0
                    ? new RpcException(StatusCode.Unknown, StatusMapping.Of(Store.StoreError.Compacted).Text)
                    : new RpcException(StatusCode.Unknown, answer.CancelReason);
            }

            if (answer.Events.Count > 0)
            {
                return answer;
            }
        }
    }

    /// <inheritdoc/>
    public override ValueTask FlushAsync()
    {
        int at = 0;
        foreach (int bytes in MessageBytes)
        {
            _answers.Writer.TryWrite(WatchResponse.Parser.ParseFrom(Written.WrittenSpan.Slice(at, bytes)));
            at += bytes;
        }

        MessageBytes.Clear();
        Written.ResetWrittenCount();
        return default;
    }

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        await _ended.CancelAsync().ConfigureAwait(false);
        await _serving.ConfigureAwait(false);
        _ended.Dispose();
    }

    private async Task ServeAsync(WatchRequest request)
    {
        await RunAsync(request.ToByteArray()).ConfigureAwait(false);
        _answers.Writer.TryComplete(new RpcException(Status, StatusMessage));
    }
}
