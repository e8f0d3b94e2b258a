using System.Security.Cryptography;
using Etcdserverpb;
using Perf.Cluster.Tests.Harness;
using Perf.Grpc;

namespace Perf.Surface.Tests.Differential;

/// <summary>One of the two servers, and the streams that stay open to it.</summary>
internal sealed class Side : IAsyncDisposable
{
    private const string KeepAlivePath = "/etcdserverpb.Lease/LeaseKeepAlive";
    private const string SnapshotPath = "/etcdserverpb.Maintenance/Snapshot";
    private const int FileBlockBytes = 512;

    private static readonly TimeSpan _patience = TimeSpan.FromSeconds(60);
    private static readonly ClientMethod<byte[], byte[]> _keepAlive = new(KeepAlivePath, m => m, m => m.ToArray());
    private static readonly ClientMethod<byte[], SnapshotResponse> _snapshot =
        new(SnapshotPath, m => m, m => SnapshotResponse.Parser.ParseFrom(m.Span));

    private readonly EtcdProcess _process;
    private readonly GrpcChannel _channel;
    private readonly ClientStream<byte[], byte[]> _leases;

    public Side(EtcdProcess process, string name, int watchStreams)
    {
        _process = process;
        _channel = new GrpcChannel(process.Url);
        _leases = _channel.Open(_keepAlive);
        Watches = [.. Enumerable.Range(0, watchStreams).Select(n => new WatchRecorder(_channel, $"{name}, watch stream {n}"))];
    }

    public WatchRecorder[] Watches { get; }

    /// <summary>Plays steps in their order; neighbouring reads together.</summary>
    public async Task<Answer[]> PlayAsync(IReadOnlyList<Step> steps)
    {
        const int ReadsMax = 32;
        var answers = new Answer[steps.Count];
        for (int i = 0; i < steps.Count;)
        {
            int end = i + 1;
            while (steps[i].Kind == StepKind.Read && end < steps.Count && steps[end].Kind == StepKind.Read && end - i < ReadsMax)
            {
                end++;
            }

            await Task.WhenAll(Enumerable.Range(i, end - i).Select(async n => answers[n] = await AskAsync(steps[n])));
            i = end;
        }

        return answers;
    }

    public Exception Failure(string what) => _process.Failure(what);

    public async ValueTask DisposeAsync()
    {
        foreach (WatchRecorder watch in Watches)
        {
            await watch.DisposeAsync();
        }

        await _leases.DisposeAsync();
        await _channel.DisposeAsync();
    }

    private async Task<Answer> AskAsync(Step step)
    {
        try
        {
            ReadOnlyMemory<byte> bytes = step.Kind switch
            {
                StepKind.KeepAlive => await KeepAliveAsync(step.Bytes),
                StepKind.Snapshot => await SnapshotAsync(step.Bytes),
                _ => await _channel.UnaryAsync(step.Path, step.Bytes, CallOptions.Timeout(_patience)),
            };
            return new Answer(StatusCode.OK, "", bytes);
        }
        catch (RpcException e)
        {
            return new Answer(e.Code, e.Message, default);
        }
    }

    private async Task<byte[]> KeepAliveAsync(byte[] request)
    {
        await _leases.WriteAsync(request);
        return await _leases.MoveNextAsync().AsTask().WaitAsync(_patience) ? _leases.Current : [];
    }

    /// <summary>The whole file: what counts is that it is one, with the sum of its bytes behind it.</summary>
    private async Task<byte[]> SnapshotAsync(byte[] request)
    {
        var file = new MemoryStream();
        await using ClientStream<byte[], SnapshotResponse> parts =
            _channel.ServerStream(_snapshot, request, CallOptions.Timeout(_patience));
        ulong remaining = ulong.MaxValue;
        while (await parts.MoveNextAsync())
        {
            parts.Current.Blob.WriteTo(file);
            remaining = parts.Current.RemainingBytes;
        }

        byte[] all = file.ToArray();
        int body = all.Length - SHA256.HashSizeInBytes;
        bool isWhole = remaining == 0
            && body > 0
            && body % FileBlockBytes == 0
            && SHA256.HashData(all.AsSpan(0, body)).AsSpan().SequenceEqual(all.AsSpan(body));
        return [isWhole ? (byte)1 : (byte)0];
    }
}
